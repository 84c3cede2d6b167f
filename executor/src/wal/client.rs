//! Asks an agent for the work, before anything of the policy is read: what makes `wal push` a matter of a few milliseconds.
//!
//! Blocking and without a runtime on purpose. Every doubt (nobody listens, another version, silence, a broken line) gives
//! `None`, and the caller does the work itself.

use super::protocol::{Answer, LONGEST_LINE, Request, SILENCE, short};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
};

/// Asks the agent whose socket lies in `folder`; `None`: nobody gave a whole answer.
pub fn ask(folder: &Path, request: &Request) -> Option<Answer> {
    let name = match &request.database {
        Some(database) => super::protocol::socket_name(database),
        None => only_socket(folder)?,
    };
    let folder = File::open(folder).ok()?;
    if !is_trusted(&short(&folder, &name), &request.path) {
        return None;
    }
    let mut stream = UnixStream::connect(short(&folder, &name)).ok()?;
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    stream.set_write_timeout(Some(SILENCE)).ok()?;
    let mut line = serde_json::to_vec(request).ok()?;
    line.push(b'\n');
    stream.write_all(&line).ok()?;
    let mut lines = BufReader::new(stream.take(LONGEST_LINE));
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 || !line.ends_with('\n') {
            return None;
        }
        if !line.trim().is_empty() {
            return serde_json::from_str(&line).ok();
        }
    }
}

/// Whose word counts that a file is archived: our own, root's, and that of the owner of the file. Anybody else who can make a
/// socket there could have the server throw its log away.
fn is_trusted(socket: &Path, file: &Path) -> bool {
    let owner = |path: &Path| fs::metadata(path).map(|about| about.uid()).ok();
    let Ok(socket) = fs::symlink_metadata(socket) else {
        return false;
    };
    let ours = [owner(Path::new("/proc/self")), owner(file), Some(0)];
    ours.contains(&Some(socket.uid()))
}

/// The agents of other databases do not matter to one who names none, as long as there is only one.
fn only_socket(folder: &Path) -> Option<String> {
    let mut sockets = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "sock"));
    let first = sockets.next()?;
    sockets.next().is_none().then_some(first)
}
