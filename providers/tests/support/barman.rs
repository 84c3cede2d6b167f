//! A real, throw-away Barman that backs up a test server, in a folder of its own, with its log receiver running.
//!
//! Root runs it as user `barman`, anybody else as himself. Include `postgres.rs` beside it.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up shall say why and stop"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

use super::postgres::{PASSWORD, Server};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Barman with one server, `main`.
#[derive(Debug)]
pub struct Barman {
    /// Its configuration file.
    pub config: PathBuf,
    /// The server that it backs up.
    pub server: Server,
    folder: tempfile::TempDir,
    receiver: Child,
    user: String,
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    assert!(
        output.status.success(),
        "{command:?} failed: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Barman {
    /// Starts both.
    pub fn start() -> Self {
        let server = Server::start(&["wal_level=replica", "max_wal_senders=10"]);
        let is_root = run(Command::new("id").arg("-u")) == "0";
        let user = if is_root {
            "barman".to_owned()
        } else {
            run(Command::new("id").arg("-un"))
        };
        let folder = tempfile::Builder::new()
            .prefix("mainstay-test-barman-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .expect("a folder");
        let home = folder.path().join("home");
        std::fs::create_dir(&home).expect("a folder");
        run(Command::new("chown").arg(&user).arg(&home));
        let config = folder.path().join("barman.conf");
        let connection = format!(
            "host=127.0.0.1 port={} user=postgres password={PASSWORD}",
            server.port
        );
        let text = format!(
            "[barman]\nbarman_user = {user}\nbarman_home = {0}/home\nlog_file = {0}/home/log\nlog_level = INFO\n\
             configuration_files_directory = {0}/none\n\
             [main]\ndescription = test\nconninfo = {connection} dbname=postgres\nstreaming_conninfo = {connection}\n\
             backup_method = postgres\nstreaming_archiver = on\nslot_name = barman\nimmediate_checkpoint = true\npath_prefix = {1}\n\
             retention_policy = RECOVERY WINDOW OF 7 DAYS\n",
            folder.path().display(),
            server.bin.display()
        );
        std::fs::write(&config, text).expect("writable");
        let command = |words: &[&str]| {
            let mut command = Command::new("barman");
            command.arg("-c").arg(&config).args(words).current_dir("/");
            command
        };
        run(&mut command(&["receive-wal", "--create-slot", "main"]));
        let receiver = command(&["receive-wal", "main"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("barman is there");
        let barman = Self {
            config,
            server,
            folder,
            receiver,
            user,
        };
        let active = "SELECT count(*) FROM pg_replication_slots WHERE active";
        while barman.server.psql("postgres", active) != "1" {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        // Until a first segment has come, `barman check` calls the archive not ready.
        barman.switch();
        barman
    }

    /// A command of Barman's.
    pub fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("barman");
        run(command
            .arg("-c")
            .arg(&self.config)
            .args(words)
            .current_dir("/"))
    }

    /// Brings the log up to now into the archive.
    pub fn switch(&self) {
        self.run(&["switch-wal", "--force", "--archive", "main"]);
    }

    /// The table of a database in a policy.
    pub fn table(&self) -> Value {
        json!({"server": "main", "config": self.config, "user": self.user, "scratch": self.folder.path()})
    }

    /// A folder that Barman's user may pass, for targets.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for Barman {
    fn drop(&mut self) {
        // It has a child; both end when the server, which is dropped next, does.
        let _ = self.receiver.kill();
        let _ = self.receiver.wait();
    }
}
