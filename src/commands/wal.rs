//! `wal push`, `wal fetch`: what a server calls for every file of its log.
//!
//! Invariant: exit codes are what PostgreSQL makes of them. `push` never ends above 125 (the archiver would take it for its own
//! death and count no failure); `fetch` says 1 only for "every tier was read and none has it", and 200 for everything else that
//! is not success (a code up to 125 would be taken for the end of the log, and the server would go on without it).

use crate::{
    arguments::{Global, WalArchiveArguments, WalCommand, WalFetchArguments, WalPushArguments},
    commands::{planning, running::RealClock},
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::out,
    settings, wiring,
};
use executor::{
    crash_point::CrashPoints,
    wal::{self, Fetched, WalStore},
};
use model::DatabaseName;
use policy_schema::Policy;
use std::sync::Arc;

pub(crate) async fn run(command: WalCommand, global: &Global) -> Result<Exit> {
    match command {
        WalCommand::Push(arguments) => push(&arguments, global).await,
        WalCommand::Fetch(arguments) => fetch(&arguments, global).await,
    }
}

/// Whether a command line is that of `wal fetch`, also one that cannot be parsed.
pub(crate) fn is_fetch(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<_> = arguments.take(64).collect();
    words
        .windows(2)
        .any(|two| two[0] == "wal" && two[1] == "fetch")
}

async fn push(arguments: &WalPushArguments, global: &Global) -> Result<Exit> {
    let result = push_now(arguments, global).await;
    result.map_err(|failure| failure.exit(Exit::Failed))
}

async fn push_now(arguments: &WalPushArguments, global: &Global) -> Result<Exit> {
    let store = open(&arguments.archive, global)?;
    wal::push(&store, &arguments.path, arguments.archive.system_identifier).await?;
    Ok(Exit::Done)
}

async fn fetch(arguments: &WalFetchArguments, global: &Global) -> Result<Exit> {
    let result = fetch_now(arguments, global).await;
    result.map_err(|failure| failure.exit(Exit::CannotTell))
}

async fn fetch_now(arguments: &WalFetchArguments, global: &Global) -> Result<Exit> {
    let store = open(&arguments.archive, global)?;
    let cluster = arguments.archive.system_identifier;
    let found = wal::fetch(&store, cluster, &arguments.file, &arguments.path).await?;
    Ok(match found {
        Fetched::Found => Exit::Done,
        Fetched::FoundBeginning => {
            out::words(&format!(
                "note: only the first part of `{}` is archived\n",
                arguments.file
            ));
            Exit::Done
        }
        Fetched::NotFound => {
            out::words(&format!("`{}` is not archived\n", arguments.file));
            Exit::Failed
        }
    })
}

/// The archive that is meant.
fn open(arguments: &WalArchiveArguments, global: &Global) -> Result<Arc<WalStore>> {
    let (path, policy) = policy::load_quietly(global)?;
    let database = database(&policy, arguments.database.as_deref())?;
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let crash = CrashPoints::new(settings::crash_at());
    let store = WalStore::open(&wiring, &database, Arc::new(RealClock), crash)?;
    Ok(Arc::new(store))
}

/// The database that is meant: the named one, else the only one whose log is archived.
fn database(policy: &Policy, named: Option<&str>) -> Result<DatabaseName> {
    if let Some(named) = named {
        let found = policy.databases.keys().find(|name| name.as_str() == named);
        return found
            .cloned()
            .ok_or_else(|| planning::undeclared(policy, named));
    }
    let declared = policy.databases.iter();
    let mut all = declared
        .filter(|(_, declared)| declared.wal.is_some())
        .map(|(name, _)| name.clone());
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Failure::new(
            "mainstay::wal::not-declared",
            "the policy declares no archive of the log of any database",
        )
        .help("declare one: `[database.NAME.wal]` with `keep.TIER = \"14d\"`")),
        (Some(_), Some(_)) => Err(Failure::new(
            "mainstay::wal::which-database",
            "the policy archives the log of several databases",
        )
        .help("say which one with `--database NAME` in `archive_command` and `restore_command`")),
    }
}
