//! What breaks an archived log, seen with the real program and a real server: the missing segment is named with exit 6 and written
//! down once, a promoted standby is another timeline, a quiet server is not behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and look at the clock"
)]

mod support;

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};
use support::{
    Site,
    bank::postgres::Server,
    log_site::{log_policy, log_site, until_status, wal_status},
    program::Running,
    until,
};

fn policy(url: &str, rpo: &str) -> String {
    let series = "schedule = \"0 2 1 1 *\"\nkeep.nas = { last = 3 }";
    log_policy(url, rpo, "mode = \"stream\"", series)
}

fn concern<'a>(status: &'a Value, what: &str) -> Option<&'a Value> {
    let all = status["concerns"].as_array().unwrap();
    all.iter().find(|concern| concern["what"] == what)
}

/// A server, its stream, and a first base backup.
fn streamed(server: &Server, rpo: &str) -> (Site, Running) {
    let site = log_site(&policy(&server.url("postgres"), rpo));
    let running = site.start(&["wal", "run"], &[]);
    until_status(&site, "the stream runs", 60, |status| {
        status["server"]["slots"]
            .as_object()
            .is_some_and(|slots| slots.values().any(|slot| slot["active"] == true))
    });
    site.apply();
    (site, running)
}

/// Names of whole segments on the tier, with their files.
fn segments(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.to_string_lossy().contains("/wal/")
            && !name.contains("beginning")
            && let Some(name) = name.get(..24)
            && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    found
}

fn breaks(site: &Site) -> Vec<(String, String)> {
    let said = site.expect(0, &["audit", "show", "--json", "--kind", "log-break"]);
    said.stdout
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| entry[key].as_str().unwrap().to_owned();
            (word("what"), word("why"))
        })
        .collect()
}

#[test]
fn a_hole_is_named_with_exit_6_written_down_once_and_answered_by_a_base() {
    let server = Server::start(&[]);
    let (site, mut running) = streamed(&server, "1h");
    let whole = site.expect(0, &["status"]);
    whole.says("RPO met").says("log           nas: ");
    for _ in 0..4 {
        server.psql("postgres", "create table if not exists t (); drop table t");
        server.psql("postgres", "select pg_switch_wal()");
    }
    until_status(&site, "all is archived", 60, |status| {
        status["tiers"]["nas"]["lag_bytes"] == 0
    });
    let archived = segments(&site.tier("nas"));
    let (lost, path) = &archived[archived.len() - 3];
    std::fs::remove_file(path).unwrap();
    // What has come a moment ago may have overtaken what is missing; what has come long ago has not.
    let (_, fresh) = wal_status(&site);
    let told = concern(&fresh, "hole").expect("a hole");
    assert_eq!(told["gravity"], "warning", "{fresh:#}");
    assert!(breaks(&site).is_empty());
    let long_ago = SystemTime::now() - Duration::from_hours(1);
    for (_, path) in segments(&site.tier("nas")) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }

    let (code, settled) = wal_status(&site);
    assert_eq!(code, Some(6), "{settled:#}");
    let told = concern(&settled, "hole").expect("a hole");
    let words = told["text"].as_str().unwrap();
    assert!(words.contains(lost.as_str()), "{lost}: {words}");
    assert!(
        words.contains("nothing after it can be recovered"),
        "{words}"
    );
    site.expect(6, &["wal", "status"])
        .says("VIOLATED")
        .says(lost);
    // The newest base alone is young enough for an hour, and the log that ends at the hole is not taken for more than it is.
    let status = site.expect(0, &["status", "--json"]).json();
    assert_eq!(
        status["databases"][0]["log"]["tiers"]["nas"]["reaches_end"],
        false
    );

    site.apply();
    let recorded = breaks(&site);
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert!(recorded[0].1.contains(lost.as_str()), "{recorded:?}");
    assert_eq!(recorded[0].0, "bank@nas");
    let bases = site.known().recovery_points;
    let bases = bases.iter().filter(|point| point.wal.is_some()).count();
    assert_eq!(bases, 2, "a new base answers the hole");
    site.apply();
    assert_eq!(breaks(&site).len(), 1);
    let (_, after) = wal_status(&site);
    let told = concern(&after, "hole").expect("still a hole for what lies before");
    let words = told["text"].as_str().unwrap();
    assert!(words.contains("later moments are recoverable"), "{words}");
    running.kill();
}

#[test]
fn a_promoted_standby_is_another_timeline_and_another_server_another_cluster() {
    let server = Server::start(&[]);
    let (site, mut running) = streamed(&server, "1h");
    let standby = server.standby();
    running.kill();
    site.write_policy(&policy(&standby.url("postgres"), "1h"));
    let (_, before) = wal_status(&site);
    assert!(concern(&before, "timeline-switch").is_none(), "{before:#}");
    standby.psql("postgres", "select pg_promote()");
    standby.psql("postgres", "create table after_the_switch ()");
    let (_, told) = wal_status(&site);
    let switch = concern(&told, "timeline-switch").unwrap_or_else(|| panic!("{told:#}"));
    let words = switch["text"].as_str().unwrap();
    assert!(words.contains("from timeline 1 to 2"), "{words}");
    assert_eq!(told["server"]["position"]["timeline"], 2);

    let other = Server::start(&[]);
    site.write_policy(&policy(&other.url("postgres"), "1h"));
    let (code, told) = wal_status(&site);
    assert_eq!(code, Some(6), "{told:#}");
    let cluster = concern(&told, "other-cluster").unwrap_or_else(|| panic!("{told:#}"));
    let words = cluster["text"].as_str().unwrap();
    assert!(words.contains("another cluster"), "{words}");
}

#[test]
fn a_quiet_server_is_not_behind_and_a_commit_after_the_quiet_is_archived_at_once() {
    let server = Server::start(&[]);
    let (site, mut running) = streamed(&server, "20s");
    server.psql("postgres", "create table t (at timestamptz)");
    let began = Instant::now();
    let mut commits = 0;
    let mut looks = 0;
    // First quiet for longer than the promise, then a commit now and then, far too little for a segment.
    std::thread::sleep(Duration::from_secs(25));
    while began.elapsed() < Duration::from_secs(65) {
        if commits < began.elapsed().as_secs() / 4 {
            commits = began.elapsed().as_secs() / 4;
            server.psql("postgres", "insert into t values (now())");
        }
        let (code, status) = wal_status(&site);
        assert_eq!(code, Some(0), "{status:#}");
        let lag = status["tiers"]["nas"]["lag_seconds"].as_i64().unwrap();
        assert!(lag <= 20, "{status:#}");
        looks += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(looks > 10, "{looks}");
    let ended = site.expect(0, &["status"]);
    ended.says("RPO met").says("log           nas: ");

    // The server is gone: a young archive still keeps the promise, an old one cannot be judged.
    until_status(&site, "all is archived", 60, |status| {
        status["tiers"]["nas"]["lag_bytes"] == 0
    });
    running.kill();
    server.stop();
    until("the archive is old", 60, || {
        let ended = site.run(&["status"]);
        assert!(matches!(ended.code, Some(0 | 1)), "{ended}");
        ended.code == Some(1)
    });
    let ended = site.expect(1, &["status"]);
    ended.says("RPO unknown").says("the server was not asked");
}
