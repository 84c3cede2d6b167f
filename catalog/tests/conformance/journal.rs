//! Holds, runs, events, audit, tiers, retention, measurements.

use crate::{
    fixture::{at, lease, manifest, store, tier, verification},
    subject::Subject,
};
use mainstay_catalog::{AuditEntry, AuditKind, CatalogError, Measurement, NewRun, Retention};
use model::{
    ByteCount, DatabaseName, Digest, Keep, SeriesName, VerifyLevel,
    audit::Deletion,
    event::{RunEvent, Summary, What},
};

fn run(id: &str, seconds: i64) -> NewRun {
    NewRun {
        id: id.to_owned(),
        plan_digest: Digest::sha256_of(b"plan"),
        plan_json: r#"{"steps":[]}"#.to_owned(),
        policy_digest: Digest::sha256_of(b"policy"),
        who: "ada".to_owned(),
        at: at(seconds),
    }
}

fn event(run: &str, what: What) -> RunEvent {
    RunEvent {
        format: model::event::FORMAT.to_owned(),
        run: run.to_owned(),
        at: at(1),
        what,
    }
}

fn cleaned(what: &str) -> What {
    What::CleanedUp {
        what: what.to_owned(),
    }
}

pub(crate) async fn a_hold_ends_by_itself_or_by_release(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let point = manifest(1);
    store(&catalog, &lease, &point, "nas", 1).await;
    let held = async |seconds| {
        let known = catalog.point(&point.id, at(seconds)).await.unwrap();
        known.unwrap().copies[0].held
    };
    let until = Some(at(100));
    let first = catalog
        .add_hold(&point.id, "ada", "audit", until, at(10))
        .await
        .unwrap();
    let again = catalog
        .add_hold(&point.id, "ada", "audit", until, at(11))
        .await
        .unwrap();
    assert_eq!(first, again);
    assert!(held(99).await && !held(100).await);
    assert!(first.is_active(at(99)) && !first.is_active(at(100)));
    catalog
        .add_hold(&point.id, "bob", "lawsuit", None, at(20))
        .await
        .unwrap();
    assert!(held(100_000).await);
    assert_eq!(catalog.holds().await.unwrap().len(), 2);
    for released in [2, 0] {
        let count = catalog
            .release_hold(&point.id, "bob", "settled", at(30))
            .await;
        assert_eq!(count.unwrap(), released);
    }
    assert!(!held(50).await);
    assert_eq!(catalog.holds().await.unwrap(), []);
}

pub(crate) async fn a_run_is_remembered_with_its_events(subject: Subject) {
    let catalog = subject.open().await;
    let refused = catalog.append_event(&event("run-1", cleaned("x"))).await;
    assert!(matches!(refused, Err(CatalogError::UnknownRun(_))));
    for id in ["run-1", "run-2"] {
        catalog.start_run(&run(id, 10)).await.unwrap();
    }
    let progress = What::StepProgress {
        step: model::StepId::new(model::Action::Backup, &manifest(1).id, &tier("nas")),
        bytes: ByteCount(1),
        total: None,
    };
    let events = [cleaned("first"), progress, cleaned("second")].map(|what| event("run-1", what));
    for event in &events {
        catalog.append_event(event).await.unwrap();
    }
    let summary = Summary {
        done: 3,
        failed: 1,
        ..Summary::default()
    };
    catalog.finish_run("run-1", &summary, at(20)).await.unwrap();
    catalog
        .finish_run("run-1", &Summary::default(), at(30))
        .await
        .unwrap();
    let runs = catalog.runs(10).await.unwrap();
    let ids: Vec<_> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["run-2", "run-1"]);
    assert_eq!((runs[0].finished_at, runs[0].summary), (None, None));
    assert_eq!(
        (runs[1].finished_at, runs[1].summary),
        (Some(at(20)), Some(summary))
    );
    assert_eq!(
        catalog.run_plan("run-1").await.unwrap().as_deref(),
        Some(r#"{"steps":[]}"#)
    );
    let [first, _, last] = events;
    assert_eq!(catalog.events("run-1").await.unwrap(), [first, last]);
    assert_eq!(catalog.events("run-2").await.unwrap(), []);
    assert_eq!(
        catalog.inventory(at(40)).await.unwrap().last_activity,
        Some(at(20))
    );
}

pub(crate) async fn events_of_many_steps_at_once_all_arrive(subject: Subject) {
    let catalog = subject.open().await;
    catalog.start_run(&run("run-1", 1)).await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let event = event("run-1", cleaned(&format!("{task}-{n}")));
                    catalog.append_event(&event).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(catalog.events("run-1").await.unwrap().len(), 160);
}

pub(crate) async fn the_audit_tells_who_deleted_what_and_why(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let (point, nas) = (manifest(1), tier("nas"));
    catalog.start_run(&run("run-1", 1)).await.unwrap();
    store(&catalog, &lease, &point, "nas", 2).await;
    let mut done = verification(&point, "nas", VerifyLevel::Checksum, 3, false);
    "2 bytes differ".clone_into(&mut done.detail);
    catalog.record_verification(&done).await.unwrap();
    catalog
        .add_hold(&point.id, "ada", "audit", None, at(4))
        .await
        .unwrap();
    catalog
        .release_hold(&point.id, "bob", "audit is over", at(5))
        .await
        .unwrap();
    catalog
        .forget_copy(
            &lease,
            &Deletion::of(point.id.clone(), nas),
            "run-1",
            "no rule keeps it",
            at(6),
        )
        .await
        .unwrap();
    let restored = AuditEntry {
        at: at(7),
        who: "ada".to_owned(),
        kind: AuditKind::Restore,
        what: "orders/hourly/20261121T040000Z".to_owned(),
        why: "a table was dropped".to_owned(),
        details: None,
    };
    catalog.audit(&restored).await.unwrap();
    let summary = Summary::default();
    catalog.finish_run("run-1", &summary, at(8)).await.unwrap();
    let lines: Vec<_> = catalog
        .audit_entries(100)
        .await
        .unwrap()
        .iter()
        .map(|entry| {
            let AuditEntry {
                at,
                who,
                kind,
                what,
                why,
                ..
            } = entry;
            format!("{at} {who} {} {what}: {why}", kind.as_str())
        })
        .collect();
    insta::allow_duplicates! {
        insta::assert_snapshot!(lines.join("\n"), @r"
        2026-11-21T02:00:01Z ada policy-change sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812: the first policy that a run uses
        2026-11-21T02:00:01Z ada run run-1: started plan sha256:64879f7d6b960a01909762d911a32d4582c20010c5641ee90278b644a9e3b525
        2026-11-21T02:00:03Z run-1 verification orders/hourly/20261121T030000Z@nas: checksum failed: 2 bytes differ
        2026-11-21T02:00:04Z ada hold orders/hourly/20261121T030000Z: audit
        2026-11-21T02:00:05Z bob release orders/hourly/20261121T030000Z: audit is over
        2026-11-21T02:00:06Z run-1 deletion orders/hourly/20261121T030000Z@nas: no rule keeps it
        2026-11-21T02:00:07Z ada restore orders/hourly/20261121T040000Z: a table was dropped
        2026-11-21T02:00:08Z ada run run-1: ended with 0 done, 0 already done, 0 failed, 0 skipped, 0 stale, 0 blocked, 0 waiting for approval
        ");
    }
    let newest = catalog.audit_entries(1).await.unwrap();
    assert_eq!(newest[0].at, at(8));
}

pub(crate) async fn the_audit_cannot_be_changed(subject: Subject) {
    let catalog = subject.open().await;
    catalog.start_run(&run("run-1", 1)).await.unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'eve'"] {
        assert!(subject.by_hand(sql).await.is_err(), "{sql}");
    }
    assert_eq!(catalog.audit_entries(9).await.unwrap().len(), 2);
}

pub(crate) async fn a_tier_is_known_by_its_identity(subject: Subject) {
    let catalog = subject.open().await;
    let nas = tier("nas");
    assert_eq!(catalog.tier_identity(&nas).await.unwrap(), None);
    for identity in ["one", "one", "two"] {
        catalog
            .remember_tier(&nas, identity, "ada", at(1))
            .await
            .unwrap();
        let known = catalog.tier_identity(&nas).await.unwrap();
        assert_eq!(known.as_deref(), Some(identity));
    }
    let audit = catalog.audit_entries(9).await.unwrap();
    let words: Vec<_> = audit.iter().map(|entry| entry.why.as_str()).collect();
    assert_eq!(
        words,
        [
            "first use of the tier with identity one",
            "the tier has identity two now, before it was one"
        ]
    );
}

pub(crate) async fn retention_of_other_series_stays_in_force(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let rules = |series: &str, forever| {
        let keep = Keep {
            forever,
            ..Keep::default()
        };
        let by_tier = [(tier("nas"), keep)].into();
        let by_series = [(SeriesName::new(series).unwrap(), by_tier)].into();
        Retention::from([(DatabaseName::new("orders").unwrap(), by_series)])
    };
    for retention in [
        rules("daily", true),
        rules("hourly", false),
        rules("hourly", true),
    ] {
        catalog
            .set_retention_in_force(&lease, &retention)
            .await
            .unwrap();
    }
    let mut expected = rules("daily", true);
    for (database, mut series) in rules("hourly", true) {
        expected.entry(database).or_default().append(&mut series);
    }
    assert_eq!(catalog.retention_in_force().await.unwrap(), expected);
    assert_eq!(
        catalog.inventory(at(1)).await.unwrap().retention_in_force,
        expected
    );
}

pub(crate) async fn measurements_come_newest_first(subject: Subject) {
    let catalog = subject.open().await;
    let series = manifest(1);
    let measured = |n: i64| Measurement {
        kind: "backup".to_owned(),
        database: series.database.clone(),
        series: series.series.clone(),
        tier: tier("nas"),
        bytes: ByteCount(1 << 40),
        milliseconds: n.unsigned_abs(),
        at: at(n),
    };
    for n in 0..5 {
        catalog.record_measurement(&measured(n)).await.unwrap();
    }
    let newest = catalog
        .measurements(&series.database, &series.series, 2)
        .await
        .unwrap();
    assert_eq!(newest, [measured(4), measured(3)]);
}

pub(crate) async fn a_policy_is_in_force_until_the_next_one(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    for (policy, seconds, changes) in [
        ("{\"mainstay\":1}", 1, true),
        ("{\"mainstay\":1}", 2, false),
        ("{\"mainstay\":2}", 3, true),
        ("{\"mainstay\":1}", 4, true),
    ] {
        let changed = catalog
            .put_policy_in_force(&lease, policy, "ada", at(seconds))
            .await
            .unwrap();
        assert_eq!(changed, changes, "{policy} at {seconds}");
    }
    let history = catalog.policy_history().await.unwrap();
    let spans: Vec<_> = history
        .iter()
        .map(|span| (span.policy.as_str(), span.since, span.until))
        .collect();
    assert_eq!(
        spans,
        [
            ("{\"mainstay\":1}", at(1), Some(at(3))),
            ("{\"mainstay\":2}", at(3), Some(at(4))),
            ("{\"mainstay\":1}", at(4), None),
        ]
    );
    assert_eq!(history[0].digest, Digest::sha256_of(b"{\"mainstay\":1}"));
    for sql in [
        "DELETE FROM policies",
        "UPDATE policies SET policy = '{}'",
        "DELETE FROM policy_history",
        "UPDATE policy_history SET since = 0",
    ] {
        assert!(subject.by_hand(sql).await.is_err(), "{sql}");
    }
}

pub(crate) async fn evidence_of_what_is_gone_stays(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let (gone, kept) = (manifest(1), manifest(2));
    let nas = tier("nas");
    for one in [&gone, &kept] {
        store(&catalog, &lease, one, "nas", 3700).await;
        let passed = verification(one, "nas", VerifyLevel::Checksum, 3800, true);
        catalog.record_verification(&passed).await.unwrap();
    }
    catalog
        .add_hold(&gone.id, "ada", "case 7", None, at(3900))
        .await
        .unwrap();
    catalog
        .release_hold(&gone.id, "bob", "closed", at(4000))
        .await
        .unwrap();
    catalog
        .forget_copy(
            &lease,
            &Deletion::of(gone.id.clone(), nas),
            "ada",
            "no rule",
            at(4100),
        )
        .await
        .unwrap();
    let holds = catalog.hold_history().await.unwrap();
    assert_eq!(holds.len(), 1);
    assert_eq!(
        holds[0].released,
        Some((at(4000), "bob".to_owned(), "closed".to_owned()))
    );
    let verified = catalog.all_verifications().await.unwrap();
    let points: Vec<_> = verified.iter().map(|one| &one.recovery_point).collect();
    assert_eq!(points, [&gone.id, &kept.id]);
    let deletions = catalog.deletions().await.unwrap();
    assert_eq!(deletions.len(), 1);
    assert_eq!(deletions[0].what, format!("{}@nas", gone.id));
    let sealed = catalog.sealed_points().await.unwrap();
    assert_eq!(sealed.len(), 1);
    assert!(!sealed[0].encrypted);
}
