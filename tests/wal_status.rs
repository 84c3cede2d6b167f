//! The archive of a log watched from outside, with the real program and a real server: what is missing is named, what waits is
//! told although the server counts no failure, and a stream loses nothing whatever is killed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::process::{Child, Command, Stdio};
use support::{
    Site,
    bank::postgres::Server,
    log_site::{log_policy, log_site, until_status},
    until,
};

fn policy(server: &Server, wal: &str, rpo: &str) -> String {
    let series = "schedule = \"0 2 * * *\"\nkeep.nas = { daily = 7 }";
    log_policy(&server.url("postgres"), rpo, wal, series)
}

fn status(site: &Site, code: i32) -> Value {
    let json = site.expect(code, &["wal", "status", "--json"]).json();
    json["databases"][0].clone()
}

fn concerns(status: &Value) -> Vec<String> {
    let all = status["concerns"].as_array().unwrap();
    all.iter()
        .map(|concern| concern["what"].as_str().unwrap().to_owned())
        .collect()
}

struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(server: &Server) -> Load {
    assert!(
        server
            .program("pgbench", "postgres")
            .args(["-i", "-q", "-s", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    Load(
        server
            .program("pgbench", "postgres")
            .args(["-n", "-c", "2", "-T", "600"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

/// Receivers in this site's folder.
fn receivers(site: &Site) -> Vec<String> {
    let folder = site.path().canonicalize().unwrap();
    let output = Command::new("pgrep")
        .args([
            "-f",
            &format!("pg_receivewal --directory={}", folder.display()),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// The segment that a receiver writes into this file.
fn under_way(file: &str) -> Option<&str> {
    file.strip_suffix(".partial")?.rsplit('/').next()
}

fn kill_nine(process: &str) {
    let _ = Command::new("kill").args(["-9", process]).status();
}

#[test]
fn a_stream_loses_nothing_whatever_is_killed() {
    let server = Server::start(&[]);
    let site = log_site(&policy(&server, "mode = \"stream\"", "20s"));
    let load = load(&server);
    let mut running = site.start(&["wal", "run"], &[]);
    for round in 0..4 {
        until_status(&site, "the receiver runs", 60, |_| {
            !receivers(&site).is_empty()
        });
        let ended = server.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
        until("the receiver is in a later segment", 60, || {
            let mut files = walk(site.path()).into_iter();
            files.any(|file| {
                // It is laid out first, then written.
                let whole = std::fs::metadata(&file).is_ok_and(|file| file.len() == 16 << 20);
                whole && under_way(&file).is_some_and(|name| *name > *ended)
            })
        });
        if round % 2 == 0 {
            for process in receivers(&site) {
                kill_nine(&process);
            }
        } else {
            running.kill();
            // One that is not dead yet still holds the stream.
            running.wait();
            server.psql("postgres", "select pg_switch_wal()");
            running = site.start(&["wal", "run"], &[]);
        }
    }
    drop(load);
    // Quiet from now on: what was committed last must be archived all the same, within the promise.
    server.psql(
        "postgres",
        "create table the_last (at timestamptz default now())",
    );
    let last = server.psql("postgres", "select pg_current_wal_lsn()");
    let done = until_status(&site, "the lag is gone", 120, |status| {
        assert!(!running.has_ended(), "{}", running.words_so_far());
        status["tiers"]["nas"]["lag_bytes"] == 0
    });
    let end = done["tiers"]["nas"]["newest"]["end"].as_str().unwrap();
    let lsn = |text: &str| model::Lsn::parse(text).unwrap();
    // The zeros that the last record ends with are not told from those behind it; no record fits into what is missing.
    assert!(lsn(end).0 + 24 > lsn(&last).0, "{end} {last}");
    let log = site.observed().wal;
    let log = &log.values().next().unwrap().tiers.values().next().unwrap();
    assert_eq!(log.runs.len(), 1, "no gap: {:?}", log.runs);
    assert!(log.runs[0].segments() >= 4);
    assert_eq!(log.partials.len(), 1, "older beginnings are gone");

    // Somebody drops the slot: it is said, and nothing is skipped silently.
    running.kill();
    for process in receivers(&site) {
        kill_nine(&process);
    }
    until("the slot is dropped", 30, || {
        let drop =
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active";
        server.psql("postgres", drop);
        server.psql("postgres", "select count(*) from pg_replication_slots") == "0"
    });
    assert!(concerns(&status(&site, 0)).contains(&"slot-gone".to_owned()));
    let mut running = site.start(&["wal", "run"], &[]);
    running.until("the slot is missed", |running| {
        running.words_so_far().contains("is gone; it is made anew")
    });
}

#[test]
fn a_lost_segment_splits_what_is_archived() {
    let server = Server::start(&[
        "archive_mode=on",
        "archive_command=/bin/true",
        "wal_keep_size=512MB",
    ]);
    let site = log_site(&policy(&server, "", "1h"));
    let push = |name: &str| {
        let path = server.data().join("pg_wal").join(name);
        site.expect(0, &["wal", "push", path.to_str().unwrap()]);
    };
    let next = || {
        server.psql("postgres", "create table if not exists t (); drop table t");
        let name = server.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())");
        server.psql("postgres", "select pg_switch_wal()");
        push(&name);
        name
    };
    let names: Vec<String> = (0..4).map(|_| next()).collect();
    let before = status(&site, 0);
    assert!(
        concerns(&before).contains(&"no-window".to_owned()),
        "{before:#}"
    );

    let found = walk(&site.tier("nas"))
        .into_iter()
        .find(|path| path.contains(&names[2]));
    std::fs::remove_file(found.unwrap()).unwrap();
    let after = site.observed().wal;
    let log = after
        .values()
        .next()
        .unwrap()
        .tiers
        .values()
        .next()
        .unwrap();
    assert_eq!(log.runs.len(), 2, "{:?}", log.runs);
}

#[test]
fn before_the_first_apply_a_tier_is_unused_and_not_gone() {
    let server = Server::start(&[]);
    let site = Site::new(&policy(&server, "", "1h"));
    let told = site.run(&["wal", "status"]);
    told.says("has not been used yet")
        .says("`mainstay apply` makes its first use");
    assert_eq!(told.code, Some(1), "{told}");
}

/// The fear: a slip in the number, and the server's own log is refused from then on.
#[test]
fn a_cluster_that_the_server_contradicts_is_not_accepted_by_mistake() {
    let server = Server::start(&[]);
    let site = log_site(&policy(&server, "", "1h"));
    let own = server.psql(
        "postgres",
        "select system_identifier from pg_control_system()",
    );
    let accept = |code: i32, number: &str, more: &[&str]| {
        let words = ["wal", "accept", "bank", "--why", "a test"];
        let number = ["--system-identifier", number];
        site.expect(code, &[&words[..], &number, more].concat())
    };
    accept(1, "7300000000000000001", &[])
        .says("mainstay::wal::contradicted")
        .says(own.trim());
    accept(0, own.trim(), &[]).never_says("checked");
    accept(0, "7300000000000000001", &["--even-so"]).says("warning");
    server.stop();
    accept(0, "7300000000000000002", &[]).says("not checked");
}

/// The fear: the lag looks small because the server believes that everything is archived.
#[test]
fn a_command_that_archives_nothing_does_not_make_the_lag_small() {
    let server = Server::start(&[
        "archive_mode=on",
        "archive_command=/bin/true",
        "archive_timeout=1",
        "wal_keep_size=512MB",
    ]);
    let site = log_site(&policy(&server, "", "3s"));
    server.psql("postgres", "create table t (id int)");
    let name = server.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let path = server.data().join("pg_wal").join(name);
    site.expect(0, &["wal", "push", path.to_str().unwrap()]);
    // Commits go on, and the server switches segments that nobody keeps.
    until_status(&site, "the lag grows", 60, |status| {
        server.psql("postgres", "insert into t values (1)");
        status["tiers"]["nas"]["lag_seconds"].as_i64() >= Some(5)
    });
    server.psql("postgres", "select pg_switch_wal()");
    let told = status(&site, 6);
    assert!(told["tiers"]["nas"]["lag_seconds"].as_i64().unwrap() >= 5);
    assert!(concerns(&told).contains(&"lag".to_owned()), "{told:#}");
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    // What is under way may go while it is looked at.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_command_that_fails_is_told_also_when_the_server_counts_nothing() {
    for (command, counted) in [("/bin/false", true), ("exit 127", false)] {
        let setting = format!("archive_command='{command}'");
        let server = Server::start(&["archive_mode=on", &setting.replace(' ', "\\ ")]);
        let site = log_site(&policy(&server, "", "20s"));
        server.psql("postgres", "create table t (id int)");
        server.psql("postgres", "select pg_switch_wal()");
        let told = until_status(&site, command, 60, |status| {
            concerns(status).contains(&"archiver-stuck".to_owned())
        });
        assert!(
            concerns(&told).contains(&"archive-timeout".to_owned()),
            "{told:#}"
        );
        let failed = told["server"]["failed"].as_u64().unwrap();
        assert_eq!(failed > 0, counted, "{command}: {told:#}");
        assert!(told["server"]["waiting_seconds"].as_i64().unwrap() > 5);
    }
}
