//! `status`: does each database keep its promise now, and can its keys be used? Exit 6 when one does not, 1 when it
//! cannot be told.

use super::{logs, planning, running::RealClock};
use crate::{
    arguments::Global,
    clock,
    exit::Exit,
    failure::Result,
    policy,
    render::{out, status},
    wiring,
};
use executor::Clock;
use model::KeyName;
use planner::status::{DatabaseStatus, Verdict};
use policy_schema::Policy;
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

pub(crate) async fn run(global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let looked = planning::look(global, &path, &policy, now, false).await?;
    let mut databases = planner::status(&policy, &looked.inventory, now);
    let keys = planning::keys_in_trouble(&policy).await?;
    with_logs(&policy, &looked, &mut databases).await?;
    without_keys(&policy, &keys, &mut databases);
    if global.json {
        out::json(
            &json!({"format": "mainstay.status.v1", "evaluated_at": now, "databases": databases, "keys_in_trouble": keys}),
        )?;
    } else {
        planning::warn_about_keys(&keys);
        out::data(&status::status(&databases, &policy.timezone, now))?;
    }
    Ok(
        // Without its keys a database is neither backed up any more nor, perhaps, restored.
        if !keys.is_empty() || databases.iter().any(DatabaseStatus::fails) {
            Exit::ObjectiveViolated
        } else if databases
            .iter()
            .any(|database| database.verdict == Verdict::Unknown)
        {
            Exit::Failed
        } else {
            Exit::Done
        },
    )
}

/// Where a log is archived, it says what would be lost.
async fn with_logs(
    policy: &Policy,
    looked: &planning::Looked,
    databases: &mut [DatabaseStatus],
) -> Result<()> {
    if looked.logs.is_empty() {
        return Ok(());
    }
    let mut wiring = wiring::wire(policy, PathBuf::new())?;
    wiring::read_only(&mut wiring.tiers);
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let judged = logs::judged(policy, &wiring, &looked.logs, &looked.inventory, &clock).await;
    for status in databases {
        if let Some(log) = judged.iter().find(|log| log.database == status.database) {
            status.judge_log(logs::short(log), clock.now());
        }
    }
    Ok(())
}

/// A copy that nobody here can open keeps no promise, however well it was verified once.
fn without_keys(
    policy: &Policy,
    keys: &BTreeMap<KeyName, String>,
    databases: &mut [DatabaseStatus],
) {
    for status in databases {
        let Some(declared) = policy.databases.get(&status.database) else {
            continue;
        };
        let wanted = &declared.encrypt_with;
        if !wanted.is_empty() && wanted.iter().all(|name| keys.contains_key(name)) {
            status.verdict = Verdict::NoKey;
            "none of the keys of `encrypt-with` can be used here".clone_into(&mut status.why);
        }
    }
}
