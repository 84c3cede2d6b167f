//! A small PostgreSQL database on a real server of its own, beside the shop.

#[path = "../../providers/tests/support/postgres.rs"]
pub mod postgres;

use super::{SHOP_EVERY_SECOND, Site, program};
use postgres::Server;
use std::time::{Duration, Instant};

/// A server with one database, `bank`.
pub struct Bank {
    server: Server,
}

impl Bank {
    /// Starts a server and makes the database.
    pub fn start() -> Self {
        let server = Server::start(&[]);
        server.psql("postgres", "CREATE DATABASE bank TEMPLATE template0");
        server.psql(
            "bank",
            "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
             CREATE TABLE entries (n bigserial PRIMARY KEY, note text NOT NULL, at timestamptz DEFAULT now());
             INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 100) i;
             INSERT INTO entries (note) SELECT md5(i::text) FROM generate_series(1, 3000) i;
             CREATE INDEX ON entries (note);",
        );
        Self { server }
    }

    /// A policy with the shop and this database, each point of which is restored once.
    pub fn policy(&self) -> String {
        format!(
            r#"{SHOP_EVERY_SECOND}
[database.bank]
engine = "postgres"
url = "{}"

[[database.bank.series]]
name = "often"
every = "1s"
keep.disk = {{ last = 4 }}
keep.nas = {{ last = 4 }}
verify = "restore"
window = {{ retries = 0 }}
"#,
            self.server.url("bank")
        )
    }

    /// Changes something.
    pub fn grow(&self) {
        self.server
            .psql("bank", "INSERT INTO entries (note) VALUES (md5(random()::text)); UPDATE accounts SET balance = balance + 1 WHERE id < 10");
    }

    /// All databases but the built-in ones.
    pub fn databases(&self) -> Vec<String> {
        self.server.databases()
    }

    /// Neither programs nor databases are left of killed runs.
    #[track_caller]
    pub fn assert_nothing_left(&self, site: &Site) {
        // A program ends when it touches its broken pipe, which may take it a moment.
        let started = Instant::now();
        let mut running = program::left_running(site.path());
        while !running.is_empty() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
            running = program::left_running(site.path());
        }
        assert!(running.is_empty(), "left running: {running:?}");
        let is_ours = |name: &String| name.starts_with("mainstay_");
        if self.databases().iter().any(is_ours) {
            // A program of the dead run was still connected when the run after it cleaned up; then it is the next one's turn.
            site.next_second();
            site.apply();
        }
        let databases = self.databases();
        assert!(
            !databases.iter().any(is_ours),
            "left on the server: {databases:?}"
        );
    }

    /// The newest point, restored as another database, equals the source, which nobody has changed since.
    #[track_caller]
    pub fn assert_restores(&self, site: &Site) {
        for tier in ["disk", "nas"] {
            let target = format!("restored_{tier}");
            site.expect(0, &["restore", "bank", "--from", tier, "--to", &target]);
            assert!(
                self.server.dump("bank") == self.server.dump(&target),
                "the restored database differs"
            );
        }
    }

    /// Runs SQL and gives what psql prints.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.server.psql(database, sql)
    }
}
