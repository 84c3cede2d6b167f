//! Restores into a folder: all, or parts by path.
//!
//! Everything is unpacked beside the target first and read to its end, so nothing of an archive that turns out to be damaged
//! gets a name that anybody looks for. A new target then appears by one rename. Into a folder that is there, each file goes by a
//! rename of its own; with `--replace` it takes the place of what has its name, and everything else stays as it is.
//!
//! What would leave the target is refused: an entry with `..` or from the root fails the whole restore (no capture of ours holds
//! one); a link that leads out of the target is left out and named in the notes, since such links are common in `/etc`.

use super::{
    CONTENT, errors,
    read_through::Held,
    tree::{Attributes, TEMPORARY, Tree},
};
use crate::{
    api::{Check, PlainObject, RestoreRequest, RestoreTarget, Restored, Result},
    engines::phases::Phases,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::{Component, Path, PathBuf},
};

/// Names of left-out links that are shown.
const EXAMPLES: usize = 5;

/// An entry that was unpacked.
#[derive(Debug)]
enum Entry {
    Folder(Attributes),
    File(Attributes),
    Link(Attributes, PathBuf),
}

/// What was unpacked, and what was left out on purpose.
#[derive(Debug, Default)]
struct Unpacked {
    entries: BTreeMap<PathBuf, Entry>,
    held: Held,
    links_out: Vec<String>,
    /// Entries that belong to somebody else than whoever restores, and cannot be given away.
    owners_lost: usize,
}

pub(super) fn run(mut request: RestoreRequest) -> Result<Restored> {
    if !request.selection.tables.is_empty() || !request.selection.schemas.is_empty() {
        return Err(errors::unsupported(
            "a set of files has no tables or schemas",
        ));
    }
    let mut phases = Phases::start();
    let objects = std::mem::take(&mut request.objects);
    let target = match &request.target {
        RestoreTarget::Scratch => None,
        RestoreTarget::Named(written) => {
            let path = std::path::absolute(written)
                .map_err(|error| errors::file("find the target", error))?;
            Some(path)
        }
    };
    let Some(target) = target else {
        let unpacked = unpack(
            objects,
            &request,
            &request.scratch.join("files"),
            Path::new("/scratch"),
        )?;
        phases.end("load");
        return Ok(Restored {
            reached: model::recovery_record::Reached::default(),
            target: "a scratch folder, removed again".to_owned(),
            checks: checks(&request, &unpacked),
            notes: unpacked.notes(),
            phases: phases.done,
        });
    };
    let fresh = match std::fs::symlink_metadata(&target) {
        Err(_) => true,
        Ok(_) if request.replace || is_empty_folder(&target) => false,
        Ok(_) => return Err(errors::target_exists(&target)),
    };
    let beside = if fresh {
        target.parent().unwrap_or(Path::new("/")).to_owned()
    } else {
        target.clone()
    };
    clean_abandoned(&beside);
    let staged = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempdir_in(&beside)
        .map_err(|error| errors::file(&format!("write in `{}`", beside.display()), error))?;
    let _alive = hold(staged.path());
    let staging = staged.path().join("files");
    let unpacked = unpack(objects, &request, &staging, &target)?;
    phases.end("load");
    if fresh {
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &staging,
            rustix::fs::CWD,
            &target,
            rustix::fs::RenameFlags::NOREPLACE,
        )
        .map_err(|errno| match errno {
            rustix::io::Errno::EXIST => errors::target_exists(&target),
            errno => errors::file(&format!("rename to `{}`", target.display()), errno.into()),
        })?;
    } else {
        place(&unpacked, &staging, &target, request.replace)?;
    }
    let _ = File::open(&beside).and_then(|folder| folder.sync_all());
    phases.end("rename");
    Ok(Restored {
        reached: model::recovery_record::Reached::default(),
        target: target.display().to_string(),
        checks: checks(&request, &unpacked),
        notes: unpacked.notes(),
        phases: phases.done,
    })
}

/// Unpacks what is selected below `staging` and reads every object to its end.
fn unpack(
    objects: Vec<PlainObject>,
    request: &RestoreRequest,
    staging: &Path,
    target: &Path,
) -> Result<Unpacked> {
    std::fs::create_dir(staging)
        .map_err(|error| errors::file(&format!("make `{}`", staging.display()), error))?;
    let tree = Tree::open(staging)?;
    let wanted: Vec<PathBuf> = request
        .selection
        .paths
        .iter()
        .map(|path| relative(path))
        .collect();
    let mut met = BTreeSet::new();
    let mut unpacked = Unpacked::default();
    let mut seen = false;
    for mut object in objects {
        if object.role == "data" {
            seen = true;
            if object.content != CONTENT {
                return Err(errors::unsupported(
                    "the data of this recovery point is no tar",
                ));
            }
            let mut archive = tar::Archive::new(&mut object.stream);
            for entry in archive.entries().map_err(errors::unreadable)? {
                let mut entry = entry.map_err(errors::unreadable)?;
                let path = entry.path().map_err(errors::unreadable)?.into_owned();
                check_path(&path)?;
                let selected = wanted.iter().position(|wanted| path.starts_with(wanted));
                met.extend(selected);
                if wanted.is_empty() || selected.is_some() {
                    unpacked.take(&tree, &mut entry, &path, target)?;
                }
            }
        }
        // The digest behind the stream is compared at its very end.
        io::copy(&mut object.stream, &mut io::sink()).map_err(errors::unreadable)?;
    }
    if !seen {
        return Err(errors::unsupported(
            "this recovery point has no data object",
        ));
    }
    if let Some(at) = (0..wanted.len()).find(|at| !met.contains(at)) {
        return Err(errors::not_in_point(&request.selection.paths[at]));
    }
    // Last and from the inside out: a folder that may not be written must be full before.
    for (path, entry) in unpacked.entries.iter().rev() {
        if let Entry::Folder(attributes) = entry {
            tree.finish_folder(path, *attributes)?;
        }
    }
    Ok(unpacked)
}

impl Unpacked {
    /// Links that were left out, in words.
    fn notes(&self) -> Vec<String> {
        let shown = self.links_out.iter().take(EXAMPLES);
        let mut notes: Vec<String> = shown
            .map(|link| format!("left out a link that leads out of the target: {link}"))
            .collect();
        if self.owners_lost > 0 {
            notes.push(format!(
                "{} entries belong to you now: only root can give files to their owners",
                self.owners_lost
            ));
        }
        if self.links_out.len() > EXAMPLES {
            let more = self.links_out.len() - EXAMPLES;
            notes.push(format!(
                "left out {more} more links that lead out of the target"
            ));
        }
        notes
    }

    fn take(
        &mut self,
        tree: &Tree,
        entry: &mut tar::Entry<'_, impl io::Read>,
        path: &Path,
        target: &Path,
    ) -> Result<()> {
        let attributes = attributes(entry.header()).map_err(errors::unreadable)?;
        let kind = entry.header().entry_type();
        let me = rustix::process::geteuid();
        if !me.is_root() && attributes.uid != me.as_raw() {
            self.owners_lost += 1;
        }
        let made = match kind {
            tar::EntryType::Directory => {
                tree.make_folder(path)?;
                Entry::Folder(attributes)
            }
            tar::EntryType::Regular => {
                tree.put_file(path, attributes, entry, false)?;
                Entry::File(attributes)
            }
            tar::EntryType::Symlink => {
                let to = entry.link_name().map_err(errors::unreadable)?;
                let to = to.ok_or_else(|| errors::unsafe_path(path))?.into_owned();
                if leads_out(path, &to, target) {
                    self.links_out
                        .push(format!("{} -> {}", path.display(), to.display()));
                    self.held.count(kind);
                    return Ok(());
                }
                tree.put_link(path, &to, attributes, false)?;
                Entry::Link(attributes, to)
            }
            _ => return Err(errors::unsafe_path(path)),
        };
        self.held.count(kind);
        self.entries.insert(path.to_owned(), made);
        Ok(())
    }
}

/// Moves what was unpacked into a folder that is there.
fn place(unpacked: &Unpacked, staging: &Path, target: &Path, replace: bool) -> Result<()> {
    let tree = Tree::open(target)?;
    for (path, entry) in &unpacked.entries {
        match entry {
            Entry::Folder(_) => tree.make_folder(path)?,
            Entry::File(attributes) => {
                // Copied and not moved: parts of the target may be other file systems.
                let staged = staging.join(path);
                let mut file = File::open(&staged).map_err(|error| {
                    errors::file(&format!("read `{}`", staged.display()), error)
                })?;
                tree.put_file(path, *attributes, &mut file, replace)?;
            }
            Entry::Link(attributes, to) => tree.put_link(path, to, *attributes, replace)?,
        }
    }
    for (path, entry) in unpacked.entries.iter().rev() {
        if let Entry::Folder(attributes) = entry {
            tree.finish_folder(path, *attributes)?;
        }
    }
    Ok(())
}

fn checks(request: &RestoreRequest, unpacked: &Unpacked) -> Vec<Check> {
    let mut checks = if request.selection.is_all() {
        unpacked.held.checks(&request.manifest.expectations)
    } else {
        Vec::new()
    };
    checks.extend(request.asserts.iter().map(|_| Check {
        what: "assert".to_owned(),
        passed: false,
        detail: "a set of files runs no SQL; remove `assert` from its table".to_owned(),
    }));
    checks
}

fn attributes(header: &tar::Header) -> io::Result<Attributes> {
    let id = |id: u64| {
        u32::try_from(id).map_err(|_| io::Error::other("an owner is no number of this system"))
    };
    Ok(Attributes {
        mode: header.mode()?,
        uid: id(header.uid()?)?,
        gid: id(header.gid()?)?,
        mtime: i64::try_from(header.mtime()?).unwrap_or(0),
    })
}

/// Only names, and at least one.
fn check_path(path: &Path) -> Result<()> {
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if plain && path.file_name().is_some() {
        Ok(())
    } else {
        Err(errors::unsafe_path(path))
    }
}

/// Whether a link at `path` below the target leads out of it, as it is written.
fn leads_out(path: &Path, to: &Path, target: &Path) -> bool {
    if target == Path::new("/") {
        return false;
    }
    let mut depth = path.components().count().saturating_sub(1);
    for component in to.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// As it is named in the archive, however a person writes it.
fn relative(written: &str) -> PathBuf {
    Path::new(written)
        .components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .collect()
}

fn is_empty_folder(path: &Path) -> bool {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    is_folder && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Marks a staging folder as in use for as long as the descriptor lives.
fn hold(path: &Path) -> Option<File> {
    let folder = File::open(path).ok()?;
    folder.try_lock().ok()?;
    Some(folder)
}

/// Removes staging folders whose restore has crashed. What cannot be removed is left for a person.
fn clean_abandoned(beside: &Path) {
    let Ok(entries) = std::fs::read_dir(beside) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // The lock dies with the process that held it.
        if let Some(_abandoned) = hold(&entry.path()) {
            #[expect(
                clippy::disallowed_methods,
                reason = "a staging folder of a crashed restore, which nobody holds; its name is ours"
            )]
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_on_paper_to_see_whether_they_leave() {
        for (at, to, out) in [
            ("etc/a", "b", false),
            ("etc/nginx/x", "../y", false),
            ("etc/a", "../../y", true),
            ("a", "../y", true),
            ("etc/a", "/etc/b", true),
            ("etc/a", "b/../../../c", true),
        ] {
            assert_eq!(
                leads_out(Path::new(at), Path::new(to), Path::new("/t")),
                out,
                "{at} -> {to}"
            );
        }
        assert!(!leads_out(
            Path::new("etc/a"),
            Path::new("/etc/b"),
            Path::new("/")
        ));
    }
}
