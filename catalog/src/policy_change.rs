//! The entry of the audit that says that a run is the first under another policy, and what became of the retention rules.
//!
//! Compared are the plans of the two runs, which hold every rule that their policies declare; not the rules in force, where those of
//! what is no longer declared stay.

use crate::{
    audit::{AuditDetails, AuditEntry, AuditKind},
    retention::Retention,
    runs::NewRun,
};
use model::{Digest, PolicySource, audit::RetentionChange};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// What of a stored plan tells the policy's retention.
#[derive(serde::Deserialize, Default)]
struct Declared {
    #[serde(default)]
    policy_source: Option<PolicySource>,
    #[serde(default)]
    retention: Retention,
}

fn declared(plan: &str) -> Declared {
    // A plan that cannot be read is no reason not to run: then the sentence names only the digests.
    serde_json::from_str(plan).unwrap_or_default()
}

/// The act of running under another policy than before, with the plan of the run before.
pub(crate) fn entry(run: &NewRun, earlier: Option<(Digest, String)>) -> AuditEntry {
    let now = declared(&run.plan_json);
    let (old, changes) = match earlier {
        Some((old, plan)) => {
            let changes = differences(&declared(&plan).retention, &now.retention);
            (Some(old), changes)
        }
        None => (None, Vec::new()),
    };
    let new = &run.policy_digest;
    let mut why = match &old {
        Some(old) => format!("another policy than before, which was {old}"),
        None => "the first policy that a run uses".to_owned(),
    };
    if !changes.is_empty() {
        let places: Vec<String> = changes
            .iter()
            .take(NAMED)
            .map(|change| format!("{}/{} on {}", change.database, change.series, change.tier))
            .collect();
        let more = changes.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let _ = write!(why, "; other retention for {}{more}", places.join(", "));
    }
    if let Some(source) = &now.policy_source {
        let _ = write!(
            why,
            "; changed in {} by {}",
            source.changed_in, source.author
        );
    }
    AuditEntry {
        at: run.at,
        who: run.who.clone(),
        kind: AuditKind::PolicyChange,
        what: new.to_string(),
        why,
        details: Some(AuditDetails::PolicyChange {
            source: now.policy_source,
            new: new.clone(),
            old,
            retention: changes,
            run: run.id.clone(),
        }),
    }
}

/// Places that the sentence about a policy names; all of them stand in the details.
const NAMED: usize = 5;

/// The rules that differ, also those that only one of the two policies declares.
fn differences(before: &Retention, now: &Retention) -> Vec<RetentionChange> {
    let rules = |retention: &Retention| {
        let mut rules = BTreeMap::new();
        for (database, by_series) in retention {
            for (series, by_tier) in by_series {
                for (tier, keep) in by_tier {
                    rules.insert(
                        (database.clone(), series.clone(), tier.clone()),
                        keep.clone(),
                    );
                }
            }
        }
        rules
    };
    let (mut old, mut new) = (rules(before), rules(now));
    let places: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let changes = places.into_iter().filter_map(|place| {
        let (old, new) = (old.remove(&place), new.remove(&place));
        let (database, series, tier) = place;
        (old != new).then_some(RetentionChange {
            database,
            new,
            old,
            series,
            tier,
        })
    });
    changes.collect()
}
