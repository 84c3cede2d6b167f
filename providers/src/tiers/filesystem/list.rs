//! Walks the tree below the root, in folders that can hold keys of a prefix.
//!
//! What is no plain file or folder (links, sockets) is not ours and is passed over; so are names that are not UTF-8, which
//! no key can have.

use super::{errors, root::Root};
use crate::api::{ObjectInfo, ObjectKey, Result};
use jiff::Timestamp;
use model::ByteCount;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

/// A plain file found on the way.
pub(super) struct Entry<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) name: &'a str,
    /// Path from the root.
    pub(super) path: &'a str,
    pub(super) stat: &'a Stat,
}

/// All finished objects whose key starts with `prefix`, sorted.
pub(super) fn objects(root: &Root, prefix: &str) -> Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    walk(root, prefix, &mut |entry| {
        if !entry.name.starts_with('.')
            && entry.path.starts_with(prefix)
            && let Some(key) = ObjectKey::new(entry.path)
        {
            found.push(info(key, entry.stat));
        }
        Ok(())
    })?;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// What a look at a plain file says of an object.
pub(super) fn info(key: ObjectKey, stat: &Stat) -> ObjectInfo {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    ObjectInfo {
        key,
        bytes: ByteCount(u64::try_from(stat.st_size).unwrap_or(0)),
        stored_at: Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// Whether this is a plain file.
pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Calls `visit` for every plain file in folders that may hold keys of `prefix`.
pub(super) fn walk(
    root: &Root,
    prefix: &str,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let fail = |errno| errors::from_errno(&format!("list `{path}`"), errno);
        // A folder may vanish meanwhile: a prune removes empty ones.
        let Some(folder) = root.folder(&segments).map_err(fail)? else {
            continue;
        };
        walk_folder(&folder, &path, prefix, &mut waiting, visit)?;
    }
    Ok(())
}

fn walk_folder(
    folder: &OwnedFd,
    path: &str,
    prefix: &str,
    waiting: &mut Vec<String>,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    let fail = |errno| errors::from_errno(&format!("list `{path}`"), errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut entries = rustix::fs::openat(folder, ".", flags, Mode::empty())
        .and_then(Dir::new)
        .map_err(fail)?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(fail)?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        // `lost+found` is the file system's own folder in the root of a mount, and closed to ordinary users.
        if name == "." || name == ".." || (path.is_empty() && name == "lost+found") {
            continue;
        }
        let inner = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}/{name}")
        };
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(fail(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if !name.starts_with('.') && may_hold(&inner, prefix) => {
                waiting.push(inner);
            }
            FileType::RegularFile => visit(Entry {
                folder: folder.as_fd(),
                name,
                path: &inner,
                stat: &stat,
            })?,
            _ => {}
        }
    }
    Ok(())
}

/// Whether keys below `folder` can start with `prefix`.
fn may_hold(folder: &str, prefix: &str) -> bool {
    let shorter = folder.len().min(prefix.len());
    folder.as_bytes()[..shorter] == prefix.as_bytes()[..shorter]
        && (prefix.len() <= folder.len() || prefix.as_bytes()[folder.len()] == b'/')
}
