//! Who may write: dead holders are found dead, living ones are waited for.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{RunEnd, TIME_TO_LIVE, apply};
use jiff::SignedDuration;
use std::{collections::BTreeMap, time::Duration};
use support::{
    World,
    plans::{backup, plan},
    sound::assert_settled,
    words,
};

/// The holder's text that a run in this process writes, in parts.
async fn own_holder(world: &World) -> BTreeMap<String, String> {
    let catalog = world.catalog.clone();
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let mut options = world.options();
    options.events = std::sync::Arc::new(move |_| {
        let (catalog, told) = (catalog.clone(), told.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let lease = runtime.unwrap().block_on(catalog.lease()).unwrap();
            let _ = told.send(lease.unwrap().holder);
        })
        .join()
        .unwrap();
    });
    let empty = plan(world.clock().now(), Vec::new());
    apply(&empty, &world.wiring, &world.catalog, options)
        .await
        .unwrap();
    let text = hear.recv().await.unwrap();
    text.split(' ')
        .map(|part| part.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn holder(parts: &BTreeMap<String, String>, changed: &[(&str, &str)]) -> String {
    let mut parts = parts.clone();
    for (key, value) in changed {
        parts.insert((*key).to_owned(), (*value).to_owned());
    }
    parts
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_of_a_dead_process_is_taken_over_at_once() {
    let world = World::new().await;
    let own = own_holder(&world).await;
    // The same process number with another start time: that process has ended, and its number was given anew.
    let dead = holder(&own, &[("start", "1"), ("run", "crashed")]);
    world
        .catalog
        .acquire_lease(&dead, world.clock().now(), TIME_TO_LIVE)
        .await
        .unwrap();
    let report = world
        .apply(&plan(world.clock().now(), vec![backup(21, "nas")]))
        .await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    assert_settled(&world, "taken over").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_elsewhere_is_waited_for_until_its_lease_ends() {
    let world = World::new().await;
    let own = own_holder(&world).await;
    let elsewhere = holder(&own, &[("host", "elsewhere"), ("start", "1")]);
    world
        .catalog
        .acquire_lease(&elsewhere, world.clock().now(), TIME_TO_LIVE)
        .await
        .unwrap();
    let plan = plan(world.clock().now(), vec![backup(21, "nas")]);
    let error = world.try_apply(&plan).await.unwrap_err();
    assert_eq!(error.code(), "mainstay::run::locked");
    assert!(error.to_string().contains("on elsewhere"), "{error}");
    let mut options = world.options();
    options.lease_wait = Duration::from_mins(1);
    let waiting = apply(&plan, &world.wiring, &world.catalog, options);
    let clock = async {
        world
            .clock
            .advance(TIME_TO_LIVE + SignedDuration::from_secs(1));
    };
    let (report, ()) = tokio::join!(waiting, clock);
    assert_eq!(report.unwrap().end(), RunEnd::Done);
}

#[tokio::test]
async fn a_crashed_run_is_closed_by_the_next_one() {
    let world = World::new().await;
    let plan = plan(world.clock().now(), vec![backup(21, "nas")]);
    world.faults.arm(14, support::faults::Fault::Death);
    tokio::select! {
        _ = world.try_apply(&plan) => panic!("it did not die"),
        () = world.faults.death() => {}
    }
    world.faults.disarm();
    world.clock.advance(SignedDuration::from_secs(31));
    let report = world.apply(&plan).await;
    assert_eq!(report.end(), RunEnd::Done);
    assert!(
        report
            .cleaned
            .iter()
            .any(|line| line == "closed run `run-0`, which had crashed"),
        "{:?}",
        report.cleaned
    );
    let runs = world.catalog.runs(5).await.unwrap();
    assert!(runs.iter().all(|run| run.finished_at.is_some()));
}
