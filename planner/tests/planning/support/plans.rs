//! The one way to make a plan in a test, which checks it too; and plans in a few lines.

use super::{SEGMENT, at};
use mainstay_planner::Options;
use model::{Action, Inventory, KeyName, Plan, tier_facts::TierCapabilities, wal::Lsn};
use policy_schema::Policy;
use std::fmt::Write as _;

/// Plans and checks the plan: the one way to make a plan in a test.
pub(crate) fn plan_with(
    policy: &Policy,
    inventory: &Inventory,
    now: &str,
    options: &Options,
) -> Plan {
    plan_on(policy, inventory, &TierCapabilities::new(), now, options)
}

/// The same with tiers that can do something.
pub(crate) fn plan_on(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: &str,
    options: &Options,
) -> Plan {
    let plan = mainstay_planner::plan(policy, inventory, capabilities, at(now), options);
    let violations = mainstay_planner::check(&plan, policy, inventory, capabilities);
    assert!(violations.is_empty(), "{violations:#?}\n{}", show(&plan));
    plan
}

pub(crate) fn plan(policy: &Policy, inventory: &Inventory, now: &str) -> Plan {
    plan_with(policy, inventory, now, &Options::default())
}

/// A plan as few lines as a person would want to read in a test.
pub(crate) fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = write!(text, "{}", step.id);
        if let Some(level) = step.level {
            let _ = write!(text, " by {level}");
        }
        if let Some(from) = &step.from {
            let _ = write!(text, " from {from}");
        }
        if let Some(parent) = &step.parent {
            let _ = write!(text, " onto {parent}");
        }
        for range in &step.wal {
            let number = |at: Lsn| at.segment(SEGMENT);
            let (first, last) = (number(range.start), number(range.end) - 1);
            let (cluster, timeline) = (range.system_identifier, range.timeline);
            let _ = write!(text, " {cluster}:{timeline} {first}-{last}");
        }
        if let Some(target) = step.drill.as_ref().and_then(|drill| drill.target.as_ref()) {
            let _ = write!(text, " to {target}");
        }
        if let Some(lock) = &step.lock {
            let _ = write!(text, " locked until {}", lock.until);
        }
        if !step.encrypt_for.is_empty() {
            let keys: Vec<&str> = step.encrypt_for.iter().map(KeyName::as_str).collect();
            let _ = write!(text, " encrypted for {}", keys.join(", "));
        }
        if step.needs_approval {
            let _ = write!(text, " NEEDS APPROVAL");
        }
        let _ = writeln!(text, ": {}: {}", step.reason.code, step.reason.text);
        for before in &step.after {
            let _ = writeln!(text, "    after {before}");
        }
        for point in &step.justified_by {
            let _ = writeln!(text, "    because of {point}");
        }
    }
    for reason in &plan.approval {
        let _ = writeln!(text, "! {}: {}", reason.code, reason.text);
    }
    for wait in &plan.not_planned {
        let _ = writeln!(
            text,
            "~ {}: {}: {}",
            wait.what, wait.reason.code, wait.reason.text
        );
    }
    for missed in &plan.missed {
        let _ = writeln!(
            text,
            "missed {}/{}: {} from {} to {}",
            missed.database, missed.series, missed.count, missed.first, missed.last
        );
    }
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

/// What is kept, one line each.
pub(crate) fn show_kept(plan: &Plan) -> String {
    plan.kept.iter().fold(String::new(), |mut text, kept| {
        let _ = writeln!(
            text,
            "{}@{}: {}",
            kept.recovery_point,
            kept.tier,
            kept.reasons.join(", ")
        );
        text
    })
}

pub(crate) fn ids(plan: &Plan, action: Action) -> Vec<String> {
    plan.steps
        .iter()
        .filter(|step| step.action == action)
        .map(|step| format!("{}@{}", step.recovery_point, step.tier))
        .collect()
}
