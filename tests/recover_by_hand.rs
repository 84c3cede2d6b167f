//! Follows `docs/recover-by-hand.md` literally: the commands of the page, in bash, on recovery points that the real program
//! made, of every format that it writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use support::bank::postgres;
use support::program::{Running, command};
use tempfile::TempDir;

/// The commands of the page, by heading.
fn commands() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recover-by-hand.md");
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut heading = String::new();
    let mut inside = false;
    for line in fs::read_to_string(page).unwrap().lines() {
        if let Some(text) = line.strip_prefix("## ") {
            text.clone_into(&mut heading);
        } else if line.starts_with("```") {
            inside = line == "```bash";
        } else if inside {
            let text = found.entry(heading.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

/// Runs the commands under these headings, one after the other, in one shell that stops at the first failure.
#[track_caller]
fn follow(headings: &[&str], folder: &Path, variables: &[(&str, &str)]) -> String {
    let commands = commands();
    let mut script = "set -euo pipefail\nPATH=${BIN:+$BIN:}$PATH\n".to_owned();
    for heading in headings {
        let (_, text) = commands
            .iter()
            .find(|(found, _)| found.starts_with(heading))
            .unwrap_or_else(|| panic!("the page has no commands under `{heading}`"));
        script.push_str(text);
    }
    let output = command("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{script}\n---\n{said}");
    said
}

/// A folder with a policy and an empty tier, and the one recovery point after an apply.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tier")).unwrap();
        let head = "mainstay = 1\n[tier.disk]\nkind = \"filesystem\"\npath = \"tier\"\nmin-free = \"0%\"\n";
        fs::write(
            folder.path().join("mainstay.toml"),
            format!("{head}{policy}"),
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the point and gives its folder.
    #[track_caller]
    fn apply(&self, environment: &[(&str, &str)]) -> PathBuf {
        let ended = Running::start(self.path(), &["apply", "--auto-approve"], environment).wait();
        assert_eq!(ended.code, Some(0), "{ended}");
        let tier = self.path().join("tier");
        let listed = follow(
            &["Choose a point"],
            self.path(),
            &[
                ("TIER", tier.to_str().unwrap()),
                ("POINT", self.only_point().to_str().unwrap()),
            ],
        );
        let newest = listed.lines().find(|line| line.ends_with("manifest.json"));
        let point = self.only_point();
        assert_eq!(Path::new(newest.unwrap()).parent().unwrap(), point);
        point
    }

    fn only_point(&self) -> PathBuf {
        let mut folder = self.path().join("tier");
        for _ in 0..4 {
            let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_dir() && !path.ends_with("recovery-kit"))
                .collect();
            assert_eq!(entries.len(), 1, "{entries:?}");
            folder = entries.remove(0);
        }
        folder
    }
}

#[test]
fn a_sqlite_database_comes_back_by_hand() {
    let place = Place::new(
        "[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\n[[database.shop.series]]\nname = \"daily\"\n\
         schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7 }\n",
    );
    support::shop::create(&place.path().join("shop.db"), 300);
    let point = place.apply(&[]);
    let target = place.path().join("by hand.db");
    follow(
        &["Check that nothing", "SQLite"],
        place.path(),
        &[
            ("POINT", point.to_str().unwrap()),
            ("TARGET", target.to_str().unwrap()),
        ],
    );
    let rows = |file: &Path| -> i64 {
        let shop = rusqlite::Connection::open(file).unwrap();
        shop.query_row("select count(*) from entries", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(rows(&target), rows(&place.path().join("shop.db")));
}

#[test]
fn damage_is_seen_by_hand() {
    let place = Place::new(
        "[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\n[[database.shop.series]]\nname = \"daily\"\n\
         schedule = \"0 2 * * *\"\nkeep.disk = { daily = 7 }\n",
    );
    support::shop::create(&place.path().join("shop.db"), 300);
    let point = place.apply(&[]);
    let data = point.join("data.sqlite.zst");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    let check = commands()["Check that nothing is damaged"].clone();
    let output = command("bash")
        .args(["-c", &format!("set -euo pipefail\n{check}")])
        .env("POINT", &point)
        .output()
        .unwrap();
    assert!(!output.status.success());
}

/// A database with what a dump must carry: keys, an index, a view, a schema of its own, text that is not ASCII.
const ORDERS: &str = "
    create schema sales;
    create table sales.customers (id int primary key, name text not null);
    create table public.orders (id int primary key, customer int references sales.customers, total numeric(12, 2));
    insert into sales.customers select n, 'Zákazník ' || n from generate_series(1, 100) n;
    insert into public.orders select n, 1 + n % 100, n * 1.25 from generate_series(1, 5000) n;
    create index on public.orders (customer);
    create view sales.totals as select customer, sum(total) from public.orders group by customer;";

fn postgres_format(format: &str, heading: &str) {
    let server = postgres::shared();
    let source = server.create_database("by_hand");
    server.psql(&source, ORDERS);
    let place = Place::new(&format!(
        "[database.orders]\nengine = \"postgres\"\nurl = {{ env = \"ORDERS_URL\" }}\n[[database.orders.series]]\nname = \"daily\"\n\
         schedule = \"0 2 * * *\"\nformat = \"{format}\"\nglobals = true\nkeep.disk = {{ daily = 7 }}\n"
    ));
    let point = place.apply(&[("ORDERS_URL", &server.url(&source))]);
    let new = format!("{source}_back");
    let folder = place.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    let port = server.port.to_string();
    let headings = [
        "Check that nothing",
        "PostgreSQL: the server's roles",
        heading,
        "PostgreSQL: was everything there",
    ];
    follow(
        &headings,
        place.path(),
        &[
            ("POINT", point.to_str().unwrap()),
            ("NEW", &new),
            ("FOLDER", folder.to_str().unwrap()),
            ("PGHOST", server.folder.to_str().unwrap()),
            ("PGPORT", &port),
            ("PGUSER", "postgres"),
            ("BIN", server.bin.to_str().unwrap()),
        ],
    );
    assert_eq!(server.dump(&new), server.dump(&source));
}

#[test]
fn a_custom_dump_comes_back_by_hand() {
    postgres_format("custom", "PostgreSQL: custom format");
}

#[test]
fn a_plain_dump_comes_back_by_hand() {
    postgres_format("plain", "PostgreSQL: plain SQL");
}

#[test]
fn a_directory_dump_comes_back_by_hand() {
    postgres_format("directory", "PostgreSQL: directory format");
}
