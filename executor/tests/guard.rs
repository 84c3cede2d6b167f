//! The last gate before a delete: each reason to refuse, one by one.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{ApplyOptions, RunEnd, apply};
use jiff::SignedDuration;
use model::{CopyState, Plan, Step};
use support::{
    World, at,
    plans::{backup, plan, plan_with, point, prune},
    sound::visible,
    tier, words,
};

/// Points of the days 18, 19 and 20 on `nas`, all verified; then it is the 21st.
async fn three_points() -> World {
    let world = World::new().await;
    for day in [18, 19, 20] {
        world.make_verified(day).await;
    }
    world.clock.set(at("2026-11-21T02:00:00Z"));
    world
}

/// What becomes of one prune, in a word; whatever it is, the other points stay.
async fn outcome(world: &World, step: Step) -> String {
    let id = step.id.clone();
    let pruned = step.recovery_point.clone();
    let before = visible(world, "nas").await;
    let report = world.apply(&plan(world.clock().now(), vec![step])).await;
    let after = visible(world, "nas").await;
    let verdict = words(&report)[0].replacen(&format!("{id} "), "", 1);
    for other in before.iter().filter(|other| **other != pruned) {
        assert!(after.contains(other), "`{other}` is gone");
    }
    let known = world
        .catalog
        .point(&pruned, world.clock().now())
        .await
        .unwrap();
    if verdict == "done" {
        assert!(!after.contains(&pruned) && known.is_none());
    } else if before.contains(&pruned) {
        assert!(
            after.contains(&pruned) && known.is_some(),
            "{verdict}, but it is gone"
        );
    }
    verdict
}

#[tokio::test]
async fn a_justified_prune_is_allowed() {
    let world = three_points().await;
    assert_eq!(outcome(&world, prune(18, "nas", &[19, 20])).await, "done");
    let audit = world.catalog.audit_entries(3).await.unwrap();
    assert!(
        audit
            .iter()
            .any(|entry| entry.what == "orders/daily/20261118T020000Z@nas"
                && entry.who == "tester"
                && entry.why == "because the test says so (run run-3)"),
        "{audit:?}"
    );
}

#[tokio::test]
async fn a_held_point_stays() {
    let world = three_points().await;
    world
        .catalog
        .add_hold(&point(18), "auditor", "case 7", None, world.clock().now())
        .await
        .unwrap();
    assert_eq!(
        outcome(&world, prune(18, "nas", &[20])).await,
        "blocked: held"
    );
}

#[tokio::test]
async fn an_unverified_justification_does_not_count() {
    let world = three_points().await;
    world
        .apply(&plan(world.clock().now(), vec![backup(21, "nas")]))
        .await;
    assert_eq!(
        outcome(&world, prune(18, "nas", &[21])).await,
        "blocked: prune-waits-for-verified"
    );
}

#[tokio::test]
async fn a_justification_that_is_not_on_the_tier_does_not_count() {
    for file in ["manifest.json", "data.txt.zst"] {
        let world = three_points().await;
        std::fs::remove_file(world.path("nas", &point(20), file)).unwrap();
        let report = world
            .apply(&plan(world.clock().now(), vec![prune(18, "nas", &[20])]))
            .await;
        assert_eq!(
            words(&report),
            ["prune:orders/daily/20261118T020000Z@nas blocked: prune-waits-for-verified"],
            "{file}"
        );
        assert!(world.path("nas", &point(18), "manifest.json").exists());
    }
}

#[tokio::test]
async fn a_justification_of_the_wrong_size_does_not_count() {
    let world = three_points().await;
    std::fs::write(world.path("nas", &point(20), "data.txt.zst"), b"short").unwrap();
    let report = world
        .apply(&plan(
            world.clock().now(),
            vec![prune(18, "nas", &[19, 20])],
        ))
        .await;
    assert_eq!(report.end(), RunEnd::Blocked);
    assert!(world.path("nas", &point(18), "manifest.json").exists());
}

#[tokio::test]
async fn the_newest_state_is_not_pruned_for_an_older_one() {
    let world = three_points().await;
    assert_eq!(
        outcome(&world, prune(20, "nas", &[18, 19])).await,
        "blocked: prune-waits-for-verified"
    );
}

#[tokio::test]
async fn min_verified_points_stay() {
    let world = three_points().await;
    let mut step = prune(18, "nas", &[20]);
    step.min_verified = Some(3);
    assert_eq!(outcome(&world, step).await, "blocked: min-verified");
}

#[tokio::test]
async fn two_prunes_of_one_run_do_not_count_on_each_other() {
    let world = three_points().await;
    let mut steps = vec![prune(18, "nas", &[20]), prune(19, "nas", &[20])];
    for step in &mut steps {
        step.min_verified = Some(2);
    }
    let report = world.apply(&plan(world.clock().now(), steps)).await;
    assert_eq!((report.summary.done, report.summary.blocked), (1, 1));
    assert_eq!(visible(&world, "nas").await.len(), 2);
}

#[tokio::test]
async fn nothing_is_pruned_while_the_clock_is_behind() {
    let world = three_points().await;
    let plan = plan(world.clock().now(), vec![prune(18, "nas", &[20])]);
    for (minutes, end) in [(6, RunEnd::Blocked), (4, RunEnd::Done)] {
        world.clock.set(at("2026-11-21T02:00:00Z"));
        world.clock.advance(-SignedDuration::from_mins(minutes));
        let report = world.apply(&plan).await;
        assert_eq!(report.end(), end, "{minutes} min: {:?}", words(&report));
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_a_year_prunes_nothing() {
    let world = three_points().await;
    world.clock.set(at("2025-11-21T02:00:00Z"));
    // The plan was made with the wrong clock too.
    assert_eq!(
        outcome(&world, prune(18, "nas", &[20])).await,
        "blocked: clock-suspect"
    );
}

#[tokio::test]
async fn a_link_of_a_chain_stays() {
    let world = three_points().await;
    let mut child = world.catalog.manifest(&point(20)).await.unwrap().unwrap();
    child.series = model::SeriesName::new("increments").unwrap();
    child.id = model::RecoveryPointId::new(&child.database, &child.series, child.slot);
    child.parent = Some(point(18));
    let now = world.clock().now();
    let lease = world
        .catalog
        .acquire_lease("test", now, SignedDuration::from_secs(30))
        .await
        .unwrap();
    world
        .catalog
        .finish_copy(&lease, &child, &tier("disk"), now)
        .await
        .unwrap();
    world.catalog.release(lease).await.unwrap();
    assert_eq!(
        outcome(&world, prune(18, "nas", &[20])).await,
        "blocked: chain-needed"
    );
    assert_eq!(outcome(&world, prune(19, "nas", &[20])).await, "done");
}

#[tokio::test]
async fn a_step_that_no_planner_makes_is_refused() {
    let world = three_points().await;
    let unjustified = prune(18, "nas", &[]);
    let by_itself = prune(18, "nas", &[18, 20]);
    let harmless = Step {
        destructive: false,
        ..prune(18, "nas", &[20])
    };
    let of_another_series = Step {
        series: model::SeriesName::new("weekly").unwrap(),
        ..prune(18, "nas", &[20])
    };
    for step in [unjustified, by_itself, harmless, of_another_series] {
        assert_eq!(
            outcome(&world, step).await,
            "failed: mainstay::guard::not-a-prune"
        );
    }
}

async fn run(world: &World, plan: &Plan, approved: bool) -> executor::RunReport {
    let options = ApplyOptions {
        approved: plan.id.clone().filter(|_| approved),
        ..world.options()
    };
    apply(plan, &world.wiring, &world.catalog, options)
        .await
        .unwrap()
}

#[tokio::test]
async fn without_approval_nothing_destructive_runs_and_the_rest_does() {
    let world = three_points().await;
    let routine = prune(18, "nas", &[20]);
    let delicate = Step {
        needs_approval: true,
        ..prune(19, "nas", &[20])
    };
    let plan = plan_with(
        world.clock().now(),
        vec![backup(21, "nas"), routine, delicate],
        true,
    );
    let report = run(&world, &plan, false).await;
    assert_eq!(report.end(), RunEnd::NeedsApproval);
    assert_eq!((report.summary.done, report.summary.needs_approval), (1, 2));
    assert_eq!(visible(&world, "nas").await.len(), 4);
    let report = run(&world, &plan, true).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert_eq!(visible(&world, "nas").await.len(), 2);
}

#[tokio::test]
async fn a_lost_copy_that_nothing_keeps_is_forgotten() {
    let world = three_points().await;
    std::fs::remove_file(world.path("nas", &point(18), "manifest.json")).unwrap();
    let now = world.clock().now();
    let lease = world
        .catalog
        .acquire_lease("test", now, SignedDuration::from_secs(30))
        .await
        .unwrap();
    world
        .catalog
        .set_copy_state(&lease, &point(18), &tier("nas"), CopyState::Missing, now)
        .await
        .unwrap();
    world.catalog.release(lease).await.unwrap();
    assert_eq!(outcome(&world, prune(18, "nas", &[20])).await, "done");
    assert!(!world.path("nas", &point(18), "data.txt.zst").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_lost_its_lease_stops_at_once() {
    let world = three_points().await;
    let catalog = world.catalog.clone();
    let now = world.clock().now();
    let mut options = world.options();
    options.parallelism = 1;
    options.events = std::sync::Arc::new(move |event| {
        if !matches!(event.what, model::event::What::StepStarted { .. }) {
            return;
        }
        let catalog = catalog.clone();
        // Somebody who believes that this run is dead.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let token = catalog.lease().await.unwrap().unwrap().token;
                catalog
                    .break_lease(token, "usurper", now, SignedDuration::from_secs(30))
                    .await
                    .unwrap();
            });
        })
        .join()
        .unwrap();
    });
    let plan = plan(now, vec![prune(18, "nas", &[20]), prune(19, "nas", &[20])]);
    let report = apply(&plan, &world.wiring, &world.catalog, options)
        .await
        .unwrap();
    assert_eq!(report.end(), RunEnd::Stopped);
    assert_eq!(
        report.stopped.as_ref().map(|failure| failure.code.as_str()),
        Some("mainstay::run::lease-lost")
    );
    assert_eq!(visible(&world, "nas").await.len(), 3);
    let holder = world.catalog.lease().await.unwrap().unwrap().holder;
    assert_eq!(holder, "usurper", "the new holder keeps its lease");
}
