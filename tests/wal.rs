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
    path::{Path, PathBuf},
    time::Duration,
};
use support::{
    cluster_site::{ClusterSite, Release},
    program::Running,
    until,
};

/// The tiers of the site.
const TIERS: [&str; 2] = ["near", "far"];

/// A server that archives with the program, and the tiers.
struct Archive(ClusterSite);

impl Archive {
    fn new() -> Self {
        let site = ClusterSite::start(Release::Installed, &["wal_keep_size=2GB"], "");
        for tier in TIERS {
            let marker = format!("{{\"format\":\"mainstay.tier.v1\",\"identity\":\"{tier}\"}}");
            fs::write(site.path().join(tier).join(".mainstay-tier.json"), marker).unwrap();
        }
        site.sql("create table t (a int, b text)");
        Self(site)
    }

    fn as_server(&self, arguments: &[&str]) -> Option<i32> {
        self.0.run(arguments).code
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
        walk(&self.0.path().join(tier).join("cluster"), &mut found);
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
        let target = self.0.path().join("fetched");
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

    /// Fills so many segments.
    fn write(&self, segments: usize) {
        for _ in 0..segments {
            let sql = "insert into t select n, md5(n::text) from generate_series(1, 20000) n";
            self.0.sql(sql);
            self.0.sql("select pg_switch_wal()");
        }
    }

    /// Files that wait for the archive (`ready`) or are in it (`done`), as the server believes.
    fn files(&self, state: &str) -> Vec<PathBuf> {
        let pg_wal = self.0.server.data().join("pg_wal");
        let status = fs::read_dir(pg_wal.join("archive_status")).unwrap();
        let names = status.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<PathBuf> = names
            .filter_map(|name| Some(pg_wal.join(name.strip_suffix(state)?.strip_suffix('.')?)))
            .collect();
        names.sort();
        names
    }

    fn until_all_is_archived(&self) {
        until("all is archived", 120, || self.files("ready").is_empty());
    }
}

#[test]
fn everything_that_a_server_writes_is_archived_and_comes_back() {
    let archive = Archive::new();
    archive.write(4);
    archive.until_all_is_archived();
    let archived = archive.files("done");
    assert!(archived.len() >= 4);
    for segment in &archived {
        archive.assert_equal(segment);
    }
    assert_eq!(archive.segments("near"), archive.segments("far"));
    assert_eq!(
        archive.0.sql("select failed_count from pg_stat_archiver"),
        "0"
    );

    let segment = &archived[0];
    let path = segment.to_str().unwrap();
    // The server crashed before it noted that the file is archived, and sends it again.
    assert_eq!(archive.as_server(&["wal", "push", path]), Some(0));
    // A copy of the server has written another log.
    let name = segment.file_name().unwrap();
    let other = archive.0.path().join(name);
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
    let target = archive.0.path().join("target");
    let fetch = ["wal", "fetch", missing, target.to_str().unwrap()];
    assert_eq!(archive.as_server(&fetch), Some(1));
    let (near, away) = (archive.0.path().join("near"), archive.0.path().join("away"));
    fs::rename(&near, &away).unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    // Not mounted: an empty folder.
    fs::create_dir(&near).unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    archive.assert_equal(segment);
    fs::remove_dir(&near).unwrap();
    fs::rename(&away, &near).unwrap();
    assert_eq!(archive.as_server(&["wal", "fetch", missing]), Some(200));
    assert_eq!(archive.as_server(&["wal", "fetch", "--unknown"]), Some(200));
    // A cluster of which nothing was ever archived asks the wrong archive.
    let stranger = [&fetch[..], &["--system-identifier", "7300000000000000001"]].concat();
    assert_eq!(archive.as_server(&stranger), Some(200));
    fs::write(archive.0.path().join("mainstay.toml"), "nonsense").unwrap();
    assert_eq!(archive.as_server(&fetch), Some(200));
    assert_eq!(archive.as_server(&["wal", "push", path]), Some(1));
}

/// The fear: a kill at the wrong moment leaves half a file, or one that is called archived and is not.
#[test]
fn kills_at_every_moment_lose_nothing() {
    let archive = Archive::new();
    archive.0.archive_with("false");
    archive.write(WAL_NAMES.len() + 4);
    let waiting = archive.files("ready");
    for (moment, segment) in WAL_NAMES.iter().zip(&waiting) {
        let path = segment.to_str().unwrap();
        let mut push = archive.0.command(&["wal", "push", path]);
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
    archive.0.archive_with(&archive.0.push_command());
    for round in 0..5 {
        let mut agent = archive.0.command(&["wal", "run"]).spawn().unwrap();
        archive.write(2);
        // Another moment of its work each time.
        std::thread::sleep(Duration::from_millis(150 * round));
        let socket = archive.0.path().join(".mainstay/wal/cluster.sock");
        until("the agent listens", 120, || socket.exists());
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    archive.write(1);
    archive.until_all_is_archived();
    let stored = archive.files("done");
    for segment in &stored {
        archive.assert_equal(segment);
    }
    let names: BTreeSet<String> = stored
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    for tier in TIERS {
        assert!(archive.segments(tier).is_superset(&names), "{tier}");
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
