//! `restore` as people get it wrong: an option that would mean nothing, a target that is none, a stop in the middle. What is refused
//! is refused before anything is done, what ended early is not taken for a broken promise, and what was restored starts as it is.
#![allow(
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::{path::Path, process::Stdio, time::Duration};
use support::{
    Site,
    cluster_site::{ClusterSite, Release, as_server_user},
    program::command,
    shop_once,
};

const COUNT: &str = "SELECT count(*) FROM history";

/// The newest record of a restore.
#[track_caller]
fn newest_record(site: &ClusterSite) -> Value {
    let told = site.expect(0, &["report", "recoveries", "--json"]).json();
    told["recoveries"][0].clone()
}

#[test]
fn options_for_a_server_are_refused_for_a_point_that_is_a_file() {
    let site = Site::new(&shop_once());
    site.apply();
    let restore = |more: &[&str]| {
        let arguments = [&["restore", "shop", "--to", "new.db"], more].concat();
        site.expect(1, &arguments)
    };
    let both = restore(&["--amcheck", "--tablespace-map", "/a=/b"]);
    let words = both.stderr.replace(&site.points()[0].to_string(), "POINT");
    insta::assert_snapshot!("options_for_a_server_of_a_file", words);
    for option in ["--promote", "--start"] {
        restore(&[option])
            .says("mainstay::restore::unfit-option")
            .says(option);
    }
    assert!(!site.path().join("new.db").exists());
    site.expect(1, &["restore", "shop", "--scratch"])
        .says("mainstay::restore::unfit-option")
        .says("add `--check`");
    site.expect(0, &["restore", "shop", "--scratch", "--check"]);
    let wrong = restore(&["--xid", "abc"]);
    insta::assert_snapshot!("a_transaction_that_is_no_number", wrong.stderr);
    restore(&["--xid", "0"]).says("pg_current_xact_id");
}

#[test]
fn a_folder_of_a_database_without_an_archive_starts_as_it_is() {
    let site = ClusterSite::start(Release::Installed, &[], "");
    site.change_policy(
        "[database.cluster.wal]\nkeep.near = \"7d\"\nkeep.far = \"7d\"\n",
        "",
    );
    site.archive_with("true");
    site.sql("INSERT INTO history SELECT FROM generate_series(1, 7)");
    site.expect(0, &["apply", "--auto-approve"]);
    let folder = site.path().join("restored");
    site.expect(0, &["restore", "cluster", "--to", folder.to_str().unwrap()])
        .says("pg_ctl start")
        .says("the log that the point carries");
    assert_eq!(site.started(&folder, COUNT), "7");
}

#[test]
fn a_whole_server_goes_where_a_person_means_it_to_or_nowhere() {
    let site = ClusterSite::start(Release::Installed, &[], "");
    site.change_policy(
        "encrypt-with = [\"prod\"]\n",
        "encrypt-with = [\"prod\"]\nobjective = { rpo = \"1h\", rto = \"1h\" }\n",
    );
    site.sql("INSERT INTO history SELECT FROM generate_series(1, 7)");
    site.backup();
    site.archive_all();
    refused(&site);
    relative_and_started(&site);
    not_begun(&site);
    stopped(&site);
}

fn refused(site: &ClusterSite) {
    let refuse = |more: &[&str]| site.expect(1, &[&["restore", "cluster"], more].concat());
    let word = refuse(&["--latest", "--to", "orders_check"]);
    insta::assert_snapshot!("a_bare_word_for_a_server", last_error(&word.stderr));
    assert!(!site.path().join("orders_check").exists());
    refuse(&["--latest", "--to", "postgresql://ada:secret@host/db"])
        .says("mainstay::restore::not-a-folder")
        .never_says("secret");
    assert!(!site.path().join("postgresql:").exists());
    for unfit in [
        ["--table", "history", "--to", "postgres", "--promote"].as_slice(),
        &["--scratch", "--check", "--tablespace-map", "/a=/b"],
        &["--to", "./never", "--amcheck"],
    ] {
        refuse(unfit).says("mainstay::restore::unfit-option");
    }
    assert!(!site.path().join("never").exists());
}

/// The next steps that are printed are true, whatever state the folder was left in.
fn relative_and_started(site: &ClusterSite) {
    let lines = |ended: &support::program::Ended, folder: &Path| {
        let from = ended
            .stderr
            .find("pg_ctl start")
            .map_or(0, |at| ended.stderr[..at].rfind("Next").unwrap_or_default());
        let words = ended.stderr[from..].replace(&folder.display().to_string(), "FOLDER");
        words.replace("The server was", "")
    };
    let xid = site.sql(
        "WITH new AS (INSERT INTO history DEFAULT VALUES RETURNING id) SELECT pg_current_xact_id()",
    );
    site.sql("INSERT INTO history DEFAULT VALUES");
    site.archive_all();

    let folder = site.path().join("paused");
    let ended = site.expect(
        0,
        &[
            "restore", "cluster", "--xid", &xid, "--to", "./paused", "--start",
        ],
    );
    insta::assert_snapshot!("next_steps_at_the_moment", lines(&ended, &folder));
    site.while_it_runs(&folder, |url| {
        assert_eq!(site.psql(url, "SELECT pg_is_in_recovery()"), "t");
        assert_eq!(site.psql(url, COUNT), "8");
        site.psql(url, "SELECT pg_wal_replay_resume()");
        site.await_writes(url);
        assert_eq!(site.psql(url, COUNT), "8");
    });

    // An empty folder that is there is meant, also without a path.
    let made = as_server_user(Path::new("mkdir"))
        .arg(site.path().join("promoted"))
        .status();
    assert!(made.unwrap().success());
    for (moment, name) in [
        (["--xid", &xid, "--promote"].as_slice(), "promoted"),
        // At the end of the log there is nothing to stay at.
        (&["--latest", "--start", "--replace", "--yes"], "promoted"),
    ] {
        let folder = site.path().join(name);
        let arguments = [&["restore", "cluster", "--to", name], moment].concat();
        let ended = site.expect(0, &arguments);
        insta::assert_snapshot!("next_steps_promoted", lines(&ended, &folder));
        site.while_it_runs(&folder, |url| {
            assert_eq!(site.psql(url, "SELECT pg_is_in_recovery()"), "f");
        });
    }
}

/// What could not begin is a person's mistake, and breaks no promise.
fn not_begun(site: &ClusterSite) {
    let ended = site.expect(
        1,
        &[
            "restore",
            "cluster",
            "--latest",
            "--to",
            "/nonexistent/deep/x",
        ],
    );
    insta::assert_snapshot!("a_target_that_cannot_be_made", last_error(&ended.stderr));
    let record = newest_record(site);
    assert_eq!(record["unjudged"], "not-begun", "{record:#}");
    let log = site.expect(
        0,
        &[
            "drill",
            "show",
            record["id"].as_str().unwrap(),
            "--format",
            "markdown",
        ],
    );
    log.says("DID NOT BEGIN")
        .says("not judged: it did not begin")
        .never_says("NOT MET");
}

fn last_error(words: &str) -> &str {
    &words[words.find("error").unwrap_or(0)..]
}

/// A stop is recorded as one.
fn stopped(site: &ClusterSite) {
    for signal in ["-INT", "-TERM"] {
        let mut child = site
            .command(&[
                "restore",
                "cluster",
                "--latest",
                "--to",
                "./stopped",
                "--promote",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !has_work_folder(site.path()) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before the stop");
            std::thread::sleep(Duration::from_millis(1));
        }
        let process = child.id().to_string();
        let told = command("kill").args([signal, &process]).status().unwrap();
        assert!(told.success());
        let ended = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(
            ended.status.code() == Some(1) && words.contains("mainstay::restore::stopped"),
            "{signal}: {}\n{words}",
            ended.status
        );
        assert!(!site.path().join("stopped").exists());
        let record = newest_record(site);
        assert_eq!(record["unjudged"], "stopped", "{record:#}");
        assert_eq!(record["failure"]["code"], "mainstay::restore::stopped");
        site.expect(0, &["report", "recoveries"]).says("stopped");
    }
}

/// Where a restore into `stopped` builds.
fn has_work_folder(folder: &Path) -> bool {
    let mut names = std::fs::read_dir(folder).unwrap().flatten();
    names.any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(".stopped.mainstay-")
    })
}
