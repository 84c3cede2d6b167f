//! What is lost: copies that are gone, bases under increments, and moments that the archived log does not reach.

use super::{assess, at, copy, nas, resolved, ten_days};
use model::{
    CopyState, DatabaseName, canonical,
    evidence::{
        ControlVerdict, DeletionVerdict, EvidenceFacts, LogFact, LossFact, PolicyFact,
        SubjectResult,
    },
};
use serde_json::json;

#[test]
fn a_base_that_went_before_its_increment_went_too_early_although_both_are_gone() {
    let mut facts = ten_days();
    let (base, child) = (copy(1).recovery_point, 5);
    // The increment lived until the eighth, its base until the fourth.
    facts.copies[child - 1].parent = Some(base.clone());
    let assessment = assess(&facts);
    let judged = assessment
        .retention
        .deletions
        .iter()
        .find(|judged| judged.recovery_point == base)
        .unwrap();
    assert_eq!(
        judged.verdict,
        DeletionVerdict::Due,
        "the increment came later"
    );
    facts.copies[child - 1].slot = at("2026-06-03T03:00:00Z");
    facts.copies[child - 1].stored_at = Some(at("2026-06-03T03:05:00Z"));
    let assessment = assess(&facts);
    let judged = assessment
        .retention
        .deletions
        .iter()
        .find(|judged| judged.recovery_point == base)
        .unwrap();
    assert_eq!(judged.verdict, DeletionVerdict::TooEarly, "{}", judged.why);
}

#[test]
fn a_copy_that_was_lost_in_the_period_counts_unless_a_run_of_our_own_had_begun_to_delete_it() {
    let mut facts = ten_days();
    let verdict = |facts: &EvidenceFacts| {
        let assessment = assess(facts);
        let id = "retention.no-foreign-deletion";
        let control = assessment.controls.iter().find(|one| one.id == id);
        control.unwrap().verdict
    };
    assert_eq!(verdict(&facts), ControlVerdict::Met);
    facts.losses.push(LossFact {
        at: at("2026-06-03T00:00:00Z"),
        by_run: Some("run-1".to_owned()),
        recovery_point: copy(1).recovery_point,
        state: CopyState::Missing,
        tier: nas(),
    });
    assert_eq!(verdict(&facts), ControlVerdict::Met);
    facts.losses[0].by_run = None;
    assert_eq!(verdict(&facts), ControlVerdict::NotMet);
    facts.losses[0].at = at("2026-05-03T00:00:00Z");
    assert_eq!(verdict(&facts), ControlVerdict::Met, "before the period");
}

/// The same facts under a policy that promises a week of log.
fn with_log(since: &str) -> EvidenceFacts {
    let mut policy = resolved(&json!({"daily": 3}));
    policy["database"]["orders"]["wal"] = json!({"keep": {"nas": "7d"}});
    let policy = canonical::sorted(&policy);
    EvidenceFacts {
        policies: vec![PolicyFact {
            digest: canonical::digest(&policy).unwrap(),
            policy,
            since: at(since),
            until: None,
            who: "ada".to_owned(),
        }],
        ..ten_days()
    }
}

fn window(facts: &EvidenceFacts) -> SubjectResult {
    let assessment = assess(facts);
    let id = "recovery.window";
    let control = assessment.controls.into_iter().find(|one| one.id == id);
    control.unwrap().subjects.remove(0)
}

#[test]
fn a_promised_window_of_log_is_kept_only_if_every_moment_of_it_can_be_recovered() {
    let mut facts = with_log("2026-05-01T00:00:00Z");
    assert_eq!(window(&facts).verdict, ControlVerdict::CannotTell, "unread");
    let log = |since: &[&str], reaches_end| LogFact {
        database: DatabaseName::new("orders").unwrap(),
        reaches_end,
        tier: nas(),
        whole_since: since.iter().map(|since| at(since)).collect(),
    };
    let mut judge = |log: LogFact| {
        facts.logs = vec![log];
        window(&facts)
    };
    let good = judge(log(&["2026-06-02T02:00:00Z"], true));
    assert_eq!(good.verdict, ControlVerdict::Met, "{}", good.why);
    // A hole on the sixth: the stretch behind it begins with the next base.
    let hole = judge(log(&["2026-06-02T02:00:00Z", "2026-06-07T02:00:00Z"], true));
    assert_eq!(hole.verdict, ControlVerdict::NotMet, "{}", hole.why);
    let stopped = judge(log(&["2026-06-02T02:00:00Z"], false));
    assert_eq!(stopped.verdict, ControlVerdict::NotMet, "{}", stopped.why);
    let nothing = judge(log(&[], false));
    assert_eq!(nothing.verdict, ControlVerdict::NotMet, "{}", nothing.why);
    // The promise is younger than the window.
    facts = EvidenceFacts {
        logs: vec![log(&["2026-06-08T02:00:00Z"], true)],
        ..with_log("2026-06-07T12:00:00Z")
    };
    assert_eq!(window(&facts).verdict, ControlVerdict::Met);
    facts.policies = with_log("2026-06-10T11:00:00Z").policies;
    facts.logs = vec![log(&[], false)];
    assert_eq!(window(&facts).verdict, ControlVerdict::CannotTell);
}

#[test]
fn what_archives_no_log_promises_no_window() {
    let assessment = assess(&ten_days());
    let control = assessment
        .controls
        .iter()
        .find(|one| one.id == "recovery.window");
    assert_eq!(control.unwrap().verdict, ControlVerdict::NotApplicable);
}
