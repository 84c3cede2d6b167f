//! `prove`: whether the policy keeps its objectives, for every age and the years ahead; with what would mend it. Exit 6 when one that matters is
//! violated or unproven. Looks through read-only tiers, so a mistake here cannot write.

use super::{
    custody::{self, Custody},
    logs,
    plan::read_inventory,
    planning,
    running::RealClock,
};
use crate::{
    arguments::{Global, ProveArguments},
    clock,
    exit::Exit,
    failure::Result,
    policy,
    render::{out, prove as render},
    wiring,
};
use executor::Clock;
use model::{DatabaseName, Inventory, tier_facts::TierCapabilities};
use planner::{
    prove::{Facts, LogLag, Proof, Question, Verdict, prove_some, suggest},
    status::LogStatus,
};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

pub(crate) async fn run(arguments: ProveArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = arguments.now.unwrap_or_else(clock::now);
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for name in &arguments.databases {
        wanted.insert(planning::declared(&policy, name)?.name.as_str());
    }
    let (inventory, facts) = if let Some(file) = &arguments.inventory {
        (read_inventory(file)?, Facts::default())
    } else {
        let looked = planning::look(global, &path, &policy, now, false).await?;
        let facts = facts(
            &policy,
            &looked,
            custody::look(global, &path, &policy).await?,
        )
        .await?;
        (looked.inventory, facts)
    };
    let capabilities = wiring::capabilities(&policy);
    let question = Question::of_years(
        &policy,
        &inventory,
        &capabilities,
        &facts,
        now,
        arguments.years,
    );
    let mut proof = prove_some(&question, &|database| {
        wanted.is_empty() || wanted.contains(database.name.as_str())
    });
    with_suggestions(&mut proof, &question);
    if global.json {
        out::json(&proof)?;
    } else {
        out::data(&render::proof(&proof, &policy.timezone))?;
    }
    Ok(if proof.fails() {
        Exit::ObjectiveViolated
    } else {
        Exit::Done
    })
}

/// What a report says of objectives: the proof of then, without suggestions. From what is given alone: it can be computed again anywhere.
pub(crate) fn again(
    policy: &Policy,
    inventory: &Inventory,
    facts: &Facts,
    now: jiff::Timestamp,
) -> Proof {
    let capabilities = wiring::capabilities(policy);
    let years = planner::prove::DEFAULT_YEARS;
    let question = Question::of_years(policy, inventory, &capabilities, facts, now, years);
    // Without a promise there is nothing to prove, however long its schedule would take to follow.
    prove_some(&question, &promises)
}

fn with_suggestions(proof: &mut Proof, question: &Question<'_>) {
    for database in &mut proof.databases {
        if database.verdict == Verdict::Violated {
            database.suggestions = suggest(question, database, &wiring::capabilities_of);
        }
    }
}

/// What was looked at beside the inventory.
pub(crate) struct Beside {
    /// For proofs.
    pub(crate) facts: Facts,
    /// Archived logs.
    pub(crate) logs: BTreeMap<DatabaseName, LogStatus>,
}

async fn facts(policy: &Policy, looked: &planning::Looked, custody: Custody) -> Result<Facts> {
    Ok(beside(policy, looked, custody).await?.facts)
}

/// What only looking can tell: keys, how far logs are behind, and how far back they reach.
pub(crate) async fn beside(
    policy: &Policy,
    looked: &planning::Looked,
    custody: Custody,
) -> Result<Beside> {
    let mut facts = Facts {
        keys_in_trouble: Some(custody.trouble),
        log_lags: BTreeMap::new(),
        recipients: custody.recipients,
    };
    let mut seen = BTreeMap::new();
    if looked.logs.is_empty() {
        return Ok(Beside { facts, logs: seen });
    }
    let mut wired = wiring::wire(policy, PathBuf::new())?;
    wiring::read_only(&mut wired.tiers);
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    for log in logs::judged(policy, &wired, &looked.logs, &looked.inventory, &clock).await {
        let short = logs::short(&log);
        let ends = short.tiers.values().filter(|tier| tier.reaches_end);
        let asked = short.server_trouble.is_none();
        let lag = LogLag {
            at: clock.now(),
            seconds: ends
                .filter_map(|tier| tier.lag_seconds)
                .min()
                .filter(|_| asked),
        };
        facts.log_lags.insert(log.database.clone(), lag);
        seen.insert(log.database.clone(), short);
    }
    Ok(Beside { facts, logs: seen })
}

fn promises(database: &DatabaseDeclaration) -> bool {
    let objective = &database.objective;
    objective.rpo.is_some() || objective.rto.is_some() || !objective.at_age.is_empty()
}

/// What `plan` and `validate` say of objectives; `None`: the policy has none.
pub(crate) fn briefly(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: jiff::Timestamp,
) -> Option<Proof> {
    if !policy.databases.values().any(promises) {
        return None;
    }
    let facts = Facts::default();
    let years = planner::prove::DEFAULT_YEARS;
    let question = Question::of_years(policy, inventory, capabilities, &facts, now, years);
    Some(prove_some(&question, &promises))
}
