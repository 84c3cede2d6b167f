//! The reader of the log's records against `pg_waldump`, on logs that real servers wrote.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up shall say why and stop"
)]

#[path = "support/postgres.rs"]
mod postgres;

use model::{
    Lsn, Timestamp,
    wal::records::{LogEvent, LogReader, SegmentEnd},
};
use postgres::Server;
use std::{collections::BTreeMap, process::Command};

const SETTINGS: &[&str] = &[
    "max_prepared_transactions=10",
    "wal_level=logical",
    "wal_keep_size=1GB",
];

/// A log with everything that matters: large transactions, sub-transactions, aborts, two-phase commits, restore points, switches.
fn fill(server: &Server) {
    let sql = |text: &str| server.psql("postgres", text);
    sql("CREATE TABLE t (id bigint, filler text)");
    for round in 0..6 {
        sql("INSERT INTO t SELECT g, repeat(md5(g::text), 40) FROM generate_series(1, 3000) g");
        sql(
            "BEGIN; INSERT INTO t VALUES (1, 'x'); SAVEPOINT a; INSERT INTO t VALUES (2, 'y'); RELEASE a; COMMIT",
        );
        sql("BEGIN; INSERT INTO t VALUES (3, 'gone'); ROLLBACK");
        sql(&format!(
            "BEGIN; CREATE TABLE p{round} (id int); CREATE INDEX ON p{round} (id); SAVEPOINT s; \
             INSERT INTO p{round} VALUES (1); PREPARE TRANSACTION 'two {round}'"
        ));
        sql(&format!("COMMIT PREPARED 'two {round}'"));
        sql(&format!(
            "BEGIN; INSERT INTO t VALUES (4, 'z'); PREPARE TRANSACTION 'no {round}'"
        ));
        sql(&format!("ROLLBACK PREPARED 'no {round}'"));
        sql(&format!("DROP TABLE p{round}"));
        sql(&format!(
            "SELECT pg_create_restore_point('before round {round}')"
        ));
        if round % 2 == 1 {
            sql("SELECT pg_switch_wal()");
        }
    }
    sql("CHECKPOINT");
    sql("INSERT INTO t VALUES (5, 'the last')");
}

/// What `pg_waldump` says: by position, the words that tell a commit, abort or restore point.
fn dumped(server: &Server, first: &str, last: &str) -> BTreeMap<Lsn, String> {
    let output = Command::new(server.bin.join("pg_waldump"))
        .env("TZ", "UTC")
        .arg("--path")
        .arg(server.data().join("pg_wal"))
        .args([first, last])
        .output()
        .expect("pg_waldump runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.is_empty(), "{first} to {last}: {trouble}");
    let wanted = |line: &str| {
        line.contains("desc: COMMIT")
            || line.contains("desc: ABORT")
            || line.contains("desc: RESTORE_POINT")
    };
    let at = |line: &str| {
        let (_, rest) = line.split_once("lsn: ")?;
        Lsn::parse(rest.split(',').next()?.trim()).ok()
    };
    text.lines()
        .filter(|line| wanted(line))
        .filter_map(|line| Some((at(line)?, line.to_owned())))
        .collect()
}

/// As `pg_waldump` writes it.
fn words(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S.%6f UTC").to_string()
}

fn check(server: &Server) {
    fill(server);
    let folder = server.data().join("pg_wal");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("readable")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.len() == 24)
        .collect();
    names.sort();
    let current = server.psql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())");
    names.retain(|name| *name <= current);
    let mut reader = LogReader::new();
    let mut events = BTreeMap::new();
    let mut end = SegmentEnd::GoesOn;
    for name in &names {
        assert_eq!(end, SegmentEnd::GoesOn, "before {name}");
        let bytes = std::fs::read(folder.join(name)).expect("readable");
        end = reader.read(&bytes, |event| {
            let at = match &event {
                LogEvent::Transaction(end) => end.at,
                LogEvent::RestorePoint { at, .. } => *at,
            };
            events.insert(at, event);
        });
    }
    let written = server.psql("postgres", "SELECT pg_current_wal_insert_lsn()");
    let SegmentEnd::EndsAt(end) = end else {
        panic!("the log of a running server ends somewhere: {end:?}");
    };
    assert!(
        end <= Lsn::parse(&written).expect("a position"),
        "{end} {written}"
    );
    let theirs = dumped(server, &names[0], &current);
    assert!(theirs.len() > 50, "{}", theirs.len());
    let positions: Vec<_> = theirs.keys().collect();
    let ours: Vec<_> = events.keys().filter(|at| theirs.contains_key(at)).collect();
    assert_eq!(ours, positions, "what pg_waldump sees, we see");
    for (at, event) in &events {
        // What was written between the two looks.
        let Some(line) = theirs.get(at) else {
            assert!(at > positions.last().expect("many"), "{event:?}");
            continue;
        };
        match event {
            LogEvent::Transaction(end) => {
                assert_eq!(end.committed, line.contains("desc: COMMIT"), "{line}");
                assert!(
                    line.contains(&words(end.time)),
                    "{line}: {}",
                    words(end.time)
                );
                if line.contains("PREPARED") {
                    let said = format!("PREPARED {}: ", end.xid);
                    assert!(line.contains(&said), "{line}: {}", end.xid);
                } else {
                    assert!(line.contains(&format!("tx: {:>10}", end.xid)), "{line}");
                }
            }
            LogEvent::RestorePoint { name, .. } => {
                assert!(
                    line.trim_end().ends_with(&format!("RESTORE_POINT {name}")),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn the_log_of_the_installed_server_is_read_as_pg_waldump_reads_it() {
    check(&Server::start(SETTINGS));
}

#[test]
fn the_log_of_version_18_is_read_as_pg_waldump_reads_it() {
    check(&Server::start_18(SETTINGS));
}
