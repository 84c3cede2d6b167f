//! The reader of the log's records against PostgreSQL's own: every commit, abort and restore point of a real server's log, with
//! its position, as `pg_waldump` prints them.

mod support;

use model::{
    Lsn, WalFileName,
    wal::{LogEventKind, LogScanner},
};
use std::{fs, path::Path};
use support::bank::postgres::Server;

/// `(position, words)` of each record that tells a moment.
fn told_by_waldump(server: &Server, first: &str, last: &str, folder: &Path) -> Vec<(Lsn, String)> {
    let mut all = Vec::new();
    for manager in ["Transaction", "XLOG"] {
        let output = server
            .program("pg_waldump", "")
            .args(["--rmgr", manager, "--path"])
            .arg(folder)
            .args([first, last])
            .output()
            .unwrap();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let field = |name: &str| {
                let (_, rest) = line.split_once(name).unwrap();
                rest.trim_start()
                    .split([',', ' ', ';'])
                    .next()
                    .unwrap()
                    .to_owned()
            };
            let at = Lsn::parse(&field("lsn:")).unwrap();
            let (_, words) = line.split_once("desc: ").unwrap();
            let xid = || {
                // `COMMIT_PREPARED 739: …` names the prepared transaction, not the record's own.
                let named = words
                    .split_once("PREPARED ")
                    .map(|(_, rest)| rest.split(':').next().unwrap().to_owned());
                named.unwrap_or_else(|| field("tx:"))
            };
            if words.starts_with("COMMIT") {
                all.push((at, format!("commit {}", xid())));
            } else if words.starts_with("ABORT") {
                all.push((at, format!("abort {}", xid())));
            } else if let Some(name) = words.strip_prefix("RESTORE_POINT ") {
                all.push((at, format!("restore point {name}")));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn every_commit_abort_and_restore_point_is_found_where_pg_waldump_finds_it() {
    let server = Server::start(&["wal_level=replica", "max_prepared_transactions=5"]);
    server.psql("postgres", "CREATE DATABASE bank TEMPLATE template0");
    server.psql("bank", "CREATE TABLE t (n bigserial, filler text)");
    for round in 0..40 {
        // Records of all sizes, so that some go over the ends of pages and segments.
        server.psql(
            "bank",
            &format!("INSERT INTO t (filler) SELECT repeat(md5(i::text), 1 + (i * 7 + {round}) % 60) FROM generate_series(1, 600) i"),
        );
    }
    server.psql(
        "bank",
        "BEGIN; INSERT INTO t (filler) VALUES ('given up'); ROLLBACK",
    );
    server.psql("bank", "BEGIN; INSERT INTO t (filler) VALUES ('later'); SAVEPOINT a; INSERT INTO t (filler) VALUES ('sub'); PREPARE TRANSACTION 'one'");
    server.psql("bank", "COMMIT PREPARED 'one'");
    server.psql(
        "bank",
        "BEGIN; CREATE TABLE gone (n int); PREPARE TRANSACTION 'two'",
    );
    server.psql("bank", "ROLLBACK PREPARED 'two'");
    server.psql(
        "bank",
        "SELECT pg_create_restore_point('before the release')",
    );
    server.psql("bank", "DROP TABLE t");
    server.psql("bank", "SELECT pg_switch_wal()");
    server.psql("bank", "CREATE TABLE after_the_switch (n int)");
    let last = server
        .psql("bank", "SELECT pg_walfile_name(pg_current_wal_lsn())")
        .trim()
        .to_owned();
    let end = Lsn::parse(server.psql("bank", "SELECT pg_current_wal_lsn()").trim()).unwrap();

    let folder = server.data().join("pg_wal");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.len() == 24 && *name <= last)
        .collect();
    names.sort();
    let size = 16 << 20;
    let mut scanner = LogScanner::default();
    let mut found = Vec::new();
    for name in &names {
        let start = WalFileName::parse(name).unwrap().start(size).unwrap();
        for event in scanner.segment(start, &fs::read(folder.join(name)).unwrap()) {
            let words = match event.kind {
                LogEventKind::Commit(xid) => format!("commit {xid}"),
                LogEventKind::Abort(xid) => format!("abort {xid}"),
                LogEventKind::RestorePoint(name) => format!("restore point {name}"),
            };
            found.push((event.at, words));
        }
    }
    let expected = told_by_waldump(&server, &names[0], &last, &folder);
    assert!(
        names.len() > 2 && expected.len() > 40,
        "{} files, {} records",
        names.len(),
        expected.len()
    );
    assert_eq!(found, expected);
    for kind in ["abort", "restore point before the release"] {
        assert!(
            found.iter().any(|(_, words)| words.starts_with(kind)),
            "{kind}"
        );
    }
    assert!(scanner.last_record().unwrap() < end);
}
