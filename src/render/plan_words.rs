//! What a plan says of a step beside its reason: for whom it is encrypted, and how long it is locked.
//!
//! Nothing is said of plain data that stays on this machine; where it leaves it, in this plan, the backup says so.

use super::{color, plan_text::local};
use jiff::tz::TimeZone;
use model::{Action, Plan, RecoveryPointId, Step, TierName};
use std::{collections::BTreeSet, fmt::Write as _};

/// What is known of a plan before its steps are shown.
pub(crate) struct Words<'a> {
    zone: &'a TimeZone,
    /// Points that the plan stores off this machine.
    leaving: BTreeSet<&'a RecoveryPointId>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        zone: &'a TimeZone,
        off_machine: &BTreeSet<TierName>,
    ) -> Self {
        let leaving = plan
            .steps
            .iter()
            .filter(|step| stores(step) && off_machine.contains(&step.tier))
            .map(|step| &step.recovery_point)
            .collect();
        Self { zone, leaving }
    }

    /// For a terminal: `; encrypted for prod, offline; locked until …`.
    pub(crate) fn after_reason(&self, step: &Step) -> String {
        let warning = self.is_plain(step);
        self.words(step)
            .into_iter()
            .enumerate()
            .map(|(index, words)| {
                let style = if warning && index == 0 {
                    color::WARN
                } else {
                    color::DIM
                };
                color::paint(style, format!("; {words}"))
            })
            .collect()
    }

    /// The same without color.
    pub(crate) fn plain_after_reason(&self, step: &Step) -> String {
        self.words(step)
            .into_iter()
            .fold(String::new(), |mut text, words| {
                let _ = write!(text, "; {words}");
                text
            })
    }

    fn is_plain(&self, step: &Step) -> bool {
        step.action == Action::Backup
            && step.encrypt_for.is_empty()
            && self.leaving.contains(&step.recovery_point)
    }

    fn words(&self, step: &Step) -> Vec<String> {
        let mut words = Vec::new();
        if self.is_plain(step) {
            words.push("PLAIN, not encrypted".to_owned());
        } else if !step.encrypt_for.is_empty() {
            let keys: Vec<&str> = step
                .encrypt_for
                .iter()
                .map(model::KeyName::as_str)
                .collect();
            words.push(format!("encrypted for {}", keys.join(", ")));
        }
        if let Some(lock) = step.lock.filter(|_| stores(step)) {
            words.push(format!("locked until {}", local(lock.until, self.zone)));
        }
        words
    }
}

fn stores(step: &Step) -> bool {
    matches!(
        step.action,
        Action::Backup | Action::Upload | Action::Repair
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{KeyName, LockMode, LockOrder};

    /// The plan of a scenario: a backup on `local` that is uploaded to `elsewhere`.
    fn scenario() -> Plan {
        let json = include_str!("../../examples/three-two-one/expected-plan.json");
        serde_json::from_str(json).unwrap()
    }

    fn said(plan: &Plan, off_machine: &[&str], action: Action) -> String {
        let tiers: BTreeSet<TierName> = off_machine
            .iter()
            .map(|name| TierName::new(name).unwrap())
            .collect();
        let zone = TimeZone::UTC;
        let step = plan.steps.iter().find(|step| step.action == action);
        Words::new(plan, &zone, &tiers).plain_after_reason(step.unwrap())
    }

    #[test]
    fn plain_data_that_leaves_the_machine_is_said_and_other_plain_data_is_not() {
        let plan = scenario();
        assert_eq!(said(&plan, &[], Action::Backup), "");
        assert_eq!(
            said(&plan, &["elsewhere"], Action::Backup),
            "; PLAIN, not encrypted"
        );
    }

    #[test]
    fn keys_and_locks_are_named() {
        let mut plan = scenario();
        for step in &mut plan.steps {
            step.lock = stores(step).then(|| LockOrder {
                mode: LockMode::Compliance,
                until: "2026-12-21T03:00:00Z".parse().unwrap(),
            });
            if step.action == Action::Backup {
                step.encrypt_for = vec![
                    KeyName::new("prod").unwrap(),
                    KeyName::new("offline").unwrap(),
                ];
            }
        }
        assert_eq!(
            said(&plan, &["elsewhere"], Action::Backup),
            "; encrypted for prod, offline; locked until 2026-12-21 03:00 UTC"
        );
        assert_eq!(said(&plan, &[], Action::Verify), "");
    }
}
