//! Control objects: small files that are replaced as a whole, if they are still what the caller has read.
//!
//! Compare and replace are one act under the lock of one file in the root (`flock`, which NFS and SMB carry to other
//! machines); a crash releases it. The new content gets its name by one rename, so a reader sees the old or the new whole.

use super::{
    TEMPORARY, errors, leftovers,
    root::{Root, split, sync_folder},
};
use crate::{
    api::{ControlTag, Expected, ObjectKey, ProviderError, Result},
    temporary::Temporary,
};
use bytes::Bytes;
use model::{Digest, Disposition};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{Read, Write},
};

/// The file that is locked while two contents are compared. Its own content means nothing.
const LOCK: &str = ".mainstay-control.lock";
/// Control objects are a few kilobytes; a key ring with thousands of objects stays below this.
const LARGEST: u64 = 16 << 20;

/// Reads one whole, and what tells its content from the next.
pub(super) fn read(root: &Root, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>> {
    let fail = |errno| errors::from_errno(&format!("read `{key}`"), errno);
    let (segments, name) = split(key);
    let Some(folder) = root.folder(&segments).map_err(fail)? else {
        return Ok(None);
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    };
    let mut content = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut content)
        .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if content.len() as u64 > LARGEST {
        return Err(fail(Errno::FBIG));
    }
    let tag = tag_of(&content);
    Ok(Some((Bytes::from(content), tag)))
}

/// Writes one whole, if what is there is what the caller expects.
pub(super) fn write(
    root: &Root,
    key: &ObjectKey,
    content: &[u8],
    expected: &Expected,
) -> Result<ControlTag> {
    let fail = |errno| errors::from_errno(&format!("write `{key}`"), errno);
    let (segments, name) = split(key);
    let is_expected = || -> Result<bool> {
        let there = read(root, key)?.map(|(_, tag)| tag);
        Ok(match expected {
            Expected::Absent => there.is_none(),
            Expected::Unchanged(tag) => there.as_ref() == Some(tag),
        })
    };
    // Looked at once without the lock: where another tier has come in the place of ours, not even the lock's file is made.
    if !is_expected()? {
        return Err(changed(key));
    }
    let chain = root.make_folder(&segments).map_err(fail)?;
    let folder = chain.last().map_or(root.fd.as_fd(), AsFd::as_fd);
    let _alone = lock(root).map_err(fail)?;
    if !is_expected()? {
        return Err(changed(key));
    }
    // What a dead writer left harms nobody; that it cannot be removed must not stop this one.
    let _ = leftovers::clean_name(folder, name);
    let folder_fd = rustix::io::fcntl_dupfd_cloexec(folder, 0).map_err(fail)?;
    let mut temporary = Temporary::create(folder_fd, TEMPORARY, name).map_err(fail)?;
    temporary
        .file
        .write_all(content)
        .and_then(|()| temporary.file.sync_all())
        .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    root.check_still_there()?;
    temporary.rename_over(name).map_err(fail)?;
    for folder in chain.iter().rev() {
        sync_folder(folder.as_fd()).map_err(fail)?;
    }
    Ok(tag_of(content))
}

/// What was read before is not there any more.
fn changed(key: &ObjectKey) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::changed",
        Disposition::Retry,
        format!("will not replace `{key}`: somebody else has changed it meanwhile"),
    )
}

fn tag_of(content: &[u8]) -> ControlTag {
    ControlTag(Digest::sha256_of(content).to_string())
}

/// Released when the descriptor is closed.
fn lock(root: &Root) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&root.fd, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::flock(&fd, FlockOperation::LockExclusive)?;
    Ok(fd)
}
