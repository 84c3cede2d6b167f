//! The marker file that tells a tier's folder from an empty mount point. Format `mainstay.tier.v1`, JSON.

use super::{
    TEMPORARY, errors,
    root::{Root, sync_folder},
};
use crate::{api::Result, temporary::Temporary};
use rustix::{
    fd::AsFd,
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{Read, Write},
};

/// Name of the marker in the root. The leading dot keeps it out of listings.
pub(super) const FILE_NAME: &str = ".mainstay-tier.json";
const FORMAT: &str = "mainstay.tier.v1";
/// A marker is a few lines; anything larger is another file.
const LARGEST: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: String,
    identity: String,
    /// For whoever finds the file.
    #[serde(default)]
    about: String,
}

/// The identity in the marker; `None` without a marker.
pub(super) fn read(root: &Root) -> Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&root.fd, FILE_NAME, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => {
            return Err(errors::from_errno(
                &format!("open the marker file of `{}`", root.path.display()),
                errno,
            ));
        }
    };
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(|error| errors::bad_marker(&root.path, "it cannot be read").source(error))?;
    let marker: Marker = serde_json::from_str(&text).map_err(|error| {
        errors::bad_marker(&root.path, "it is not the JSON of a marker").source(error)
    })?;
    if marker.format != FORMAT {
        return Err(errors::bad_marker(
            &root.path,
            &format!(
                "its format is `{}`, this program reads `{FORMAT}`",
                marker.format
            ),
        ));
    }
    Ok(Some(marker.identity))
}

/// Writes the marker unless there is one, and gives the identity that is there afterwards.
pub(super) fn write(root: &Root, identity: &str) -> Result<String> {
    if let Some(there) = read(root)? {
        return Ok(there);
    }
    let what = format!("write the marker file of `{}`", root.path.display());
    let fail = |errno| errors::from_errno(&what, errno);
    let marker = Marker {
        format: FORMAT.to_owned(),
        identity: identity.to_owned(),
        about:
            "This folder is a storage tier of Mainstay. Without this file it counts as not mounted."
                .to_owned(),
    };
    let mut text = serde_json::to_string_pretty(&marker)
        .map_err(|error| errors::bad_marker(&root.path, "it cannot be written").source(error))?;
    text.push('\n');
    let folder = root.fd.try_clone().map_err(|_| fail(Errno::MFILE))?;
    let mut temporary = Temporary::create(folder, TEMPORARY, FILE_NAME).map_err(fail)?;
    temporary
        .file
        .write_all(text.as_bytes())
        .and_then(|()| temporary.file.sync_all())
        .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    match temporary.rename_to(FILE_NAME) {
        // Somebody was faster: theirs counts.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail(errno)),
    }
    sync_folder(root.fd.as_fd()).map_err(fail)?;
    read(root)?.ok_or_else(|| errors::no_marker(&root.path))
}
