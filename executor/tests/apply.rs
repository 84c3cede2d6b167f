//! What an apply does when nothing goes wrong, or a step does.

use mainstay_executor as executor;

mod support;

use executor::{RunEnd, cancellation};
use jiff::SignedDuration;
use model::{VerifyLevel, event::What};
use std::sync::{Arc, Mutex, atomic::Ordering};
use support::{
    World, at,
    plans::{After, backup, daily, plan, point, upload, verify},
    sound::{assert_settled, visible},
    tier, words,
};

#[tokio::test]
async fn a_point_is_backed_up_verified_copied_and_the_old_one_pruned() {
    let world = World::new().await;
    let first = world.apply(&daily(world.clock().now(), 21, None)).await;
    assert_eq!(
        words(&first),
        [
            "backup:orders/daily/20261121T020000Z@nas done",
            "verify:orders/daily/20261121T020000Z@nas done",
            "upload:orders/daily/20261121T020000Z@disk done",
            "verify:orders/daily/20261121T020000Z@disk done",
        ]
    );
    assert_eq!(first.end(), RunEnd::Done);
    assert_eq!(first.gaps, Vec::new());
    world.clock.set(at("2026-11-22T02:00:00Z"));
    let second = world.apply(&daily(world.clock().now(), 22, Some(21))).await;
    assert_eq!(second.end(), RunEnd::Done, "{:?}", words(&second));
    assert_eq!(visible(&world, "nas").await, [point(22)].into());
    assert_eq!(visible(&world, "disk").await, [point(21), point(22)].into());
    assert_settled(&world, "two days").await;
}

#[tokio::test]
async fn the_same_plan_again_does_nothing() {
    let world = World::new().await;
    let plan = daily(world.clock().now(), 21, None);
    world.apply(&plan).await;
    let again = world.apply(&plan).await;
    assert_eq!(again.summary.already_done, 4, "{:?}", words(&again));
    assert_eq!(again.end(), RunEnd::Done);
    assert_eq!(world.engine.captures.load(Ordering::Relaxed), 1);
    assert_settled(&world, "again").await;
}

#[tokio::test]
async fn a_capture_that_fails_at_its_end_leaves_nothing() {
    let world = World::new().await;
    world.engine.fail_at_end.store(true, Ordering::Relaxed);
    let report = world.apply(&daily(world.clock().now(), 21, None)).await;
    assert_eq!(
        words(&report)[..2],
        [
            "backup:orders/daily/20261121T020000Z@nas failed: mainstay::text::failed",
            "verify:orders/daily/20261121T020000Z@nas skipped: `backup:orders/daily/20261121T020000Z@nas` failed",
        ]
    );
    assert_eq!(report.end(), RunEnd::Failed);
    assert_eq!(visible(&world, "nas").await.len(), 0);
    assert_settled(&world, "failed capture").await;
}

#[tokio::test]
async fn a_failed_step_does_not_stop_independent_ones() {
    let world = World::new().await;
    world
        .apply(&plan(world.clock().now(), vec![backup(20, "nas")]))
        .await;
    // Point 19 does not exist, so its upload is stale; the other one goes on.
    let bad = upload(19, "nas", "disk");
    let waits = verify(19, "disk", VerifyLevel::Checksum).after(&[&bad]);
    let steps = vec![bad, waits, upload(20, "nas", "disk")];
    let report = world.apply(&plan(world.clock().now(), steps)).await;
    assert_eq!(
        words(&report),
        [
            "upload:orders/daily/20261119T020000Z@disk stale: there is no readable copy of `orders/daily/20261119T020000Z` on `nas` any more",
            "verify:orders/daily/20261119T020000Z@disk skipped: `upload:orders/daily/20261119T020000Z@disk` is stale",
            "upload:orders/daily/20261120T020000Z@disk done",
        ]
    );
    assert_eq!(report.end(), RunEnd::Stale);
}

#[tokio::test]
async fn a_stopped_run_leaves_nothing_half_done_and_the_next_one_finishes() {
    let world = World::new().await;
    world.engine.hang.store(true, Ordering::Relaxed);
    let (switch, cancel) = cancellation();
    let mut options = world.options();
    options.cancel = cancel;
    options.events = Arc::new(move |event| {
        if matches!(event.what, What::StepStarted { .. }) {
            switch.cancel();
        }
    });
    let plan = daily(world.clock().now(), 21, None);
    let report = executor::apply(&plan, &world.wiring, &world.catalog, options)
        .await
        .unwrap();
    assert_eq!(report.end(), RunEnd::Stopped);
    assert_eq!(report.summary.skipped, 4);
    assert_settled(&world, "stopped").await;
    world.engine.hang.store(false, Ordering::Relaxed);
    assert_eq!(world.apply(&plan).await.end(), RunEnd::Done);
    assert_settled(&world, "resumed").await;
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up() {
    let world = World::new().await;
    world.engine.hang.store(true, Ordering::Relaxed);
    let mut step = backup(21, "nas");
    step.limits.timeout_seconds = 1;
    let report = world.apply(&plan(world.clock().now(), vec![step])).await;
    assert_eq!(
        words(&report),
        ["backup:orders/daily/20261121T020000Z@nas failed: mainstay::run::timeout"]
    );
    assert_settled(&world, "timeout").await;
}

#[tokio::test]
async fn two_applies_at_once_the_second_is_locked_out() {
    let world = World::new().await;
    world.engine.hang.store(true, Ordering::Relaxed);
    let (started, mut wait) = tokio::sync::mpsc::unbounded_channel();
    let mut options = world.options();
    let (switch, cancel) = cancellation();
    options.cancel = cancel;
    options.events = Arc::new(move |event| {
        if matches!(event.what, What::StepStarted { .. }) {
            started.send(()).unwrap();
        }
    });
    let plan = daily(world.clock().now(), 21, None);
    let first = executor::apply(&plan, &world.wiring, &world.catalog, options);
    let second = async {
        wait.recv().await.unwrap();
        let error = world.try_apply(&plan).await.unwrap_err();
        assert_eq!(error.code(), "mainstay::run::locked");
        switch.cancel();
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap().end(), RunEnd::Stopped);
}

#[tokio::test]
async fn an_edited_plan_is_refused() {
    let world = World::new().await;
    let mut plan = daily(world.clock().now(), 21, None);
    plan.steps.pop();
    let error = world.try_apply(&plan).await.unwrap_err();
    assert_eq!(error.code(), "mainstay::run::plan-edited");
}

#[tokio::test]
async fn events_tell_the_run_and_are_in_the_journal() {
    let world = World::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut options = world.options();
    let sink = told.clone();
    options.events = Arc::new(move |event| {
        if !matches!(event.what, What::StepProgress { .. }) {
            sink.lock().unwrap().push(event.clone());
        }
    });
    let plan = plan(world.clock().now(), vec![backup(21, "nas")]);
    let report = executor::apply(&plan, &world.wiring, &world.catalog, options)
        .await
        .unwrap();
    let journal = world.catalog.events(&report.run).await.unwrap();
    assert_eq!(*told.lock().unwrap(), journal);
    let lines: Vec<String> = journal
        .iter()
        .map(|event| {
            let mut json = serde_json::to_value(event).unwrap();
            if let Some(ms) = json.get_mut("milliseconds") {
                *ms = 0.into();
            }
            json.to_string()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let runs = world.catalog.runs(9).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].summary, Some(report.summary));
    let measured = world
        .catalog
        .measurements(&support::database(), &support::series(), 9)
        .await
        .unwrap();
    assert_eq!(measured.len(), 1);
    assert_eq!(measured[0].kind, "backup");
}

#[tokio::test]
async fn an_unmounted_tier_is_never_taken_for_an_empty_one() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 20, None)).await;
    let (mounted, away) = (
        world.folder.path().join("nas"),
        world.folder.path().join("away"),
    );
    std::fs::rename(&mounted, &away).unwrap();
    std::fs::create_dir(&mounted).unwrap();
    world.clock.set(at("2026-11-21T02:00:00Z"));
    let report = world
        .apply(&plan(world.clock().now(), vec![backup(21, "nas")]))
        .await;
    assert_eq!(
        words(&report),
        ["backup:orders/daily/20261121T020000Z@nas failed: mainstay::observe::marker-missing"]
    );
    assert_eq!(std::fs::read_dir(&mounted).unwrap().count(), 0);
    for refresh in [executor::Refresh::Shallow, executor::Refresh::Full] {
        let seen = executor::observe(
            Some(&world.catalog),
            &world.wiring.tiers,
            world.clock().now(),
            refresh,
        )
        .await
        .unwrap();
        assert_eq!(seen.inventory.unreachable_tiers, [tier("nas")]);
        let known = &seen.inventory.recovery_points[0];
        assert!(known.copy_on(&tier("nas")).unwrap().is_good());
    }
}

#[tokio::test]
async fn a_slot_that_is_yet_to_come_is_not_filled_with_the_state_of_today() {
    let world = World::new().await;
    let tomorrow = world.clock().now() + SignedDuration::from_hours(24);
    let early = daily(tomorrow, 22, None);
    let report = world.apply(&early).await;
    assert_eq!(
        words(&report)[0],
        "backup:orders/daily/20261122T020000Z@nas stale: its slot 2026-11-22T02:00:00Z is yet to come"
    );
    assert_eq!(world.engine.captures.load(Ordering::Relaxed), 0);
    // The same plan is good when its time has come.
    world.clock.set(tomorrow);
    assert_eq!(world.apply(&early).await.end(), RunEnd::Done);
}
