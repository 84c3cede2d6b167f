//! `completions`: for bash, zsh, fish, PowerShell, elvish.

use crate::{arguments::Arguments, exit::Exit, failure::Result, render::out};
use clap::CommandFactory;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mainstay", &mut script);
    out::data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
