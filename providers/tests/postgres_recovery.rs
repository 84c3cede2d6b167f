//! Physical points come back: to exactly the wanted moment, or not at all; and never in a way that touches the source.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod support {
    pub mod cluster;
    pub mod points;
    pub mod postgres;
}

use mainstay_providers::api::Restored;
use model::Timestamp;
use model::{Lsn, RecoveryTarget, TimelineChoice};
use std::sync::OnceLock;
use support::{
    cluster::{BasePoint, Cluster, HELD},
    points::{failed, phases},
};

/// A cluster with a base backup and a history after it, which nobody writes any more.
struct Past {
    cluster: Cluster,
    base: BasePoint,
    middle: Timestamp,
    xid: u64,
    at_xid: String,
    position: Lsn,
    at_position: String,
    at_name: String,
    end: String,
}

fn past() -> &'static Past {
    static PAST: OnceLock<Past> = OnceLock::new();
    PAST.get_or_init(|| {
        let cluster = Cluster::start(&[]);
        cluster.write(50);
        let base = cluster.base(false);
        cluster.write(40);
        let middle = cluster.now();
        cluster.write(7);
        let xid = cluster.sql("BEGIN; INSERT INTO history (note) VALUES ('the one'); SELECT pg_current_xact_id(); COMMIT");
        let at_xid = cluster.held();
        cluster.write(5);
        cluster.sql("SELECT pg_create_restore_point('before release')");
        let at_name = cluster.held();
        cluster.write(3);
        let position = Lsn::parse(&cluster.sql("SELECT pg_current_wal_insert_lsn()")).unwrap();
        let at_position = cluster.held();
        cluster.write(9);
        cluster.archive_all();
        Past {
            base,
            middle,
            xid: xid.trim().parse().unwrap(),
            at_xid,
            position,
            at_position,
            at_name,
            end: cluster.held(),
            cluster,
        }
    })
}

fn passed(restored: &Restored) {
    assert!(
        failed(&restored.checks).is_empty(),
        "{:#?}",
        restored.checks
    );
}

async fn recovered(target: RecoveryTarget, held: &str) -> Restored {
    let past = past();
    let restored = past
        .base
        .recover(target)
        .wal(&past.cluster.wal())
        .equals(HELD, held)
        .run(&past.cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    restored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_brings_back_exactly_what_was_committed_by_then() {
    let past = past();
    let held = past.cluster.held_at(past.middle);
    assert!(held.starts_with("90/"));
    let restored = recovered(RecoveryTarget::Time(past.middle), &held).await;
    assert!(restored.reached.time.unwrap() <= past.middle);
    assert_eq!(restored.reached.timeline, Some(1));
    assert_eq!(
        phases(&restored),
        [
            "prepare", "load", "start", "replay", "checks", "stop", "drop"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_a_name_a_position_and_the_latest_are_met_exactly() {
    let past = past();
    recovered(RecoveryTarget::Transaction(past.xid), &past.at_xid).await;
    recovered(
        RecoveryTarget::Name("before release".to_owned()),
        &past.at_name,
    )
    .await;
    let restored = recovered(RecoveryTarget::Position(past.position), &past.at_position).await;
    assert!(restored.reached.position.unwrap() <= past.position);
    recovered(RecoveryTarget::Latest, &past.end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn immediate_stops_as_soon_as_it_is_consistent() {
    recovered(RecoveryTarget::Immediate, "50/1275").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_after_the_last_commit_is_an_error_that_says_how_far_it_came() {
    let past = past();
    let later = past.cluster.now() + jiff::SignedDuration::from_hours(1);
    let error = past
        .base
        .recover(RecoveryTarget::Time(later))
        .wal(&past.cluster.wal())
        .run(&past.cluster.engine())
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::recovery::target-not-reached");
    let words = error.to_string();
    assert!(
        words.contains("the last commit replayed is of 20"),
        "{words}"
    );
    assert!(words.contains("the last position"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_before_the_end_of_the_base_is_refused_with_the_reason() {
    let past = past();
    let error = past
        .base
        .recover(RecoveryTarget::Position(Lsn(past
            .base
            .manifest
            .wal
            .unwrap()
            .start
            .0
            + 1)))
        .wal(&past.cluster.wal())
        .run(&past.cluster.engine())
        .await
        .unwrap_err();
    assert_eq!(
        error.code, "mainstay::recovery::before-consistent",
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_needs_an_archive_and_has_none_is_refused_at_once() {
    let past = past();
    let recover = past.base.recover(RecoveryTarget::Immediate);
    let error = recover.run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::recovery::no-log");
}

#[tokio::test(flavor = "multi_thread")]
async fn timelines_are_followed_as_asked() {
    let mut cluster = Cluster::start(&[]);
    cluster.write(6);
    let base = cluster.base(false);
    cluster.write(2);
    cluster.archive_all();
    let first = cluster.held();
    // A standby that was promoted goes on as timeline 2, and archives it.
    cluster.become_timeline_2();
    cluster.write(5);
    cluster.archive_all();
    let second = cluster.held();
    let make = |held: &str, timeline| {
        let mut recover = base
            .recover(RecoveryTarget::Latest)
            .wal(&cluster.wal())
            .equals(HELD, held);
        recover.recovery.timeline = timeline;
        recover
    };
    let engine = cluster.engine();
    let restored = make(&second, TimelineChoice::Latest)
        .run(&engine)
        .await
        .unwrap();
    passed(&restored);
    assert_eq!(restored.reached.timeline, Some(2));
    let restored = make(&first, TimelineChoice::Number(1))
        .run(&engine)
        .await
        .unwrap();
    passed(&restored);
    assert_eq!(restored.reached.timeline, Some(1));
    let error = make("", TimelineChoice::Number(7))
        .run(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::recovery::timeline", "{error}");
}
