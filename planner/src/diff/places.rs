//! Tiers that have a name and another place than before: everything on them stays behind, where nothing looks for it any more.
//!
//! Places are told by how tiers are declared; whether the new place holds the same data, because somebody has moved it, cannot be known
//! here and is what a person agrees to. Not here: the copies themselves (`points`).

use super::{Approval, ApprovalCode, Orphaned, PolicyDiff};
use model::{DatabaseName, SeriesName, TierName};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, TierDeclaration},
};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of a tier's table that say where it is.
const WHERE: [&str; 4] = ["path", "bucket", "prefix", "endpoint"];

/// Tiers of both policies that lie elsewhere in the new one.
pub(super) fn moved<'p>(old: &'p Policy, new: &Policy) -> BTreeSet<&'p TierName> {
    let elsewhere = |tier: &&TierDeclaration| {
        let now = new.tiers.get(&tier.name);
        now.is_some_and(|now| place(now) != place(tier))
    };
    let tiers = old.tiers.values().filter(elsewhere);
    tiers.map(|tier| &tier.name).collect()
}

fn place(tier: &TierDeclaration) -> (&str, [&str; 4]) {
    let values = WHERE.map(|key| {
        let value = tier.table.get(key).and_then(serde_json::Value::as_str);
        value.unwrap_or_default().trim_end_matches('/')
    });
    (&tier.kind, values)
}

/// What somebody must agree to: every series, and every log, that goes on using such a tier, whether or not anything of it is known.
pub(super) fn approval(old: &Policy, new: &Policy, diff: &PolicyDiff) -> Vec<Approval> {
    let moved = moved(old, new);
    if moved.is_empty() {
        return Vec::new();
    }
    let behind: BTreeMap<_, &Orphaned> = diff
        .orphaned
        .iter()
        .map(|one| ((&one.database, &one.series, &one.tier), one))
        .collect();
    let mut approval = Vec::new();
    for database in old.databases.values() {
        let Some(after) = new.databases.get(&database.name) else {
            continue;
        };
        for (series, tier) in uses(database) {
            let still = uses(after).any(|used| used == (series, tier));
            if !still || !moved.contains(tier) {
                continue;
            }
            let known = series.and_then(|series| behind.get(&(&database.name, series, tier)));
            approval.push(told(&database.name, series, tier, known.copied()));
        }
    }
    approval
}

/// The tiers of each series, and those of the log.
fn uses(database: &DatabaseDeclaration) -> impl Iterator<Item = (Option<&SeriesName>, &TierName)> {
    let logs = database.wal.iter().flat_map(|wal| &wal.keep);
    let series = database.series.values().flat_map(|series| {
        let tiers = series.keep.iter();
        tiers.map(move |(tier, _)| (Some(&series.name), tier))
    });
    logs.map(|(tier, _)| (None, tier)).chain(series)
}

fn told(
    database: &DatabaseName,
    series: Option<&SeriesName>,
    tier: &TierName,
    behind: Option<&Orphaned>,
) -> Approval {
    let what = match (series, behind.map(|behind| behind.copies)) {
        (None, _) => "the archived log stays".to_owned(),
        (Some(_), None) => "what is stored stays".to_owned(),
        (Some(_), Some(1)) => "1 copy stays".to_owned(),
        (Some(_), Some(copies)) => format!("{copies} copies stay"),
    };
    let name = series.map_or_else(
        || database.to_string(),
        |series| format!("{database}/{series}"),
    );
    Approval {
        code: ApprovalCode::TierMoved,
        database: database.clone(),
        series: series.cloned(),
        text: format!(
            "{name}: tier {tier} is another place now; {what} behind unless you move it: nothing is deleted, and nothing looks there any more"
        ),
        tier: Some(tier.clone()),
    }
}
