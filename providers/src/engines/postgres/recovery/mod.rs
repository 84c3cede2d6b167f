//! Recovers physical points: base backup and log into a data directory for a person's server, or into a server that runs apart until it was checked.
//!
//! The order, and what an end in between leaves: everything is built in work folders beside the final names (`place`); streams are unpacked
//! (`unpack`), links of an incremental chain combined (`combine`); the control file is written last. If asked for, a server is started on it
//! (`scratch_server`), fed with log (`wal_feed`) and waited for (`wait`), then checked, promoted, stopped. At the very end the folder is made durable
//! and renamed. Whatever ends before leaves nothing: work folders are removed, or recognised by the next recovery and by `clean_leftovers`.
//!
//! Invariants: nothing of a failed recovery gets the asked name; a failing archive is never taken for the end of the log; a server that we start
//! reaches nothing outside of its folder.
//! Not here: choosing the point and proving that its target is archived (the executor).

mod checks;
mod combine;
mod control;
mod files;
mod log;
mod owner;
mod place;
mod rescue;
mod run;
mod scratch_server;
mod session;
mod settings;
mod tablespaces;
mod unpack;
mod wait;
mod wal_feed;

use super::{
    binaries::{self, Binaries},
    checks::ASSERT,
    connection::Address,
    restore::checks_failed,
};
use crate::{
    api::{
        AfterRecovery, Check, ProviderError, Recovery, RestoreRequest, RestoreTarget, Restored,
        Result,
    },
    engines::phases::Phases,
};
use files::Built;
use model::{Disposition, Manifest, RecoveryTarget, TimelineChoice, WalSpan};
use owner::Owner;
use place::Goal;
use run::Ran;
use session::Session;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The oldest server that can be recovered: older ones have other recovery settings.
const OLDEST_SERVER: u32 = 12;

/// Where the engine's own database is, and how to work.
#[derive(Debug)]
pub(super) struct Setting {
    /// The declared database; its server may be gone. An unusable URL matters only where it is needed.
    pub(super) source: Result<Address>,
    /// Folder of the programs, if given.
    pub(super) bin_dir: Option<PathBuf>,
    /// Maintenance database, if given.
    pub(super) maintenance: Option<String>,
}

/// See [`crate::api::Engine::restore`], for points of method `physical`.
pub(super) async fn restore(setting: Setting, request: RestoreRequest) -> Result<Restored> {
    let mut phases = Phases::start();
    let wal = span(&request.manifest)?;
    let recovery = request.recovery.clone().unwrap_or_else(as_it_is);
    if !request.selection.is_all() && matches!(request.target, RestoreTarget::Named(_)) {
        return rescue::rescue(setting, request, recovery, phases).await;
    }
    let goal = match &request.target {
        RestoreTarget::Scratch => None,
        RestoreTarget::Named(path) => Some(Goal::data_directory(Path::new(path), request.replace)?),
    };
    let work = Work {
        starts: goal.is_none() || recovery.after != AfterRecovery::Leave,
        recovery: &recovery,
        wal,
        manifest: &request.manifest,
    };
    work.check_log()?;
    let scratch = request.scratch.clone();
    let (session, parent) = match &goal {
        Some(goal) => {
            let owner = Owner::for_folder(goal.parent()).await?;
            if work.starts {
                check_passable(&owner, goal.parent())?;
            }
            (Session::begin(owner)?, goal.parent().to_owned())
        }
        None => scratch_session(&scratch).await?,
    };
    let known = known_major(&request.manifest);
    if let Some(major) = known {
        check_version(major)?;
        if work.starts || !request.chain.is_empty() {
            programs(setting.bin_dir.as_deref(), major).await?;
        }
    }
    phases.end("prepare");
    let asserts = request.asserts;
    let streams = files::Streams {
        chain: request.chain,
        objects: request.objects,
    };
    let mut built = files::build(
        &session,
        &setting,
        goal,
        &parent,
        streams,
        &work,
        &mut phases,
    )
    .await?;
    let ran = if work.starts {
        let wanted = run::Wanted {
            asserts: &asserts,
            source: setting.source.as_ref().ok(),
        };
        run::run(&session, &mut built, &work, &wanted, &mut phases).await?
    } else {
        Ran::default()
    };
    finish(built, &work, ran, phases)
}

/// What every step of a recovery needs to know of it.
#[derive(Debug)]
struct Work<'a> {
    recovery: &'a Recovery,
    wal: WalSpan,
    manifest: &'a Manifest,
    /// Whether we start a server on it.
    starts: bool,
}

impl Work<'_> {
    /// Refuses a recovery that cannot even become consistent.
    fn check_log(&self) -> Result<()> {
        let archived = if self.starts {
            self.recovery.wal.is_some()
        } else {
            !self.recovery.restore_command.is_empty()
        };
        if archived || self.wal.included {
            return Ok(());
        }
        Err(ProviderError::new(
            "mainstay::recovery::no-log",
            Disposition::NeedsOperator,
            "the recovery point does not carry the log that it needs, and no archive was given",
        )
        .help("declare `[database.….wal]` with the tier that has the log, then restore again"))
    }
}

/// Puts a data directory in place; a scratch one goes with its work folder.
fn finish(built: Built, work: &Work<'_>, ran: Ran, mut phases: Phases) -> Result<Restored> {
    if let Some(goal) = built.goal.as_ref().filter(|goal| goal.replaces) {
        // What a person asserted may be wrong about this moment; what cannot even be opened replaces nothing.
        let failed = |check: &Check| !check.passed && !check.what.starts_with(ASSERT);
        if ran.checks.iter().any(failed) {
            let place = format!("`{}`", goal.path.display());
            return Err(checks_failed(&place, &ran.checks));
        }
    }
    let mut notes = built.notes.clone();
    notes.extend(ran.notes);
    let target = if built.goal.is_some() {
        notes.extend(built.settle(work, ran.promoted)?);
        phases.end("settle");
        built.sync()?;
        phases.end("sync");
        let target = built.put_in_place()?;
        phases.end("rename");
        target
    } else {
        drop(built);
        phases.end("drop");
        "scratch server".to_owned()
    };
    Ok(Restored {
        target,
        phases: phases.done,
        reached: ran.reached,
        checks: ran.checks,
        notes,
    })
}

/// Without an order the point is restored as it was captured.
fn as_it_is() -> Recovery {
    Recovery {
        target: RecoveryTarget::Immediate,
        timeline: TimelineChoice::Current,
        wal: None,
        restore_command: Vec::new(),
        tablespaces: BTreeMap::new(),
        after: AfterRecovery::Leave,
        amcheck: false,
        observer: None,
    }
}

fn span(manifest: &Manifest) -> Result<WalSpan> {
    manifest
        .wal
        .ok_or_else(|| tablespaces::damaged("its manifest does not say which log it needs"))
}

/// A folder for a scratch server: the step's own, unless the server's user cannot get there.
async fn scratch_session(scratch: &Path) -> Result<(Session, PathBuf)> {
    let owner = Owner::for_scratch().await?;
    let parent = if owner.barred_by(scratch).is_some() {
        PathBuf::from("/var/tmp")
    } else {
        scratch.to_owned()
    };
    Ok((Session::begin(owner)?, parent))
}

fn check_passable(owner: &Owner, folder: &Path) -> Result<()> {
    match owner.barred_by(folder) {
        None => Ok(()),
        Some(bar) => Err(ProviderError::new(
            "mainstay::recovery::barred",
            Disposition::NeedsOperator,
            format!(
                "the server's user cannot pass `{}`, so no server can run in `{}`",
                bar.display(),
                folder.display()
            ),
        )
        .help(format!(
            "let it pass (chmod o+x '{}'), or restore below a folder of PostgreSQL's, such as /var/lib/postgresql",
            bar.display()
        ))),
    }
}

fn known_major(manifest: &Manifest) -> Option<u32> {
    binaries::major_of(manifest.source.get("server_version")?)
}

fn check_version(major: u32) -> Result<()> {
    if major >= OLDEST_SERVER {
        return Ok(());
    }
    Err(ProviderError::new(
        "mainstay::recovery::too-old",
        Disposition::Permanent,
        format!(
            "the base backup is of PostgreSQL {major}; {OLDEST_SERVER} and newer can be recovered"
        ),
    )
    .help("unpack it by hand and write a recovery.conf, as docs/recover-by-hand.md shows"))
}

/// The server programs of exactly this version: another one cannot read the data directory.
async fn programs(bin_dir: Option<&Path>, major: u32) -> Result<Binaries> {
    let mut found = binaries::installed(bin_dir, "postgres").await;
    if !found.iter().any(|set| set.major == major) && bin_dir.is_some() {
        // A folder of client programs has no server.
        found = binaries::installed(None, "postgres").await;
    }
    // A link to the server alone, in a folder of PATH, has not its siblings beside it.
    for set in &mut found {
        if !set.program("pg_controldata").is_file()
            && let Ok(real) = set.program("postgres").canonicalize()
            && let Some(folder) = real.parent()
        {
            folder.clone_into(&mut set.folder);
        }
    }
    found
        .into_iter()
        .find(|set| set.major == major)
        .ok_or_else(|| {
            ProviderError::new(
                "mainstay::postgres::programs-missing",
                Disposition::NeedsOperator,
                format!("a base backup of PostgreSQL {major} needs the server programs of that version, which are not installed"),
            )
            .help(format!(
                "install them (Debian: apt-get install postgresql-{major}), or set `bin-dir` to their folder"
            ))
        })
}

/// Removes what killed recoveries left on this machine.
pub(super) fn clean() -> Vec<String> {
    session::clean()
}
