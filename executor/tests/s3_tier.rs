//! Locks, legal holds and leases on a Ceph gateway, thaws on moto: what a filesystem cannot show.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

#[path = "../../providers/tests/support/s3.rs"]
mod s3;

use executor::{
    RestoreError, RestoreOrder, RestoreReport, RunEnd, ThawPolicy, apply, rebuild, restore,
    spread_hold,
};
use jiff::Timestamp;
use model::{
    Action, LockOrder, RecoveryPointId, Step, StepId, ThawOrder, VerifyLevel,
    tier_facts::{LockMode, RetrievalSpeed},
};
use providers::{
    api::{RestoreTarget, Selection},
    tiers::s3::{S3Config, S3Tier},
};
use s3::{BucketKind, Moto, Rgw, Store};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{
    World,
    plans::{After, backup, plan, point, prune, upload, verify},
    tier, words,
};

/// Declares a tier in a bucket of a store.
fn add(world: &mut World, name: &str, store: &Store, bucket: &str, more: &serde_json::Value) {
    let folder = world.folder.path();
    std::fs::write(folder.join("id"), &store.access_key).unwrap();
    std::fs::write(folder.join("secret"), &store.secret_key).unwrap();
    let mut table = serde_json::json!({
        "bucket": bucket,
        "prefix": name,
        "region": store.region,
        "endpoint": store.endpoint,
        "credentials": {"access-key-id": {"file": "id"}, "secret-access-key": {"file": "secret"}},
    });
    // The gateway ignores conditions in buckets with locks, so it is used by a declaration that nobody else writes there.
    if store.access_key == "AK" {
        table["exclusive"] = true.into();
    }
    for (key, value) in more.as_object().unwrap() {
        table[key] = value.clone();
    }
    let config: S3Config = serde_json::from_value(table).unwrap();
    let wired = executor::TierWiring {
        tier: Arc::new(S3Tier::new(tier(name), config, folder)),
        concurrency: 2,
    };
    world.wiring.tiers.insert(tier(name), wired);
}

/// Moto counts looks from the moment at which an object is stored, and shows a thaw as done until so many were made; the
/// writing and the asking make more than this.
const FEW: u32 = 3;
/// More looks than any test makes.
const NEVER: u32 = 1_000_000;

fn locked_tier() -> serde_json::Value {
    serde_json::json!({"object-lock": {"mode": "governance", "for": "1d"}})
}

/// A day after the store's own now, in whole seconds.
fn tomorrow(store: &Store, days: i64) -> Timestamp {
    let now: i64 = store
        .python("import time; print(int(time.time()))", &[])
        .parse()
        .unwrap();
    // Also after the clock of the test, whichever of the two is ahead.
    let now = now.max(support::at("2026-11-22T02:00:00Z").as_second());
    Timestamp::from_second(now + days * 86_400).unwrap()
}

fn order(until: Timestamp) -> LockOrder {
    LockOrder {
        mode: LockMode::Governance,
        until,
    }
}

fn lock(day: i64, on: &str, until: Timestamp) -> Step {
    let step = backup(day, on);
    Step {
        action: Action::Lock,
        id: StepId::new(Action::Lock, &step.recovery_point, &step.tier),
        lock: Some(order(until)),
        requires: Vec::new(),
        method: None,
        slot: None,
        ..step
    }
}

fn thaw(day: i64, on: &str) -> Step {
    let step = backup(day, on);
    Step {
        action: Action::Thaw,
        id: StepId::new(Action::Thaw, &step.recovery_point, &step.tier),
        thaw: Some(ThawOrder {
            speed: RetrievalSpeed::Bulk,
            days: 3,
            typical_seconds: 48 * 3600,
        }),
        requires: Vec::new(),
        method: None,
        slot: None,
        ..step
    }
}

/// Points of the days on a tier, each verified, and made when it was its time.
async fn backed_up(world: &World, on: &str, days: &[i64], locked: Option<LockOrder>) {
    for day in days {
        world.clock.set(support::plans::slot(*day));
        let mut step = backup(*day, on);
        step.lock = locked;
        let check = verify(*day, on, VerifyLevel::Checksum).after(&[&step]);
        let report = world
            .apply(&plan(world.clock().now(), vec![step, check]))
            .await;
        assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    }
}

async fn run(world: &World, steps: Vec<Step>) -> Vec<String> {
    words(&world.apply(&plan(world.clock().now(), steps)).await)
}

async fn locked_until(world: &World, day: i64, on: &str) -> Option<Timestamp> {
    let known = world
        .catalog
        .point(&point(day), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    known.copy_on(&tier(on)).unwrap().locked_until
}

/// Keys of a point's files with the end of their locks, as boto3 sees them.
fn locks(store: &Store, bucket: &str, prefix: &str, point: &RecoveryPointId) -> Vec<String> {
    let printed = store.python(
        "for item in s3.list_objects_v2(Bucket=args[0], Prefix=args[1]).get('Contents', []):\n    \
             head = s3.head_object(Bucket=args[0], Key=item['Key'])\n    \
             end = head.get('ObjectLockRetainUntilDate')\n    \
             print(item['Key'].split('/')[-1], int(end.timestamp()) if end else '-', head.get('ObjectLockLegalHoldStatus', 'OFF'))",
        &[bucket, &format!("{prefix}/{}/", point.folder())],
    );
    printed.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_copy_is_not_pruned_and_nothing_of_it_goes() {
    let store = Rgw::shared();
    let bucket = store.bucket("locked", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    let until = tomorrow(store, 1);
    backed_up(&world, "vault", &[20, 21], Some(order(until))).await;
    let second = until.as_second();
    assert_eq!(
        locks(store, &bucket, "vault", &point(20)),
        [
            format!("data.txt.zst {second} OFF"),
            format!("globals.txt.gz {second} OFF"),
            format!("manifest.json {second} OFF"),
        ],
        "every file, as boto3 sees it"
    );
    assert_eq!(locked_until(&world, 20, "vault").await, Some(until));

    let before = store.versions(&bucket);
    let of_point = |versions: &[String]| {
        let folder = point(20).folder();
        versions
            .iter()
            .filter(|line| line.contains(&folder))
            .cloned()
            .collect::<Vec<_>>()
    };
    // The catalog has forgotten the lock: the store still knows.
    for forgotten in [false, true] {
        if forgotten {
            let lease = world
                .catalog
                .acquire_lease("test", world.clock().now(), executor::TIME_TO_LIVE)
                .await
                .unwrap();
            world
                .catalog
                .set_lock(&lease, &point(20), &tier("vault"), None)
                .await
                .unwrap();
            world.catalog.release(lease).await.unwrap();
        }
        assert_eq!(
            run(&world, vec![prune(20, "vault", &[21])]).await,
            ["prune:orders/daily/20261120T020000Z@vault blocked: locked"]
        );
        assert_eq!(
            of_point(&store.versions(&bucket)),
            of_point(&before),
            "nothing is gone, no marker is left"
        );
        assert_eq!(
            locked_until(&world, 20, "vault").await,
            Some(until),
            "known again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_step_locks_every_file_and_never_shortens() {
    let store = Rgw::shared();
    let bucket = store.bucket("prolonged", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &serde_json::json!({}));
    backed_up(&world, "vault", &[21], None).await;
    assert_eq!(locked_until(&world, 21, "vault").await, None);
    let (short, long) = (tomorrow(store, 1), tomorrow(store, 3));
    let id = "lock:orders/daily/20261121T020000Z@vault";
    for (until, outcome, end) in [
        (short, "done", short),
        (long, "done", long),
        (short, "already done", long),
    ] {
        assert_eq!(
            run(&world, vec![lock(21, "vault", until)]).await,
            [format!("{id} {outcome}")]
        );
        assert_eq!(locked_until(&world, 21, "vault").await, Some(end));
        for file in locks(store, &bucket, "vault", &point(21)) {
            assert!(file.contains(&end.as_second().to_string()), "{file}");
        }
    }
    let audit = world.catalog.audit_entries(20).await.unwrap();
    let locks = audit.iter().filter(|entry| entry.kind.as_str() == "lock");
    assert_eq!(locks.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_hold_is_set_found_after_a_rebuild_and_lifted() {
    let store = Rgw::shared();
    let bucket = store.bucket("held", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    let until = tomorrow(store, 2);
    backed_up(&world, "vault", &[20, 21], None).await;
    run(&world, vec![lock(21, "vault", until)]).await;
    let spread = async |world: &World, held| {
        spread_hold(
            &point(20),
            held,
            "auditor",
            &world.wiring,
            &world.catalog,
            &world.clock(),
        )
        .await
    };
    let held = spread(&world, true).await;
    assert_eq!((held.copies[0].files, held.copies[0].changed), (3, 3));
    assert!(held.not_done.is_empty() && held.gaps.is_empty(), "{held:?}");
    assert_eq!(spread(&world, true).await.copies[0].changed, 0, "a repeat");
    let pruning = || vec![prune(20, "vault", &[21])];
    let blocked = ["prune:orders/daily/20261120T020000Z@vault blocked: held"];
    // The catalog holds nothing; the store does.
    assert_eq!(run(&world, pruning()).await, blocked);

    let fresh = world.other_machine().await;
    let rebuilt = rebuild(
        &fresh.catalog,
        &fresh.wiring.tiers,
        &fresh.clock(),
        "rebuild",
        Duration::ZERO,
    )
    .await
    .unwrap();
    assert_eq!(rebuilt.rebuilt.copies, 2);
    assert_eq!(rebuilt.held, [(point(20), tier("vault"))]);
    assert_eq!(locked_until(&fresh, 21, "vault").await, Some(until));
    assert_eq!(locked_until(&fresh, 20, "vault").await, None);
    assert_eq!(fresh.catalog.holds().await.unwrap().len(), 1);

    let lifted = spread(&world, false).await;
    assert_eq!(lifted.copies[0].changed, 3);
    assert_eq!(
        run(&world, pruning()).await,
        ["prune:orders/daily/20261120T020000Z@vault done"]
    );
    let left = store.versions(&bucket);
    assert!(
        !left.iter().any(|line| line.contains(&point(20).folder())),
        "deleted with all versions, no marker: {left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_cannot_be_asked_for_a_hold_is_named() {
    let store = Rgw::shared();
    let bucket = store.bucket("hold-away", BucketKind::Lock);
    let mut world = World::new().await;
    add(&mut world, "vault", store, &bucket, &locked_tier());
    backed_up(&world, "vault", &[21], None).await;
    add(
        &mut world,
        "vault",
        store,
        "there-is-no-such-bucket",
        &locked_tier(),
    );
    let report = spread_hold(
        &point(21),
        true,
        "auditor",
        &world.wiring,
        &world.catalog,
        &world.clock(),
    )
    .await;
    assert!(report.copies.is_empty());
    assert_eq!(report.not_done.keys().collect::<Vec<_>>(), [&tier("vault")]);
}

/// On moto, which has every conditional write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_never_prune_one_bucket_at_the_same_time() {
    {
        let store = &**Moto::shared();
        let bucket = store.bucket("leased", BucketKind::Versioned);
        let mut first = World::new().await;
        add(&mut first, "bucket", store, &bucket, &serde_json::json!({}));
        backed_up(&first, "bucket", &[19, 20, 21], None).await;
        let second = first.other_machine().await;
        rebuild(
            &second.catalog,
            &second.wiring.tiers,
            &second.clock(),
            "rebuild",
            Duration::ZERO,
        )
        .await
        .unwrap();
        let checks = [19, 20, 21].map(|day| verify(day, "bucket", VerifyLevel::Checksum));
        run(&second, checks.to_vec()).await;
        // The first machine is at work on the tier, and hangs.
        first
            .engine
            .hang
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let mut options = first.options();
        options.tier_lease = executor::TierLeaseTimes {
            time_to_live: Duration::from_secs(3),
            beat: Duration::from_millis(300),
        };
        let (wiring, catalog) = (first.wiring.clone(), first.catalog.clone());
        first.clock.set(support::plans::slot(22));
        let hanging = plan(first.clock().now(), vec![backup(22, "bucket")]);
        let at_work =
            tokio::spawn(async move { apply(&hanging, &wiring, &catalog, options).await });
        let is_held = || {
            store.python(
                "try:\n    print(json.loads(s3.get_object(Bucket=args[0], Key='bucket/.mainstay-lease.json')['Body'].read())['free'])\n\
                 except ClientError:\n    print('none')",
                &[&bucket],
            ) == "False"
        };
        while !is_held() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(
            run(&second, vec![prune(19, "bucket", &[21])]).await,
            ["prune:orders/daily/20261119T020000Z@bucket failed: mainstay::tier::leased"]
        );
        at_work.abort();
        let _ = at_work.await;
        assert_eq!(
            run(&second, vec![prune(19, "bucket", &[21])]).await,
            ["prune:orders/daily/20261119T020000Z@bucket done"]
        );
    }
}

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
    let rebuilt = rebuild(
        &fresh.catalog,
        &fresh.wiring.tiers,
        &fresh.clock(),
        "rebuild",
        Duration::ZERO,
    )
    .await
    .unwrap();
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
    let rebuilt = rebuild(
        &fresh.catalog,
        &fresh.wiring.tiers,
        &fresh.clock(),
        "rebuild",
        Duration::ZERO,
    )
    .await
    .unwrap();
    assert_eq!(rebuilt.rebuilt.points, 1);
    assert_eq!(
        rebuilt.unreachable.keys().collect::<Vec<_>>(),
        [&tier("away")]
    );
}
