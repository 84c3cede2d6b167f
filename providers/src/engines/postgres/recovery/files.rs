//! Builds a data directory from a point's streams, and puts it in place when it is whole.

use super::{
    Setting, Work, check_version, combine,
    control::{self, Control},
    owner::Owner,
    place::{self, Goal, WorkFolder, cannot_write, write_file},
    programs,
    session::Session,
    settings,
    tablespaces::{self, Tablespace},
    unpack,
};
use crate::{
    api::{ChainLink, PlainObject, Result},
    engines::{
        phases::Phases,
        postgres::{
            archive::blocking,
            binaries::Binaries,
            directory_tar::unreadable,
            physical::{MANIFEST_ROLE, tablespace_of},
        },
    },
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Files of a running or recovering server that mean nothing here.
const LEFTOVERS: [&str; 6] = [
    "postmaster.pid",
    "postmaster.opts",
    "recovery.signal",
    "standby.signal",
    "recovery.done",
    "recovery.conf",
];

/// The plain streams of a point and of what it builds on.
pub(super) struct Streams {
    /// What it builds on, the full point first.
    pub(super) chain: Vec<ChainLink>,
    /// Its own.
    pub(super) objects: Vec<PlainObject>,
}

/// A data directory under a temporary name.
#[derive(Debug)]
pub(super) struct Built {
    /// The data directory.
    pub(super) data: PathBuf,
    /// Its tablespaces.
    pub(super) tablespaces: Vec<Tablespace>,
    /// Where it goes; `None`: nowhere.
    pub(super) goal: Option<Goal>,
    /// Major version.
    pub(super) major: u32,
    /// The server programs, if they are needed.
    pub(super) set: Option<Binaries>,
    /// What the control file says, if there are programs to read it.
    pub(super) control: Option<Control>,
    /// The source's settings, as far as they lie in the data directory.
    pub(super) source: BTreeMap<String, String>,
    /// The source's `postgresql.auto.conf`.
    pub(super) auto_conf: String,
    /// What a person must know.
    pub(super) notes: Vec<String>,
    /// Its owner.
    pub(super) owner: Owner,
    /// The folder that everything is in; removed last.
    pub(super) work: Arc<WorkFolder>,
}

/// Unpacks, combines, and makes a data directory of it that a server could be started on.
pub(super) async fn build(
    session: &Session,
    setting: &Setting,
    goal: Option<Goal>,
    scratch: &Path,
    streams: Streams,
    work: &Work<'_>,
    phases: &mut Phases,
) -> Result<Built> {
    let owner = session.owner;
    let folder = match &goal {
        Some(goal) => session.work_beside(goal)?,
        None => session.work_in(scratch)?,
    };
    let data = folder.path().join("data");
    let incremental = !streams.chain.is_empty();
    let first = if incremental {
        folder.path().join("links")
    } else {
        data.clone()
    };
    let mut places = Places {
        session,
        owner,
        goal: goal.as_ref(),
        work: &folder,
        recovery: &work.recovery.tablespaces,
    };
    let mut tablespaces = Vec::new();
    let control = if incremental {
        fs::create_dir(&first).map_err(|error| cannot_write(&first, error))?;
        passable(&first, owner)?;
        let links = combine::unpack_links(streams, &first, owner, &folder).await?;
        phases.end("load");
        let major = version_of(&links.last().data)?;
        check_version(major)?;
        let set = programs(setting.bin_dir.as_deref(), major).await?;
        for (oid, source) in links.map() {
            tablespaces.push(places.tablespace(*oid, source)?);
        }
        combine::combine(&set, &links, &data, &tablespaces, owner).await?;
        phases.end("combine");
        None
    } else {
        let control = unpack_one(streams.objects, &data, &mut places, &mut tablespaces).await?;
        phases.end("load");
        Some(control)
    };
    let major = version_of(&data)?;
    check_version(major)?;
    let set = programs(setting.bin_dir.as_deref(), major).await;
    let set = if work.starts {
        Some(set?)
    } else {
        // A person may start the server on another machine.
        set.ok()
    };
    for name in LEFTOVERS {
        match fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot_write(&data.join(name), error));
            }
            _ => {}
        }
    }
    if !data.join("backup_label").is_file() {
        // Without it a server would begin at the wrong place, and corrupt its data without a word.
        return Err(tablespaces::damaged("it has no backup_label"));
    }
    tablespaces::link(&data, &tablespaces, false, owner)?;
    let mut source = read_settings(&data.join("postgresql.conf"));
    let auto_conf = fs::read_to_string(data.join("postgresql.auto.conf")).unwrap_or_default();
    source.extend(settings::read(&auto_conf));
    let mut notes = Vec::new();
    for tablespace in &tablespaces {
        if let Some(goal) = &tablespace.goal {
            notes.push(format!(
                "tablespace {} is in `{}`",
                tablespace.oid,
                goal.path.display()
            ));
        }
    }
    let mut built = Built {
        control: None,
        data,
        tablespaces,
        goal,
        major,
        set,
        source,
        auto_conf,
        notes,
        owner,
        work: folder,
    };
    if let Some(control) = control {
        unpack::write_control(&built.data, &control, owner)?;
    }
    built.read_control(work).await?;
    Ok(built)
}

/// Folders that tablespaces are built in.
struct Places<'a> {
    session: &'a Session,
    owner: Owner,
    goal: Option<&'a Goal>,
    work: &'a Arc<WorkFolder>,
    /// By location at the source.
    recovery: &'a BTreeMap<String, PathBuf>,
}

impl Places<'_> {
    fn tablespace(&mut self, oid: u32, source: &Path) -> Result<Tablespace> {
        let Some(data) = self.goal else {
            let folder = self.work.path().join("tablespaces");
            fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, error))?;
            passable(&folder, self.owner)?;
            let built = folder.join(oid.to_string());
            self.owner
                .folder(&built)
                .map_err(|error| cannot_write(&built, error))?;
            return Ok(Tablespace {
                oid,
                built,
                goal: None,
                work: Arc::clone(self.work),
            });
        };
        let mapped = self.recovery.get(&source.display().to_string());
        let path = mapped.map_or_else(|| tablespaces::beside(&data.path, oid), Clone::clone);
        let goal = Goal::tablespace(&path)?;
        passable_parents(goal.parent(), self.owner)?;
        let work = self.session.work_beside(&goal)?;
        let built = work.path().join("data");
        self.owner
            .folder(&built)
            .map_err(|error| cannot_write(&built, error))?;
        Ok(Tablespace {
            oid,
            built,
            goal: Some(goal),
            work,
        })
    }
}

/// A folder of ours that the server's user must get through.
fn passable(folder: &Path, owner: Owner) -> Result<()> {
    let mode = if owner.is_other() { 0o711 } else { 0o700 };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(folder, mode).map_err(|error| cannot_write(folder, error))
}

/// The folder `…-tablespaces` that was just made belongs to whoever owns the cluster.
fn passable_parents(folder: &Path, owner: Owner) -> Result<()> {
    let fresh = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if fresh {
        owner
            .own(folder)
            .map_err(|error| cannot_write(folder, error))?;
    }
    Ok(())
}

/// Unpacks a full point; gives its control file, which is not yet written.
async fn unpack_one(
    objects: Vec<PlainObject>,
    data: &Path,
    places: &mut Places<'_>,
    tablespaces: &mut Vec<Tablespace>,
) -> Result<Vec<u8>> {
    let owner = places.owner;
    owner
        .folder(data)
        .map_err(|error| cannot_write(data, error))?;
    let mut control = None;
    let mut map = None;
    for object in objects {
        if object.role == "data" {
            let work = Arc::clone(places.work);
            let unpacked = unpack::unpack(object, data.to_owned(), owner, work).await?;
            control = unpacked.control;
            map = Some(tablespaces::take_map(data)?);
        } else if let Some(oid) = tablespace_of(&object) {
            let Some(map) = &map else {
                return Err(tablespaces::damaged("a tablespace comes before the data"));
            };
            let Some(source) = map.get(&oid) else {
                return Err(tablespaces::damaged("a tablespace is not in its map"));
            };
            let tablespace = places.tablespace(oid, source)?;
            let (into, work) = (tablespace.built.clone(), Arc::clone(&tablespace.work));
            tablespaces.push(tablespace);
            unpack::unpack(object, into, owner, work).await?;
        } else {
            keep_list(object, data, owner).await?;
        }
    }
    let map = map.unwrap_or_default();
    if map.len() != tablespaces.len() {
        return Err(tablespaces::damaged("a tablespace of its map is missing"));
    }
    control.ok_or_else(|| tablespaces::damaged("it has no control file"))
}

/// Puts PostgreSQL's own list of files beside them, where its tools read it; reads any other object to its end, where its digest is compared.
pub(super) async fn keep_list(object: PlainObject, data: &Path, owner: Owner) -> Result<()> {
    let is_list = object.role == MANIFEST_ROLE;
    let mut stream = object.stream;
    let path = data.join("backup_manifest");
    blocking(move || {
        let mut bytes = Vec::new();
        let mut sink = io::sink();
        let to: &mut dyn io::Write = if is_list { &mut bytes } else { &mut sink };
        io::copy(&mut stream, to).map_err(unreadable)?;
        if is_list {
            write_file(&path, &bytes, &owner)?;
        }
        Ok(())
    })
    .await
}

fn version_of(data: &Path) -> Result<u32> {
    let text = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    text.trim()
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .ok_or_else(|| tablespaces::damaged("it has no PG_VERSION"))
}

fn read_settings(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read(path).unwrap_or_default();
    settings::read(&String::from_utf8_lossy(&text))
}

impl Built {
    /// The control file must be of the cluster that the manifest names.
    async fn read_control(&mut self, work: &Work<'_>) -> Result<()> {
        let Some(set) = &self.set else { return Ok(()) };
        let control = control::read(set, &self.data).await?;
        if control.system_identifier == work.wal.system_identifier {
            self.control = Some(control);
            return Ok(());
        }
        Err(tablespaces::damaged(&format!(
            "it is of cluster {}, its manifest says {}",
            control.system_identifier, work.wal.system_identifier
        )))
    }

    /// Writes what a person's server needs: settings, links to the final places. Gives notes.
    pub(super) fn settle(&self, work: &Work<'_>, promoted: bool) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let recovery = work.recovery;
        let mut section = settings::apart(self.major);
        if promoted {
            section.extend(settings::of_target(
                &model::RecoveryTarget::Latest,
                recovery.timeline,
                "pause",
            ));
            section.push(("restore_command".to_owned(), String::new()));
        } else {
            let command = if recovery.restore_command.is_empty() {
                // PostgreSQL asks for a command; everything that is needed is in pg_wal.
                "false".to_owned()
            } else {
                settings::command(&recovery.restore_command)
            };
            section.push(("restore_command".to_owned(), command));
            let action = if work.starts { "pause" } else { "promote" };
            section.extend(settings::of_target(
                &recovery.target,
                recovery.timeline,
                action,
            ));
            write_file(&self.data.join("recovery.signal"), b"", &self.owner)?;
            notes.push(if work.starts {
                "the server was stopped at its target; started again it pauses there: SELECT pg_wal_replay_resume() ends the recovery".to_owned()
            } else {
                "the server will recover when it is started, and take writes as soon as it has reached its target".to_owned()
            });
        }
        notes.push(
            "archive_mode is off in postgresql.auto.conf, so that the recovered server cannot write into the source's archive; \
             to switch it on: ALTER SYSTEM RESET archive_mode, then restart"
                .to_owned(),
        );
        let text = settings::auto_conf(&self.auto_conf, &section);
        write_file(
            &self.data.join("postgresql.auto.conf"),
            text.as_bytes(),
            &self.owner,
        )?;
        if !self.data.join("postgresql.conf").is_file() {
            let mut text = String::from(
                "# The source keeps its configuration outside of its data directory; this one only lets a server start.\n\
                 # A recovery needs these at least as large as they were at the source.\n",
            );
            for (name, value) in self.control.iter().flat_map(|control| &control.at_least) {
                text.push_str(&settings::line(name, &value.to_string()));
            }
            write_file(
                &self.data.join("postgresql.conf"),
                text.as_bytes(),
                &self.owner,
            )?;
            notes.push("the source keeps its configuration outside of the data directory: a small postgresql.conf was written; \
                        settings such as max_connections must be at least the source's until the recovery has ended"
                .to_owned());
        }
        if !self.data.join("pg_hba.conf").is_file() {
            write_file(
                &self.data.join("pg_hba.conf"),
                b"local all all peer\n",
                &self.owner,
            )?;
        }
        tablespaces::link(&self.data, &self.tablespaces, true, self.owner)?;
        Ok(notes)
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<()> {
        for tablespace in &self.tablespaces {
            place::sync(&tablespace.built)?;
        }
        place::sync(&self.data)
    }

    /// Gives everything its final name, the data directory last. Gives the target in words.
    pub(super) fn put_in_place(self) -> Result<String> {
        for (index, tablespace) in self.tablespaces.iter().enumerate() {
            let Some(goal) = &tablespace.goal else {
                continue;
            };
            if let Err(error) = goal.put(&tablespace.built) {
                self.take_back(index);
                return Err(error);
            }
        }
        let Some(goal) = &self.goal else {
            return Ok("scratch server".to_owned());
        };
        if let Err(error) = goal.put(&self.data) {
            self.take_back(self.tablespaces.len());
            return Err(error);
        }
        let replaced = if goal.replaces { ", replaced" } else { "" };
        Ok(format!(
            "data directory `{}`{replaced}",
            goal.path.display()
        ))
    }

    fn take_back(&self, count: usize) {
        for tablespace in self.tablespaces.iter().take(count) {
            if let Some(goal) = &tablespace.goal {
                let _ = fs::rename(&goal.path, &tablespace.built);
            }
        }
    }
}
