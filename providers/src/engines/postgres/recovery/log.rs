//! Reads what a recovering server writes into its log: where it stopped, how far it came, what went wrong.
//!
//! The server runs with `lc_messages = C` and an empty `log_line_prefix`, so a line begins with its severity. Source of the sentences:
//! `xlogrecovery.c`, `xlog.c`, `bufpage.c`; the same in 12 to 18 unless noted. Not here: waiting (`wait`).

use jiff::Timestamp;
use model::Lsn;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

/// How many of the worst lines are kept.
const KEPT_LINES: usize = 8;

/// A log that is read as it grows.
#[derive(Debug)]
pub(super) struct ServerLog {
    path: PathBuf,
    read: u64,
    rest: Vec<u8>,
    /// What it said so far.
    pub(super) said: Said,
}

/// What a log said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// It takes connections.
    pub(super) ready: bool,
    /// It reached its target, in its own words.
    pub(super) stopped: Option<String>,
    /// The log ended before the target.
    pub(super) not_reached: bool,
    /// The target lies before the end of the base backup.
    pub(super) too_early: bool,
    /// The timeline is not one that the base backup leads to.
    pub(super) not_a_child: bool,
    /// Last position that was replayed.
    pub(super) position: Option<Lsn>,
    /// Commit time of the last transaction that was replayed.
    pub(super) time: Option<Timestamp>,
    /// Lines of FATAL and PANIC, the first ones.
    pub(super) fatal: Vec<String>,
    /// Settings that must be raised.
    pub(super) too_low: BTreeMap<String, u64>,
    /// A library to be preloaded that this machine has not.
    pub(super) missing_library: Option<String>,
    /// Pages whose checksum did not agree.
    pub(super) bad_pages: Vec<String>,
}

impl ServerLog {
    /// A log that may not exist yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            rest: Vec::new(),
            said: Said::default(),
        }
    }

    /// Forgets what a server said that has ended; its successor writes on.
    pub(super) fn begin_anew(&mut self) {
        self.read();
        let bad_pages = std::mem::take(&mut self.said.bad_pages);
        self.said = Said {
            bad_pages,
            ..Said::default()
        };
    }

    /// Takes in what was written since.
    pub(super) fn read(&mut self) {
        let mut more = Vec::new();
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if file.seek(SeekFrom::Start(self.read)).is_err() || file.read_to_end(&mut more).is_err() {
            return;
        }
        self.read += more.len() as u64;
        self.rest.extend(more);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.said.take(String::from_utf8_lossy(&line).trim_end());
        }
    }
}

impl Said {
    fn take(&mut self, line: &str) {
        for text in [
            "page verification failed, calculated checksum",
            "invalid page in block",
        ] {
            if line.contains(text) {
                keep(&mut self.bad_pages, line);
            }
        }
        if let Some((name, value)) = too_low(line) {
            self.too_low.insert(name, value);
        }
        if line.contains("recovery ended before configured recovery target was reached") {
            self.not_reached = true;
        }
        if line.contains("requested recovery stop point is before consistent recovery point") {
            self.too_early = true;
        }
        if line.contains("is not a child of this server's history")
            || (line.contains("recovery target timeline") && line.contains("does not exist"))
        {
            self.not_a_child = true;
        }
        if line.starts_with("FATAL:") && line.contains("the database system is") {
            // Connections that came too early.
            return;
        }
        if let Some(rest) = line.strip_prefix("FATAL:  could not access file \"") {
            self.missing_library = rest.split('"').next().map(str::to_owned);
        }
        if line.starts_with("FATAL:") || line.starts_with("PANIC:") {
            keep(&mut self.fatal, line);
        }
        let Some(said) = line.strip_prefix("LOG:") else {
            return;
        };
        let said = said.trim_start();
        if said.starts_with("recovery stopping") {
            self.stopped = Some(said.to_owned());
        } else if said.starts_with("database system is ready to accept") {
            self.ready = true;
        } else if let Some(rest) = said.strip_prefix("redo done at ") {
            let position = rest.split_whitespace().next().unwrap_or_default();
            self.position = Lsn::parse(position).ok();
        } else if let Some(time) = said.strip_prefix("last completed transaction was at log time ")
        {
            self.time = instant(time);
        }
    }
}

fn keep(lines: &mut Vec<String>, line: &str) {
    if lines.len() < KEPT_LINES {
        lines.push(line.to_owned());
    }
}

/// `max_connections = 50 is a lower setting than on the primary server, where its value was 200.` (14 and newer), `… (its value was 200)`.
fn too_low(line: &str) -> Option<(String, u64)> {
    let (before, after) = line.split_once(" is a lower setting than on the ")?;
    let name = before.rsplit_once(" = ")?.0.rsplit(' ').next()?;
    let value = after.split_once("value was ")?.1;
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    Some((name.to_owned(), digits.parse().ok()?))
}

/// A time as a server that runs in UTC writes it: `2026-06-20 12:00:00.25+00`.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        let mut said = Said::default();
        text.lines().for_each(|line| said.take(line));
        said
    }

    #[test]
    fn a_log_tells_how_far_a_recovery_came() {
        let said = said(
            "LOG:  redo starts at 0/2000028\nLOG:  database system is ready to accept read-only connections\n\
             FATAL:  the database system is starting up\n\
             LOG:  redo done at 0/5000060 system usage: CPU: user: 0.00 s\n\
             LOG:  last completed transaction was at log time 2026-11-21 19:00:00.123456+00\n\
             FATAL:  recovery ended before configured recovery target was reached\n",
        );
        assert!(said.ready && said.not_reached && said.stopped.is_none());
        assert_eq!(said.position, Some(Lsn(0x0500_0060)));
        assert_eq!(
            said.time.unwrap().to_string(),
            "2026-11-21T19:00:00.123456Z"
        );
        assert_eq!(said.fatal.len(), 1);
    }

    #[test]
    fn settings_that_are_too_low_are_named_by_every_version() {
        for line in [
            "DETAIL:  max_connections = 50 is a lower setting than on the primary server, where its value was 200.",
            "FATAL:  hot standby is not possible because max_connections = 50 is a lower setting than on the master server (its value was 200)",
        ] {
            assert_eq!(said(line).too_low["max_connections"], 200, "{line}");
        }
    }
}
