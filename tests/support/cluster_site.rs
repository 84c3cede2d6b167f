//! A server whose log is archived by the real program on two tiers, encrypted; everything runs as the server's own user, as it does
//! where one archives for real.

use super::bank::postgres::Server;
use super::program::{self, Ended};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The series and the archive; two tiers, one key.
const POLICY: &str = r#"
mainstay = 1

[tier.near]
kind = "filesystem"
path = "near"
min-free = "0%"

[tier.far]
kind = "filesystem"
path = "far"
min-free = "0%"

[key.prod]
kind = "local"
path = "prod.key"

[database.cluster]
engine = "postgres"
url = "URL"
BIN
encrypt-with = ["prod"]

[database.cluster.wal]
keep.near = "7d"
keep.far = "7d"

[[database.cluster.series]]
name = "base"
method = "physical"
schedule = "0 1 * * *"
keep.near = { last = 9 }
keep.far = { last = 9 }
window = { retries = 0 }
SERIES
"#;

/// Which PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The newest that is installed.
    Installed,
    /// 18, for incremental points.
    Eighteen,
}

/// The server and the folder with policy and tiers.
pub struct ClusterSite {
    /// The server.
    pub server: Server,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl ClusterSite {
    /// Starts a server that archives, and makes the key. `series`: further keys of the series.
    pub fn start(release: Release, settings: &[&str], series: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-site-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let mut all = vec![
            "archive_mode=on",
            "wal_level=replica",
            "track_commit_timestamp=on",
            "max_wal_senders=5",
        ];
        all.extend(settings);
        let server = match release {
            Release::Installed => Server::start(&all),
            Release::Eighteen => Server::start_18(&all),
        };
        let policy = POLICY
            .replace("URL", &server.url("postgres"))
            .replace(
                "BIN",
                &match release {
                    Release::Installed => String::new(),
                    Release::Eighteen => format!("bin-dir = \"{}\"", server.bin.display()),
                },
            )
            .replace("SERIES", series);
        fs::write(folder.path().join("mainstay.toml"), policy).unwrap();
        for tier in ["near", "far"] {
            fs::create_dir(folder.path().join(tier)).unwrap();
        }
        assert!(
            program::command("chown")
                .args(["-R", "postgres"])
                .arg(folder.path())
                .status()
                .unwrap()
                .success()
        );
        let site = Self {
            server,
            folder,
            environment: Vec::new(),
        };
        site.expect(0, &["key", "generate", "prod"]);
        site.archive_with(&site.push_command());
        site.sql("CREATE TABLE history (id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())");
        site
    }

    /// Variables for every run of the program from now on; the server must be told with [`Self::push_command`].
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        let pairs = environment.iter();
        self.environment = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }

    /// Changes the policy by replacing a text, which must be in it.
    #[track_caller]
    pub fn change_policy(&self, from: &str, to: &str) {
        let path = self.path().join("mainstay.toml");
        let policy = fs::read_to_string(&path).unwrap();
        assert!(policy.contains(from), "{from}");
        fs::write(path, policy.replacen(from, to, 1)).unwrap();
    }

    /// What the server calls for each file.
    pub fn push_command(&self) -> String {
        let pairs = self.environment.iter();
        let variables: String = pairs.fold(String::new(), |mut all, (name, value)| {
            let _ = write!(all, "{name}={value} ");
            all
        });
        format!(
            "{variables}exec {} --policy {} wal push --database cluster %p",
            env!("CARGO_BIN_EXE_mainstay"),
            self.path().join("mainstay.toml").display()
        )
    }

    /// Sets `archive_command`.
    pub fn archive_with(&self, command: &str) {
        self.sql(&format!("ALTER SYSTEM SET archive_command = '{command}'"));
        self.sql("SELECT pg_reload_conf()");
    }

    /// The folder with policy and tiers.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs SQL.
    pub fn sql(&self, sql: &str) -> String {
        self.server.psql("postgres", sql).trim().to_owned()
    }

    /// The program as the server's user, in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = as_server_user(Path::new(env!("CARGO_BIN_EXE_mainstay")));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .env_remove("MAINSTAY_POLICY")
            .env_remove("MAINSTAY_STATE")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        Ended {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the program and expects this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// Makes a base backup now.
    #[track_caller]
    pub fn backup(&self) -> Ended {
        self.expect(0, &["backup", "cluster", "--auto-approve"])
    }

    /// Ends the segment, and waits until all log up to here is archived.
    #[track_caller]
    pub fn archive_all(&self) {
        self.sql("CREATE TABLE IF NOT EXISTS mark (n int); INSERT INTO mark VALUES (1)");
        let file = self.sql("SELECT pg_walfile_name(pg_switch_wal())");
        self.await_archived(&file);
    }

    /// Waits until a file is archived.
    #[track_caller]
    pub fn await_archived(&self, file: &str) {
        let begun = Instant::now();
        let is_there = || {
            let last = self.sql("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver");
            last.get(..24).is_some_and(|last| last >= file)
        };
        while !is_there() {
            assert!(
                begun.elapsed() < Duration::from_mins(2),
                "{file} is not archived: {}",
                self.sql("SELECT row_to_json(a) FROM pg_stat_archiver a")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The archived objects on a tier whose name begins with a file's.
    pub fn archived(&self, tier: &str, file: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path().join(tier).join("cluster/wal"), &mut |path| {
            let name = path.file_name().unwrap().to_string_lossy();
            if name.starts_with(file) && name.contains(".zst") {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// Changes a byte in the data of a point on a tier.
    pub fn spoil(&self, tier: &str, point: &str) {
        let stamp = point.rsplit('/').next().unwrap();
        let mut files = Vec::new();
        walk(&self.path().join(tier).join("cluster/base"), &mut |path| {
            if path.display().to_string().contains(stamp) {
                files.push((fs::metadata(path).unwrap().len(), path.to_owned()));
            }
        });
        let (_, data) = files.into_iter().max().unwrap();
        let mut bytes = fs::read(&data).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&data, bytes).unwrap();
    }

    /// Runs SQL on a temporary server with a state of the past, which is removed again.
    #[track_caller]
    pub fn at(&self, moment: &[&str], sql: &str) -> String {
        let arguments = [&["restore", "cluster", "--scratch"], moment].concat();
        self.while_temporary(self.command(&arguments), |url| self.psql(url, sql))
    }

    /// Does something with the URL that a command prints of its temporary server, and ends it.
    #[track_caller]
    pub fn while_temporary<T>(&self, mut command: Command, act: impl FnOnce(&str) -> T) -> T {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut url).unwrap();
        let answer = if url.contains("://") {
            Some(act(url.trim()))
        } else {
            None
        };
        stop(&child);
        let ended = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let complaint = format!("{command:?}: {:?}\n{url}{rest}\n{words}", ended.status);
        assert!(ended.status.success(), "{complaint}");
        answer.expect(&complaint)
    }

    /// Starts a server on a restored data directory as a person would, asks it when it takes writes, and stops it.
    #[track_caller]
    pub fn started(&self, data: &Path, sql: &str) -> String {
        self.while_it_runs(data, |url| {
            self.await_writes(url);
            self.psql(url, sql)
        })
    }

    /// Starts a server on a restored data directory as a person would, does something with its URL, and stops it.
    #[track_caller]
    pub fn while_it_runs<T>(&self, data: &Path, act: impl FnOnce(&str) -> T) -> T {
        let port = self.server.port.wrapping_add(1).max(1024).to_string();
        let options = format!(
            "-p {port} -k {} -c listen_addresses=",
            self.path().display()
        );
        let pg_ctl = |arguments: &[&str]| {
            let done = as_server_user(&self.server.bin.join("pg_ctl"))
                .args(arguments)
                .args(["--wait", "--silent", "-D"])
                .arg(data)
                .arg("--log")
                .arg(self.path().join("started.log"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            let log = fs::read_to_string(self.path().join("started.log")).unwrap_or_default();
            assert!(done.success(), "pg_ctl {arguments:?}: {log}");
        };
        pg_ctl(&["start", "--options", &options]);
        let answer = act(&format!(
            "postgresql://postgres@/postgres?host={}&port={port}",
            self.path().display()
        ));
        pg_ctl(&["stop", "--mode=fast"]);
        answer
    }

    /// Waits until the recovery of a server has ended.
    #[track_caller]
    pub fn await_writes(&self, url: &str) {
        let begun = Instant::now();
        while self.psql(url, "SELECT pg_is_in_recovery()") == "t" {
            assert!(begun.elapsed() < Duration::from_mins(1), "still recovering");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks a server by its URL.
    #[track_caller]
    pub fn psql(&self, url: &str, sql: &str) -> String {
        let output = as_server_user(&self.server.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
                url,
            ])
            .output()
            .unwrap();
        let mut words = String::from_utf8_lossy(&output.stderr).into_owned();
        let _ = write!(words, " ({})", output.status);
        assert!(output.status.success(), "{url}: {sql}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes rows, one a transaction, until it is dropped or its time is over.
    pub fn writers(&self, clients: u32, seconds: u32, rate: u32) -> Writers {
        let script = self.path().join("insert.sql");
        fs::write(&script, "INSERT INTO history DEFAULT VALUES;\n").unwrap();
        let mut command = self.server.program("pgbench", "postgres");
        command
            .args([
                "-n",
                "-c",
                &clients.to_string(),
                "-T",
                &seconds.to_string(),
                "-R",
                &rate.to_string(),
                "-f",
            ])
            .arg(script)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Writers(command.spawn().unwrap())
    }
}

/// Load on the server.
pub struct Writers(Child);

impl Writers {
    /// Waits for its end.
    pub fn finish(mut self) {
        let _ = self.0.wait();
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As Ctrl-C in a terminal.
fn stop(child: &Child) {
    let _ = program::command("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), each);
        } else {
            each(&entry.path());
        }
    }
}

/// A command as the user that may run a server: root must not.
pub fn as_server_user(program: &Path) -> Command {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if is_root {
        // Not `runuser`, which would stand between us and the program, and take its signals.
        let mut command = program::command("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg(program);
        command
    } else {
        program::command(&program.display().to_string())
    }
}
