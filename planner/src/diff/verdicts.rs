//! Promises and checks whose verdict changes: proved before, violated after.
//!
//! Both policies are proved over the same inventory (`prove`), without looking at keys or at running logs. Not here: what a promise is worth,
//! and how a verdict comes about.

use super::{Planned, PolicyDiff, VerdictChange};
use crate::prove::{CheckResult, DEFAULT_YEARS, Facts, Question, Verdict, prove};
use model::DatabaseName;
use policy_schema::policy::CheckId;
use std::collections::BTreeMap;

type Verdicts = BTreeMap<(DatabaseName, CheckId), CheckResult>;

pub(super) fn compare(old: &Planned<'_>, new: &Planned<'_>, diff: &mut PolicyDiff) {
    let (before, after) = (verdicts(old), verdicts(new));
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let in_both = [old, new].map(|side| side.world.policy.databases.contains_key(&key.0));
        if in_both != [true, true] {
            continue;
        }
        let verdict = |of: &Verdicts| of.get(key).map_or(Verdict::NotAsked, |one| one.verdict);
        let (from, to) = (verdict(&before), verdict(&after));
        if from != to {
            diff.verdicts.push(VerdictChange {
                check: key.1,
                database: key.0.clone(),
                from,
                to,
                why: after.get(key).map(|one| one.why.clone()),
                worse: from != Verdict::NotAsked && to > from,
            });
        }
    }
}

fn verdicts(side: &Planned<'_>) -> Verdicts {
    let world = &side.world;
    let facts = Facts::default();
    let question = Question::of_years(
        world.policy,
        world.inventory,
        world.capabilities,
        &facts,
        world.now,
        DEFAULT_YEARS,
    );
    let checks = prove(&question).checks.into_iter();
    let keyed = checks.map(|check| ((check.database.clone(), check.id), check));
    keyed.collect()
}
