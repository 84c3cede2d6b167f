//! The proof: the policy that was written and the tool's rules side by side over years.

use super::found::Found;
use jiff::Timestamp;
use model::{DatabaseName, Inventory, SeriesName, TierName};
use planner::{
    forecast::{Scenario, forecast},
    foreign::{
        Kind,
        compare::{Comparison, Question, compare},
    },
};
use policy_schema::Policy;
use serde::Serialize;

/// What the simulation of one database on one tier showed.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    /// The database.
    pub(crate) database: String,
    /// The tier.
    pub(crate) tier: String,
    /// The tool keeps the data; points only point to it.
    pub(crate) pointers: bool,
    /// How both compare.
    #[serde(flatten)]
    pub(crate) comparison: Comparison,
}

/// Simulates every database on every tier.
pub(crate) fn prove(
    found: &Found,
    policy: &Policy,
    from: Timestamp,
    until: Timestamp,
) -> Vec<Proof> {
    let capabilities = crate::wiring::capabilities(policy);
    let forecast = forecast(
        policy,
        &Inventory::empty(from),
        &capabilities,
        &Scenario::undisturbed(from, until),
    );
    let mut proofs = Vec::new();
    for database in &found.databases {
        let name = DatabaseName::new(&database.name).ok();
        let declared = name.as_ref().and_then(|name| policy.databases.get(name));
        let lives = name.as_ref().and_then(|name| forecast.databases.get(name));
        let (Some(declared), Some(lives)) = (declared, lives) else {
            continue;
        };
        let streams: Vec<(SeriesName, Kind)> = database
            .series
            .iter()
            .filter_map(|series| Some((SeriesName::new(&series.name).ok()?, series.kind)))
            .collect();
        for (tier, rules) in &database.rules {
            let Ok(tier) = TierName::new(tier) else {
                continue;
            };
            let comparison = compare(&Question {
                policy,
                database: declared,
                lives,
                tier: &tier,
                streams: &streams,
                rules,
                from,
                until,
            });
            proofs.push(Proof {
                database: database.name.clone(),
                tier: tier.to_string(),
                pointers: database.pointers,
                comparison,
            });
        }
    }
    proofs
}
