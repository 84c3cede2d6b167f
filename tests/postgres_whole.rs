//! PostgreSQL from end to end with the real program: a pgbench database that changes all the time is backed up on its
//! schedule, copied to a second tier, restored elsewhere, and equal to the source at the moment of the snapshot.
//!
//! The judge of "equal at the snapshot" is pgbench's own arithmetic: every balance started at zero, every transaction added
//! the same amount to an account, a teller and a branch, and wrote it into the append-only history. A restored database is a
//! state that really existed if and only if each balance is the sum of its rows in the history, all of which the source has.

mod support;

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
};
use support::{Site, bank::postgres::Server};

/// 2,000,000 accounts.
const SCALE: &str = "20";

struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself when its server went away.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pgbench(server: &Server, arguments: &[&str], database: &str) -> std::process::Command {
    let mut command = server.program("pgbench", database);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn policy(url: &str, format: &str) -> String {
    format!(
        r#"
mainstay = 1

[tier.nas]
kind = "filesystem"
path = "nas"
min-free = "1%"

[tier.attic]
kind = "filesystem"
path = "attic"
min-free = "1%"

[database.bank]
engine = "postgres"
url = "{url}"
assert = [{{ sql = "select count(*) from pgbench_branches", equals = "{SCALE}" }}]

[[database.bank.series]]
name = "daily"
schedule = "0 2 * * *"
format = "{format}"
count-rows = "exact"
keep.nas = {{ daily = 7 }}
keep.attic = {{ daily = 7 }}
verify = "full-read"
"#
    )
}

#[test]
fn a_busy_database_is_restored_as_it_was_at_one_moment() {
    let server = Server::start(&["max_wal_size=2GB"]);
    server.psql("postgres", "create database bank");
    assert!(
        pgbench(&server, &["-i", "-q", "-s", SCALE], "bank")
            .status()
            .unwrap()
            .success()
    );
    let site = Site::new(&policy(&server.url("bank"), "custom"));

    let load = Load(
        pgbench(&server, &["-n", "-c", "4", "-T", "600"], "bank")
            .spawn()
            .unwrap(),
    );
    // Some history first, so that there is something to disagree about.
    while server
        .psql("bank", "select count(*) from pgbench_history")
        .trim()
        .parse::<u64>()
        .unwrap()
        < 200
    {}
    let before: u64 = server
        .psql("bank", "select count(*) from pgbench_history")
        .trim()
        .parse()
        .unwrap();
    site.expect(0, &["apply", "--auto-approve"]);
    let after: u64 = server
        .psql("bank", "select count(*) from pgbench_history")
        .trim()
        .parse()
        .unwrap();
    assert!(
        after > before,
        "nothing changed while the database was backed up"
    );
    site.expect(
        0,
        &[
            "restore",
            "bank",
            "--from",
            "attic",
            "--to",
            "bank_restored",
        ],
    );
    drop(load);

    let ask = |database: &str, sql: &str| server.psql(database, sql).trim().to_owned();
    let rows: u64 = ask("bank_restored", "select count(*) from pgbench_history")
        .parse()
        .unwrap();
    assert!(
        (before..=after).contains(&rows),
        "{rows} rows of history, {before} before and {after} after"
    );
    assert_eq!(
        ask("bank_restored", "select count(*) from pgbench_accounts"),
        "2000000"
    );
    for (table, id) in [("accounts", "aid"), ("tellers", "tid"), ("branches", "bid")] {
        let balance = if table == "accounts" {
            "abalance"
        } else if table == "tellers" {
            "tbalance"
        } else {
            "bbalance"
        };
        let wrong = format!(
            "select count(*) from pgbench_{table} t left join (select {id}, sum(delta) as delta from pgbench_history group by {id}) h \
             using ({id}) where t.{balance} <> coalesce(h.delta, 0)"
        );
        assert_eq!(
            ask("bank_restored", &wrong),
            "0",
            "{table} do not agree with the history"
        );
    }
    // Every restored row of history is one that the source has: nothing invented, compared as multisets.
    let history = |database: &str| {
        let rows = ask(
            database,
            "select tid, bid, aid, delta, mtime from pgbench_history",
        );
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        for row in rows.lines() {
            *count.entry(row.to_owned()).or_default() += 1;
        }
        count
    };
    let source = history("bank");
    for (row, times) in history("bank_restored") {
        assert!(
            source.get(&row).is_some_and(|there| *there >= times),
            "the source never had {row}"
        );
    }

    site.expect(0, &["apply", "--auto-approve"])
        .says("No changes");
    site.expect(0, &["status"]);
    assert!(
        server
            .databases()
            .iter()
            .all(|name| !name.starts_with("mainstay_")),
        "{:?}",
        server.databases()
    );
}

#[test]
fn a_quiet_database_comes_back_identical_in_every_format() {
    let server = Server::start(&[]);
    server.psql("postgres", "create database bank");
    assert!(
        pgbench(&server, &["-i", "-q", "-s", "1", "--foreign-keys"], "bank")
            .status()
            .unwrap()
            .success()
    );
    assert!(
        pgbench(&server, &["-n", "-t", "500"], "bank")
            .status()
            .unwrap()
            .success()
    );
    let policy = |format: &str| {
        policy(&server.url("bank"), format)
            .replace("\"20\"", "\"1\"")
            .replace("full-read", "restore")
    };
    let site = Site::new(&policy("custom"));
    for format in ["custom", "plain", "directory"] {
        site.write_policy(&policy(format));
        site.expect(0, &["backup", "bank", "--auto-approve"]);
        let target = format!("bank_{format}");
        site.expect(0, &["restore", "bank", "--to", &target])
            .says("Restored");
        assert_eq!(server.dump(&target), server.dump("bank"), "{format}");
        // Restoring over it is refused, changes nothing, and is allowed when asked for.
        server.psql(&target, "delete from pgbench_history");
        site.expect(1, &["restore", "bank", "--to", &target]);
        assert_eq!(
            server
                .psql(&target, "select count(*) from pgbench_history")
                .trim(),
            "0"
        );
        site.expect(3, &["restore", "bank", "--to", &target, "--replace"]);
        site.expect(
            0,
            &["restore", "bank", "--to", &target, "--replace", "--yes"],
        );
        assert_eq!(
            server.dump(&target),
            server.dump("bank"),
            "{format} replaced"
        );
        site.next_second();
    }
}

#[test]
fn deleted_rows_are_rescued_from_a_table_restored_beside_them() {
    let server = Server::start(&[]);
    server.psql("postgres", "create database bank");
    assert!(
        pgbench(&server, &["-i", "-q", "-s", "1"], "bank")
            .status()
            .unwrap()
            .success()
    );
    let site = Site::new(&policy(&server.url("bank"), "custom").replace("\"20\"", "\"1\""));
    site.expect(0, &["apply", "--auto-approve"]);
    server.psql("bank", "delete from pgbench_accounts where aid <= 100");
    site.expect(
        0,
        &[
            "restore",
            "bank",
            "--table",
            "public.pgbench_accounts",
            "--to",
            "rescue",
        ],
    );
    assert_eq!(
        server
            .psql(
                "rescue",
                "select count(*) from pgbench_accounts where aid <= 100"
            )
            .trim(),
        "100"
    );
    assert_eq!(
        server
            .psql("bank", "select count(*) from pgbench_accounts")
            .trim(),
        "99900"
    );
}

#[test]
fn a_password_is_never_shown() {
    let server = Server::start(&[]);
    server.psql(
        "postgres",
        "create role alice superuser login password 'p4ss%word'",
    );
    server.psql("postgres", "create database bank");
    let url = server.tcp_url("alice", "p4ss%word", "bank");
    let site = Site::new(
        &policy("unused", "custom")
            .replace("url = \"unused\"", "url = { env = \"BANK_URL\" }")
            .replace("assert", "#assert"),
    );
    let environment = [("BANK_URL", url.as_str())];
    let good = site
        .start(&["apply", "--auto-approve", "--json"], &environment)
        .wait();
    good.says("run-finished");
    assert_eq!(good.code, Some(0));
    good.never_says("p4ss");
    let wrong = url.replace("p4ss", "wr0ng");
    site.next_second();
    let bad = site
        .start(
            &["backup", "bank", "--auto-approve"],
            &[("BANK_URL", wrong.as_str())],
        )
        .wait();
    assert_eq!(bad.code, Some(1));
    bad.never_says("wr0ng").says("password");
    for file in [site.catalog(), site.tier("nas"), site.tier("attic")] {
        let found = support::program::command("grep")
            .args(["-rlaE", "p4ss|wr0ng"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            found.stdout.is_empty(),
            "{}",
            String::from_utf8_lossy(&found.stdout)
        );
    }
}
