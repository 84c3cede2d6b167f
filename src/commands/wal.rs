//! `wal push`, `wal fetch`: what a server calls for every file of its log; `wal run`, which makes them quick.
//!
//! Invariant: exit codes are what PostgreSQL makes of them. `push` never ends above 125 (the archiver would take it for its own
//! death and count no failure); `fetch` says 1 only for "every tier was read and none has it", and 200 for everything else that
//! is not success (a code up to 125 would be taken for the end of the log, and the server would go on without it).

use crate::{
    arguments::{
        Global, WalArchiveArguments, WalCommand, WalFetchArguments, WalPushArguments,
        WalRunArguments,
    },
    commands::{
        planning,
        running::{RealClock, stop_signal},
    },
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{findings, out},
    settings, wiring,
};
use executor::{
    cancellation,
    crash_point::CrashPoints,
    wal::{self, Fetched, Prefetched, WalAgent, WalStore, WalStream},
};
use model::DatabaseName;
use policy_schema::Policy;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Pause between two looks whether the policy was changed.
const LOOK_AT_POLICY: Duration = Duration::from_secs(2);

pub(crate) async fn run(command: WalCommand, global: &Global) -> Result<Exit> {
    match command {
        WalCommand::Push(arguments) => push(&arguments, global).await,
        WalCommand::Fetch(arguments) => fetch(&arguments, global).await,
        WalCommand::Run(arguments) => agent(&arguments, global).await,
        WalCommand::Status(arguments) => super::wal_status::run(&arguments, global).await,
        WalCommand::Accept(arguments) => super::wal_accept::run(&arguments, global).await,
        WalCommand::Prefetch(arguments) => prefetch(&arguments, global).await,
    }
}

/// What can be done before anything else is read or started: an agent answers, or the file was fetched ahead. `None`: the
/// command has to do the work itself.
pub(crate) fn at_once(command: &WalCommand, global: &Global) -> Option<Exit> {
    match command {
        WalCommand::Push(arguments) => {
            let folder = socket_folder(arguments.socket.as_ref(), global)?;
            let path = std::path::absolute(&arguments.path).ok()?;
            let archive = &arguments.archive;
            let request =
                wal::Request::new(path, archive.database.clone(), archive.system_identifier);
            let answer = wal::ask(&folder, &request)?;
            warn(&answer.warnings);
            if answer.archived {
                return Some(Exit::Done);
            }
            let mut failure = Failure::new("mainstay::wal::agent", "the agent did not say why");
            if let Some(said) = answer.failure {
                failure = Failure::new(&said.code, said.message);
                failure.help = said.help;
            }
            out::words(&findings::failure(&failure));
            Some(Exit::Failed)
        }
        WalCommand::Fetch(arguments) if arguments.prefetch > 0 => {
            match wal::take_prefetched(&arguments.file, &arguments.path) {
                Prefetched::Taken { coming } => {
                    if !coming {
                        start_prefetching(arguments, global);
                    }
                    Some(Exit::Done)
                }
                Prefetched::Not => None,
            }
        }
        _ => None,
    }
}

fn socket_folder(named: Option<&PathBuf>, global: &Global) -> Option<PathBuf> {
    match named {
        Some(folder) => Some(folder.clone()),
        None => Some(settings::state_folder(&settings::policy_path(global).ok()?).join("wal")),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        out::words(&format!("warning: {warning}\n"));
    }
}

/// The process that fetches ahead must hold up nobody, and ends by itself.
fn start_prefetching(arguments: &WalFetchArguments, global: &Global) {
    let mut words: Vec<OsString> = vec!["wal".into(), "prefetch".into()];
    if let Some(policy) = &global.policy {
        words.extend(["--policy".into(), policy.into()]);
    }
    if let Some(database) = &arguments.archive.database {
        words.extend(["--database".into(), database.into()]);
    }
    if let Some(cluster) = arguments.archive.system_identifier {
        words.extend(["--system-identifier".into(), cluster.to_string().into()]);
    }
    words.extend(["--prefetch".into(), arguments.prefetch.to_string().into()]);
    words.extend([arguments.file.clone().into(), arguments.path.clone().into()]);
    if let Ok(own) = std::env::current_exe() {
        // Without it the next segment is fetched when it is asked for.
        let _ = providers::process::detach(&own, &words);
    }
}

async fn prefetch(arguments: &WalFetchArguments, global: &Global) -> Result<Exit> {
    let store = open(&arguments.archive, global)?;
    let cluster = match arguments.archive.system_identifier {
        Some(cluster) => Some(cluster),
        None => wal::cluster_for(&store, &arguments.path).await?,
    };
    if let Some(cluster) = cluster {
        // What is far ahead of a server only fills its disk.
        let ahead = arguments.prefetch.min(64);
        wal::prefetch(&store, cluster, &arguments.path, ahead).await?;
    }
    Ok(Exit::Done)
}

/// Whether a command line is that of `wal fetch`, also one that cannot be parsed.
pub(crate) fn is_fetch(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    // Options may stand between the two.
    let mut words = arguments.skip_while(|word| word != "wal");
    words.any(|word| word == "fetch")
}

async fn push(arguments: &WalPushArguments, global: &Global) -> Result<Exit> {
    let result = push_now(arguments, global).await;
    result.map_err(|failure| failure.exit(Exit::Failed))
}

async fn push_now(arguments: &WalPushArguments, global: &Global) -> Result<Exit> {
    let store = open(&arguments.archive, global)?;
    let pushed = wal::push(&store, &arguments.path, arguments.archive.system_identifier).await?;
    wal::send_along(&store, &pushed).await;
    warn(&pushed.warnings);
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
    let is_segment = model::WalFileName::parse(&arguments.file).is_ok_and(|name| name.is_segment());
    if found == Fetched::Found && is_segment && arguments.prefetch > 0 {
        start_prefetching(arguments, global);
    }
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

async fn agent(arguments: &WalRunArguments, global: &Global) -> Result<Exit> {
    let archive = WalArchiveArguments {
        database: arguments.database.clone(),
        system_identifier: None,
    };
    let path = settings::policy_path(global)?;
    let folder = match &arguments.socket {
        Some(folder) => folder.clone(),
        None => settings::state_folder(&path).join("wal"),
    };
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        let read = fingerprint(&path);
        let store = open(&archive, global)?;
        let stream = open_stream(&store, global)?;
        let agent = WalAgent::start(Arc::clone(&store), &folder)?;
        out::words(&format!(
            "archiving the log of `{}`; stop with SIGTERM\n",
            store.database()
        ));
        let (switch, cancel) = cancellation();
        let tell: Arc<dyn Fn(&str) + Send + Sync> =
            Arc::new(|text| out::words(&format!("{text}\n")));
        let streaming = async {
            match &stream {
                Some(stream) => stream.serve(&cancel, Arc::clone(&tell)).await,
                None => std::future::pending().await,
            }
        };
        let mut streaming = std::pin::pin!(streaming);
        let mut serving = std::pin::pin!(agent.serve(&cancel, Arc::clone(&tell)));
        let changed = async {
            loop {
                tokio::time::sleep(LOOK_AT_POLICY).await;
                // A policy that cannot be used must not end the agent that still works with the last good one.
                if fingerprint(&path) != read && open(&archive, global).is_ok() {
                    break;
                }
            }
        };
        let ends = tokio::select! {
            () = &mut serving => return Ok(Exit::Done),
            // A hole in the log: the loudest that a service can be is to end.
            ended = &mut streaming => {
                ended?;
                return Ok(Exit::Done);
            }
            () = &mut stop => true,
            () = changed => false,
        };
        switch.cancel();
        serving.await;
        if stream.is_some() {
            streaming.await?;
        }
        if ends {
            return Ok(Exit::Done);
        }
        out::words("the policy was changed, and is read again\n");
    }
}

/// The stream of the database, if we bring its log ourselves.
fn open_stream(store: &Arc<WalStore>, global: &Global) -> Result<Option<WalStream>> {
    let (path, policy) = policy::load_quietly(global)?;
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let Some(declared) = wiring.databases.get(store.database()) else {
        return Ok(None);
    };
    let spool = declared.wal.as_ref().and_then(|wal| wal.spool.clone());
    let folder = match spool {
        Some(spool) => spool.join("stream"),
        None => settings::state_folder(&path).join("stream"),
    };
    let folder = folder.join(store.database().as_str());
    Ok(WalStream::open(Arc::clone(store), declared, &folder)?)
}

/// What tells one state of the policy's files from the next.
fn fingerprint(path: &Path) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let mut files = vec![path.to_owned()];
    if let Ok(entries) = std::fs::read_dir(path) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .into_iter()
        .filter_map(|file| {
            let about = file.metadata().ok()?;
            let is_part =
                file.as_path() == path || file.extension().is_some_and(|end| end == "toml");
            (is_part && about.is_file()).then(|| (file, about.len(), about.modified().ok()))
        })
        .collect()
}

/// The archive that is meant.
pub(super) fn open(arguments: &WalArchiveArguments, global: &Global) -> Result<Arc<WalStore>> {
    let (path, policy) = policy::load_quietly(global)?;
    let database = database(&policy, arguments.database.as_deref())?;
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let crash = CrashPoints::new(settings::crash_at());
    let store = WalStore::open(&wiring, &database, Arc::new(RealClock), crash)?;
    Ok(Arc::new(store))
}

/// The database that is meant: the named one, else the only one whose log is archived.
pub(super) fn database(policy: &Policy, named: Option<&str>) -> Result<DatabaseName> {
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
