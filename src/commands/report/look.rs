//! What the policy and a look at keys and servers add to the facts. Nothing is changed.

use crate::{failure::Result, wiring};
use executor::look_at_keys;
use model::{
    DatabaseName, TierName,
    evidence::{Discovery, ExceptionFact, KeyFact, LogFact, ProofFact, TierFact},
};
use planner::{
    prove::{Proof, Verdict},
    status::{LogStatus, LogTier},
};
use policy_schema::{Policy, policy::CheckId};
use providers::registry;
use std::collections::{BTreeMap, BTreeSet};

/// The control that a check of the policy is an exception from.
fn control_of(check: CheckId) -> &'static str {
    match check {
        CheckId::Rpo | CheckId::NewestWithin => "recency.newest",
        CheckId::Rto => "recovery.time",
        CheckId::ThreeTwoOneOneZero => "copies.3-2-1-1-0",
        CheckId::KeyCustody => "encryption.custody",
        CheckId::RestoreTestedWithin => "recovery.proved",
        CheckId::Encryption => "encryption.at-rest",
        CheckId::MinimumFrequency => "schedule.frequency",
        CheckId::MinimumRetention => "retention.minimum",
        CheckId::MinimumLock => "immutability.lock",
    }
}

/// The exceptions of the policy, each for every database that it means.
pub(super) fn exceptions(policy: &Policy) -> Vec<ExceptionFact> {
    let mut facts = Vec::new();
    for check in CheckId::ALL {
        for database in policy.databases.values() {
            for exception in policy.exceptions_of(check, database) {
                facts.push(ExceptionFact {
                    control: control_of(check).to_owned(),
                    expires: exception.until,
                    owner: exception.owner.clone(),
                    subject: Some(database.name.to_string()),
                    why: exception.why.clone(),
                });
            }
        }
    }
    facts
}

pub(super) fn tiers(policy: &Policy) -> BTreeMap<TierName, TierFact> {
    let entries = registry::tiers();
    policy
        .tiers
        .values()
        .map(|declared| {
            let entry = entries.iter().find(|entry| entry.kind == declared.kind);
            let place = entry.and_then(|entry| (entry.place)(&declared.table, &declared.base));
            let fact = TierFact {
                archive: declared.capabilities.needs_thaw(),
                kind: declared.kind.clone(),
                lock: declared.capabilities.lock.map(|lock| lock.mode),
                media: Some(declared.media.clone()),
                off_site: declared.off_site,
                place: place.unwrap_or_else(|| declared.name.to_string()),
            };
            (declared.name.clone(), fact)
        })
        .collect()
}

pub(super) async fn keys(policy: &Policy) -> Result<Vec<KeyFact>> {
    let looks = look_at_keys(&wiring::keys(policy)?).await;
    Ok(looks
        .into_iter()
        .map(|look| KeyFact {
            trouble: look.trouble(),
            kind: look.kind,
            name: look.name,
        })
        .collect())
}

/// The verdicts of a proof on everything that is promised.
pub(super) fn proofs(proof: &Proof) -> Vec<ProofFact> {
    let mut facts = Vec::new();
    for database in &proof.databases {
        for range in &database.ranges {
            for (objective, figure) in [("rpo", &range.rpo), ("rto", &range.rto)] {
                let verdict = match figure.verdict {
                    Verdict::NotAsked => continue,
                    Verdict::Proved => "proved",
                    Verdict::Unproven => "unproven",
                    Verdict::Violated => "violated",
                };
                facts.push(ProofFact {
                    database: database.database.clone(),
                    from_age_seconds: range.from_seconds,
                    most_seconds: figure.most_seconds,
                    objective: objective.to_owned(),
                    promised_seconds: figure
                        .promised
                        .as_ref()
                        .and_then(|promise| i64::try_from(promise.maximum_seconds).ok()),
                    verdict: verdict.to_owned(),
                    why: figure.why.clone(),
                });
            }
        }
    }
    facts
}

/// How far back each archived log reaches.
pub(super) fn logs(seen: &BTreeMap<DatabaseName, LogStatus>) -> Vec<LogFact> {
    let of = |database: &DatabaseName, log: &LogStatus| -> Vec<LogFact> {
        let tiers = log.tiers.iter();
        let fact = |(tier, seen): (&TierName, &LogTier)| LogFact {
            database: database.clone(),
            reaches_end: seen.reaches_end,
            tier: tier.clone(),
            whole_since: seen.windows.iter().map(|window| window.from).collect(),
        };
        tiers.map(fact).collect()
    };
    seen.iter().flat_map(|(name, log)| of(name, log)).collect()
}

/// What each server holds beside the declared databases. A base backup of a whole server covers all of its databases.
pub(super) async fn discover(policy: &Policy) -> Result<Vec<Discovery>> {
    struct Server {
        found: BTreeSet<String>,
        declared: BTreeSet<String>,
        whole: bool,
        via: Vec<DatabaseName>,
    }
    let mut servers: BTreeMap<String, Server> = BTreeMap::new();
    let mut failures = Vec::new();
    for declared in policy.databases.values() {
        let engine = registry::engine(&declared.engine, &declared.table, &declared.base)?;
        match engine.neighbours().await {
            Ok(None) => {}
            Ok(Some(neighbours)) => {
                let server = servers.entry(neighbours.server).or_insert_with(|| Server {
                    found: BTreeSet::new(),
                    declared: BTreeSet::new(),
                    whole: false,
                    via: Vec::new(),
                });
                server.found.extend(neighbours.databases);
                server.declared.insert(neighbours.own);
                server.whole |= declared
                    .series
                    .values()
                    .any(|series| series.method.as_str() == "physical");
                server.via.push(declared.name.clone());
            }
            Err(error) => failures.push(Discovery {
                failure: Some(error.message.clone()),
                undeclared: Vec::new(),
                via: vec![declared.name.clone()],
            }),
        }
    }
    let mut discovered: Vec<Discovery> = servers
        .into_values()
        .map(|server| Discovery {
            failure: None,
            undeclared: if server.whole {
                Vec::new()
            } else {
                server.found.difference(&server.declared).cloned().collect()
            },
            via: server.via,
        })
        .collect();
    discovered.extend(failures);
    Ok(discovered)
}
