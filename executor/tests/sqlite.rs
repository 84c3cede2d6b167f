//! The whole way with a real SQLite database: backup, every level of verification, upload, restore, prune.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{RestoreOrder, RunEnd, restore};
use jiff::SignedDuration;
use model::{Assertion, Expect, MethodName, VerifyLevel};
use providers::api::{RestoreTarget, Selection};
use std::sync::{Arc, Mutex};
use support::{
    World, at,
    plans::{After, backup, plan, point, prune, upload, verify},
    sound::{assert_settled, visible},
    tier, words,
};

async fn world_with_sqlite() -> World {
    let mut world = World::new().await;
    let path = world.folder.path().join("orders.db");
    let source = rusqlite::Connection::open(&path).unwrap();
    source
        .execute_batch(
            "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);
             INSERT INTO orders (what) VALUES ('tea'), ('milk'), ('sugar');",
        )
        .unwrap();
    let engine = providers::registry::engine(
        "sqlite",
        &serde_json::json!({ "path": path.to_str().unwrap() }),
        world.folder.path(),
    )
    .unwrap();
    let wired = world
        .wiring
        .databases
        .get_mut(&support::database())
        .unwrap();
    wired.engine = engine;
    wired.asserts = vec![Assertion {
        sql: "SELECT count(*) FROM orders".to_owned(),
        expect: Expect::AtLeast(3),
    }];
    world
}

fn snapshot(day: i64) -> model::Step {
    model::Step {
        method: Some(MethodName::new("snapshot").unwrap()),
        ..backup(day, "nas")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_database_goes_the_whole_way() {
    let world = world_with_sqlite().await;
    let backup = snapshot(20);
    let mut steps = vec![backup.clone()];
    let mut last = backup.id.clone();
    // Weakest first; each level has its own step only in this test, so the ids are told apart by hand.
    for level in [
        VerifyLevel::Checksum,
        VerifyLevel::FullRead,
        VerifyLevel::Restore,
    ] {
        let mut step = verify(20, "nas", level);
        step.id = serde_json::from_value(format!("{}#{level}", step.id).into()).unwrap();
        step.after = vec![last];
        last = step.id.clone();
        steps.push(step);
    }
    let copy = upload(20, "nas", "disk").after(&[&backup]);
    let verify_disk = verify(20, "disk", VerifyLevel::FullRead).after(&[&copy]);
    steps.extend([copy, verify_disk]);
    let report = world.apply(&plan(world.clock().now(), steps)).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", report.steps);
    assert_settled(&world, "sqlite").await;
    let known = world
        .catalog
        .point(&point(20), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        known.copy_on(&tier("nas")).unwrap().verified.unwrap().level,
        VerifyLevel::Restore
    );

    world.clock.set(at("2026-11-22T02:00:00Z"));
    let backup = snapshot(22);
    let check = verify(22, "nas", VerifyLevel::FullRead).after(&[&backup]);
    let old = prune(20, "nas", &[22]).after(&[&check]);
    let report = world
        .apply(&plan(world.clock().now(), vec![backup, check, old]))
        .await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert_eq!(visible(&world, "nas").await, [point(22)].into());

    // The pruned point is still on the other tier, and is found there.
    let target = world.folder.path().join("restored.db");
    let order = RestoreOrder {
        point: point(20),
        from: None,
        target: RestoreTarget::Named(target.to_str().unwrap().to_owned()),
        replace: false,
        selection: Selection::default(),
        who: "tester".to_owned(),
        why: "somebody deleted the sugar".to_owned(),
        run: "restore-1".to_owned(),
        progress: Arc::new(|_| {}),
        thaw: executor::ThawPolicy::Refuse,
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: None,
    };
    let report = restore(&order, &world.wiring, Some(&world.catalog), &world.clock())
        .await
        .unwrap();
    assert!(report.passed() && report.gaps.is_empty(), "{report:?}");
    assert_eq!(report.tier, tier("disk"));
    // Captured when its run was, on the 21st.
    assert_eq!(report.age_seconds, 24 * 3600);
    assert!(report.checks.len() >= 2, "{:?}", report.checks);
    let restored = rusqlite::Connection::open(&target).unwrap();
    let rows: i64 = restored
        .query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 3);
    let audit = world.catalog.audit_entries(1).await.unwrap();
    assert!(
        audit[0].why.contains("somebody deleted the sugar"),
        "{audit:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_passes_over_a_bad_copy_to_a_good_one() {
    let world = world_with_sqlite().await;
    let backup = snapshot(21);
    let copy = upload(21, "nas", "disk").after(&[&backup]);
    let strong = verify(21, "nas", VerifyLevel::Restore).after(&[&backup]);
    let report = world
        .apply(&plan(world.clock().now(), vec![backup, copy, strong]))
        .await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    // The best verified copy has gone bad since.
    let folder = world.path("nas", &point(21), "");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("manifest.json") {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let told = Arc::new(Mutex::new(0));
    let sink = told.clone();
    let mut order = RestoreOrder {
        point: point(21),
        from: None,
        target: RestoreTarget::Named(
            world
                .folder
                .path()
                .join("again.db")
                .to_str()
                .unwrap()
                .to_owned(),
        ),
        replace: false,
        selection: Selection::default(),
        who: "tester".to_owned(),
        why: "a test".to_owned(),
        run: "restore-1".to_owned(),
        progress: Arc::new(move |bytes| *sink.lock().unwrap() = bytes),
        thaw: executor::ThawPolicy::Refuse,
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: None,
    };
    let clock = world.clock();
    let report = restore(&order, &world.wiring, Some(&world.catalog), &clock)
        .await
        .unwrap();
    assert_eq!(report.tier, tier("disk"));
    assert_eq!(report.given_up.len(), 1);
    assert_eq!(report.given_up[0].1.code, "mainstay::copy::damaged");
    assert!(*told.lock().unwrap() > 0);
    // An existing target is not the copy's fault: no other copy is tried, and it stays.
    let error = restore(&order, &world.wiring, Some(&world.catalog), &clock)
        .await
        .unwrap_err();
    assert!(error.given_up.len() <= 1, "{error:?}");
    order.point = point(3);
    let error = restore(&order, &world.wiring, Some(&world.catalog), &clock)
        .await
        .unwrap_err();
    assert_eq!(error.failure.code, "mainstay::restore::no-copy");
    world.clock.advance(SignedDuration::from_secs(1));
}
