//! Rotation of keys: the rings change, the data does not, and there is no moment at which a copy cannot be opened.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{
    KeyReport, RestoreOrder, RotateOrder, RotateReport, RunEnd, key_report, look_at_keys, restore,
    rotate,
};
use jiff::SignedDuration;
use model::VerifyLevel;
use providers::api::{KeyState, Protection, RestoreTarget, Selection};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use support::{
    World, at,
    faults::Fault,
    keys::{KeyInState, encrypted, key, recipients, rotation_to},
    plans::{After, backup, plan, point, repair, slot, upload, verify},
    sound::assert_settled,
    store::Store,
    tier, words,
};

/// Points of two days on both tiers, encrypted for `prod`.
async fn two_days() -> World {
    days(&[20, 21]).await
}

async fn days(days: &[i64]) -> World {
    let mut world = World::new().await;
    world.add_key("next");
    for day in days.iter().copied() {
        world.clock.set(slot(day));
        let backup = encrypted(backup(day, "nas"), &["prod"]);
        let upload = upload(day, "nas", "disk").after(&[&backup]);
        let report = world
            .apply(&plan(world.clock().now(), vec![backup, upload]))
            .await;
        assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    }
    world.clock.advance(SignedDuration::from_hours(1));
    world
}

async fn run(world: &World, order: &RotateOrder) -> RotateReport {
    let (clock, seen) = (world.clock(), Mutex::new(Vec::new()));
    let progress = |done, all| seen.lock().unwrap().push((done, all));
    let report = rotate(order, &world.wiring, &world.catalog, &clock, &progress).await;
    let seen = seen.into_inner().unwrap();
    let (done, all) = seen.last().unwrap();
    assert_eq!(done, all);
    report.unwrap()
}

fn counts(report: &RotateReport) -> Vec<(String, usize, usize, usize)> {
    report
        .tiers
        .iter()
        .map(|(name, tier)| {
            let (new, fine) = (tier.rewrapped.len(), tier.already_fine.len());
            (name.to_string(), new, fine, tier.failed.len())
        })
        .collect()
}

fn each(new: usize, fine: usize, failed: usize) -> Vec<(String, usize, usize, usize)> {
    ["disk", "nas"]
        .map(|name| (name.to_owned(), new, fine, failed))
        .to_vec()
}

/// Every stored file that is no key ring, with what shows a rewrite.
fn data(world: &World) -> BTreeMap<std::path::PathBuf, (Vec<u8>, SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = BTreeMap::new();
    for tier in ["nas", "disk"] {
        for day in [20, 21] {
            let folder = world.path(tier, &point(day), "");
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.ends_with("keys.json") {
                    continue;
                }
                let meta = path.metadata().unwrap();
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, (bytes, meta.modified().unwrap(), meta.ino()));
            }
        }
    }
    assert!(found.len() >= 6);
    found
}

async fn restores(world: &World, day: i64, from: &str) -> Result<(), String> {
    let target = format!("{from} {day} {}", world.wiring.keys.len());
    let order = RestoreOrder {
        point: point(day),
        from: Some(tier(from)),
        target: RestoreTarget::Named(target),
        replace: true,
        thaw: executor::ThawPolicy::Refuse,
        selection: Selection::default(),
        who: "tester".to_owned(),
        why: "a test".to_owned(),
        run: format!("restore-{from}-{day}"),
        progress: Arc::new(|_| {}),
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: None,
    };
    let result = restore(&order, &world.wiring, Some(&world.catalog), &world.clock()).await;
    result.map(drop).map_err(|error| error.failure.code)
}

#[tokio::test]
async fn a_rotation_changes_who_can_open_and_not_one_byte_of_data() {
    let mut world = two_days().await;
    let before = data(&world);
    let report = run(&world, &rotation_to(&["next", "offline"])).await;
    assert!(report.is_complete());
    assert_eq!(counts(&report), each(2, 0, 0));
    assert_eq!(report.gaps, Vec::new());
    assert_eq!(data(&world), before);
    for name in ["nas", "disk"] {
        for day in [20, 21] {
            assert_eq!(
                recipients(&world.ring(name, &point(day))),
                ["next", "offline"]
            );
        }
    }
    assert_settled(&world, "rotated").await;

    // A repeat does nothing.
    let rings = |world: &World| {
        let read = |name| std::fs::read(world.path(name, &point(21), "keys.json")).unwrap();
        [read("nas"), read("disk")]
    };
    let there = rings(&world);
    let again = run(&world, &rotation_to(&["next", "offline"])).await;
    assert_eq!(counts(&again), each(0, 2, 0));
    assert_eq!(rings(&world), there);

    // The new key alone opens, old and new points; the old one does not.
    let next = world.wiring.keys.remove(&key("next")).unwrap();
    world.wiring.keys.remove(&key("offline"));
    assert_eq!(
        restores(&world, 21, "disk").await,
        Err("mainstay::key::none-opens".to_owned())
    );
    world.wiring.keys = BTreeMap::from([(key("next"), next)]);
    for day in [20, 21] {
        for name in ["nas", "disk"] {
            assert_eq!(restores(&world, day, name).await, Ok(()));
        }
    }
    let audit = world.catalog.audit_entries(100).await.unwrap();
    let entries: Vec<&str> = audit
        .iter()
        .filter(|entry| entry.kind == catalog::AuditKind::KeyRotation)
        .map(|entry| entry.why.as_str())
        .collect();
    assert_eq!(
        entries,
        [
            "4 copies rewrapped, 0 as wanted before, 0 failed, 0 on tiers that are away; a test",
            "0 copies rewrapped, 4 as wanted before, 0 failed, 0 on tiers that are away; a test",
        ]
    );
}

/// The fear: every name is there, so the rotation says "fine", and the old key is destroyed.
#[tokio::test]
async fn an_entry_that_only_looks_right_is_wrapped_anew() {
    let world = two_days().await;
    run(&world, &rotation_to(&["next", "prod"])).await;
    let mut ring = world.ring("nas", &point(20));
    let other = world.ring("nas", &point(21));
    for (file, object) in &mut ring.objects {
        object.recipients[0] = other.objects[file].recipients[0].clone();
    }
    world.set_ring("nas", &point(20), &ring);
    let report = run(&world, &rotation_to(&["next", "prod"])).await;
    let made = [("disk".to_owned(), 0, 2, 0), ("nas".to_owned(), 1, 1, 0)];
    assert_eq!(counts(&report), made);
    let ring = world.ring("nas", &point(20));
    for file in ring.objects.keys() {
        let next = world.data_key("next", &ring, file).await.unwrap();
        assert!(next == world.data_key("prod", &ring, file).await.unwrap());
    }

    // When no entry opens, nothing is called fine, and nothing is written.
    let mut ring = world.ring("nas", &point(20));
    for (file, object) in &mut ring.objects {
        object.recipients = other.objects[file].recipients.clone();
    }
    world.set_ring("nas", &point(20), &ring);
    let report = run(&world, &rotation_to(&["next", "prod"])).await;
    let failed = [("disk".to_owned(), 0, 2, 0), ("nas".to_owned(), 0, 1, 1)];
    assert_eq!(counts(&report), failed);
    assert!(world.ring("nas", &point(20)) == ring);
}

#[tokio::test]
async fn old_recipients_stay_when_that_is_asked() {
    let world = two_days().await;
    let keep = RotateOrder {
        keep_old: true,
        ..rotation_to(&["next"])
    };
    assert_eq!(counts(&run(&world, &keep).await), each(2, 0, 0));
    assert_eq!(recipients(&world.ring("nas", &point(20))), ["next", "prod"]);
    assert_eq!(counts(&run(&world, &keep).await), each(0, 2, 0));
    // And go when it is not.
    assert_eq!(
        counts(&run(&world, &rotation_to(&["next"])).await),
        each(2, 0, 0)
    );
    assert_eq!(recipients(&world.ring("nas", &point(20))), ["next"]);
}

#[tokio::test]
async fn a_key_that_was_given_another_name_is_not_a_new_recipient() {
    let mut world = two_days().await;
    let config = serde_json::json!({"path": world.key_path("prod")});
    let name = key("production");
    let renamed = providers::registry::key(&name, "local", &config, world.folder.path()).unwrap();
    world.wiring.keys.insert(name, renamed);
    let wrapped = world.ring("nas", &point(20));
    assert_eq!(
        counts(&run(&world, &rotation_to(&["production"])).await),
        each(2, 0, 0)
    );
    let after = world.ring("nas", &point(20));
    assert_eq!(recipients(&after), ["production"]);
    for (file, object) in &after.objects {
        let before = &wrapped.objects[file].recipients[0];
        assert_eq!(object.recipients[0].wrapped, before.wrapped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_rotation_leaves_rings_that_open_and_a_repeat_completes_it() {
    for fault in [Fault::Before, Fault::After, Fault::Death] {
        let mut n = 0;
        loop {
            n += 1;
            let context = format!("call {n} failed ({fault:?})");
            let world = days(&[21]).await;
            let before = data(&world);
            let ring = world.ring("nas", &point(21));
            let mut data_keys = Vec::new();
            for file in ring.objects.keys() {
                data_keys.push(world.data_key("prod", &ring, file).await.unwrap());
            }
            let wanted = rotation_to(&["next", "offline"]);
            world.faults.arm(n, fault);
            let clock = world.clock();
            let result = tokio::select! {
                result = rotate(&wanted, &world.wiring, &world.catalog, &clock, &|_, _| {}) => {
                    Some(result)
                }
                () = world.faults.death() => None,
            };
            if fault == Fault::Death {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let hit = world.faults.disarm();
            for name in ["nas", "disk"] {
                let ring = world.ring(name, &point(21));
                let now = recipients(&ring);
                assert!(
                    now == ["prod"] || now == ["next", "offline"],
                    "{context}: {now:?}"
                );
                for name in &now {
                    let mut opened = Vec::new();
                    for file in ring.objects.keys() {
                        opened.push(world.data_key(name, &ring, file).await.unwrap());
                    }
                    assert!(opened == data_keys, "{context}: `{name}` opens other keys");
                }
            }
            assert_eq!(data(&world), before, "{context}");
            if !hit {
                let report = result.unwrap().unwrap();
                assert_eq!(counts(&report), each(1, 0, 0));
                assert!(
                    n > 30,
                    "only {n} calls were made: is the counter connected?"
                );
                break;
            }
            world.clock.advance(SignedDuration::from_secs(31));
            let report = run(&world, &wanted).await;
            assert!(report.is_complete(), "{context}: {report:?}");
            for name in ["nas", "disk"] {
                let now = recipients(&world.ring(name, &point(21)));
                assert_eq!(now, ["next", "offline"], "{context}");
            }
            assert_settled(&world, &context).await;
        }
    }
}

#[tokio::test]
async fn a_tier_that_is_away_is_reported_and_done_later() {
    let world = two_days().await;
    let (here, away) = (
        world.folder.path().join("disk"),
        world.folder.path().join("away"),
    );
    std::fs::rename(&here, &away).unwrap();
    let report = run(&world, &rotation_to(&["next"])).await;
    assert!(!report.is_complete());
    assert_eq!(counts(&report), [("nas".to_owned(), 2, 0, 0)]);
    assert_eq!(
        report.unreachable[&tier("disk")].points,
        [point(20), point(21)]
    );
    std::fs::rename(&away, &here).unwrap();

    // In between, rings differ: a repair leaves the target's own, which opens.
    assert_eq!(recipients(&world.ring("disk", &point(21))), ["prod"]);
    std::fs::remove_file(world.path("disk", &point(21), "data.txt.zst.enc")).unwrap();
    let find = verify(21, "nas", VerifyLevel::FullRead);
    let lost = verify(21, "disk", VerifyLevel::Checksum).after(&[&find]);
    world
        .apply(&plan(world.clock().now(), vec![find, lost]))
        .await;
    world.clock.advance(SignedDuration::from_hours(1));
    let mend = repair(21, "nas", "disk");
    let report = world.apply(&plan(world.clock().now(), vec![mend])).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert_eq!(recipients(&world.ring("disk", &point(21))), ["prod"]);
    assert_eq!(restores(&world, 21, "disk").await, Ok(()));

    let report = run(&world, &rotation_to(&["next"])).await;
    assert!(report.is_complete());
    assert_eq!(
        counts(&report),
        [("disk".to_owned(), 2, 0, 0), ("nas".to_owned(), 0, 2, 0)]
    );
}

#[tokio::test]
async fn nothing_is_written_for_only_some_of_the_wanted_keys() {
    let world = two_days().await;
    std::fs::remove_file(world.key_path("offline")).unwrap();
    let report = run(&world, &rotation_to(&["next", "offline"])).await;
    assert_eq!(counts(&report), each(0, 0, 2));
    let (_, failure) = &report.tiers[&tier("nas")].failed[0];
    assert_eq!(failure.code, "mainstay::key::no-recipient");
    assert_eq!(recipients(&world.ring("nas", &point(20))), ["prod"]);
}

#[tokio::test]
async fn without_the_old_key_nothing_can_be_rewrapped_and_the_rings_stay() {
    let world = two_days().await;
    std::fs::remove_file(world.key_path("prod")).unwrap();
    let report = run(&world, &rotation_to(&["next"])).await;
    assert_eq!(counts(&report), each(0, 0, 2));
    let (_, failure) = &report.tiers[&tier("nas")].failed[0];
    assert_eq!(failure.code, "mainstay::key::none-opens");
    assert_eq!(recipients(&world.ring("nas", &point(20))), ["prod"]);
}

#[tokio::test]
async fn a_database_for_which_nobody_is_wanted_keeps_its_recipients() {
    let world = two_days().await;
    let report = run(&world, &rotation_to(&[])).await;
    assert_eq!(report.without_recipients, [point(20), point(21)].into());
    assert_eq!(recipients(&world.ring("nas", &point(20))), ["prod"]);
}

#[tokio::test]
async fn a_certificate_without_its_private_key_becomes_a_recipient() {
    let mut world = two_days().await;
    world.add_certificate("recovery");
    assert_eq!(
        counts(&run(&world, &rotation_to(&["next", "recovery"])).await),
        each(2, 0, 0)
    );
    assert_eq!(
        recipients(&world.ring("nas", &point(20))),
        ["next", "recovery"]
    );
    assert_eq!(
        counts(&run(&world, &rotation_to(&["next", "recovery"])).await),
        each(0, 2, 0)
    );
}

/// Puts a store in the place of `nas`.
fn locking(world: &mut World) -> Arc<Store> {
    let wired = world.wiring.tiers.get_mut(&tier("nas")).unwrap();
    let store = Arc::new(Store::new(Arc::clone(&wired.tier)));
    wired.tier = store.clone();
    store
}

#[tokio::test]
async fn a_locked_archived_and_held_copy_is_rotated_and_stays_so() {
    let mut world = two_days().await;
    let store = locking(&mut world);
    *store.archived.lock().unwrap() = true;
    let until = at("2027-11-21T00:00:00Z");
    let locked = Protection {
        locked_until: Some(until),
        legal_hold: true,
    };
    let key_of = |file: &str| format!("{}/{file}", point(21).folder());
    for file in ["keys.json", "manifest.json", "data.txt.zst.enc"] {
        store.protect(&key_of(file), locked);
    }
    assert_eq!(
        counts(&run(&world, &rotation_to(&["next"])).await),
        each(2, 0, 0)
    );
    assert_eq!(recipients(&world.ring("nas", &point(21))), ["next"]);
    assert_eq!(store.protection_of(&key_of("keys.json")), locked);

    // A run that died between the new version and its hold: the next one sees to it.
    store.protect(&key_of("keys.json"), Protection::default());
    assert_eq!(
        counts(&run(&world, &rotation_to(&["next"])).await),
        each(0, 2, 0)
    );
    assert_eq!(store.protection_of(&key_of("keys.json")), locked);
}

#[tokio::test]
async fn a_ring_that_changes_in_the_same_moment_is_read_again_and_not_overwritten() {
    let mut world = two_days().await;
    let store = locking(&mut world);
    // Another machine adds a recipient between our read and our write.
    let path = world.path("nas", &point(20), "keys.json");
    let mut theirs = world.ring("nas", &point(20));
    for (file, object) in &mut theirs.objects {
        let opened = {
            let context = providers::api::KeyContext::new(&point(20), file);
            let prod = &world.wiring.keys[&key("prod")];
            let data_key = prod.unwrap(&object.recipients[0], &context).await.unwrap();
            let offline = &world.wiring.keys[&key("offline")];
            offline.wrap(&data_key, &context).await.unwrap()
        };
        object.recipients.push(opened);
    }
    let bytes = theirs.to_bytes().unwrap();
    *store.before_write.lock().unwrap() = Some(Box::new(move || {
        std::fs::write(path, bytes).unwrap();
    }));
    let keep = RotateOrder {
        points: Some([point(20)].into()),
        tiers: Some([tier("nas")].into()),
        keep_old: true,
        ..rotation_to(&["next"])
    };
    let report = run(&world, &keep).await;
    assert_eq!(counts(&report), [("nas".to_owned(), 1, 0, 0)]);
    assert_eq!(
        recipients(&world.ring("nas", &point(20))),
        ["next", "prod", "offline"]
    );
}

async fn keys_of(world: &World) -> KeyReport {
    let now = world.clock().now();
    key_report(&world.wiring, Some(&world.catalog), now, &|_, _| {})
        .await
        .unwrap()
}

fn lines(report: &KeyReport) -> Vec<String> {
    let names = |key: &executor::KeyUse| {
        let names: Vec<String> = key.names.iter().map(ToString::to_string).collect();
        let declared: Vec<String> = key
            .declared
            .iter()
            .map(|look| look.name.to_string())
            .collect();
        format!("declared {declared:?}, seen as {names:?}")
    };
    report
        .keys
        .iter()
        .map(|key| {
            let (copies, points, only) = (key.copies, key.points.len(), key.only.len());
            let trouble = key.declared.iter().find_map(executor::KeyLook::trouble);
            format!(
                "{}: {copies} copies of {points} points, {only} only by it{}",
                names(key),
                trouble.map_or_else(String::new, |why| format!("; {why}"))
            )
        })
        .collect()
}

#[tokio::test]
async fn the_report_tells_what_would_be_lost_with_each_key() {
    let mut world = two_days().await;
    // Point 21 gets a second recipient.
    let second = RotateOrder {
        points: Some([point(21)].into()),
        ..rotation_to(&["prod", "next"])
    };
    run(&world, &second).await;
    let report = keys_of(&world).await;
    assert_eq!(report.copies, 4);
    assert_eq!(
        lines(&report),
        [
            r#"declared ["next"], seen as ["next"]: 2 copies of 1 points, 0 only by it"#,
            r#"declared ["offline"], seen as []: 0 copies of 0 points, 0 only by it"#,
            r#"declared ["prod"], seen as ["prod"]: 4 copies of 2 points, 1 only by it"#,
        ]
    );

    // `prod` will be destroyed: it comes first, and point 21 would not be lost.
    let inner = world.wiring.keys[&key("prod")].clone();
    let state = KeyState::PendingDeletion(Some(at("2026-12-01T00:00:00Z")));
    let dying = KeyInState {
        inner: inner.clone(),
        state,
        works: true,
    };
    world.wiring.keys.insert(key("prod"), Arc::new(dying));
    let report = keys_of(&world).await;
    assert_eq!(
        lines(&report)[0],
        r#"declared ["prod"], seen as ["prod"]: 4 copies of 2 points, 1 only by it; it will be destroyed at 2026-12-01T00:00:00Z"#
    );
    // Then `next` is the last usable key of point 21.
    assert_eq!(report.keys[1].only, [point(21)].into());

    // The same without its declaration, and without a catalog.
    world.wiring.keys.remove(&key("prod"));
    let report = key_report(&world.wiring, None, world.clock().now(), &|_, _| {})
        .await
        .unwrap();
    let first = &lines(&report)[0];
    assert_eq!(
        first,
        r#"declared [], seen as ["prod"]: 4 copies of 2 points, 1 only by it"#
    );

    std::fs::remove_file(world.path("disk", &point(20), "keys.json")).unwrap();
    std::fs::rename(
        world.folder.path().join("nas"),
        world.folder.path().join("x"),
    )
    .unwrap();
    let report = keys_of(&world).await;
    assert_eq!(report.unread.len(), 1);
    assert_eq!(report.unread[0].2.code, "mainstay::run::copy-missing");
    assert_eq!(report.unreachable[&tier("nas")].points.len(), 2);
}

#[tokio::test]
async fn a_light_look_asks_only_the_declared_keys() {
    let mut world = World::new().await;
    std::fs::remove_file(world.key_path("offline")).unwrap();
    let disabled = KeyInState {
        inner: world.wiring.keys[&key("prod")].clone(),
        state: KeyState::Disabled,
        works: false,
    };
    world.wiring.keys.insert(key("prod"), Arc::new(disabled));
    let looks = look_at_keys(&world.wiring.keys).await;
    let told: Vec<(String, Option<String>)> = looks
        .iter()
        .map(|look| (look.name.to_string(), look.trouble()))
        .collect();
    assert_eq!(
        told,
        [
            ("offline".to_owned(), Some("it is not there".to_owned())),
            ("prod".to_owned(), Some("it is disabled".to_owned())),
        ]
    );
}
