//! Restores with `barman recover`: to a folder, or to a scratch server that is checked and thrown away.
//!
//! Barman writes into a new folder beside the target, which gets the target's name when everything went well; so a failure or a
//! cancellation leaves the target as it was. Tablespaces never go to where they were: the source may live on this machine.

use super::{
    BarmanEngine,
    arguments::{self, Newest},
    errors,
    pointer::Pointer,
    server::{self, Checking},
    user::User,
};
use crate::{
    api::{AfterRecovery, Check, Recovery, RestoreRequest, RestoreTarget, Restored, Result},
    engines::phases::Phases,
};
use jiff::Timestamp;
use model::{Assertion, RecoveryTarget, WalFileName, recovery_record::Reached};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Beginning of the names of our folders.
pub(super) const PREFIX: &str = "mainstay-barman-";

/// What is left of a request when its objects are read.
pub(super) struct Order {
    pub(super) recovery: Option<Recovery>,
    pub(super) asserts: Vec<Assertion>,
    replace: bool,
}

/// Restores the backup that a point names.
pub(super) async fn run(engine: &BarmanEngine, request: RestoreRequest) -> Result<Restored> {
    if !request.selection.is_all() {
        return Err(errors::unsupported(
            "a part of a backup of Barman's cannot be restored alone",
        ));
    }
    let order = Order {
        recovery: request.recovery,
        asserts: request.asserts,
        replace: request.replace,
    };
    let objects = request.objects;
    let reading = tokio::task::spawn_blocking(move || Pointer::read(objects));
    let pointer = reading
        .await
        .map_err(|_| errors::unexpected("pointer", "reading it was given up"))??;
    let barman = &engine.barman;
    barman.show_done(&pointer.backup_id).await?;
    if let Some(recovery) = &order.recovery {
        let newest = newest_log(engine, &pointer).await?;
        arguments::check_reachable(&pointer, &recovery.target, newest)?;
    }
    let barmans = User::look_up(engine.user()).await?;
    match &request.target {
        RestoreTarget::Scratch => {
            let place = match &engine.table.scratch {
                Some(folder) => engine.base.join(folder),
                None if barmans.is_other() => PathBuf::from("/var/tmp"),
                None => request.scratch.clone(),
            };
            to_scratch(engine, &order, &pointer, &barmans, &place).await
        }
        RestoreTarget::Named(path) => {
            let target = engine.base.join(path);
            to_folder(engine, &order, &pointer, &barmans, &target).await
        }
    }
}

/// The newest segment of the backup's timeline, or of a later one, that Barman has.
async fn newest_log(engine: &BarmanEngine, pointer: &Pointer) -> Result<Option<Newest>> {
    let mut newest: Option<Newest> = None;
    // What is listed for one backup ends where the next one begins.
    let listed = engine.barman.list().await?;
    let from = listed.iter().map(|listed| listed.id.as_str());
    for id in from.filter(|id| *id >= pointer.backup_id.as_str()) {
        for path in engine.barman.wal_files(id).await? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(segment) = name.and_then(|name| WalFileName::parse(name).ok()) else {
                continue;
            };
            let key = |segment: &WalFileName| segment.number(pointer.segment_bytes);
            if segment.is_segment()
                && newest.is_none_or(|newest| key(&newest.segment) < key(&segment))
            {
                // Barman keeps the time of the file that it archived, also when it compresses it.
                let modified = fs::metadata(&path).and_then(|found| found.modified()).ok();
                newest = Some(Newest {
                    segment,
                    archived_at: modified.and_then(|at| Timestamp::try_from(at).ok()),
                });
            }
        }
    }
    Ok(newest)
}

/// A new folder that Barman's user can write into.
fn new_folder(place: &Path, prefix: &str, barmans: &User) -> Result<TempDir> {
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(place)
        .map_err(|error| errors::file("make a folder in", place, error))?;
    barmans.give(made.path())?;
    Ok(made)
}

/// Runs `barman recover` into `data`, a folder that is not there yet.
async fn recover(
    engine: &BarmanEngine,
    order: &Order,
    pointer: &Pointer,
    folder: &Path,
    tablespaces: &Path,
    promotes: bool,
) -> Result<(PathBuf, Vec<String>)> {
    let data = folder.join("data");
    let mut words = arguments::of(order.recovery.as_ref(), promotes);
    for (name, location) in &pointer.tablespaces {
        let wanted = order.recovery.as_ref();
        let wanted = wanted.and_then(|recovery| recovery.tablespaces.get(location));
        let place = wanted.map_or_else(|| tablespaces.join(name), Clone::clone);
        if fs::read_dir(&place).is_ok_and(|mut found| found.next().is_some()) {
            return Err(errors::target_exists(&place));
        }
        words.extend([
            "--tablespace".to_owned(),
            format!("{name}:{}", place.display()),
        ]);
    }
    if pointer.compression.is_some() {
        let staging = folder.join("staging");
        words.extend([
            "--recovery-staging-path".to_owned(),
            staging.display().to_string(),
        ]);
    }
    words.extend([pointer.backup_id.clone(), data.display().to_string()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = engine.barman.recover(&words).await?;
    let missing: Vec<String> = texts(&answer, "missing_files");
    let mut notes = Vec::new();
    if !missing.is_empty() {
        notes.push(format!(
            "Barman has no copy of files outside the data folder: {}",
            missing.join(", ")
        ));
    }
    notes.extend(texts(&answer, "_WARNING"));
    Ok((data, notes))
}

fn texts(answer: &serde_json::Map<String, serde_json::Value>, key: &str) -> Vec<String> {
    let list = answer.get(key).and_then(serde_json::Value::as_array);
    let texts = list.into_iter().flatten().filter_map(|text| text.as_str());
    texts.map(str::to_owned).collect()
}

async fn to_scratch(
    engine: &BarmanEngine,
    order: &Order,
    pointer: &Pointer,
    barmans: &User,
    place: &Path,
) -> Result<Restored> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let folder = new_folder(place, &prefix, barmans)?;
    let mut phases = Phases::start();
    let tablespaces = folder.path().join("tablespaces");
    let (data, notes) = recover(engine, order, pointer, folder.path(), &tablespaces, true).await?;
    phases.end("load");
    let run = Checking {
        engine,
        order,
        pointer,
        user: barmans,
    };
    let served = server::replay_and_check(&run, &data, folder.path(), &mut phases).await?;
    // A cluster takes its time to be removed.
    let _ = tokio::task::spawn_blocking(move || folder.close()).await;
    Ok(Restored {
        target: "a scratch server, checked and removed".to_owned(),
        phases: phases.done,
        reached: served.reached,
        checks: served.checks,
        notes,
    })
}

async fn to_folder(
    engine: &BarmanEngine,
    order: &Order,
    pointer: &Pointer,
    barmans: &User,
    target: &Path,
) -> Result<Restored> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name().and_then(|n| n.to_str()))
    else {
        return Err(errors::unsupported(
            "the target of a restore from Barman is a folder: give its whole path",
        ));
    };
    if !target.is_absolute() {
        return Err(errors::unsupported(
            "the target of a restore from Barman is a folder: give its whole path",
        ));
    }
    let exists = fs::symlink_metadata(target).is_ok();
    let empty = fs::read_dir(target).is_ok_and(|mut found| found.next().is_none());
    if exists && !empty && !order.replace {
        return Err(errors::target_exists(target));
    }
    if target.join("postmaster.pid").exists() {
        return Err(errors::target_runs(target));
    }
    let owner = owner(engine, parent, barmans).await?;
    let folder = new_folder(parent, &format!(".{name}.{PREFIX}"), barmans)?;
    let mut phases = Phases::start();
    let tablespaces = parent.join(format!("{name}-tablespaces"));
    if !pointer.tablespaces.is_empty() && fs::create_dir(&tablespaces).is_ok() {
        barmans.give(&tablespaces)?;
    }
    let (data, mut notes) =
        recover(engine, order, pointer, folder.path(), &tablespaces, true).await?;
    phases.end("load");
    let after = order
        .recovery
        .as_ref()
        .map_or(AfterRecovery::Leave, |recovery| recovery.after);
    let mut checks: Vec<Check> = Vec::new();
    let mut reached = Reached::default();
    if after != AfterRecovery::Leave {
        let run = Checking {
            engine,
            order,
            pointer,
            user: barmans,
        };
        let served = server::replay_and_check(&run, &data, folder.path(), &mut phases).await?;
        checks = served.checks;
        reached = served.reached;
    }
    if owner.name() != barmans.name() {
        owner.give_all(&data)?;
        if tablespaces.exists() {
            owner.give_all(&tablespaces)?;
        }
    }
    put_in_place(&data, target, folder.path())?;
    // It holds the replaced folder now, if there was one.
    let _ = tokio::task::spawn_blocking(move || folder.close()).await;
    phases.end("rename");
    notes.extend(words_for_the_person(order, target, &owner, after));
    Ok(Restored {
        target: format!("folder `{}`", target.display()),
        phases: phases.done,
        reached,
        checks,
        notes,
    })
}

/// Who gets the restored folder: whom the policy names, else the owner of the folder that it is in, else `postgres`.
async fn owner(engine: &BarmanEngine, parent: &Path, barmans: &User) -> Result<User> {
    if let Some(name) = &engine.table.owner {
        return User::look_up(name).await;
    }
    if !barmans.is_other() {
        return Ok(barmans.clone());
    }
    let found = fs::metadata(parent).map_err(|error| errors::file("look at", parent, error))?;
    if found.uid() != 0 {
        return Ok(User::numbered(found.uid(), found.gid()).await);
    }
    Ok(User::look_up("postgres")
        .await
        .unwrap_or_else(|_| barmans.clone()))
}

/// Gives `data` the target's name; what had it goes to `aside`.
fn put_in_place(data: &Path, target: &Path, aside: &Path) -> Result<()> {
    let failed =
        |error: io::Error| errors::file("put the restored folder in the place of", target, error);
    match fs::rename(target, aside.join("replaced")) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if let Err(error) = fs::rename(data, target) {
        // Better the old one than none.
        let _ = fs::rename(aside.join("replaced"), target);
        return Err(failed(error));
    }
    let parent = target.parent().unwrap_or(Path::new("/"));
    fs::File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

fn words_for_the_person(
    order: &Order,
    target: &Path,
    owner: &User,
    after: AfterRecovery,
) -> Vec<String> {
    let mut notes = Vec::new();
    if after == AfterRecovery::Leave {
        let how = match order.recovery.as_ref().map(|recovery| &recovery.target) {
            Some(RecoveryTarget::Latest) => "replays all log that Barman has",
            _ => "replays up to the target and is promoted there",
        };
        notes.push(format!(
            "start it as {}: pg_ctl -D {} start; it {how}",
            owner.name(),
            target.display()
        ));
    }
    notes.push("Barman switched archive_command off in the restored folder: set it again, to a new archive, before it is used".to_owned());
    notes
}
