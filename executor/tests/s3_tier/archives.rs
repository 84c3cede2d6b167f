//! Thaws on moto, what a rebuild finds, copies inside a store.

use crate::{
    executor,
    s3::{BucketKind, Moto, Rgw, Store},
    support::{
        self, World,
        plans::{After, plan, point, upload, verify},
        tier,
    },
    world::{FEW, NEVER, add, backed_up, run, thaw},
};
use executor::{RestoreError, RestoreOrder, RestoreReport, ThawPolicy, restore};
use model::VerifyLevel;
use providers::api::{RestoreTarget, Selection};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Points on a filesystem and, by an upload, in an archive.
async fn archived(store: &Store, days: &[i64]) -> World {
    let bucket = store.bucket("frozen", BucketKind::Plain);
    let mut world = World::new().await;
    let table = serde_json::json!({"storage-class": "deep-archive", "retrieval": "bulk"});
    add(&mut world, "glacier", store, &bucket, &table);
    backed_up(&world, "nas", days, None).await;
    for day in days {
        let copy = upload(*day, "nas", "glacier");
        assert_eq!(
            run(&world, vec![copy]).await,
            [format!("upload:{}@glacier done", point(*day))]
        );
    }
    world
}

#[expect(
    clippy::disallowed_methods,
    reason = "that somebody deletes the copy is what is tested"
)]
fn lose(world: &World, day: i64) {
    std::fs::remove_dir_all(world.folder.path().join("nas").join(point(day).folder())).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_copy_is_asked_for_once_and_used_when_it_is_readable() {
    let store = Moto::start();
    store.thaws_after_looks(FEW);
    let world = archived(&store, &[21]).await;
    let copy = || upload(21, "glacier", "disk");
    let id = "orders/daily/20261121T020000Z";
    assert_eq!(
        run(&world, vec![copy()]).await,
        [format!("upload:{id}@disk failed: mainstay::tier::archived")],
        "without a thaw it says what is the matter"
    );
    let thawing = || {
        let thaw = thaw(21, "glacier");
        let copy = copy().after(&[&thaw]);
        vec![thaw, copy]
    };
    let waiting = [
        format!("thaw:{id}@glacier blocked: thawing"),
        format!("upload:{id}@disk skipped: `thaw:{id}@glacier` is blocked"),
    ];
    for _ in 0..2 {
        assert_eq!(run(&world, thawing()).await, waiting);
        store.thaws_after_looks(NEVER);
    }
    let reasons = world
        .apply(&plan(world.clock().now(), vec![thaw(21, "glacier")]))
        .await;
    let model::event::Outcome::Blocked { reason } = &reasons.steps[0].outcome else {
        unreachable!("still thawing: {reasons:?}")
    };
    insta::assert_snapshot!(reason.text, @"`glacier` is making 2 objects of `orders/daily/20261121T020000Z` readable (asked for by an earlier run; it typically takes 48 h); run `mainstay apply` again then");
    store.thaws_after_looks(1);
    for _ in 0..10 {
        if run(&world, thawing()).await[1].ends_with(" done") {
            let there = support::sound::visible(&world, "disk").await;
            assert_eq!(there, [point(21)].into(), "whole, with right bytes");
            return;
        }
    }
    panic!("it never became readable");
}

async fn restored(
    world: &World,
    from: Option<&str>,
    thaw: ThawPolicy,
    to: &str,
) -> Result<RestoreReport, RestoreError> {
    let order = RestoreOrder {
        point: point(21),
        from: from.map(tier),
        target: RestoreTarget::Named(to.to_owned()),
        replace: false,
        selection: Selection::default(),
        who: "tester".to_owned(),
        why: "the machine burned".to_owned(),
        run: format!("restore-{to}"),
        progress: Arc::new(|_| {}),
        thaw,
        recovery: None,
        asserts: Vec::new(),
        drill: None,
        policy_digest: None,
    };
    restore(&order, &world.wiring, Some(&world.catalog), &world.clock()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_thaws_only_what_it_must_and_only_when_told() {
    let store = Arc::new(Moto::start());
    store.thaws_after_looks(FEW);
    let world = archived(&store, &[21]).await;
    // Better verified or not: what can be read at once comes first.
    let easy = restored(&world, None, ThawPolicy::Ask, "easy")
        .await
        .unwrap();
    assert_eq!(easy.tier, tier("nas"));
    lose(&world, 21);
    let refused = restored(&world, None, ThawPolicy::Refuse, "no").await;
    assert_eq!(
        refused.unwrap_err().failure.code,
        "mainstay::restore::archived"
    );
    let asked = restored(&world, None, ThawPolicy::Ask, "no")
        .await
        .unwrap_err();
    assert_eq!(asked.failure.code, "mainstay::restore::thawing");
    store.thaws_after_looks(NEVER);
    assert!(
        asked
            .failure
            .message
            .contains("asked for at 2026-11-21T02:00:00Z; typically readable after 48 h"),
        "{}",
        asked.failure.message
    );
    let again = restored(&world, None, ThawPolicy::Ask, "no")
        .await
        .unwrap_err();
    assert!(
        again
            .failure
            .message
            .contains("asked for by an earlier run"),
        "{}",
        again.failure.message
    );
    assert_eq!(world.engine.restored("no"), None, "no half target");
    let archive = Arc::clone(&store);
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let wait = ThawPolicy::AskAndWait {
        poll: Duration::from_millis(20),
        tell: Arc::new(move |words| {
            sink.lock().unwrap().push(words.to_owned());
            // Hours later.
            archive.thaws_after_looks(1);
        }),
    };
    let report = restored(&world, None, wait, "at-last").await.unwrap();
    assert!(report.passed());
    assert_eq!(report.tier, tier("glacier"));
    let phases: Vec<&str> = report
        .phases
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(phases, ["choose", "thaw", "load", "checks"]);
    assert_eq!(
        world.engine.restored("at-last").as_deref(),
        Some("row 1\nrow 2\nrow 3\n")
    );
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_eq!(
        report.given_up.len(),
        2,
        "what else was looked at: {report:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_is_rebuilt_from_an_archive_alone() {
    let store = Moto::start();
    store.thaws_after_looks(NEVER);
    let world = archived(&store, &[20, 21]).await;
    let mut fresh = world.other_machine().await;
    fresh
        .wiring
        .tiers
        .retain(|name, _| name.as_str() == "glacier");
    let rebuilt = fresh.rebuild().await;
    assert_eq!((rebuilt.rebuilt.points, rebuilt.rebuilt.copies), (2, 2));
    assert!(rebuilt.unusable.is_empty() && rebuilt.unreachable.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_tiers_share_a_store_for_is_copied_inside_it() {
    for store in [&**Rgw::shared(), &**Moto::shared()] {
        let (near, far) = (
            store.bucket("near", BucketKind::Plain),
            store.bucket("far", BucketKind::Plain),
        );
        let mut world = World::new().await;
        add(&mut world, "near", store, &near, &serde_json::json!({}));
        let cold = serde_json::json!({"storage-class": "standard-ia"});
        add(&mut world, "far", store, &far, &cold);
        backed_up(&world, "near", &[21], None).await;
        let copy = upload(21, "near", "far");
        let check = verify(21, "far", VerifyLevel::FullRead).after(&[&copy]);
        let done = run(&world, vec![copy, check]).await;
        assert!(done.iter().all(|word| word.ends_with(" done")), "{done:?}");
        for file in ["data.txt.zst", "manifest.json"] {
            let key = |prefix: &str| format!("{prefix}/{}/{file}", point(21).folder());
            assert_eq!(
                store.sha256(&near, &key("near")),
                store.sha256(&far, &key("far"))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_tier_is_named_by_a_rebuild() {
    let store = Moto::shared();
    let mut world = World::new().await;
    backed_up(&world, "nas", &[21], None).await;
    add(
        &mut world,
        "away",
        store,
        "there-is-no-such-bucket",
        &serde_json::json!({}),
    );
    let fresh = world.other_machine().await;
    let rebuilt = fresh.rebuild().await;
    assert_eq!(rebuilt.rebuilt.points, 1);
    assert_eq!(
        rebuilt.unreachable.keys().collect::<Vec<_>>(),
        [&tier("away")]
    );
}
