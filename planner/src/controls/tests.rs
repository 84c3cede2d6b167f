//! What an auditor fears: a deletion that was not due and is not said, a slot that was missed and is not said, a verdict that nobody can
//! compute again.

use super::{assess, controls, draw};
use jiff::{SignedDuration, Timestamp};
use model::{
    CopyState, Digest, RecoveryPointId, TierName, Verified, VerifyLevel, canonical,
    evidence::{
        Assessment, ControlVerdict, CopyFact, CopyFate, Deletion, DeletionVerdict, EvidenceFacts,
        ExceptionFact, FORMAT, HoldFact, Parameters, PolicyFact, RunFact, TierFact,
        VerificationFact,
    },
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

mod asked;
mod lost;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nas() -> TierName {
    TierName::new("nas").unwrap()
}

fn resolved(keep: &Value) -> Value {
    canonical::sorted(&json!({
        "mainstay": 1, "timezone": "UTC", "safety": {"min-verified": 1},
        "tier": {"nas": {"kind": "filesystem"}}, "key": {},
        "database": {"orders": {
            "engine": "postgres", "labels": {}, "encrypt-with": [], "assert": [], "drill": [],
            "objective": {"rpo": {"target": "26h", "maximum": "26h"}, "rto": null},
            "series": {"daily": {
                "method": "logical", "schedule": "0 2 * * *", "start-delay": "0s", "keep": {"nas": keep},
                "tiers": ["nas"], "verify": "checksum",
                "window": {"start-within": null, "timeout": "2h", "retries": 3, "retry-after": "5m"},
            }},
        }},
    }))
}

fn policy(keep: &Value, since: &str, until: Option<&str>) -> PolicyFact {
    let policy = resolved(keep);
    PolicyFact {
        digest: canonical::digest(&policy).unwrap(),
        policy,
        since: at(since),
        until: until.map(at),
        who: "ada".to_owned(),
    }
}

/// The point of a day of June 2026, made and verified at once.
fn copy(day: i8) -> CopyFact {
    let slot = at(&format!("2026-06-{day:02}T02:00:00Z"));
    let after = |minutes| slot + SignedDuration::from_mins(minutes);
    CopyFact {
        bytes: Some(1000),
        captured_at: Some(after(1)),
        encrypted: Some(false),
        fate: CopyFate::Exists(CopyState::Present),
        held: false,
        locked_until: None,
        parent: None,
        recipients: Vec::new(),
        recovery_point: RecoveryPointId::parse(&format!("orders/daily/202606{day:02}T020000Z"))
            .unwrap(),
        slot,
        stored_at: Some(after(5)),
        tier: nas(),
        verified: Some(Verified {
            at: after(6),
            level: VerifyLevel::Checksum,
        }),
    }
}

fn deleted(day: i8, when: &str) -> CopyFact {
    CopyFact {
        fate: CopyFate::Deleted(Deletion {
            approved_by: None,
            at: at(when),
            run: Some("run-1".to_owned()),
            who: "ada".to_owned(),
            why: "no rule keeps it (run run-1)".to_owned(),
        }),
        ..copy(day)
    }
}

/// Ten days of June under `daily = 3`, each point deleted as soon as the rule lets it go.
fn ten_days() -> EvidenceFacts {
    let copies: Vec<CopyFact> = (1..=10)
        .map(|day| match day {
            1..=7 => deleted(day, &format!("2026-06-{:02}T02:10:00Z", day + 3)),
            _ => copy(day),
        })
        .collect();
    EvidenceFacts {
        audit: None,
        verifications: copies
            .iter()
            .map(|copy| VerificationFact {
                at: copy.verified.unwrap().at,
                level: VerifyLevel::Checksum,
                passed: true,
                recovery_point: copy.recovery_point.clone(),
                tier: copy.tier.clone(),
                who: "run-1".to_owned(),
            })
            .collect(),
        copies,
        discovered: Vec::new(),
        drills: Vec::new(),
        exceptions: Vec::new(),
        failed_steps: Vec::new(),
        format: FORMAT.to_owned(),
        from: at("2026-06-01T00:00:00Z"),
        holds: Vec::new(),
        keys: Vec::new(),
        logs: Vec::new(),
        losses: Vec::new(),
        mainstay_version: "0.1.0".to_owned(),
        parameters: Parameters::default(),
        policies: vec![policy(&json!({"daily": 3}), "2026-06-01T00:00:00Z", None)],
        proofs: Vec::new(),
        recoveries: Vec::new(),
        runs: Vec::new(),
        tiers: BTreeMap::from([(
            nas(),
            TierFact {
                archive: false,
                kind: "filesystem".to_owned(),
                lock: None,
                media: None,
                off_site: false,
                place: "/mnt/nas".to_owned(),
            },
        )]),
        unknown_policy: None,
        unreachable_tiers: Vec::new(),
        until: at("2026-06-10T12:00:00Z"),
    }
}

/// Bob's order not to delete the point of the first of June.
fn hold_the_first(facts: &mut EvidenceFacts) {
    facts.holds.push(HoldFact {
        at: at("2026-06-02T00:00:00Z"),
        recovery_point: facts.copies[0].recovery_point.clone(),
        released_at: None,
        released_by: None,
        until: None,
        who: "bob".to_owned(),
        why: "case 7".to_owned(),
    });
}

#[track_caller]
fn expect(assessment: &Assessment, id: &str, verdict: ControlVerdict) {
    let control = assessment.controls.iter().find(|control| control.id == id);
    let control = control.unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(control.verdict, verdict, "{id}: {}", control.why);
}

fn early(assessment: &Assessment) -> Vec<(String, String)> {
    assessment
        .retention
        .deletions
        .iter()
        .filter(|judged| judged.verdict == DeletionVerdict::TooEarly)
        .map(|judged| (judged.recovery_point.stamp().to_owned(), judged.why.clone()))
        .collect()
}

#[test]
fn deletions_that_a_rule_let_go_are_due() {
    let assessment = assess(&ten_days());
    assert_eq!(assessment.retention.deletions.len(), 7);
    assert_eq!(early(&assessment), []);
    expect(&assessment, "retention.not-too-early", ControlVerdict::Met);
    expect(&assessment, "schedule.slots", ControlVerdict::Met);
    expect(&assessment, "retention.not-too-long", ControlVerdict::Met);
}

#[test]
fn a_deletion_one_day_too_early_is_said_with_the_rule_that_wanted_the_copy() {
    let mut facts = ten_days();
    // The fifth of June goes when only two newer ones are there.
    facts.copies[4] = deleted(5, "2026-06-07T02:10:00Z");
    let assessment = assess(&facts);
    assert_eq!(
        early(&assessment),
        [(
            "20260605T020000Z".to_owned(),
            "the rule daily 3 of 3 wanted it".to_owned()
        )]
    );
    expect(
        &assessment,
        "retention.not-too-early",
        ControlVerdict::NotMet,
    );
}

#[test]
fn a_deletion_is_judged_by_the_policy_of_its_time_and_not_by_todays() {
    let mut facts = ten_days();
    facts.policies = vec![
        policy(
            &json!({"daily": 30}),
            "2026-06-01T00:00:00Z",
            Some("2026-06-06T00:00:00Z"),
        ),
        policy(&json!({"daily": 3}), "2026-06-06T00:00:00Z", None),
    ];
    let assessment = assess(&facts);
    let days: Vec<String> = early(&assessment).into_iter().map(|(day, _)| day).collect();
    assert_eq!(
        days,
        ["20260601T020000Z", "20260602T020000Z"],
        "those went while thirty were demanded"
    );
    assert_eq!(assessment.retention.demands.len(), 2);
}

#[test]
fn a_deletion_under_a_hold_is_too_early_whatever_the_rule_says() {
    let mut facts = ten_days();
    hold_the_first(&mut facts);
    let assessment = assess(&facts);
    assert_eq!(
        early(&assessment),
        [(
            "20260601T020000Z".to_owned(),
            "bob held it: case 7".to_owned()
        )]
    );
    expect(&assessment, "holds.respected", ControlVerdict::NotMet);
}

#[test]
fn the_last_verified_copy_may_not_go() {
    let mut facts = ten_days();
    for copy in &mut facts.copies {
        if copy.deletion().is_none() {
            copy.verified = None;
        }
    }
    facts.verifications.truncate(7);
    let assessment = assess(&facts);
    let days: Vec<String> = early(&assessment).into_iter().map(|(day, _)| day).collect();
    assert!(
        days.contains(&"20260607T020000Z".to_owned()),
        "the last verified one went: {days:?}"
    );
}

#[test]
fn without_a_policy_on_record_nothing_is_called_due() {
    let mut facts = ten_days();
    facts.policies[0].since = at("2026-06-09T00:00:00Z");
    let assessment = assess(&facts);
    expect(
        &assessment,
        "retention.not-too-early",
        ControlVerdict::CannotTell,
    );
}

#[test]
fn a_series_that_was_not_declared_was_purged_and_that_needs_an_approval() {
    let mut facts = ten_days();
    facts.policies = vec![{
        let mut policy = policy(&json!({"daily": 3}), "2026-06-01T00:00:00Z", None);
        policy.policy["database"] = json!({});
        policy.digest = canonical::digest(&policy.policy).unwrap();
        policy
    }];
    facts.runs.push(RunFact {
        approval_needed: false,
        approval_refused: false,
        approved_by: None,
        failed: 0,
        finished_at: None,
        id: "run-1".to_owned(),
        plan: Digest::sha256_of(b"plan"),
        policy: Digest::sha256_of(b"policy"),
        started_at: at("2026-06-04T00:00:00Z"),
        who: "ada".to_owned(),
    });
    let assessment = assess(&facts);
    assert!(
        assessment
            .retention
            .deletions
            .iter()
            .all(|judged| judged.verdict == DeletionVerdict::Purged)
    );
    expect(&assessment, "changes.approved", ControlVerdict::NotMet);
    facts.runs[0].approval_needed = true;
    // It died, and nothing says that anybody agreed.
    expect(
        &assess(&facts),
        "changes.approved",
        ControlVerdict::CannotTell,
    );
    facts.runs[0].approved_by = Some("bob".to_owned());
    expect(&assess(&facts), "changes.approved", ControlVerdict::Met);
}

#[test]
fn missed_slots_are_counted_with_their_reason() {
    let mut facts = ten_days();
    let lost: BTreeSet<RecoveryPointId> = facts.copies[3..6]
        .iter()
        .map(|copy| copy.recovery_point.clone())
        .collect();
    facts
        .copies
        .retain(|copy| !lost.contains(&copy.recovery_point));
    facts
        .verifications
        .retain(|check| !lost.contains(&check.recovery_point));
    let assessment = assess(&facts);
    let slots = &assessment.retention.slots[0];
    assert_eq!((slots.demanded, slots.made, slots.open), (10, 7, 0));
    assert_eq!(slots.missed.len(), 1, "one after the other: {slots:?}");
    assert_eq!(slots.missed[0].count, 3);
    assert_eq!(slots.missed[0].code, "no-run");
    expect(&assessment, "schedule.slots", ControlVerdict::NotMet);
}

#[test]
fn what_nothing_keeps_is_late_from_the_day_on_which_its_successor_came() {
    let mut facts = ten_days();
    facts.copies[0] = copy(1);
    facts.parameters.overkeep_days = 3;
    let assessment = assess(&facts);
    let overdue = &assessment.retention.overdue;
    assert_eq!(overdue.len(), 1, "{overdue:?}");
    assert_eq!(overdue[0].recovery_point.stamp(), "20260601T020000Z");
    assert_eq!(
        (overdue[0].since, overdue[0].days),
        (at("2026-06-04T02:05:00Z"), 6),
        "three newer ones were there when the fourth of June was stored"
    );
    assert_eq!(overdue[0].excuse, None);
    expect(
        &assessment,
        "retention.not-too-long",
        ControlVerdict::NotMet,
    );
    facts.copies[0].held = true;
    hold_the_first(&mut facts);
    let held = assess(&facts).retention.overdue;
    assert_eq!(held[0].excuse.as_deref(), Some("bob holds it: case 7"));
}

#[test]
fn an_exception_covers_what_it_names_until_it_expires() {
    let mut facts = ten_days();
    expect(
        &assess(&facts),
        "encryption.at-rest",
        ControlVerdict::NotMet,
    );
    facts.exceptions.push(ExceptionFact {
        control: "encryption.at-rest".to_owned(),
        expires: at("2026-07-01T00:00:00Z"),
        owner: "carol".to_owned(),
        subject: Some("orders".to_owned()),
        why: "the key service comes in July".to_owned(),
    });
    let excepted = assess(&facts);
    expect(&excepted, "encryption.at-rest", ControlVerdict::Exception);
    expect(&excepted, "copies.off-site", ControlVerdict::NotMet);
    facts.exceptions[0].expires = at("2026-06-09T00:00:00Z");
    let expired = assess(&facts);
    expect(&expired, "encryption.at-rest", ControlVerdict::NotMet);
    expect(&expired, "exceptions.current", ControlVerdict::NotMet);
}

#[test]
fn a_policy_that_does_not_agree_with_its_digest_is_found() {
    let mut facts = ten_days();
    expect(&assess(&facts), "changes.recorded", ControlVerdict::Met);
    facts.policies[0].policy["database"]["orders"]["series"]["daily"]["keep"]["nas"]["daily"] =
        json!(2);
    expect(&assess(&facts), "changes.recorded", ControlVerdict::NotMet);
}

#[test]
fn the_same_facts_give_the_same_bytes_after_they_were_written_and_read() {
    let facts = ten_days();
    let text = serde_json::to_string(&facts).unwrap();
    let read: EvidenceFacts = serde_json::from_str(&text).unwrap();
    assert_eq!(facts, read);
    assert!(canonical::is_sorted(&facts).unwrap());
    let bytes = |facts| serde_json::to_string(&assess(facts)).unwrap();
    assert_eq!(bytes(&facts), bytes(&read));
    let assessment = assess(&facts);
    let again: Assessment =
        serde_json::from_str(&serde_json::to_string(&assessment).unwrap()).unwrap();
    assert_eq!(assessment, again);
}

#[test]
fn a_sample_is_the_same_for_the_same_seed_and_another_for_another() {
    let facts = ten_days();
    let ids = |seed: &str| -> Vec<String> {
        draw(&facts, 2, seed)
            .iter()
            .map(|point| point.recovery_point.to_string())
            .collect()
    };
    assert_eq!(ids("lot 1"), ids("lot 1"));
    let all: BTreeSet<Vec<String>> = (0..30).map(|n| ids(&format!("lot {n}"))).collect();
    assert!(all.len() > 3, "{all:?}");
}

#[test]
fn every_control_has_an_id_of_its_own_and_the_eleven_of_aws_are_covered() {
    let ids: BTreeSet<&str> = controls().map(|control| control.id).collect();
    assert_eq!(ids.len(), controls().count());
    let aws: BTreeSet<&str> = controls()
        .flat_map(|control| control.maps_to)
        .filter(|(framework, _)| *framework == "AWS Backup Audit Manager")
        .map(|(_, control)| *control)
        .collect();
    assert_eq!(
        aws.into_iter().collect::<Vec<_>>(),
        [
            "BACKUP_LAST_RECOVERY_POINT_CREATED",
            "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK",
            "BACKUP_RECOVERY_POINT_ENCRYPTED",
            "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED",
            "BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK",
            "BACKUP_RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT",
            "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN",
            "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
            "BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT",
            "BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION",
            "RESTORE_TIME_FOR_RESOURCES_MEET_TARGET",
        ]
    );
}

#[test]
fn every_control_in_words() {
    let assessment = assess(&ten_days());
    let lines: Vec<String> = assessment
        .controls
        .iter()
        .map(|control| {
            format!(
                "{}: {} ({})",
                control.id,
                control.verdict.as_str(),
                control.why
            )
        })
        .collect();
    insta::assert_snapshot!("every_control", lines.join("\n"));
}
