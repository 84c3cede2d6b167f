//! Removes scratch servers that a crashed run left behind: `mainstay-barman-<process>-<random>` of a process that has ended.

use super::{errors, restore::PREFIX};
use crate::api::Result;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{fs, io, path::Path};

/// Stops such servers and removes their folders, and says which.
pub(super) fn clean(place: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(errors::file("look into", place, error)),
    };
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let writer = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let Some(writer) = writer.and_then(|pid| Pid::from_raw(pid.parse().ok()?)) else {
            continue;
        };
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || test_kill_process(writer) != Err(rustix::io::Errno::SRCH) {
            continue;
        }
        let path = entry.path();
        stop_server(&path);
        #[expect(
            clippy::disallowed_methods,
            reason = "a folder with a name that only scratch servers get; recovery points never lie here"
        )]
        fs::remove_dir_all(&path).map_err(|error| errors::file("remove", &path, error))?;
        removed.push(path.display().to_string());
    }
    removed.sort();
    Ok(removed)
}

/// Our server outlived us. Its folder goes, so it need not end well.
fn stop_server(folder: &Path) {
    let Ok(text) = fs::read_to_string(folder.join("data/postmaster.pid")) else {
        return;
    };
    let mut lines = text.lines();
    let pid = lines
        .next()
        .and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
    let (Some(pid), Some(data)) = (pid, lines.next()) else {
        return;
    };
    // A number may have been given to somebody else since.
    let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains(data.trim()) {
        let _ = kill_process(pid, Signal::QUIT);
    }
}
