//! The archive of a real server's log with the real program: everything that the server wrote is on both tiers, comes back byte by
//! byte, survives kills, and exit codes are what PostgreSQL needs.
#![allow(
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]
#![cfg(feature = "crash-points")]

mod support;

use executor::crash_point::WAL_NAMES;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use support::{
    bank::postgres::Server,
    program::{Running, command},
};

const POLICY: &str = r#"
mainstay = 1

[tier.nas]
kind = "filesystem"
path = "nas"
min-free = "1%"

[tier.attic]
kind = "filesystem"
path = "attic"
min-free = "1%"

[key.prod]
kind = "local"
path = "prod.key"

[database.bank]
engine = "postgres"
url = "postgresql://postgres@/postgres"
encrypt-with = ["prod"]

[database.bank.wal]
keep.attic = "14d"
keep.nas = "14d"

[[database.bank.series]]
name = "base"
method = "physical"
schedule = "0 2 * * *"
keep.nas = { last = 2 }
keep.attic = { last = 2 }
"#;

/// A policy and its tiers in a folder that the server's user owns, and the program beside them.
struct Archive {
    folder: tempfile::TempDir,
}

impl Archive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        let program = path.join("mainstay");
        fs::hard_link(env!("CARGO_BIN_EXE_mainstay"), &program)
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_mainstay"), &program).map(drop))
            .unwrap();
        fs::write(path.join("mainstay.toml"), POLICY).unwrap();
        for tier in ["nas", "attic"] {
            fs::create_dir(path.join(tier)).unwrap();
            let marker = format!("{{\"format\":\"mainstay.tier.v1\",\"identity\":\"{tier}\"}}");
            fs::write(path.join(tier).join(".mainstay-tier.json"), marker).unwrap();
        }
        let archive = Self { folder };
        // Where the tests run as root the server runs as another user, and everything must be its own.
        let _ = command("chown")
            .args(["-R", "postgres"])
            .arg(archive.path())
            .stderr(Stdio::null())
            .status();
        assert_eq!(archive.as_server(&["key", "generate", "prod"]), Some(0));
        archive
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let mut words = vec![self.path().join("mainstay").display().to_string()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        words.push("--policy".to_owned());
        words.push(self.path().join("mainstay.toml").display().to_string());
        words
    }

    /// A command of the program as the server's user.
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let is_root = fs::metadata("/proc/self").unwrap();
        let words = self.words(arguments);
        let mut built = if std::os::unix::fs::MetadataExt::uid(&is_root) == 0 {
            let mut built = command("runuser");
            built.args(["-u", "postgres", "--"]).args(&words);
            built
        } else {
            let mut built = command(&words[0]);
            built.args(&words[1..]);
            built
        };
        built
            .current_dir(self.path())
            .env_remove("MAINSTAY_CRASH_AT")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        built
    }

    fn as_server(&self, arguments: &[&str]) -> Option<i32> {
        self.command(arguments).status().unwrap().code()
    }

    fn archive_command(&self) -> String {
        format!("{} %p", self.words(&["wal", "push"]).join(" "))
    }

    /// Names of the segments on a tier.
    fn segments(&self, tier: &str) -> BTreeSet<String> {
        fn walk(folder: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else if let Some(name) = entry.file_name().to_str()
                    && let Some(name) = name.strip_suffix(".zst.enc")
                {
                    assert!(found.insert(name.to_owned()), "{name} is there twice");
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(&self.path().join(tier).join("bank"), &mut found);
        found
    }

    /// Fetches a segment without prefetching, and compares it with the server's own.
    fn assert_equal(&self, segment: &Path) {
        let name = segment.file_name().unwrap().to_str().unwrap();
        let control = fs::read(
            segment
                .parent()
                .unwrap()
                .parent()
                .unwrap()
                .join("global/pg_control"),
        );
        let bytes: [u8; 8] = control.unwrap()[..8].try_into().unwrap();
        let cluster = u64::from_ne_bytes(bytes).to_string();
        let target = self.path().join("fetched");
        let target = target.to_str().unwrap();
        let arguments = [
            "wal",
            "fetch",
            "--prefetch",
            "0",
            "--system-identifier",
            &cluster,
            name,
            target,
        ];
        assert_eq!(self.as_server(&arguments), Some(0), "{name}");
        assert!(
            fs::read(target).unwrap() == fs::read(segment).unwrap(),
            "{name}"
        );
    }
}

fn server(archive: &Archive) -> Server {
    let server = Server::start(&["archive_mode=on", "wal_keep_size=2GB"]);
    let set = |name: &str, value: &str| {
        server.psql("postgres", &format!("alter system set {name} = '{value}'"));
    };
    set("archive_command", &archive.archive_command());
    server.psql("postgres", "select pg_reload_conf()");
    server.psql("postgres", "create table t (a int, b text)");
    server
}

/// Fills so many segments.
fn write(server: &Server, segments: usize) {
    for _ in 0..segments {
        let sql = "insert into t select n, md5(n::text) from generate_series(1, 20000) n";
        server.psql("postgres", sql);
        server.psql("postgres", "select pg_switch_wal()");
    }
}

fn ready(server: &Server) -> Vec<PathBuf> {
    let pg_wal = server.data().join("pg_wal");
    let status = fs::read_dir(pg_wal.join("archive_status")).unwrap();
    let names = status.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<PathBuf> = names
        .filter_map(|name| Some(pg_wal.join(name.strip_suffix(".ready")?)))
        .collect();
    names.sort();
    names
}

fn done(server: &Server) -> Vec<PathBuf> {
    let pg_wal = server.data().join("pg_wal");
    let status = fs::read_dir(pg_wal.join("archive_status")).unwrap();
    let names = status.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<PathBuf> = names
        .filter_map(|name| Some(pg_wal.join(name.strip_suffix(".done")?)))
        .collect();
    names.sort();
    names
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_mins(2),
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn everything_that_a_server_writes_is_archived_and_comes_back() {
    let archive = Archive::new();
    let server = server(&archive);
    write(&server, 4);
    until("all is archived", || ready(&server).is_empty());
    let archived = done(&server);
    assert!(archived.len() >= 4);
    for segment in &archived {
        archive.assert_equal(segment);
    }
    assert_eq!(archive.segments("nas"), archive.segments("attic"));
    assert_eq!(
        server.psql("postgres", "select failed_count from pg_stat_archiver"),
        "0"
    );

    let segment = &archived[0];
    let path = segment.to_str().unwrap();
    // The server crashed before it noted that the file is archived, and sends it again.
    assert_eq!(archive.as_server(&["wal", "push", path]), Some(0));
    // A copy of the server has written another log.
    let name = segment.file_name().unwrap();
    let other = archive.path().join(name);
    let mut bytes = fs::read(segment).unwrap();
    bytes[9000] ^= 1;
    fs::write(&other, &bytes).unwrap();
    assert_eq!(
        archive.as_server(&["wal", "push", other.to_str().unwrap()]),
        Some(1)
    );
    archive.assert_equal(segment);
    // Another cluster.
    bytes[24] ^= 1;
    fs::write(&other, &bytes).unwrap();
    assert_eq!(
        archive.as_server(&["wal", "push", other.to_str().unwrap()]),
        Some(1)
    );
    for bad in ["missing", "000000010000000000000099", "../prod.key"] {
        assert_eq!(archive.as_server(&["wal", "push", bad]), Some(1), "{bad}");
    }

    // Exit codes of `fetch`: 1 is said only when every tier was read.
    let missing = "0000000100000000000000FF";
    let target = archive.path().join("target");
    let fetch = ["wal", "fetch", missing, target.to_str().unwrap()];
    assert_eq!(archive.as_server(&fetch), Some(1));
    let (nas, away) = (archive.path().join("nas"), archive.path().join("away"));
    fs::rename(&nas, &away).unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    // Not mounted: an empty folder.
    fs::create_dir(&nas).unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    archive.assert_equal(segment);
    fs::remove_dir(&nas).unwrap();
    fs::rename(&away, &nas).unwrap();
    assert_eq!(archive.as_server(&["wal", "fetch", missing]), Some(200));
    assert_eq!(archive.as_server(&["wal", "fetch", "--unknown"]), Some(200));
    // A cluster of which nothing was ever archived asks the wrong archive.
    let stranger = [&fetch[..], &["--system-identifier", "7300000000000000001"]].concat();
    assert_eq!(archive.as_server(&stranger), Some(200));
    fs::write(archive.path().join("mainstay.toml"), "nonsense").unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    assert_eq!(archive.as_server(&["wal", "push", path]), Some(1));
}

/// The fear: a kill at the wrong moment leaves half a file, or one that is called archived and is not.
#[test]
fn kills_at_every_moment_lose_nothing() {
    let archive = Archive::new();
    let server = server(&archive);
    server.psql("postgres", "alter system set archive_command = 'false'");
    server.psql("postgres", "select pg_reload_conf()");
    write(&server, WAL_NAMES.len() + 4);
    let waiting = ready(&server);
    for (moment, segment) in WAL_NAMES.iter().zip(&waiting) {
        let path = segment.to_str().unwrap();
        let mut push = archive.command(&["wal", "push", path]);
        let ended = push.env("MAINSTAY_CRASH_AT", moment).status().unwrap();
        // The key of the folder is made once.
        assert!(!ended.success() || *moment == "wal-after-keys", "{moment}");
        assert_eq!(
            archive.as_server(&["wal", "push", path]),
            Some(0),
            "{moment}"
        );
        archive.assert_equal(segment);
    }
    // The agent, killed again and again while the server archives through it.
    let set = format!(
        "alter system set archive_command = '{}'",
        archive.archive_command()
    );
    server.psql("postgres", &set);
    server.psql("postgres", "select pg_reload_conf()");
    for round in 0..5 {
        let mut agent = archive.command(&["wal", "run"]).spawn().unwrap();
        write(&server, 2);
        std::thread::sleep(Duration::from_millis(150 * round));
        let socket = archive.path().join(".mainstay/wal/bank.sock");
        until("the agent listens", || socket.exists());
        kill_all(archive.path(), "run");
        agent.wait().unwrap();
    }
    write(&server, 1);
    until("all is archived", || ready(&server).is_empty());
    let stored = done(&server);
    for segment in &stored {
        archive.assert_equal(segment);
    }
    let names: BTreeSet<String> = stored
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    for tier in ["nas", "attic"] {
        assert!(archive.segments(tier).is_superset(&names), "{tier}");
    }
}

/// Kills this archive's own processes of `wal <what>`, which run as another user behind `runuser`.
fn kill_all(folder: &Path, what: &str) {
    let program = folder.join("mainstay").display().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if words.first() == Some(&program.as_bytes()) && words.get(2) == Some(&what.as_bytes()) {
            let id = entry.file_name();
            let _ = command("kill").arg("-KILL").arg(id).status();
        }
    }
}

/// Kept so that the helpers of running programs are of one kind in all these tests.
#[test]
fn help_tells_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let ended = Running::start(folder.path(), &["wal", "fetch", "--help"], &[]).wait();
    assert_eq!(ended.code, Some(0));
    ended.says("200 it cannot be told");
}
