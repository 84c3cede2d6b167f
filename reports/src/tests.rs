//! What is in the documents: every field of a record, and nothing that could be taken for markup.

use crate::{Format, proofs, recovery_log};
use jiff::{Timestamp, tz::TimeZone};
use model::{
    ByteCount, Digest, Disposition, RecoveryPointId, RecoveryRecord, RecoveryTarget, TierName,
    Verified, VerifyLevel,
    event::Failure,
    recovery_record::{DrillSlot, FORMAT, Phase, Promise, Reached, RecordedCheck, Unjudged},
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn tier(name: &str) -> TierName {
    TierName::new(name).unwrap()
}

fn damaged() -> Failure {
    Failure {
        code: "mainstay::copy::damaged".to_owned(),
        message: "the stored object `data.dump.zst` is damaged: its SHA-256 is not the one of its manifest".to_owned(),
        help: Some("run `mainstay plan`".to_owned()),
        disposition: Disposition::Permanent,
    }
}

fn phase(name: &str, milliseconds: u64, within: Option<&str>) -> Phase {
    Phase {
        milliseconds,
        name: name.to_owned(),
        within: within.map(str::to_owned),
    }
}

/// A drill with everything that a record can hold.
fn full() -> RecoveryRecord {
    let point = RecoveryPointId::parse("orders/daily/20261120T020000Z").unwrap();
    RecoveryRecord {
        checks: vec![
            RecordedCheck {
                detail: "1200 found, 1200 expected".to_owned(),
                passed: true,
                what: "rows of public.orders".to_owned(),
            },
            RecordedCheck {
                detail: "it gave 0, at least 1 is asked for".to_owned(),
                passed: true,
                what: "assert `select count(*) from a|b where x < '<b>'`".to_owned(),
            },
        ],
        database: "orders".parse().unwrap(),
        drill: Some(DrillSlot {
            name: "monthly".to_owned(),
            seed: Some(4711),
            slot: at("2026-11-20T05:00:00Z"),
        }),
        engine: "postgres".to_owned(),
        failure: None,
        finished_at: at("2026-11-20T05:14:05Z"),
        format: FORMAT.to_owned(),
        given_up: vec![(tier("attic"), damaged())],
        id: "drill-monthly-20261120T050000Z-17".to_owned(),
        mainstay_version: "0.1.0".to_owned(),
        method: "physical".parse().unwrap(),
        notes: vec!["roles are <not> part of it".to_owned()],
        passed: true,
        phases: vec![
            phase("choose", 120, None),
            phase("keys", 35, None),
            phase("load", 600_000, None),
            phase("fetch", 310_000, Some("load")),
            phase("decrypt", 95_000, Some("load")),
            phase("decompress", 240_000, Some("load")),
            phase("replay", 180_000, None),
            phase("checks", 62_000, None),
            phase("other", 2_000, None),
        ],
        plain_bytes: Some(ByteCount(9_000_000_000)),
        policy_digest: Some(Digest::sha256_of(b"policy")),
        reached: Reached {
            position: Some("0/3000110".parse().unwrap()),
            time: Some(at("2026-11-20T04:59:58Z")),
            timeline: Some(3),
        },
        recovery_point: point,
        rpo_measured_seconds: 2,
        rpo_promised: Some(Promise {
            maximum_seconds: 300,
            target_seconds: 300,
        }),
        rto_measured_milliseconds: 844_155,
        rto_promised: Some(Promise {
            maximum_seconds: 14_400,
            target_seconds: 3_600,
        }),
        selection: Vec::new(),
        started_at: at("2026-11-20T05:00:01Z"),
        stored_bytes: ByteCount(2_147_483_648),
        target: Some(RecoveryTarget::Time(at("2026-11-20T04:59:59Z"))),
        target_place: "scratch server on port 54911".to_owned(),
        tier: Some(tier("nas")),
        unjudged: None,
        verified_before: Some(Verified {
            at: at("2026-11-20T03:00:00Z"),
            level: VerifyLevel::FullRead,
        }),
        who: "ada@db1".to_owned(),
        why: "slot 2026-11-20T05:00:00Z is due".to_owned(),
    }
}

/// A restore that failed.
fn failed() -> RecoveryRecord {
    RecoveryRecord {
        checks: Vec::new(),
        drill: None,
        failure: Some(damaged()),
        given_up: Vec::new(),
        notes: Vec::new(),
        passed: false,
        phases: vec![phase("until it failed", 844_155, None)],
        policy_digest: None,
        reached: Reached::default(),
        rpo_promised: None,
        target: None,
        tier: None,
        verified_before: None,
        ..full()
    }
}

/// A restore whose target could not be written.
fn not_begun() -> RecoveryRecord {
    RecoveryRecord {
        failure: Some(Failure {
            code: "mainstay::recovery::write".to_owned(),
            message: "cannot make the folder `/nonexistent`: Permission denied".to_owned(),
            help: Some("name a folder below one that this user may write".to_owned()),
            disposition: Disposition::NeedsOperator,
        }),
        rpo_promised: full().rpo_promised,
        unjudged: Some(Unjudged::NotBegun),
        ..failed()
    }
}

fn prague() -> TimeZone {
    TimeZone::get("Europe/Prague").unwrap()
}

#[test]
fn a_log_reads_like_this() {
    let log = |record: &RecoveryRecord, format| recovery_log(record, &prague(), format).unwrap();
    insta::assert_snapshot!("drill_markdown", log(&full(), Format::Markdown));
    insta::assert_snapshot!("drill_html", log(&full(), Format::Html));
    insta::assert_snapshot!("failed_markdown", log(&failed(), Format::Markdown));
    insta::assert_snapshot!("not_begun_markdown", log(&not_begun(), Format::Markdown));
}

#[test]
fn a_list_of_proofs_reads_like_this() {
    let stopped = RecoveryRecord {
        unjudged: Some(Unjudged::Stopped),
        ..failed()
    };
    let records = [full(), failed(), not_begun(), stopped];
    let declared = ["orders".to_owned(), "shop".to_owned()];
    let list = |format| proofs(&records, &declared, None, &prague(), format).unwrap();
    insta::assert_snapshot!("proofs_markdown", list(Format::Markdown));
    assert!(list(Format::Html).contains("NOT PROVED"));
}

#[test]
fn an_html_log_carries_no_markup_of_its_data_and_needs_nothing_beside_itself() {
    let page = recovery_log(&full(), &prague(), Format::Html).unwrap();
    assert!(!page.contains("<b>") && !page.contains("<not>"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

type Change = fn(&mut RecoveryRecord);

/// Changing any field changes the document.
#[test]
fn every_field_of_a_record_is_in_its_log() {
    let changes: Vec<(&str, Change)> = vec![
        ("checks", |r| "seen".clone_into(&mut r.checks[0].detail)),
        ("what", |r| "seen".clone_into(&mut r.checks[0].what)),
        ("passed", |r| r.checks[0].passed = false),
        ("database", |r| r.database = "other".parse().unwrap()),
        ("drill", |r| r.drill = None),
        ("seed", |r| r.drill.as_mut().unwrap().seed = Some(1)),
        ("slot", |r| {
            r.drill.as_mut().unwrap().slot = at("2020-01-01T00:00:00Z");
        }),
        ("engine", |r| "other".clone_into(&mut r.engine)),
        ("failure", |r| r.failure = Some(damaged())),
        ("finished_at", |r| {
            r.finished_at = at("2020-01-01T00:00:00Z");
        }),
        ("format", |r| "other".clone_into(&mut r.format)),
        ("given_up", |r| r.given_up[0].0 = tier("other")),
        ("given_up why", |r| {
            "other".clone_into(&mut r.given_up[0].1.message);
        }),
        ("id", |r| "other".clone_into(&mut r.id)),
        ("version", |r| "9".clone_into(&mut r.mainstay_version)),
        ("method", |r| r.method = "other".parse().unwrap()),
        ("notes", |r| "other".clone_into(&mut r.notes[0])),
        ("verdict", |r| r.passed = false),
        ("phases", |r| r.phases[0].milliseconds = 7),
        ("phase within", |r| r.phases[3].within = None),
        ("plain_bytes", |r| r.plain_bytes = Some(ByteCount(1))),
        ("policy_digest", |r| r.policy_digest = None),
        ("position", |r| r.reached.position = None),
        ("reached", |r| r.reached.time = None),
        ("timeline", |r| r.reached.timeline = None),
        ("point", |r| {
            r.recovery_point = RecoveryPointId::parse("orders/daily/20261119T020000Z").unwrap();
        }),
        ("rpo", |r| r.rpo_measured_seconds = 299),
        ("rpo promised", |r| r.rpo_promised = None),
        ("rto", |r| r.rto_measured_milliseconds = 1),
        ("rto promised", |r| {
            r.rto_promised.as_mut().unwrap().target_seconds = 60;
        }),
        ("rto maximum", |r| {
            r.rto_promised.as_mut().unwrap().maximum_seconds = 60;
        }),
        ("selection", |r| {
            r.selection = vec!["public.orders".to_owned()];
        }),
        ("started_at", |r| r.started_at = at("2020-01-01T00:00:00Z")),
        ("stored_bytes", |r| r.stored_bytes = ByteCount(1)),
        ("target", |r| r.target = None),
        ("target_place", |r| "other".clone_into(&mut r.target_place)),
        ("tier", |r| r.tier = None),
        ("unjudged", |r| r.unjudged = Some(Unjudged::Stopped)),
        ("verified_before", |r| r.verified_before = None),
        ("who", |r| "other".clone_into(&mut r.who)),
        ("why", |r| "other".clone_into(&mut r.why)),
    ];
    for format in [Format::Markdown, Format::Html] {
        let before = recovery_log(&full(), &prague(), format).unwrap();
        for (name, change) in &changes {
            let mut record = full();
            change(&mut record);
            let after = recovery_log(&record, &prague(), format).unwrap();
            assert_ne!(before, after, "{name} is not in the {format:?}");
        }
    }
}
