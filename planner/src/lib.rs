//! Pure planning: what the policy wants, what exists, what to do about the difference, and why.
//!
//! `plan` is a function: the same policy, inventory, `now` and options give the same bytes, in whatever order the
//! inventory stands. Nothing here asks a clock, reads a file or knows a provider. Series are planned one by one
//! (`rules`, the whole pipeline on one screen) and never compared with each other; what their database has in common is the
//! archived log (`log`, `expire`) and the drills (`drills`); `order` makes the DAG a list;
//! `check` states, independently, what must be true of any plan.
//!
//! Not here: carrying out (`executor`), words on a screen (root package).

pub mod adoption;
mod approval;
pub mod check;
pub mod controls;
pub mod diff;
mod draft;
mod drills;
mod expire;
pub mod explain;
mod facts;
mod fate;
mod fingerprint;
pub mod forecast;
pub mod foreign;
mod lifetime;
mod log;
mod log_status;
mod order;
mod parallel;
pub mod prove;
mod recovery_time;
pub mod retention;
mod rules;
pub mod simulation;
pub mod status;
mod world;

pub use adoption::adoption;
pub use check::{Violation, check};
pub use diff::diff;
pub use explain::explain;
pub use fate::Gone;
pub use fingerprint::inventory_digest;
pub use lifetime::Until;
pub use status::status;

use draft::{Output, Words};
use facts::{BySeries, SeriesFacts};
use jiff::Timestamp;
use log::Log;
use model::{
    DatabaseName, Inventory, Keep, Plan, PolicySource, SeriesName, TierName, plan::FORMAT,
    tier_facts::TierCapabilities,
};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use std::collections::{BTreeMap, BTreeSet};
use world::World;

/// What was asked for beside the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Orphans to purge: of a whole database, or of one series.
    pub purge: Vec<(DatabaseName, Option<SeriesName>)>,
    /// Recovery points to make now, outside the schedule: of every series of a database, or of one.
    pub requested: Vec<(DatabaseName, Option<SeriesName>)>,
    /// Drills to carry out now, outside the schedule: every one of a database, or the one of this name.
    pub drills: Vec<(DatabaseName, Option<String>)>,
    /// Where the policy comes from; goes into the plan as it is.
    pub policy_source: Option<PolicySource>,
}

impl Options {
    fn requests(&self, database: &DatabaseName, series: &SeriesName) -> bool {
        names(&self.requested, database, series)
    }

    fn asks_for_drill(&self, database: &DatabaseName, drill: &str) -> bool {
        self.drills
            .iter()
            .any(|(named, one)| named == database && one.as_ref().is_none_or(|name| name == drill))
    }

    fn purges(&self, database: &DatabaseName, series: &SeriesName) -> bool {
        names(&self.purge, database, series)
    }
}

fn names(
    list: &[(DatabaseName, Option<SeriesName>)],
    database: &DatabaseName,
    series: &SeriesName,
) -> bool {
    list.iter()
        .any(|(named, part)| named == database && part.as_ref().is_none_or(|part| part == series))
}

/// Plans everything, without its id: `plan` is this and a digest.
pub fn draft_plan(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: Timestamp,
    options: &Options,
) -> Plan {
    let world = World::new(policy, inventory, capabilities, now, options);
    let groups = facts::by_series(&inventory.recovery_points);
    let mut output = Output::default();
    rules::unreachable_tiers(&world, &mut output);
    let databases: Vec<&DatabaseDeclaration> = policy.databases.values().collect();
    let parts = parallel::map_chunks(&databases, |databases| {
        let mut part = Output::default();
        let mut words = Words::default();
        for database in databases {
            plan_database(&world, database, &groups, &mut words, &mut part);
        }
        part
    });
    for part in parts {
        output.append(part);
    }
    undeclared(&world, &groups, &mut output);

    let weakened = approval::rules_weakened(&world);
    let rules_weakened = weakened.is_some();
    output.approval.extend(weakened);
    let steps = order::topological(output.steps);
    Plan {
        applyable: !steps.is_empty(),
        approval: output.approval,
        approval_rules: policy.approval.clone(),
        evaluated_at: now,
        format: FORMAT.to_owned(),
        id: None,
        inventory_digest: fingerprint::of_grouped(inventory, &groups),
        kept: output.kept,
        missed: output.missed,
        needs_approval: rules_weakened || steps.iter().any(|step| step.needs_approval),
        next_slots: output.next_slots,
        not_planned: output.not_planned,
        policy_digest: policy.digest.clone(),
        policy_source: options.policy_source.clone(),
        retention: retention_of(policy, output.still_in_force),
        steps,
    }
}

/// Decides what to do now to make `inventory` what `policy` wants.
///
/// The plan is sealed: its id is the digest of its canonical JSON.
pub fn plan(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: Timestamp,
    options: &Options,
) -> Plan {
    let mut plan = draft_plan(policy, inventory, capabilities, now, options);
    // Digesting fails only for data that JSON cannot hold, which a plan never is; without an id nobody can approve it.
    plan.id = model::canonical::digest(&plan).ok();
    plan
}

fn plan_database<'a>(
    world: &World<'a>,
    database: &'a DatabaseDeclaration,
    groups: &BySeries<'a>,
    words: &mut Words,
    output: &mut Output,
) {
    let mut mine = Output::default();
    let mut all: Vec<SeriesFacts<'a>> = Vec::with_capacity(database.series.len());
    for series in database.series.values() {
        let points = groups
            .get(&(&database.name, &series.name))
            .cloned()
            .unwrap_or_default();
        let named: BTreeSet<&TierName> = series.keep.iter().map(|(tier, _)| tier).collect();
        rules::orphans::of_series(
            world,
            &database.name,
            &series.name,
            &points,
            &named,
            &mut mine,
        );
        all.push(SeriesFacts::new(world, database, series, points));
    }
    let log = Log::new(world, database);
    for facts in &mut all {
        facts.log = log.needs_of(facts);
        mine.append(rules::plan_series(world, facts, words));
    }
    expire::what_nothing_needs_of_the_log_goes(world, database, &log, &mut mine);
    drills::due_drills_are_carried_out(world, database, &all, &log, &mut mine);
    recovery_time::a_broken_promise_is_said(world.inventory, database, groups, &mut mine);
    output.append(mine);
}

/// Points whose database or series the policy does not declare.
fn undeclared(world: &World<'_>, groups: &BySeries<'_>, output: &mut Output) {
    let mut keys: Vec<_> = groups
        .keys()
        .filter(|(database, series)| {
            world
                .policy
                .databases
                .get(*database)
                .is_none_or(|declared| !declared.series.contains_key(*series))
        })
        .collect();
    keys.sort_unstable();
    for key in keys {
        rules::orphans::of_series(world, key.0, key.1, &groups[key], &BTreeSet::new(), output);
    }
}

type Retention = BTreeMap<DatabaseName, BTreeMap<SeriesName, BTreeMap<TierName, Keep>>>;

/// What is in force after the plan was carried out completely: the policy's rules, except where a longer one still
/// protects points.
fn retention_of(
    policy: &Policy,
    still_in_force: Vec<(DatabaseName, SeriesName, TierName, Keep)>,
) -> Retention {
    let mut retention: Retention = policy
        .databases
        .values()
        .map(|database| {
            let series = database.series.values().map(|series| {
                let tiers = series.keep.iter().cloned().collect();
                (series.name.clone(), tiers)
            });
            let log = database.wal.iter().filter_map(log::retention_of);
            (database.name.clone(), series.chain(log).collect())
        })
        .collect();
    for (database, series, tier, keep) in still_in_force {
        retention
            .entry(database)
            .or_default()
            .entry(series)
            .or_default()
            .insert(tier, keep);
    }
    retention
}
