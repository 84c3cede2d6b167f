//! Removes what crashed writers left behind, and never what a running one still writes.
//!
//! How the one is told from the other: `temporary`.

use super::{
    TEMPORARY, errors,
    list::{Entry, walk},
    root::Root,
};
use crate::{
    api::Result,
    temporary::{final_name, remove_if_abandoned},
};
use rustix::{fd::BorrowedFd, fs::Dir};

/// Removes temporary files whose path, or the path of the object that they were to become, starts with `prefix`.
pub(super) fn clean(root: &Root, prefix: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let mut now = None;
    walk(root, prefix, &mut |entry: Entry<'_>| {
        if !entry.name.starts_with(TEMPORARY) || !is_below(entry.path, entry.name, prefix) {
            return Ok(());
        }
        let gone = remove_if_abandoned(entry.folder, TEMPORARY, entry.name, &mut now)
            .map_err(|errno| errors::from_errno(&format!("clean up `{}`", entry.path), errno))?;
        if gone {
            removed.push(entry.path.to_owned());
        }
        Ok(())
    })?;
    removed.sort();
    Ok(removed)
}

fn is_below(path: &str, name: &str, prefix: &str) -> bool {
    let folder = path.strip_suffix(name).unwrap_or(path);
    path.starts_with(prefix)
        || final_name(TEMPORARY, name)
            .is_some_and(|object| format!("{folder}{object}").starts_with(prefix))
}

/// Removes the temporary files for one name in one folder: control objects lie outside the points that a clean-up visits.
pub(super) fn clean_name(folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    let mut now = None;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let temporary = entry.file_name().to_string_lossy();
        if temporary.starts_with(TEMPORARY) && temporary.ends_with(&format!("-{name}")) {
            remove_if_abandoned(folder, TEMPORARY, &temporary, &mut now)?;
        }
    }
    Ok(())
}
