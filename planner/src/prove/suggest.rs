//! The cheapest changes that would mend a broken promise. Each is tried: applied to a copy of the policy, and proved again.
//!
//! Invariant: what is offered as proving does prove, with the very inventory and the very assumptions of the question. A change after which
//! something must be measured before anybody knows (a log that is not archived yet has no lag) is offered only behind those, and says what.
//! Not here: which changes there are to try (`candidates`), how they are written (`toml`).

mod candidates;
mod log;
mod toml;

use super::{
    Question,
    proof::{DatabaseProof, Suggestion, Verdict},
    prove_some,
    shape::{Shape, outside},
    sources::{chain_sizes, pairs},
};
use candidates::{Candidate, candidates};
use model::{Capabilities, DatabaseName, SeriesName, TierName, tier_facts::TierCapabilities};
use policy_schema::{
    Policy,
    policy::{CheckId, DatabaseDeclaration, TierDeclaration},
};
use std::collections::BTreeMap;

/// What a tier can do when it is declared so: its provider's answer, which nothing here knows.
pub type Capable<'a> = dyn Fn(&TierDeclaration) -> Capabilities + 'a;

/// More than these few are not read.
const MOST: usize = 3;

/// Changes that mend what is violated of one database, cheapest first.
pub fn suggest(
    question: &Question<'_>,
    proof: &DatabaseProof,
    capable: &Capable<'_>,
) -> Vec<Suggestion> {
    let Some(database) = question.policy.databases.get(&proof.database) else {
        return Vec::new();
    };
    let alone = Policy {
        databases: [(database.name.clone(), database.clone())].into(),
        checks: question.policy.checks.clone(),
        ..outside(question.policy)
    };
    let before = copies(question, &alone, database);
    let mut offered: Vec<Suggestion> = Vec::new();
    for mends in [CheckId::Rpo, CheckId::Rto] {
        if worst(proof, mends) != Verdict::Violated {
            continue;
        }
        let mut solved: Vec<String> = Vec::new();
        for candidate in candidates(question, database, proof, mends) {
            // Of one kind of change the first that proves is the cheapest.
            if solved.contains(&candidate.kind) {
                continue;
            }
            let tried = attempt(question, &alone, &candidate, capable, proof);
            if let Some((policy, after)) = tried {
                let then = worst(&after, mends);
                if then == Verdict::Proved {
                    solved.push(candidate.kind.clone());
                }
                let (adds_copies, adds_bytes) = cost(question, &policy, database, &before);
                offered.push(Suggestion {
                    adds_bytes,
                    adds_copies,
                    measure: measure(&after, mends),
                    mends,
                    then,
                    toml: candidate.toml,
                    what: candidate.what,
                    place: candidate.place,
                });
            }
        }
        // A change that proves beats one that leaves something to measure.
        let proves = |one: &Suggestion| one.mends == mends && one.then == Verdict::Proved;
        if offered.iter().any(proves) {
            offered.retain(|one| one.mends != mends || one.then == Verdict::Proved);
        }
    }
    offered.sort_by_key(|one| (one.mends, one.then, one.adds_bytes, one.adds_copies));
    let mut count: BTreeMap<CheckId, usize> = BTreeMap::new();
    offered.retain(|one| {
        let count = count.entry(one.mends).or_default();
        *count += 1;
        *count <= MOST
    });
    offered
}

/// The worst verdict of an objective.
fn worst(proof: &DatabaseProof, of: CheckId) -> Verdict {
    let figures = proof.ranges.iter().map(|range| match of {
        CheckId::Rpo => range.rpo.verdict,
        _ => range.rto.verdict,
    });
    figures.max().unwrap_or_default()
}

fn measure(proof: &DatabaseProof, of: CheckId) -> Option<String> {
    let mut figures = proof.ranges.iter().map(|range| match of {
        CheckId::Rpo => &range.rpo,
        _ => &range.rto,
    });
    figures.find_map(|figure| figure.measure.clone())
}

/// The policy with the change, and its proof, if the promise is violated no more and the other one no worse.
fn attempt(
    question: &Question<'_>,
    alone: &Policy,
    candidate: &Candidate,
    capable: &Capable<'_>,
    before: &DatabaseProof,
) -> Option<(Policy, DatabaseProof)> {
    let mut policy = alone.clone();
    (candidate.change)(&mut policy);
    let mut capabilities: TierCapabilities = question.capabilities.clone();
    for (name, tier) in &mut policy.tiers {
        let old = question.policy.tiers.get(name);
        if old.is_none_or(|old| old.table != tier.table) {
            tier.capabilities = capable(tier);
            capabilities.insert(name.clone(), tier.capabilities);
        }
    }
    let changed = Question {
        policy: &policy,
        capabilities: &capabilities,
        ..*question
    };
    let after = prove_some(&changed, &|_| true).databases.pop()?;
    let other = match candidate.mends {
        CheckId::Rpo => CheckId::Rto,
        _ => CheckId::Rpo,
    };
    let better = worst(&after, candidate.mends) < Verdict::Violated;
    (better && worst(&after, other) <= worst(before, other)).then_some((policy, after))
}

type Copies = BTreeMap<(SeriesName, TierName), i64>;

/// How many copies there are of everything once the policy has been in force for long.
fn copies(question: &Question<'_>, policy: &Policy, database: &DatabaseDeclaration) -> Copies {
    let shape = Shape::new(
        policy,
        question.capabilities,
        database,
        (question.now, question.until),
    );
    let names = pairs(database)
        .into_iter()
        .map(|(series, tier)| (series.name.clone(), tier.clone()));
    names.zip(shape.copies()).collect()
}

fn cost(
    question: &Question<'_>,
    policy: &Policy,
    database: &DatabaseDeclaration,
    before: &Copies,
) -> (i64, Option<u64>) {
    let Some(changed) = policy.databases.get(&database.name) else {
        return (0, None);
    };
    let after = copies(question, policy, changed);
    let sizes = chain_sizes(question.inventory, &database.name);
    let mut bytes = Some(0_i64);
    let mut count = 0;
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let of = |copies: &Copies| copies.get(key).copied().unwrap_or(0);
        let more = of(&after) - of(before);
        count += more;
        if more != 0 {
            let size = sizes.get(&key.0).and_then(|size| i64::try_from(*size).ok());
            bytes = bytes
                .zip(size)
                .map(|(sum, size)| sum.saturating_add(size.saturating_mul(more)));
        }
    }
    let bytes = bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0));
    (count, bytes)
}

/// The database that a candidate changes.
fn of<'p>(policy: &'p mut Policy, name: &DatabaseName) -> Option<&'p mut DatabaseDeclaration> {
    policy.databases.get_mut(name)
}
