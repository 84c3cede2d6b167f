//! `runbook`.
use crate::{
    arguments::{Global, RunbookArguments},
    exit::Exit,
    failure::Result,
};
#[expect(clippy::unused_async, reason = "soon")]
pub(crate) async fn run(_arguments: RunbookArguments, _global: &Global) -> Result<Exit> {
    Ok(Exit::Done)
}
