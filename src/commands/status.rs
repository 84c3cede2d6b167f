//! `status`: does each database keep its promise now, and can its keys be used? Exit 6 when one does not.

use super::planning;
use crate::{
    arguments::Global,
    clock,
    exit::Exit,
    failure::Result,
    policy,
    render::{out, status},
};
use serde_json::json;

pub(crate) async fn run(global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let looked = planning::look(global, &path, &policy, now, false).await?;
    let databases = planner::status(&policy, &looked.inventory, now);
    let keys = planning::keys_in_trouble(&policy).await?;
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
        if !keys.is_empty() || databases.iter().any(|database| database.verdict.fails()) {
            Exit::ObjectiveViolated
        } else {
            Exit::Done
        },
    )
}
