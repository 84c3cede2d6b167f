//! What `wal push` says to `wal run`, and what it hears: one line of JSON each way over a Unix socket.
//!
//! While the agent works it sends an empty line every few seconds; silence for longer means that it hangs, and the command does
//! the work itself. Nothing can go wrong by doing a file twice.

use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Value of [`Request::version`]; an agent of another version is not used.
pub(super) const VERSION: u32 = 1;
/// Pause between two signs of life.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Silence after which an agent counts as hanging.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// Longest line.
pub(super) const LONGEST_LINE: u64 = 64 << 10;

/// Asks for one file to be archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub(super) version: u32,
    /// Database that the caller means; `None`: the only one.
    pub database: Option<String>,
    /// The file, absolute.
    pub path: PathBuf,
    /// Its cluster, if the caller says so.
    pub system_identifier: Option<u64>,
}

impl Request {
    /// A request.
    pub fn new(path: PathBuf, database: Option<String>, system_identifier: Option<u64>) -> Self {
        Self {
            version: VERSION,
            database,
            path,
            system_identifier,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the file is archived.
    pub archived: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why it is not.
    pub failure: Option<AnswerFailure>,
}

/// Why a file is not archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFailure {
    /// Error code.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// The socket of a database's agent below the folder for state.
pub(super) fn socket_name(database: &str) -> String {
    format!("{database}.sock")
}

/// A path to a socket that is short enough for the kernel, whatever the folder's length: through the folder's descriptor.
pub(super) fn short(folder: &std::fs::File, name: &str) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name)
}
