//! What must be true of any plan, stated without looking at the rules that made it.
//!
//! Runs on every plan made in any test, and may run on a plan from elsewhere. It knows the policy's promises (design.md
//! §4), not how they are kept: it evaluates no retention and no schedule.

mod deletions;
mod log;
mod sealed;
mod shape;

use model::{Inventory, Plan, tier_facts::TierCapabilities};
use policy_schema::Policy;
use std::fmt;

/// A promise that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The promise, as a short sentence.
    pub promise: &'static str,
    /// What breaks it.
    pub by: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.promise, self.by)
    }
}

/// Everything that is wrong with `plan`, for the policy, inventory and capabilities that it was made from; empty for a
/// sound plan.
pub fn check(
    plan: &Plan,
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |promise: &'static str, by: String| {
        violations.push(Violation { promise, by });
    };
    shape::graph(plan, &mut report);
    shape::steps(plan, policy, inventory, &mut report);
    shape::making(plan, policy, inventory, &mut report);
    deletions::each(plan, policy, inventory, &mut report);
    deletions::what_remains(plan, policy, inventory, &mut report);
    deletions::nothing_is_forgotten(plan, policy, inventory, &mut report);
    sealed::encryption(plan, policy, &mut report);
    sealed::archives(plan, capabilities, &mut report);
    sealed::locks(plan, inventory, capabilities, &mut report);
    log::deletions(plan, policy, inventory, &mut report);
    log::first_bases(plan, policy, inventory, &mut report);
    log::chains(plan, inventory, policy, &mut report);
    log::drills(plan, inventory, policy, &mut report);
    violations.sort();
    violations
}

/// How the parts report.
type Report<'r> = dyn FnMut(&'static str, String) + 'r;
