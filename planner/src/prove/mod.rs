//! Whether a policy keeps its objectives, for every age of a state and whatever moment somebody needs it, within assumptions that are named.
//!
//! For each age: how far states are apart (`profile`, from the `forecast` of the years ahead), and what a restore takes (`sources`: thaw, and the slow
//! end of what was measured). Figures are bounds: a promise is proved, violated with a counter-example, or unproven with what to measure (`judge`).
//! Semantics and formula: `docs/prove.md`; why so: `docs/decisions/`. Changes that would help are tried before they are offered (`suggest`).
//!
//! Invariants: pure; the same question gives the same bytes; databases do not influence each other. Databases of the same shape share the walk
//! through the years (`shape`), so that many cost little more than few.
//! Not here: looking at logs and keys (whoever asks does, `Facts`), exit codes and words on a screen (root package).

mod checks;
mod gaps;
mod judge;
mod log;
mod minimums;
mod profile;
mod proof;
mod shape;
mod sources;
mod spans;
mod statement;
mod suggest;
mod words;

pub use log::LogLag;
pub use proof::{
    AgeRange, CheckResult, CounterExample, DatabaseProof, FORMAT, Figure, Part, PartKind, Proof,
    Source, Statement, Suggestion, Tested, Verdict, Way,
};
pub use suggest::{Capable, suggest};
pub use words::span as words_for_seconds;

use crate::{parallel, recovery_time};
use jiff::{Timestamp, ToSpan as _};
use judge::Judge;
use model::{
    DatabaseName, Inventory, KeyName, RecoveryPoint, RecoveryPointId, tier_facts::TierCapabilities,
};
use policy_schema::{
    Policy,
    policy::{CheckId, DatabaseDeclaration},
};
use serde::{Deserialize, Serialize};
use shape::Shape;
use sources::{Known, Runs};
use spans::Ways;
use std::collections::{BTreeMap, BTreeSet};

/// How many years ahead schedules are followed unless somebody wants more: both changes of the clock and a whole year of retention.
pub const DEFAULT_YEARS: u32 = 2;

/// What was looked at beside the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Keys that something shall be encrypted for and that cannot be relied upon, with what is wrong; `None`: nobody has looked.
    pub keys_in_trouble: Option<BTreeMap<KeyName, String>>,
    /// How far logs were behind, where somebody has measured it.
    pub log_lags: BTreeMap<DatabaseName, LogLag>,
    /// Which keys each alone open a point; none: it is not encrypted. Points that are not in here: nobody has looked.
    pub recipients: BTreeMap<RecoveryPointId, BTreeSet<KeyName>>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The wish.
    pub policy: &'a Policy,
    /// What exists.
    pub inventory: &'a Inventory,
    /// What tiers can do.
    pub capabilities: &'a TierCapabilities,
    /// What was looked at beside the inventory.
    pub facts: &'a Facts,
    /// The instant for which it is asked.
    pub now: Timestamp,
    /// Schedules are followed up to here.
    pub until: Timestamp,
}

impl<'a> Question<'a> {
    /// What is asked of so many years ahead, by the calendar of the policy.
    pub fn of_years(
        policy: &'a Policy,
        inventory: &'a Inventory,
        capabilities: &'a TierCapabilities,
        facts: &'a Facts,
        now: Timestamp,
        years: u32,
    ) -> Self {
        let ahead = i64::from(years.clamp(1, 100)).years();
        let until = now.to_zoned(policy.timezone.clone()).checked_add(ahead);
        Self {
            policy,
            inventory,
            capabilities,
            facts,
            now,
            until: until.map_or(Timestamp::MAX, |until| until.timestamp()),
        }
    }
}

/// Proves what can be proved of every database, without suggestions.
pub fn prove(question: &Question<'_>) -> Proof {
    prove_some(question, &|_| true)
}

/// The same for some databases.
pub fn prove_some(
    question: &Question<'_>,
    wanted: &(dyn Fn(&DatabaseDeclaration) -> bool + Sync),
) -> Proof {
    let points = recovery_time::complete_points(question.inventory);
    let runs = sources::runs(question.inventory);
    let databases = question.policy.databases.values();
    let groups = shape::groups(databases.filter(|database| wanted(database)));
    let parts = parallel::map_chunks(&groups, |groups| {
        let mut done = Vec::new();
        for group in groups {
            let Some(first) = group.first() else { continue };
            let shape = question.shape(first);
            for database in group {
                done.push(question.database(&shape, database, &points, &runs));
            }
        }
        done
    });
    let mut databases = Vec::new();
    let mut checks = Vec::new();
    for (proof, results) in parts.into_iter().flatten() {
        databases.push(proof);
        checks.extend(results);
    }
    databases.sort_by(|a: &DatabaseProof, b| a.database.cmp(&b.database));
    checks.sort_by(|a: &CheckResult, b| (&a.database, a.id).cmp(&(&b.database, b.id)));
    Proof {
        checks,
        databases,
        evaluated_at: question.now,
        format: FORMAT.to_owned(),
        inventory_digest: crate::inventory_digest(question.inventory),
        policy_digest: question.policy.digest.clone(),
        until: question.until,
    }
}

impl Question<'_> {
    fn shape(&self, database: &DatabaseDeclaration) -> Shape {
        let span = (self.now, self.until);
        Shape::new(self.policy, self.capabilities, database, span)
    }

    fn database(
        &self,
        shape: &Shape,
        database: &DatabaseDeclaration,
        points: &BTreeMap<&DatabaseName, Vec<&RecoveryPoint>>,
        runs: &Runs,
    ) -> (DatabaseProof, Vec<CheckResult>) {
        let none = Vec::new();
        let known = Known {
            database,
            inventory: self.inventory,
            capabilities: self.capabilities,
            facts: self.facts,
            points: points.get(&database.name).unwrap_or(&none),
            runs,
            now: self.now,
        };
        let ways = Ways::new(&known, shape, &self.policy.timezone);
        let failed_drills = known.failed_drills();
        let asks = |id| self.policy.check_of(id, database).enabled;
        let judge = Judge {
            known: &known,
            shape,
            ways: &ways,
            asked: (asks(CheckId::Rpo), asks(CheckId::Rto)),
            failed_drills: &failed_drills,
        };
        let ranges: Vec<AgeRange> = ways
            .spans(&known)
            .iter()
            .map(|span| judge.range(span))
            .collect();
        let verdicts = ranges
            .iter()
            .flat_map(|range| [range.rpo.verdict, range.rto.verdict]);
        let mut proof = DatabaseProof {
            database: database.name.clone(),
            last_tested: known.last_tested(),
            newest_state: known.newest_state(),
            reach_seconds: ways.full.reach(),
            statement: None,
            suggestions: Vec::new(),
            verdict: verdicts.max().unwrap_or_default(),
            failed_drills: failed_drills.clone(),
            ranges,
        };
        proof.statement = statement::statement(&known, &proof, &ways.all);
        let results = checks::results(self.policy, &known, &proof);
        (proof, results)
    }
}
