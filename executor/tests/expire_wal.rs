//! Archived log is deleted only where no base could need it, whatever a plan says.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::wal::WalFile;
use jiff::SignedDuration;
use model::{
    Action, CopyState, ReasonCode, SeriesName, Step, StepId, WalFileName,
    step::WalRange,
    wal::{Lsn, WalSpan},
};
use support::{
    World, at,
    plans::{plan, point, prune},
    tier,
    wal::{self, CLUSTER, open},
    words,
};

const SIZE: u64 = wal::SIZE as u64;

/// A base on each of the days 10, 15 and 20, which needs the segment of ten times its number, and log from 90 to 209.
async fn archived() -> World {
    let mut world = World::new().await;
    std::fs::create_dir_all(world.folder.path().join("nas")).unwrap();
    let nas = &world.wiring.tiers[&tier("nas")].tier;
    nas.initialise("nas").await.unwrap();
    wal::archive(&mut world, wal::wiring(&["nas"], &[]));
    // A base is complete only when its log is archived.
    world.clock.set(at("2026-11-10T01:00:00Z"));
    let store = open(&world);
    for number in (90..210).step_by(5).chain([101, 149, 151]) {
        let stored = store.put(&segment(1, number)).await;
        assert!(
            stored.iter().all(|(_, result)| result.is_ok()),
            "{stored:?}"
        );
    }
    let stored = store.put(&segment(2, 95)).await;
    assert!(
        stored.iter().all(|(_, result)| result.is_ok()),
        "{stored:?}"
    );
    for day in [10, 15, 20] {
        let start = u64::try_from(day).unwrap() * 10 * SIZE;
        *world.engine.wal.lock().unwrap() = Some(WalSpan {
            end: Lsn(start + 0x200),
            included: false,
            segment_bytes: SIZE,
            start: Lsn(start + 0x28),
            system_identifier: CLUSTER,
            timeline: 1,
        });
        world.make_verified(day).await;
    }
    world.clock.set(at("2026-11-21T02:00:00Z"));
    world
}

fn segment(timeline: u32, number: u64) -> WalFile {
    let name = WalFileName::of_segment(timeline, number, SIZE);
    WalFile::new(name, wal::segment(CLUSTER, timeline, number, 7), None).unwrap()
}

/// Segments from `first` to `last` go, because what stays begins with the base of a day.
fn expire(day: i64, ranges: &[(u32, u64, u64)]) -> Step {
    Step {
        destructive: true,
        id: StepId::new(Action::ExpireWal, &point(day), &tier("nas")),
        action: Action::ExpireWal,
        series: SeriesName::new("wal").unwrap(),
        justified_by: vec![point(day), point(20)],
        requires: Vec::new(),
        min_verified: None,
        wal: ranges
            .iter()
            .map(|(timeline, first, last)| WalRange {
                end: Lsn((last + 1) * SIZE),
                start: Lsn(first * SIZE),
                system_identifier: CLUSTER,
                timeline: *timeline,
            })
            .collect(),
        ..prune(day, "nas", &[20])
    }
}

async fn numbers(world: &World) -> Vec<u64> {
    let listing = open(world).list(&tier("nas")).await.unwrap();
    let files = listing.files.iter();
    files.filter_map(|file| file.name.number(SIZE)).collect()
}

async fn outcome(world: &World, step: Step) -> String {
    let id = step.id.clone();
    let report = world.apply(&plan(world.clock().now(), vec![step])).await;
    words(&report)[0].replacen(&format!("{id} "), "", 1)
}

#[tokio::test]
async fn log_before_the_first_base_goes_and_a_second_try_finds_nothing_to_do() {
    let world = archived().await;
    let step = expire(15, &[(1, 90, 99), (1, 101, 149)]);
    assert_eq!(outcome(&world, step.clone()).await, "done");
    let left = numbers(&world).await;
    assert_eq!(left.iter().min(), Some(&95), "of the other timeline");
    let ours: Vec<u64> = left.into_iter().filter(|n| *n != 95).collect();
    assert_eq!(&ours[..4], [100, 150, 151, 155]);
    let audit = world.catalog.audit_entries(5).await.unwrap();
    assert!(
        audit.iter().any(|entry| entry.what == "orders/wal@nas"),
        "{audit:?}"
    );
    assert_eq!(outcome(&world, step).await, "already done");
}

#[tokio::test]
async fn what_a_base_needs_itself_stays_even_if_its_copy_is_spoilt() {
    let world = archived().await;
    let before = numbers(&world).await;
    let step = expire(15, &[(1, 90, 149)]);
    assert_eq!(outcome(&world, step.clone()).await, "blocked: wal-needed");
    let now = world.clock().now();
    let long = SignedDuration::from_secs(30);
    let lease = world
        .catalog
        .acquire_lease("test", now, long)
        .await
        .unwrap();
    world
        .catalog
        .set_copy_state(&lease, &point(10), &tier("nas"), CopyState::Damaged, now)
        .await
        .unwrap();
    world.catalog.release(lease).await.unwrap();
    assert_eq!(outcome(&world, step).await, "blocked: wal-needed");
    assert_eq!(numbers(&world).await, before);
}

#[tokio::test]
async fn log_behind_the_first_base_stays_whatever_the_plan_says() {
    let world = archived().await;
    let before = numbers(&world).await;
    let behind = expire(15, &[(1, 155, 199)]);
    assert_eq!(outcome(&world, behind).await, "blocked: wal-needed");
    assert_eq!(numbers(&world).await, before);
}

#[tokio::test]
async fn a_base_that_is_not_verified_or_not_there_justifies_nothing() {
    let world = archived().await;
    let before = numbers(&world).await;
    std::fs::remove_file(world.path("nas", &point(15), "manifest.json")).unwrap();
    let step = expire(15, &[(1, 101, 149)]);
    assert_eq!(
        outcome(&world, step).await,
        "blocked: prune-waits-for-verified"
    );
    let unknown = expire(16, &[(1, 101, 149)]);
    assert_eq!(
        outcome(&world, unknown).await,
        "blocked: prune-waits-for-verified"
    );
    assert_eq!(numbers(&world).await, before);
}

#[tokio::test]
async fn nothing_goes_while_the_clock_is_behind() {
    let world = archived().await;
    world.clock.set(at("2026-11-15T02:00:00Z"));
    let step = expire(15, &[(1, 101, 149)]);
    assert_eq!(outcome(&world, step).await, "blocked: clock-suspect");
}

#[tokio::test]
async fn a_step_that_no_planner_makes_is_refused() {
    let world = archived().await;
    let before = numbers(&world).await;
    let harmless = Step {
        destructive: false,
        ..expire(15, &[(1, 101, 149)])
    };
    let unjustified = Step {
        justified_by: Vec::new(),
        ..expire(15, &[(1, 101, 149)])
    };
    for step in [harmless, unjustified] {
        assert_eq!(
            outcome(&world, step).await,
            "failed: mainstay::guard::not-a-prune"
        );
    }
    assert_eq!(numbers(&world).await, before);
    // Another reason's words change nothing.
    let purged = Step {
        reason: model::Reason::new(ReasonCode::Purged, "test"),
        ..expire(15, &[(1, 90, 149)])
    };
    assert_eq!(outcome(&world, purged).await, "blocked: wal-needed");
}

#[tokio::test]
async fn other_timelines_go_only_before_every_base_or_when_they_are_older() {
    let world = archived().await;
    // Segment 95 of timeline 2 lies before the starts of the bases that stay.
    assert_eq!(outcome(&world, expire(15, &[(2, 95, 95)])).await, "done");
    let store = open(&world);
    let stored = store.put(&segment(2, 160)).await;
    assert!(
        stored.iter().all(|(_, result)| result.is_ok()),
        "{stored:?}"
    );
    assert_eq!(
        outcome(&world, expire(15, &[(2, 160, 160)])).await,
        "blocked: wal-needed"
    );
}
