//! `status`: does each database keep its promise now? Exit 6 when one does not.

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
    if global.json {
        out::json(
            &json!({"format": "mainstay.status.v1", "evaluated_at": now, "databases": databases}),
        )?;
    } else {
        out::data(&status::status(&databases, &policy.timezone, now))?;
    }
    Ok(
        if databases.iter().any(|database| database.verdict.fails()) {
            Exit::ObjectiveViolated
        } else {
            Exit::Done
        },
    )
}
