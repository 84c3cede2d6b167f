//! Two machines with catalogs of their own and one tier: never both.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{ApplyOptions, RunEnd, RunReport, TierLeaseTimes, apply};
use model::{Plan, VerifyLevel};
use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use support::{
    World, at,
    plans::{After, adopt, backup, plan, point, prune, verify},
    sound::visible,
    words,
};

/// Times that a test can wait for.
const TIMES: TierLeaseTimes = TierLeaseTimes {
    time_to_live: Duration::from_secs(1),
    beat: Duration::from_millis(200),
};

fn options(world: &World) -> ApplyOptions {
    let mut options = world.options();
    options.tier_lease = TIMES;
    options
}

async fn apply_on(world: &World, plan: &Plan) -> RunReport {
    apply(plan, &world.wiring, &world.catalog, options(world))
        .await
        .unwrap()
}

fn lease_file(world: &World) -> PathBuf {
    world.folder.path().join("nas/.mainstay-lease.json")
}

fn lease(world: &World) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(lease_file(world)).unwrap()).unwrap()
}

/// Points of the days 18 to 20 on `nas`, verified, as two machines see them: each has a catalog of its own.
async fn two_machines() -> (World, World) {
    let first = World::new().await;
    for day in [18, 19, 20] {
        first.clock.set(at(&format!("2026-11-{day}T02:00:00Z")));
        let backup = backup(day, "nas");
        let verify = verify(day, "nas", VerifyLevel::Checksum).after(&[&backup]);
        let made = plan(first.clock().now(), vec![backup, verify]);
        assert_eq!(apply_on(&first, &made).await.end(), RunEnd::Done);
    }
    first.clock.set(at("2026-11-21T02:00:00Z"));
    let second = first.other_machine().await;
    let mut steps = Vec::new();
    for day in [18, 19, 20] {
        let adopt = adopt(day, "nas");
        let verify = verify(day, "nas", VerifyLevel::Checksum).after(&[&adopt]);
        steps.extend([adopt, verify]);
    }
    let adopted = apply_on(&second, &plan(at("2026-11-21T02:00:00Z"), steps)).await;
    assert_eq!(adopted.end(), RunEnd::Done, "{:?}", words(&adopted));
    (first, second)
}

fn pruning(day: i64, justified_by: &[i64]) -> Plan {
    plan(
        at("2026-11-21T02:00:00Z"),
        vec![prune(day, "nas", justified_by)],
    )
}

/// A run of `world` that holds the lease of `nas` and hangs in its backup, until it is dropped.
fn hang(world: &World) -> tokio::task::JoinHandle<()> {
    world.engine.hang.store(true, Ordering::Relaxed);
    let made = plan(at("2026-11-21T02:00:00Z"), vec![backup(21, "nas")]);
    let (wiring, catalog, options) = (world.wiring.clone(), world.catalog.clone(), options(world));
    tokio::spawn(async move {
        let _ = apply(&made, &wiring, &catalog, options).await;
    })
}

async fn until_held(world: &World) {
    let started = Instant::now();
    while !lease_file(world).exists() || lease(world)["free"] == true {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_holder_with_another_catalog_is_never_pruned_beside() {
    let (first, second) = two_machines().await;
    let holder = hang(&first);
    until_held(&first).await;
    let started = Instant::now();
    let refused = apply_on(&second, &pruning(18, &[19, 20])).await;
    assert_eq!(
        words(&refused),
        ["prune:orders/daily/20261118T020000Z@nas failed: mainstay::tier::leased"]
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "who is alive is not waited for"
    );
    let model::event::Outcome::Failed { error } = &refused.steps[0].outcome else {
        unreachable!("it is checked above")
    };
    assert!(
        error
            .message
            .starts_with("another run is changing tier `nas`: run `run-3` of tester (process "),
        "{}",
        error.message
    );
    assert_eq!(error.disposition, model::Disposition::Retry);
    assert_eq!(visible(&first, "nas").await.len(), 3);
    holder.abort();
    let _ = holder.await;
    // Dropped without a word, as a dead machine leaves it: taken over after the time to live, not before.
    let taken = lease(&first);
    let started = Instant::now();
    let pruned = apply_on(&second, &pruning(18, &[19, 20])).await;
    assert_eq!(pruned.end(), RunEnd::Done, "{:?}", words(&pruned));
    assert!(started.elapsed() >= Duration::from_millis(900));
    let now = lease(&first);
    assert_eq!(now["free"], true, "given back at the end");
    assert!(now["token"].as_u64() > taken["token"].as_u64());
    assert_ne!(now["catalog"], taken["catalog"]);
    assert_eq!(visible(&first, "nas").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_of_a_killed_run_is_taken_at_once_under_the_same_catalog() {
    let (first, _) = two_machines().await;
    let holder = hang(&first);
    until_held(&first).await;
    holder.abort();
    let _ = holder.await;
    first.engine.hang.store(false, Ordering::Relaxed);
    let mut options = options(&first);
    // Would be waited for in vain.
    options.tier_lease.time_to_live = Duration::from_hours(1);
    options.lease_wait = Duration::from_secs(10);
    // The catalog's lease of a run of this very process cannot be told from a living one: let it end.
    first.clock.set(at("2026-11-21T02:10:00Z"));
    let started = Instant::now();
    let report = apply(&pruning(18, &[20]), &first.wiring, &first.catalog, options)
        .await
        .unwrap();
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert!(started.elapsed() < Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_catalog_does_not_pass_for_the_original() {
    let (first, _) = two_machines().await;
    let copy = first.copied_machine().await;
    let holder = hang(&first);
    until_held(&first).await;
    let refused = apply_on(&copy, &pruning(18, &[19, 20])).await;
    // The same identity, even the same token of the catalog's lease; but another run.
    assert_eq!(
        words(&refused),
        ["prune:orders/daily/20261118T020000Z@nas failed: mainstay::tier::leased"]
    );
    holder.abort();
}

/// Stopped with SIGSTOP, a closed laptop, a hung machine: nothing of it ran for longer than the time to live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_slept_through_its_time_deletes_nothing() {
    let (first, second) = two_machines().await;
    // Asleep: its beats stop, but it does not know.
    let mut sleepy = options(&first);
    sleepy.tier_lease.beat = Duration::from_hours(1);
    first.engine.hang.store(true, Ordering::Relaxed);
    let backup = backup(21, "nas");
    let mut pruned = prune(18, "nas", &[20]);
    pruned.limits.timeout_seconds = 60;
    let steps = vec![backup, pruned];
    let made = plan(at("2026-11-21T02:00:00Z"), steps);
    sleepy.parallelism = 1;
    let (wiring, catalog) = (first.wiring.clone(), first.catalog.clone());
    let (woken, options) = (first.engine.clone(), sleepy);
    let asleep =
        tokio::spawn(async move { apply(&made, &wiring, &catalog, options).await.unwrap() });
    until_held(&first).await;
    let taken_over = apply_on(&second, &pruning(19, &[20])).await;
    assert_eq!(taken_over.end(), RunEnd::Done, "{:?}", words(&taken_over));
    woken.wake();
    let report = asleep.await.unwrap();
    let words = words(&report);
    assert!(
        words.contains(
            &"prune:orders/daily/20261118T020000Z@nas failed: mainstay::tier::lease-lost"
                .to_owned()
        ),
        "{words:?}"
    );
    assert!(visible(&first, "nas").await.contains(&point(18)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_prune_at_once_one_is_first() {
    for _ in 0..3 {
        let (first, second) = two_machines().await;
        // 19 must not go while 18 goes because of 19.
        let (a, b) = (pruning(18, &[19]), pruning(19, &[20]));
        let (a, b) = tokio::join!(apply_on(&first, &a), apply_on(&second, &b));
        let outcomes = [words(&a), words(&b)].concat();
        assert!(
            outcomes.iter().any(|outcome| outcome.ends_with(" done")),
            "{outcomes:?}"
        );
        assert!(
            visible(&first, "nas").await.contains(&point(20)),
            "{outcomes:?}"
        );
        assert_eq!(lease(&first)["free"], true);
    }
}
