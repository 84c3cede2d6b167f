//! `inventory`: what exists, as a file that `plan --inventory` reads.

use super::planning;
use crate::{arguments::Global, clock, exit::Exit, failure::Result, policy, render::out};

pub(crate) async fn run(refresh: bool, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let looked = planning::look(global, &path, &policy, clock::now(), refresh).await?;
    if global.json {
        out::json(&looked.inventory)?;
    } else {
        // The inventory is data for programs; indented, it is also for people.
        let text = serde_json::to_string_pretty(&looked.inventory).map_err(|error| {
            crate::failure::Failure::from_error("mainstay::output::write", None, &error)
        })?;
        out::data(&format!("{text}\n"))?;
    }
    Ok(Exit::Done)
}
