//! `schema`: the JSON Schema of the policy language, with the tables of every engine and tier.

use crate::{exit::Exit, failure::Result, render::out, wiring};

pub(crate) fn run() -> Result<Exit> {
    let schema = policy_schema::json_schema(&wiring::kinds());
    out::data(&format!("{schema:#}\n"))?;
    Ok(Exit::Done)
}
