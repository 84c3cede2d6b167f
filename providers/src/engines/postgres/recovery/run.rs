//! Runs the server of a data directory that was built: up to its target, checks, promotion, and stops it.

use super::{
    Work, checks, control,
    files::Built,
    log::ServerLog,
    place::{cannot_write, write_file},
    scratch_server::{Plan, ScratchServer},
    session::Session,
    settings,
    wait::{self, Arrival, Doors},
    wal_feed::WalFeed,
};
use crate::{
    api::{AfterRecovery, Check, ProviderError, Result},
    engines::{
        phases::Phases,
        postgres::connection::{Address, text},
    },
};
use model::{Assertion, RecoveryTarget, Timestamp, recovery_record::Reached};
use std::{
    fs,
    future::Future,
    pin::{Pin, pin},
};

/// How often a server is started again with other settings before that is given up.
const STARTS: usize = 8;

/// What is checked, and how to get in.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// A person's checks.
    pub(super) asserts: &'a [Assertion],
    /// The declared database, if its URL is known.
    pub(super) source: Option<&'a Address>,
}

/// What a run gave.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// How far it came.
    pub(super) reached: Reached,
    /// Checks.
    pub(super) checks: Vec<Check>,
    /// What a person must know.
    pub(super) notes: Vec<String>,
    /// Whether its recovery has ended.
    pub(super) promoted: bool,
}

/// Starts, waits, checks, promotes, stops.
pub(super) async fn run(
    session: &Session,
    built: &mut Built,
    work: &Work<'_>,
    wanted: &Wanted<'_>,
    phases: &mut Phases,
) -> Result<Ran> {
    let feed = feed(built, work)?;
    let mut feeding = pin!(feed.run());
    let mut up = Up::start(
        session,
        built,
        work,
        wanted,
        &feed,
        feeding.as_mut(),
        phases,
    )
    .await?;
    let mut ran = Ran {
        notes: std::mem::take(&mut up.notes),
        ..Ran::default()
    };
    let user = up.superuser.clone();
    ran.reached = up.reached.clone();
    ran.checks.push(checks::of_target(
        &work.recovery.target,
        &up.reached,
        &up.log.said,
    ));
    let wanted = checks::Wanted {
        target: &work.recovery.target,
        expectations: &work.manifest.expectations,
        asserts: wanted.asserts,
        moment: moment(work, &up.reached),
        database: &up.database,
    };
    let found = checks::of_data(&up.server, &user, &wanted);
    let found = until_archive_fails(feeding.as_mut(), found).await?;
    ran.checks.extend(found);
    phases.end("checks");
    ran.promoted = work.recovery.target == RecoveryTarget::Latest;
    let set = up.set.clone();
    let scratch = built.goal.is_none();
    // A server that is thrown away may be changed for the check; a paused one cannot install an extension.
    let promote =
        work.recovery.after == AfterRecovery::Promote || (scratch && work.recovery.amcheck);
    if promote {
        let address = up.server.address(&user, &up.database_open);
        wait::promote(&mut up.server, feeding.as_mut(), &mut up.log, &address).await?;
        ran.promoted = true;
        phases.end("promote");
    }
    if work.recovery.amcheck {
        let check = checks::amcheck(&up.server, &user, &set, scratch);
        ran.checks
            .push(until_archive_fails(feeding.as_mut(), check).await?);
        phases.end("amcheck");
    }
    up.log.read();
    ran.checks
        .extend(checks::of_pages(&up.log.said, up.checksums));
    if let Some(observer) = &work.recovery.observer {
        let url = up.server.url(&user, &up.database_open);
        until_archive_fails(feeding.as_mut(), observer.running(&url)).await?;
        phases.end("running");
    }
    up.server.stop().await?;
    phases.end("stop");
    Ok(ran)
}

/// Assertions about time refer to the moment that was restored.
fn moment(work: &Work<'_>, reached: &Reached) -> Timestamp {
    let wanted = match work.recovery.target {
        RecoveryTarget::Time(at) => Some(at),
        _ => None,
    };
    let captured = work.manifest.captured_at;
    let latest = wanted.max(reached.time);
    latest.map_or(captured, |at| at.max(captured))
}

/// The feed of a server in `built`.
pub(super) fn feed(built: &Built, work: &Work<'_>) -> Result<WalFeed> {
    WalFeed::create(
        built.work.path().join("feed"),
        built.owner,
        work.recovery.wal.clone(),
        work.wal.segment_bytes,
    )
}

/// Does something while the archive is still asked; its failure goes first.
pub(super) async fn until_archive_fails<T>(
    feeding: Pin<&mut (impl Future<Output = ProviderError> + Send)>,
    doing: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        error = feeding => Err(error),
        done = doing => done,
    }
}

/// A server at its target.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) server: ScratchServer,
    pub(super) log: ServerLog,
    pub(super) reached: Reached,
    /// A superuser of the cluster.
    pub(super) superuser: String,
    /// The declared database.
    pub(super) database: String,
    /// A database that lets us in.
    pub(super) database_open: String,
    pub(super) checksums: bool,
    pub(super) set: crate::engines::postgres::binaries::Binaries,
    pub(super) notes: Vec<String>,
}

impl Up {
    /// Starts a server and waits until it is at its target.
    pub(super) async fn start(
        session: &Session,
        built: &Built,
        work: &Work<'_>,
        wanted: &Wanted<'_>,
        feed: &WalFeed,
        mut feeding: Pin<&mut (impl Future<Output = ProviderError> + Send)>,
        phases: &mut Phases,
    ) -> Result<Self> {
        let Some(set) = built.set.clone() else {
            return Err(super::tablespaces::damaged(
                "its server programs are not known",
            ));
        };
        let folder = built.work.path().join("server");
        fs::create_dir(&folder).map_err(|error| cannot_write(&folder, error))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        fs::set_permissions(&folder, mode).map_err(|error| cannot_write(&folder, error))?;
        // The source's own settings must not reach this server; the final ones are written when it has ended.
        write_file(&built.data.join("postgresql.auto.conf"), b"", &built.owner)?;
        write_file(&built.data.join("recovery.signal"), b"", &built.owner)?;
        let mut control = control::read(&set, &built.data).await?;
        let mut kept = settings::kept(&built.source);
        let mut notes = Vec::new();
        if !kept.left_out.is_empty() {
            notes.push(format!(
                "started without libraries that act by themselves: {}",
                kept.left_out.join(", ")
            ));
        }
        let database = wanted
            .source
            .map(|address| address.database.clone())
            .or_else(|| work.manifest.source.get("database").cloned())
            .unwrap_or_else(|| "postgres".to_owned());
        let doors = doors(wanted.source, &database);
        let mut log = ServerLog::new(folder.join("log"));
        let mut recovery = vec![("restore_command".to_owned(), feed.command())];
        recovery.extend(settings::of_target(
            &work.recovery.target,
            work.recovery.timeline,
            "pause",
        ));
        phases.end("start");
        for _ in 0..STARTS {
            let plan = Plan {
                set: &set,
                data: &built.data,
                folder: &folder,
                socket: &session.socket(),
                owner: built.owner,
                control: &control,
                kept: &kept,
                recovery: recovery.clone(),
                alive: feed.alive(),
            };
            let mut server = ScratchServer::start(&plan)?;
            let target = &work.recovery.target;
            let arrival =
                wait::for_target(&mut server, feeding.as_mut(), &mut log, target, &doors).await?;
            match arrival {
                Arrival::There(mut reached) => {
                    phases.end("replay");
                    reached.timeline = Some(feed.timeline().unwrap_or(work.wal.timeline));
                    let (superuser, database_open) = way_in(&server, &doors).await?;
                    return Ok(Self {
                        server,
                        reached,
                        superuser,
                        database,
                        database_open,
                        checksums: control.checksums,
                        set,
                        notes,
                        log,
                    });
                }
                Arrival::StartAgain => {
                    server.stop().await.ok();
                    feed.revive()?;
                    control.at_least.extend(log.said.too_low.clone());
                    if let Some(library) = log.said.missing_library.take() {
                        kept.libraries.retain(|kept| *kept != library);
                        notes.push(format!(
                            "started without the library {library}, which this machine does not have"
                        ));
                    }
                    log.begin_anew();
                }
            }
        }
        Err(wait::replay_failed(&log.said))
    }
}

fn doors(source: Option<&Address>, database: &str) -> Doors {
    let mut users = vec!["postgres".to_owned()];
    users.extend(source.map(|address| address.user.clone()));
    users.dedup();
    let mut databases = vec![
        database.to_owned(),
        "postgres".to_owned(),
        "template1".to_owned(),
    ];
    databases.dedup();
    Doors { users, databases }
}

/// A superuser, and a database that lets it in.
async fn way_in(server: &ScratchServer, doors: &Doors) -> Result<(String, String)> {
    let mut error = None;
    for user in &doors.users {
        for database in &doors.databases {
            let address = server.address(user, database);
            let mut connection = match address.connect().await {
                Ok(connection) => connection,
                Err(refused) => {
                    error = error.or(Some(refused));
                    continue;
                }
            };
            let sql = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin \
                       ORDER BY rolname = current_user DESC, oid = 10 DESC, oid LIMIT 1";
            let found = text(&mut connection, sql)
                .await
                .map_err(|error| address.failed("find a superuser of", error))?;
            return Ok((found.unwrap_or_else(|| user.clone()), database.clone()));
        }
    }
    Err(error.unwrap_or_else(|| super::tablespaces::damaged("nobody can connect to it")))
}
