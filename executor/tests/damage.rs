//! The damage table: what is broken × where, and for each: is it noticed by a look, by a verification, and mended?

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{Drift, Refresh, RunEnd, VerifyOrder, observe, rebuild, verify_now};
use jiff::SignedDuration;
use model::{CopyState, VerifyLevel};
use std::{
    fmt::Write as _,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use support::{
    World,
    plans::{After, adopt, daily, plan, point, repair, verify},
    sound::{assert_settled, visible},
    tier, words,
};

type Damage = (&'static str, &'static str, fn(&Path));

fn gone(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn truncated(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flipped(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(path, bytes).unwrap();
}

fn foreign(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, vec![b'x'; bytes.len()]).unwrap();
}

const TABLE: [Damage; 8] = [
    ("data.txt.zst", "gone", gone),
    ("data.txt.zst", "truncated", truncated),
    ("data.txt.zst", "flipped byte", flipped),
    ("data.txt.zst", "foreign file", foreign),
    ("manifest.json", "gone", gone),
    ("manifest.json", "truncated", truncated),
    ("manifest.json", "flipped byte", flipped),
    ("manifest.json", "foreign file", foreign),
];

async fn drift_of(world: &World) -> Vec<Drift> {
    observe(
        Some(&world.catalog),
        &world.wiring.tiers,
        world.clock().now(),
        Refresh::Full,
    )
    .await
    .unwrap()
    .drift
}

#[tokio::test]
async fn every_damage_is_noticed_and_mended_from_the_other_tier() {
    let mut table = String::new();
    for (file, how, damage) in TABLE {
        let world = World::new().await;
        world.apply(&daily(world.clock().now(), 21, None)).await;
        damage(&world.path("disk", &point(21), file));
        world.clock.advance(SignedDuration::from_hours(1));

        let seen = drift_of(&world).await;
        let look = match seen.as_slice() {
            [] => "nothing".to_owned(),
            [Drift::Missing { why, .. }] => format!("missing: {why}"),
            [Drift::Damaged { why, .. }] => format!("damaged: {why}"),
            other => panic!("{other:?}"),
        };
        // Verification finds what a look cannot.
        let step = verify(21, "disk", VerifyLevel::FullRead);
        let report = world.apply(&plan(world.clock().now(), vec![step])).await;
        let found = words(&report)[0]
            .split_once("failed: ")
            .unwrap()
            .1
            .to_owned();
        let known = world
            .catalog
            .point(&point(21), world.clock().now())
            .await
            .unwrap();
        let copy = known.unwrap().copy_on(&tier("disk")).unwrap().clone();
        assert!(!copy.is_good(), "{file} {how}: still trusted");
        writeln!(
            table,
            "{file} {how}\n  look:   {look}\n  verify: {found}, then {:?}",
            copy.state
        )
        .unwrap();

        world.clock.advance(SignedDuration::from_hours(1));
        let repair = repair(21, "nas", "disk");
        let verify = verify(21, "disk", VerifyLevel::FullRead).after(&[&repair]);
        let report = world
            .apply(&plan(world.clock().now(), vec![repair, verify]))
            .await;
        assert_eq!(
            report.end(),
            RunEnd::Done,
            "{file} {how}: {:?}",
            words(&report)
        );
        assert_settled(&world, &format!("{file} {how}")).await;
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_damaged_source_is_not_copied() {
    for (file, how, damage) in TABLE {
        let world = World::new().await;
        world
            .apply(&plan(
                world.clock().now(),
                vec![support::plans::backup(21, "nas")],
            ))
            .await;
        damage(&world.path("nas", &point(21), file));
        let report = world
            .apply(&plan(
                world.clock().now(),
                vec![support::plans::upload(21, "nas", "disk")],
            ))
            .await;
        assert_ne!(report.end(), RunEnd::Done, "{file} {how}");
        assert_eq!(visible(&world, "disk").await.len(), 0, "{file} {how}");
        assert!(world.catalog.unfinished().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn of_two_damaged_copies_neither_is_touched_and_neither_is_trusted() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let (disk, nas) = (
        world.path("disk", &point(21), "data.txt.zst"),
        world.path("nas", &point(21), "data.txt.zst"),
    );
    flipped(&disk);
    let look = verify(21, "disk", VerifyLevel::FullRead);
    world.clock.advance(SignedDuration::from_hours(1));
    world.apply(&plan(world.clock().now(), vec![look])).await;
    // The catalog does not know of this one.
    flipped(&nas);
    let before = std::fs::read(&disk).unwrap();
    world.clock.advance(SignedDuration::from_hours(1));
    let mend = repair(21, "nas", "disk");
    let report = world.apply(&plan(world.clock().now(), vec![mend])).await;
    assert_eq!(
        words(&report),
        ["repair:orders/daily/20261121T020000Z@disk failed: mainstay::copy::damaged"]
    );
    assert_eq!(std::fs::read(&disk).unwrap(), before);
    assert!(world.path("disk", &point(21), "manifest.json").exists());
    let known = world
        .catalog
        .point(&point(21), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    for name in ["disk", "nas"] {
        let copy = known.copy_on(&tier(name)).unwrap();
        assert_eq!(copy.state, CopyState::Damaged, "{name}");
    }
}

#[tokio::test]
async fn drift_is_recorded_at_the_start_of_an_apply() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    gone(&world.path("disk", &point(21), "manifest.json"));
    let mut options = world.options();
    options.drift = drift_of(&world).await;
    assert!(options.drift[0].is_drift());
    let empty = plan(world.clock().now(), Vec::new());
    executor::apply(&empty, &world.wiring, &world.catalog, options)
        .await
        .unwrap();
    let known = world
        .catalog
        .point(&point(21), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        known.copy_on(&tier("disk")).unwrap().state,
        CopyState::Missing
    );
    assert!(known.copy_on(&tier("nas")).unwrap().is_good());
}

#[tokio::test]
async fn a_foreign_file_beside_the_points_is_reported_and_left() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let notes = world.folder.path().join("nas/notes.txt");
    std::fs::write(&notes, b"do not delete").unwrap();
    let stray = world
        .folder
        .path()
        .join("nas/orders/daily/2026/20261101T020000Z");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("data.txt.zst"), b"somebody else is writing").unwrap();
    let drift = drift_of(&world).await;
    assert!(
        matches!(
            drift.as_slice(),
            [Drift::Unusable { .. }, Drift::NotOurs { objects: 1, .. }]
        ),
        "{drift:?}"
    );
    world.clock.advance(SignedDuration::from_hours(24));
    world.apply(&daily(world.clock().now(), 22, Some(21))).await;
    assert!(notes.exists());
    assert!(
        stray.join("data.txt.zst").exists(),
        "no journal mentions it"
    );
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt_from_the_manifests() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let before = world.catalog.inventory(world.clock().now()).await.unwrap();
    let fresh = World {
        catalog: catalog::Catalog::open(world.folder.path().join("new.db").to_str().unwrap())
            .await
            .unwrap(),
        ..world
    };
    // Everything is seen without the catalog …
    let seen = observe(
        None,
        &fresh.wiring.tiers,
        fresh.clock().now(),
        Refresh::Full,
    )
    .await
    .unwrap();
    assert_eq!(seen.inventory.recovery_points.len(), 1);
    assert_eq!(seen.inventory.recovery_points[0].copies.len(), 2);
    // … and is in the catalog after a rebuild.
    let report = fresh.rebuild().await;
    assert_eq!((report.rebuilt.points, report.rebuilt.copies), (1, 2));
    assert!(report.unusable.is_empty() && report.unreachable.is_empty());
    let after = fresh.catalog.inventory(fresh.clock().now()).await.unwrap();
    assert_eq!(after.recovery_points[0].id, before.recovery_points[0].id);
    assert_eq!(
        after.recovery_points[0].captured_at,
        before.recovery_points[0].captured_at
    );
    assert_settled(&fresh, "rebuilt").await;
}

#[tokio::test]
async fn a_point_that_was_found_is_adopted() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let fresh = World {
        catalog: catalog::Catalog::open(world.folder.path().join("new.db").to_str().unwrap())
            .await
            .unwrap(),
        ..world
    };
    let steps = vec![adopt(21, "nas"), adopt(21, "disk")];
    let report = fresh.apply(&plan(fresh.clock().now(), steps)).await;
    assert_eq!(report.summary.done, 2, "{:?}", words(&report));
    assert_settled(&fresh, "adopted").await;
}

#[tokio::test]
async fn the_rule_under_which_they_were_kept_is_unknown_of_rebuilt_and_adopted_points() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let everything = model::Keep {
        forever: true,
        ..model::Keep::default()
    };
    for way in ["rebuild", "adopt"] {
        let path = world.folder.path().join(format!("{way}.db"));
        let catalog = catalog::Catalog::open(path.to_str().unwrap())
            .await
            .unwrap();
        if way == "rebuild" {
            let clock = world.clock();
            rebuild(
                &catalog,
                &world.wiring.tiers,
                &clock,
                way,
                "tester",
                Duration::ZERO,
            )
            .await
            .unwrap();
        } else {
            let mut found = plan(
                world.clock().now(),
                vec![adopt(21, "nas"), adopt(21, "disk")],
            );
            // What the policy says now is not what kept them.
            found.retention = in_force("nas", model::Keep::default());
            let found = found.seal().unwrap();
            executor::apply(&found, &world.wiring, &catalog, world.options())
                .await
                .unwrap();
        }
        let known = catalog.retention_in_force().await.unwrap();
        let rules = &known[&support::database()][&support::series()];
        assert_eq!(rules[&tier("nas")], everything, "{way}");
        assert_eq!(rules[&tier("disk")], everything, "{way}");

        // A plan that found nothing to delete puts its own rule in force; one that is known is not touched.
        let mut later = plan(world.clock().now(), Vec::new());
        later.retention = in_force("nas", model::Keep::default());
        let later = later.seal().unwrap();
        executor::apply(&later, &world.wiring, &catalog, world.options())
            .await
            .unwrap();
        let clock = world.clock();
        rebuild(
            &catalog,
            &world.wiring.tiers,
            &clock,
            "again",
            "tester",
            Duration::ZERO,
        )
        .await
        .unwrap();
        let known = catalog.retention_in_force().await.unwrap();
        let rules = &known[&support::database()][&support::series()];
        assert_eq!(rules[&tier("nas")], model::Keep::default(), "{way}");
    }
}

fn in_force(on: &str, keep: model::Keep) -> catalog::Retention {
    let tiers = std::collections::BTreeMap::from([(tier(on), keep)]);
    let series = std::collections::BTreeMap::from([(support::series(), tiers)]);
    std::collections::BTreeMap::from([(support::database(), series)])
}

#[tokio::test]
async fn a_backup_of_a_slot_that_the_tier_has_is_recorded_not_repeated() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    let fresh = World {
        catalog: catalog::Catalog::open(world.folder.path().join("new.db").to_str().unwrap())
            .await
            .unwrap(),
        ..world
    };
    let report = fresh.apply(&daily(fresh.clock().now(), 21, None)).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert_eq!(fresh.engine.captures.load(Ordering::Relaxed), 1);
    assert_settled(&fresh, "recorded").await;
}

fn order(on: &str, level: VerifyLevel) -> VerifyOrder {
    VerifyOrder {
        point: point(21),
        tier: tier(on),
        level,
        who: "tester".to_owned(),
        run: format!("verify-{on}-{level}"),
        lease_wait: Duration::ZERO,
        progress: Arc::new(|_| {}),
    }
}

#[tokio::test]
async fn a_person_can_verify_at_every_level() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    for level in [
        VerifyLevel::Checksum,
        VerifyLevel::FullRead,
        VerifyLevel::Restore,
    ] {
        world.clock.advance(SignedDuration::from_secs(1));
        let report = verify_now(
            &order("disk", level),
            &world.wiring,
            Some(&world.catalog),
            &world.clock(),
        )
        .await;
        assert!(report.passed() && report.gaps.is_empty(), "{report:?}");
    }
    let known = world
        .catalog
        .point(&point(21), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    let verified = known.copy_on(&tier("disk")).unwrap().verified.unwrap();
    assert_eq!(verified.level, VerifyLevel::Restore);
    flipped(&world.path("disk", &point(21), "data.txt.zst"));
    world.clock.advance(SignedDuration::from_secs(1));
    let report = verify_now(
        &order("disk", VerifyLevel::Checksum),
        &world.wiring,
        Some(&world.catalog),
        &world.clock(),
    )
    .await;
    assert_eq!(report.failure.unwrap().code, "mainstay::copy::damaged");
    let known = world
        .catalog
        .point(&point(21), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        known.copy_on(&tier("disk")).unwrap().state,
        CopyState::Damaged
    );
    assert!(world.catalog.lease().await.unwrap().is_none());
}

#[tokio::test]
async fn a_reader_that_stops_early_does_not_hide_damage() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    world
        .engine
        .stop_reading_early
        .store(true, Ordering::Relaxed);
    flipped(&world.path("disk", &point(21), "data.txt.zst"));
    let report = verify_now(
        &order("disk", VerifyLevel::FullRead),
        &world.wiring,
        Some(&world.catalog),
        &world.clock(),
    )
    .await;
    assert_eq!(report.failure.unwrap().code, "mainstay::copy::damaged");
}

#[tokio::test]
async fn checks_that_fail_take_the_trust_but_do_not_call_the_bytes_damaged() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    // The same rewritten manifest on the tier and in the catalog: only the expectations are wrong.
    let path = world.path("nas", &point(21), "manifest.json");
    let mut manifest = model::Manifest::parse(&std::fs::read(&path).unwrap()).unwrap();
    for table in manifest.expectations.tables.values_mut() {
        table.rows = Some(4);
    }
    std::fs::write(&path, manifest.to_bytes().unwrap()).unwrap();
    let fresh = World {
        catalog: catalog::Catalog::open(world.folder.path().join("new.db").to_str().unwrap())
            .await
            .unwrap(),
        ..world
    };
    let verify = verify(21, "nas", VerifyLevel::FullRead);
    let adopt = adopt(21, "nas");
    let report = fresh
        .apply(&plan(
            fresh.clock().now(),
            vec![adopt.clone(), verify.after(&[&adopt])],
        ))
        .await;
    assert_eq!(
        words(&report)[1],
        "verify:orders/daily/20261121T020000Z@nas failed: mainstay::run::checks-failed"
    );
    let known = fresh
        .catalog
        .point(&point(21), fresh.clock().now())
        .await
        .unwrap()
        .unwrap();
    let copy = known.copy_on(&tier("nas")).unwrap();
    assert_eq!((copy.state, copy.verified), (CopyState::Present, None));
}
