//! The records of restores and drills, and what the inventory learns from them.

use crate::{
    fixture::{at, manifest, tier},
    subject::Subject,
};
use mainstay_catalog::AuditKind;
use model::{
    ByteCount, Disposition, RecoveryRecord,
    event::Failure,
    recovery_record::{DrillSlot, FORMAT, Phase, Reached, RecordedCheck},
};

/// A drill, or a restore, that ended `seconds` after the start of the tests.
pub(crate) fn record(id: &str, drill: Option<&str>, seconds: i64, passed: bool) -> RecoveryRecord {
    let point = manifest(1);
    RecoveryRecord {
        checks: vec![RecordedCheck {
            detail: "found 3, expected 3".to_owned(),
            passed,
            what: "rows of orders".to_owned(),
        }],
        database: point.database,
        drill: drill.map(|name| DrillSlot {
            name: name.to_owned(),
            seed: Some(7),
            slot: at(seconds - 60),
        }),
        engine: point.engine,
        failure: None,
        finished_at: at(seconds),
        format: FORMAT.to_owned(),
        given_up: vec![(
            tier("attic"),
            Failure {
                code: "mainstay::copy::damaged".to_owned(),
                message: "it is damaged".to_owned(),
                help: None,
                disposition: Disposition::Permanent,
            },
        )],
        id: id.to_owned(),
        mainstay_version: "0.1.0".to_owned(),
        method: point.method,
        notes: vec!["a note".to_owned()],
        passed,
        phases: vec![Phase {
            milliseconds: 1500,
            name: "load".to_owned(),
            within: None,
        }],
        plain_bytes: Some(ByteCount(4000)),
        policy_digest: Some(point.policy_digest),
        reached: Reached::default(),
        recovery_point: point.id,
        rpo_measured_seconds: 3600,
        rpo_promised: None,
        rto_measured_milliseconds: 1500,
        rto_promised: None,
        selection: Vec::new(),
        started_at: at(seconds - 2),
        stored_bytes: ByteCount(1001),
        target: None,
        target_place: "scratch database".to_owned(),
        tier: Some(tier("nas")),
        unjudged: None,
        verified_before: None,
        who: "ada".to_owned(),
        why: "a drill".to_owned(),
    }
}

pub(crate) async fn a_recovery_is_recorded_once_with_its_audit(subject: Subject) {
    let catalog = subject.open().await;
    let first = record("drill-1", Some("monthly"), 100, true);
    let second = record("restore-1", None, 200, false);
    for record in [&first, &second, &first] {
        catalog.record_recovery(record).await.unwrap();
    }
    let database = &first.database;
    assert_eq!(
        catalog.recoveries(Some(database), 9).await.unwrap(),
        [second.clone(), first.clone()]
    );
    assert_eq!(catalog.recoveries(None, 1).await.unwrap(), [second]);
    assert_eq!(
        catalog.recovery("drill-1").await.unwrap().as_ref(),
        Some(&first)
    );
    assert_eq!(catalog.recovery("drill-2").await.unwrap(), None);
    let audit = catalog.audit_entries(9).await.unwrap();
    let kinds: Vec<_> = audit.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [AuditKind::Drill, AuditKind::Restore]);
    assert_eq!(
        (audit[0].what.as_str(), audit[0].why.as_str()),
        (
            "orders/hourly/20261121T030000Z@nas",
            "to scratch database; all checks passed; a drill"
        )
    );
}

pub(crate) async fn the_inventory_knows_drills_and_measured_times(subject: Subject) {
    let catalog = subject.open().await;
    let mut of_a_table = record("table", None, 600, true);
    of_a_table.selection = vec!["public.orders".to_owned()];
    let mut other_database = record("other", Some("monthly"), 50, true);
    other_database.database = "shop".parse().unwrap();
    let records = [
        record("a", Some("monthly"), 100, true),
        record("b", Some("monthly"), 300, false),
        record("c", Some("weekly"), 200, true),
        record("d", None, 400, true),
        record("e", None, 500, false),
        of_a_table,
        other_database,
    ];
    for record in &records {
        catalog.record_recovery(record).await.unwrap();
    }
    for n in 0..20 {
        let often = record(&format!("often-{n:02}"), Some("often"), 1000 + n, true);
        catalog.record_recovery(&often).await.unwrap();
    }
    let inventory = catalog.inventory(at(9999)).await.unwrap();
    let facts: Vec<_> = inventory
        .drills
        .iter()
        .filter(|fact| fact.name != "often")
        .map(|fact| {
            (
                fact.database.as_str(),
                fact.name.as_str(),
                fact.slot,
                fact.passed,
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("orders", "monthly", at(40), true),
            ("orders", "monthly", at(240), false),
            ("orders", "weekly", at(140), true),
            ("shop", "monthly", at(-10), true),
        ]
    );
    let often: Vec<_> = inventory
        .drills
        .iter()
        .filter(|fact| fact.name == "often")
        .map(|fact| fact.at)
        .collect();
    assert_eq!(
        (often.len(), often.first(), often.last()),
        (12, Some(&at(1008)), Some(&at(1019)))
    );
    // Neither a failed one nor one of a single table is a measure of the whole.
    let times: Vec<_> = inventory.restores[&records[0].database]
        .iter()
        .map(|measured| measured.at)
        .skip_while(|at| *at >= self::at(1000))
        .collect();
    assert_eq!(times, [at(400), at(200), at(100)]);
    let one = &inventory.restores[&records[6].database][0];
    assert_eq!(
        (one.bytes, one.milliseconds, one.tier.as_str()),
        (ByteCount(1001), 1500, "nas")
    );
}
