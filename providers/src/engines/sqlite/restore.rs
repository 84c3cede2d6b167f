//! Restores a whole file: beside its target under a temporary name, checked there, then renamed.
//!
//! Checks come before the name: a copy that fails them never replaces an existing database. At a new path it is put in
//! place all the same, with its failed checks reported, because a doubtful copy may be the last one.

use super::{Stop, checks, errors, open, read_through, replace, staging, tables};
use crate::{
    api::{Check, RestoreRequest, RestoreTarget, Restored, Result},
    engines::phases::Phases,
    temporary::{Temporary, remove_if_abandoned},
};
use jiff::Timestamp;
use model::{Assertion, Expectations};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{Mode, OFlags},
};
use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

/// Beginning of the names of unfinished restores.
pub(super) const TEMPORARY: &str = ".mainstay-restore-";

/// A target file: its folder, its name, its path.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) name: String,
}

impl Target {
    /// A path as a person wrote it, relative to the working folder. A link is followed, so that what it points to is replaced.
    pub(super) fn new(written: &str) -> Result<Self> {
        let asked = Path::new(written);
        let path = asked.canonicalize().unwrap_or_else(|_| asked.to_owned());
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|_| !written.ends_with('/'));
        let Some(name) = name.map(str::to_owned) else {
            return Err(errors::unsupported(format!(
                "`{written}` does not name a file to restore to"
            )));
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { path, folder, name })
    }

    /// The file that SQLite keeps beside it.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(ending);
        path.into()
    }

    /// Whether there is a file, a folder or anything else of this name.
    pub(super) fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// A journal or WAL without its database. SQLite would apply it to whatever appears under this name.
    fn stray_journal(&self) -> Option<PathBuf> {
        ["-journal", "-wal"]
            .map(|ending| self.beside(ending))
            .into_iter()
            .find(|path| path.symlink_metadata().is_ok())
    }

    pub(super) fn temporary(&self) -> Result<(Temporary, PathBuf)> {
        let folder = open_folder(&self.folder)?;
        let temporary = Temporary::create(folder, TEMPORARY, &self.name).map_err(|errno| {
            errors::file(
                &format!("make a file beside `{}`", self.path.display()),
                errno.into(),
            )
        })?;
        let path = self.folder.join(temporary.name());
        Ok((temporary, path))
    }

    /// Makes the new name durable.
    pub(super) fn sync_folder(&self) -> Result<()> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| {
                errors::file(
                    &format!("sync the folder of `{}`", self.path.display()),
                    error,
                )
            })
    }
}

fn open_folder(folder: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| {
        errors::file(
            &format!("open the folder `{}`", folder.display()),
            errno.into(),
        )
    })
}

/// Restores as asked.
pub(super) fn run(request: RestoreRequest, stop: &Stop) -> Result<Restored> {
    if let Some(schema) = request
        .selection
        .schemas
        .iter()
        .find(|name| *name != "main")
    {
        return Err(errors::unsupported(format!(
            "SQLite has no schema `{schema}`; a file is one schema, `main`"
        )));
    }
    let phases = Phases::start();
    match &request.target {
        RestoreTarget::Scratch => scratch(request, phases, stop),
        RestoreTarget::Named(written) => {
            let target = Target::new(written)?;
            if request.selection.tables.is_empty() {
                whole(request, &target, phases, stop)
            } else {
                tables::restore(request, &target, phases, stop)
            }
        }
    }
}

/// A file in the scratch folder that is checked and removed.
fn scratch(mut request: RestoreRequest, mut phases: Phases, stop: &Stop) -> Result<Restored> {
    let path = request.scratch.join("restored.sqlite");
    let mut file =
        File::create_new(&path).map_err(|error| errors::file("make a scratch database", error))?;
    phases.end("create");
    let objects = std::mem::take(&mut request.objects);
    let written = staging::write(objects, &mut file, stop);
    drop(file);
    phases.end("load");
    let checks = written.and_then(|()| {
        all_checks(
            &path,
            &request.manifest.expectations,
            &request.asserts,
            request.manifest.captured_at,
        )
    });
    phases.end("checks");
    let _ = std::fs::remove_file(&path);
    phases.end("drop");
    Ok(Restored {
        reached: model::recovery_record::Reached::default(),
        target: "a scratch file, removed again".to_owned(),
        phases: phases.done,
        checks: checks?,
        notes: Vec::new(),
    })
}

fn whole(
    mut request: RestoreRequest,
    target: &Target,
    mut phases: Phases,
    stop: &Stop,
) -> Result<Restored> {
    check_free(target, request.replace)?;
    let (mut temporary, path) = target.temporary()?;
    phases.end("create");
    let objects = std::mem::take(&mut request.objects);
    staging::write(objects, &mut temporary.file, stop)?;
    phases.end("load");
    let checks = all_checks(
        &path,
        &request.manifest.expectations,
        &request.asserts,
        request.manifest.captured_at,
    )?;
    phases.end("checks");
    put_in_place(&mut temporary, target, request.replace, &checks)?;
    phases.end("rename");
    Ok(Restored {
        reached: model::recovery_record::Reached::default(),
        target: target.path.display().to_string(),
        phases: phases.done,
        checks,
        notes: Vec::new(),
    })
}

/// Refuses an existing target, and journals that SQLite would apply to the new file, unless both may be replaced.
pub(super) fn check_free(target: &Target, replace: bool) -> Result<()> {
    if replace {
        return Ok(());
    }
    if target.exists() {
        return Err(errors::target_exists(&format!(
            "`{}`",
            target.path.display()
        )));
    }
    if let Some(stray) = target.stray_journal() {
        return Err(errors::target_exists(&format!(
            "`{}`, the journal of an earlier database of this name,",
            stray.display()
        )));
    }
    Ok(())
}

/// Gives a checked file its name.
pub(super) fn put_in_place(
    temporary: &mut Temporary,
    target: &Target,
    replace: bool,
    checks: &[Check],
) -> Result<()> {
    if replace {
        let failed: Vec<&str> = checks
            .iter()
            .filter(|check| !check.passed && !check.what.starts_with("assert "))
            .map(|check| check.what.as_str())
            .collect();
        if !failed.is_empty() && target.exists() {
            return Err(errors::failed_checks(&target.path, &failed.join(", ")));
        }
        replace::replace(temporary, target)?;
    } else {
        match temporary.rename_to(&target.name) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                return Err(errors::target_exists(&format!(
                    "`{}`",
                    target.path.display()
                )));
            }
            Err(errno) => {
                return Err(errors::file(
                    &format!("rename the restored file to `{}`", target.path.display()),
                    errno.into(),
                ));
            }
        }
    }
    target.sync_folder()
}

/// Integrity, expectations and a person's checks of a whole file.
pub(super) fn all_checks(
    path: &Path,
    expectations: &Expectations,
    asserts: &[Assertion],
    captured_at: Timestamp,
) -> Result<Vec<Check>> {
    let mut found = read_through::check_file(path, expectations)?;
    let connection = open::finished(path)
        .map_err(|error| errors::sqlite("open the restored database", error))?;
    found.extend(checks::assertions(&connection, asserts, captured_at));
    Ok(found)
}

/// Removes unfinished restores that crashed beside the source, the usual place of a replacement.
pub(super) fn clean_leftovers(source: &Path) -> Result<Vec<String>> {
    let Some(parent) = source.parent() else {
        return Ok(Vec::new());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let entries = match parent.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(errors::file(&format!("list `{}`", parent.display()), error)),
    };
    let folder = open_folder(parent)?;
    let mut now = None;
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(TEMPORARY)) else {
            continue;
        };
        let gone = remove_if_abandoned(folder.as_fd(), TEMPORARY, name, &mut now)
            .map_err(|errno| errors::file(&format!("remove `{name}`"), errno.into()))?;
        if gone {
            removed.push(entry.path().display().to_string());
        }
    }
    removed.sort();
    Ok(removed)
}
