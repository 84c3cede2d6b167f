//! Starts a recovered cluster's server apart from everything else, and makes sure that it ends with us.
//!
//! - It reads none of the source's settings (a configuration file of its own; `postgresql.auto.conf` is emptied by the caller) and reaches nothing: no
//!   TCP, a socket in a folder that only its user may enter, no archiving, no replication either way, no commands of the source.
//! - It is the child of a shell that waits for our end of a pipe: should we die, even by SIGKILL, the shell shuts it down at once.
//! - Dropped, it is shut down at once as well; [`ScratchServer::stop`] is the orderly way.
//!
//! Not here: waiting for its target (`wait`).

use super::{control::Control, owner::Owner, place::write_file, settings};
use crate::{
    api::{ProviderError, Result},
    engines::postgres::{binaries::Binaries, connection::Address, leftovers::random_digits},
    process::{Program, Running},
};
use model::Disposition;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a server may take to shut down.
const STOP: Duration = Duration::from_mins(10);
/// How long a server that is dropped may take; then it is killed.
const DROP: Duration = Duration::from_secs(5);

/// Runs the server as its child. Lines on standard input are signals for it; the end of input shuts it down at once.
const SUPERVISOR: &str = r#"
log=$1 alive=$2
shift 2
exec 3<&0
"$@" >>"$log" 2>&1 </dev/null 3<&- &
server=$!
(
    while read -r signal <&3; do kill -s "$signal" "$server"; done
    rm -f "$alive"
    kill -s QUIT "$server"
) 2>/dev/null &
guard=$!
wait "$server"
code=$?
kill "$guard" 2>/dev/null
exit "$code"
"#;

/// How a server is to be run.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Programs of the cluster's version.
    pub(super) set: &'a Binaries,
    /// Data directory.
    pub(super) data: &'a Path,
    /// A folder of ours for its configuration and log.
    pub(super) folder: &'a Path,
    /// Folder of its socket.
    pub(super) socket: &'a Path,
    /// Who runs it.
    pub(super) owner: Owner,
    /// What the control file says.
    pub(super) control: &'a Control,
    /// What is taken from the source.
    pub(super) kept: &'a settings::Kept,
    /// Where to stop and where the log comes from.
    pub(super) recovery: Vec<(String, String)>,
    /// The file that tells scripts that we live.
    pub(super) alive: PathBuf,
}

/// A running server.
#[derive(Debug)]
pub(super) struct ScratchServer {
    running: Option<Running>,
    orders: Option<File>,
    /// Folder of its socket.
    socket: PathBuf,
    port: u16,
}

impl ScratchServer {
    /// Starts it. It is not ready when this returns.
    pub(super) fn start(plan: &Plan<'_>) -> Result<Self> {
        let digits = u32::from_str_radix(&random_digits(), 16).unwrap_or(0);
        // A port of the range that nothing listens on by custom; it only names the socket.
        let port = u16::try_from(49_152 + digits % 16_000).unwrap_or(u16::MAX);
        let configuration = plan.folder.join("postgresql.conf");
        let hba = plan.folder.join("pg_hba.conf");
        let ident = plan.folder.join("pg_ident.conf");
        let log = plan.folder.join("log");
        let text = plan.configuration(port, &hba, &ident);
        write_file(&configuration, text.as_bytes(), &plan.owner)?;
        // Only the server's own user can enter the folder of the socket.
        write_file(&hba, b"local all all trust\n", &plan.owner)?;
        write_file(&ident, b"", &plan.owner)?;
        if !log.exists() {
            write_file(&log, b"", &plan.owner)?;
        }
        let program = Program::new("/bin/sh")
            .arg("-c")
            .arg(SUPERVISOR)
            .arg("mainstay-recovery")
            .arg(&log)
            .arg(&plan.alive)
            .arg(plan.set.program("postgres"))
            .arg("-D")
            .arg(plan.data)
            .arg("-c")
            .arg(format!("config_file={}", configuration.display()))
            .folder(plan.data)
            .without_env("PGDATA");
        let (running, orders) = plan.owner.program(program).start_writing()?;
        Ok(Self {
            running: Some(running),
            orders: Some(orders),
            socket: plan.socket.to_owned(),
            port,
        })
    }

    /// Waits for its end, which is an error whatever its exit code.
    pub(super) async fn ended(&mut self) {
        match &mut self.running {
            Some(running) => drop(running.ended().await),
            None => std::future::pending().await,
        }
    }

    /// How to connect.
    pub(super) fn address(&self, user: &str, database: &str) -> Address {
        Address {
            host: self.socket.display().to_string(),
            port: self.port,
            user: user.to_owned(),
            database: database.to_owned(),
            password: None,
            values: BTreeMap::new(),
        }
    }

    /// A URL without a secret.
    pub(super) fn url(&self, user: &str, database: &str) -> String {
        let mut url = String::from("postgresql://");
        percent_into(&mut url, user);
        url.push_str("@/");
        percent_into(&mut url, database);
        url.push_str("?host=");
        percent_into(&mut url, &self.socket.display().to_string());
        let _ = write!(url, "&port={}", self.port);
        url
    }

    /// Shuts it down so that its data directory is whole.
    pub(super) async fn stop(mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        if let Some(orders) = &mut self.orders {
            // Fails when it has ended already.
            let _ = orders.write_all(b"INT\n");
        }
        let ended = tokio::time::timeout(STOP, running.ended()).await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProviderError::new(
                "mainstay::process::timeout",
                Disposition::Retry,
                "the recovered server did not shut down in time and was killed",
            )),
        }
    }
}

impl Drop for ScratchServer {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        drop(self.orders.take());
        // Its own shutdown at once takes milliseconds and leaves no shared memory behind, unlike the kill that follows.
        let step = Duration::from_millis(10);
        let mut left = DROP;
        while running.lives() && !left.is_zero() {
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

impl Plan<'_> {
    fn configuration(&self, port: u16, hba: &Path, ident: &Path) -> String {
        let mut text =
            String::from("# Written by Mainstay for a server that runs only during a recovery.\n");
        let mut set = |name: &str, value: &str| text.push_str(&settings::line(name, value));
        for (name, value) in &self.kept.settings {
            set(name, value);
        }
        set("shared_preload_libraries", &self.kept.libraries.join(","));
        set("data_directory", &self.data.display().to_string());
        set("hba_file", &hba.display().to_string());
        set("ident_file", &ident.display().to_string());
        set(
            "unix_socket_directories",
            &self.socket.display().to_string(),
        );
        set("port", &port.to_string());
        for (name, value) in [
            ("listen_addresses", ""),
            ("unix_socket_permissions", "0700"),
            ("ssl", "off"),
            ("archive_mode", "off"),
            ("hot_standby", "on"),
            ("wal_level", "replica"),
            ("max_logical_replication_workers", "0"),
            ("max_standby_archive_delay", "-1"),
            ("autovacuum", "off"),
            ("fsync", "off"),
            ("huge_pages", "off"),
            ("dynamic_shared_memory_type", "mmap"),
            ("shared_buffers", "128MB"),
            ("max_wal_size", "4GB"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("log_line_prefix", ""),
            ("log_timezone", "UTC"),
            ("lc_messages", "C"),
            ("cluster_name", "mainstay recovery"),
        ] {
            set(name, value);
        }
        if self.set.major >= 17 {
            set("event_triggers", "off");
        }
        for (name, value) in &self.control.at_least {
            set(name, &value.to_string());
        }
        for (name, value) in &self.recovery {
            set(name, value);
        }
        text
    }
}

/// Percent-encodes everything that has a meaning in a URL.
fn percent_into(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}
