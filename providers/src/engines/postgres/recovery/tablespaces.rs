//! Tablespaces of a recovered cluster: where each goes, and its link.
//!
//! `tablespace_map`, which a server would follow at its first start, names the places of the source: it is read and removed, and the links are ours.
//! Source of its form: `xlogbackup.c`/`xlogrecovery.c` (`read_tablespace_map`): `<oid> <location>`, a backslash before newlines and backslashes.

use super::{
    owner::Owner,
    place::{Goal, WorkFolder, cannot_write},
};
use crate::api::{ProviderError, Result};
use model::Disposition;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One tablespace that is being recovered.
#[derive(Debug)]
pub(super) struct Tablespace {
    /// Its number, also the name of its link.
    pub(super) oid: u32,
    /// Where its files are now.
    pub(super) built: PathBuf,
    /// Where they go at the end; `None`: nowhere, the server is a scratch one.
    pub(super) goal: Option<Goal>,
    /// The folder that `built` is in.
    pub(super) work: Arc<WorkFolder>,
}

/// Reads and removes the map of a data directory.
pub(super) fn take_map(data: &Path) -> Result<BTreeMap<u32, PathBuf>> {
    let path = data.join("tablespace_map");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(cannot_write(&path, error)),
    };
    let map = parse(&bytes).ok_or_else(|| damaged("its tablespace map cannot be read"))?;
    fs::remove_file(&path).map_err(|error| cannot_write(&path, error))?;
    Ok(map)
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<u32, PathBuf>> {
    use std::os::unix::ffi::OsStringExt;
    let mut map = BTreeMap::new();
    let mut line = Vec::new();
    let mut escaped = false;
    for &byte in bytes {
        match byte {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'\n' if !escaped => {
                let space = line.iter().position(|&byte| byte == b' ')?;
                let path = line.split_off(space + 1);
                let oid = String::from_utf8(line).ok()?.trim().parse().ok()?;
                map.insert(oid, std::ffi::OsString::from_vec(path).into());
                line = Vec::new();
            }
            _ => line.push(byte),
        }
        escaped = false;
    }
    line.is_empty().then_some(map)
}

/// Where a tablespace goes that nobody said anything about: beside the data directory.
pub(super) fn beside(data: &Path, oid: u32) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push("-tablespaces");
    data.with_file_name(name).join(oid.to_string())
}

/// Makes or changes the links, so that they lead to where the files are (`Tablespace::built`) or will be.
pub(super) fn link(
    data: &Path,
    tablespaces: &[Tablespace],
    at_goal: bool,
    owner: Owner,
) -> Result<()> {
    for tablespace in tablespaces {
        let place = match &tablespace.goal {
            Some(goal) if at_goal => &goal.path,
            _ => &tablespace.built,
        };
        link_one(data, tablespace.oid, place, owner)?;
    }
    Ok(())
}

/// Makes or changes one link.
pub(super) fn link_one(data: &Path, oid: u32, place: &Path, owner: Owner) -> Result<()> {
    let folder = data.join("pg_tblspc");
    let link = folder.join(oid.to_string());
    let make = || -> io::Result<()> {
        if !folder.is_dir() {
            owner.folder(&folder)?;
        }
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(place, &link)?;
        owner.own(&link)
    };
    make().map_err(|error| cannot_write(&link, error))
}

/// The base backup contradicts itself.
pub(super) fn damaged(what: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::damaged",
        Disposition::Permanent,
        format!("the stored base backup is not usable: {what}"),
    )
    .help("restore from another copy or another recovery point: mainstay list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_read_with_its_escapes() {
        let map = parse(b"16385 /mnt/fast disk\n16386 /odd\\\nname\\\\x\n").unwrap();
        assert_eq!(map[&16385], Path::new("/mnt/fast disk"));
        assert_eq!(map[&16386], Path::new("/odd\nname\\x"));
        assert_eq!(parse(b"16385 /cut"), None);
        assert_eq!(parse(b"rubbish\n"), None);
    }

    #[test]
    fn a_tablespace_goes_beside_its_cluster() {
        assert_eq!(
            beside(Path::new("/srv/main"), 7),
            Path::new("/srv/main-tablespaces/7")
        );
    }
}
