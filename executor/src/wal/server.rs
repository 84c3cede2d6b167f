//! What lies beside a server's `pg_wal`: the identifier of its cluster, the files that wait, the files themselves.
//!
//! Reads only, and asks no server: it works while the server is down, and in recovery.

use super::file::WalFile;
use model::{Disposition, WalFileName};
use providers::{
    api::{ProviderError, Result},
    stream::Buffer,
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest file that is taken: the largest segment that PostgreSQL can be built with.
const LARGEST: u64 = 1 << 30;

/// The identifier in `global/pg_control` of the data folder that holds `path` in its `pg_wal` (`%p` of PostgreSQL); `None` when
/// there is none beside it.
pub fn system_identifier_beside(path: &Path) -> Option<u64> {
    let data_folder = path.parent()?.parent()?;
    let mut first = [0; 8];
    File::open(data_folder.join("global/pg_control"))
        .and_then(|mut file| file.read_exact(&mut first))
        .ok()?;
    // `ControlFileData.system_identifier`, in this machine's byte order.
    let found = u64::from_ne_bytes(first);
    (found != 0).then_some(found)
}

/// Reads a file that a server wants archived (`%p`), and checks that it is what its name says.
pub(crate) fn read_file(path: &Path, system_identifier: Option<u64>) -> Result<WalFile> {
    let unreadable = |error: io::Error| {
        ProviderError::new(
            "mainstay::wal::unreadable",
            Disposition::NeedsOperator,
            format!("cannot read `{}`", path.display()),
        )
        .help("`%p` of `archive_command` is relative to the server's data folder, and only the server's own user may read it")
        .source(error)
    };
    let name = file_name(path)?;
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(unreadable(io::Error::other("it is no file of a log")));
    }
    let mut plain = Buffer::with_room(usize::try_from(about.len()).unwrap_or(0) + 1);
    file.take(LARGEST + 1)
        .read_to_end(plain.filled())
        .map_err(unreadable)?;
    WalFile::new(
        name,
        plain.share(),
        system_identifier.or_else(|| system_identifier_beside(path)),
    )
}

/// The name of a file of a log.
pub(crate) fn file_name(path: &Path) -> Result<WalFileName> {
    let text = path.file_name().unwrap_or_default().to_string_lossy();
    WalFileName::parse(&text).map_err(|error| {
        ProviderError::new(
            "mainstay::wal::file-name",
            Disposition::Permanent,
            error.to_string(),
        )
        .help("`archive_command` is given `%p`, `restore_command` `%f %p`; see `mainstay wal push --help`")
    })
}

/// Files that the server has marked for archiving, in the order in which it will ask for them: histories first, then by name.
pub(crate) fn waiting(pg_wal: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(pg_wal.join("archive_status")) else {
        return Vec::new();
    };
    let mut names: Vec<(bool, WalFileName)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let name = WalFileName::parse(name.to_str()?.strip_suffix(".ready")?).ok()?;
            Some((!matches!(name, WalFileName::History { .. }), name))
        })
        .collect();
    names.sort_by_key(|(later, name)| (*later, name.to_string()));
    names
        .into_iter()
        .map(|(_, name)| pg_wal.join(name.to_string()))
        .collect()
}
