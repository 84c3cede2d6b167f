//! The command line: parse, wire, render. What is decided is in `planner`, what is done in `executor`.

mod arguments;
mod clock;
mod commands;
mod exit;
mod failure;
mod files;
mod git;
mod input;
mod policy;
mod policy_source;
mod render;
mod session;
mod settings;
mod wiring;

use arguments::{Arguments, ColorChoice, Command};
use clap::Parser;
use exit::Exit;
use failure::Result;
use std::process::ExitCode;

fn main() -> ExitCode {
    let failed = if commands::wal::is_fetch(std::env::args_os()) {
        // 1 would be "not archived", and 101, the code of a panic, too.
        std::panic::set_hook(Box::new(|panic| {
            render::out::words(&format!("error: {panic}\n"));
            std::process::exit(i32::from(Exit::CannotTell as u8));
        }));
        Exit::CannotTell
    } else {
        Exit::Failed
    };
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap would exit 2, which here means "changes are planned".
            let exit = if error.use_stderr() {
                failed
            } else {
                Exit::Done
            };
            // Help that cannot be shown has nowhere else to go.
            let _ = error.print();
            return exit.into();
        }
    };
    match arguments.global.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
    if let Command::Wal(command) = &arguments.command
        && let Some(exit) = commands::wal::at_once(command, &arguments.global)
    {
        return exit.into();
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("MAINSTAY_LOG"))
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            render::out::words(&format!("error: cannot start: {error}\n"));
            return failed.into();
        }
    };
    let result = runtime.block_on(dispatch(arguments));
    // Blocking threads of cancelled work must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            render::out::words(&render::findings::failure(&failure));
            failure.exit.into()
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<Exit> {
    let global = &arguments.global;
    match arguments.command {
        Command::Init(arguments) => commands::init::run(&arguments),
        Command::Import(arguments) => commands::import::run(&arguments, global),
        Command::Validate => commands::validate::run(global),
        Command::Schema => commands::schema::run(),
        Command::Fmt(arguments) => commands::fmt::run(&arguments, global),
        Command::Diff(arguments) => commands::diff::run(arguments, global).await,
        Command::Explain(arguments) => commands::explain::run(&arguments, global).await,
        Command::Plan(arguments) => commands::plan::run(arguments, global).await,
        Command::Show(arguments) => commands::show::run(&arguments, global),
        Command::Approve(arguments) => commands::approve::run(arguments, global).await,
        Command::Apply(arguments) => Box::pin(commands::apply::run(arguments, global)).await,
        Command::Backup(arguments) => commands::backup::run(arguments, global).await,
        Command::Status => commands::status::run(global).await,
        Command::Prove(arguments) => commands::prove::run(arguments, global).await,
        Command::List(arguments) => commands::list::list(arguments, global).await,
        Command::Info { point } => commands::list::info(&point, global).await,
        Command::Inventory { refresh } => commands::inventory::run(refresh, global).await,
        Command::Verify(arguments) => commands::verify::run(arguments, global).await,
        Command::Restore(arguments) => commands::restore::run(arguments, global).await,
        Command::Drill(arguments) => commands::drill::run(arguments, global).await,
        Command::Simulate(arguments) => commands::simulate::run(arguments, global).await,
        Command::Report(command) => commands::report::run(command, global).await,
        Command::Runbook(arguments) => commands::runbook::run(arguments, global).await,
        Command::Hold(command) => commands::hold::run(command, global).await,
        Command::Key(command) => commands::key::run(command, global).await,
        Command::Tier(command) => commands::tier::run(command, global).await,
        Command::Wal(command) => commands::wal::run(command, global).await,
        Command::Audit(command) => commands::audit::run(command, global).await,
        Command::Catalog(command) => commands::catalog::run(command, global).await,
        Command::Completions { shell } => commands::completions::run(shell),
    }
}
