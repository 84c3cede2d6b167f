//! Follows `docs/recover-by-hand.md` literally: the commands of the page, in bash, on recovery points that the real program
//! made, of every format that it writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use model::Digest;
use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
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
                .filter(|path| {
                    let own = path.ends_with("recovery-kit") || path.ends_with("mainstay-audit");
                    path.is_dir() && !own
                })
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

/// A folder with a `python3` that has `cryptography`, as `./check` found or made one.
fn python(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "which Python has the packages is said by ./check"
    )]
    if let Ok(python) = std::env::var("MAINSTAY_TEST_PYTHON") {
        // Its whole path: a bare `python3` would find this very program first, for ever.
        let asked = command(&python)
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{python} is no Python");
        let python = String::from_utf8(asked.stdout).unwrap().trim().to_owned();
        let program = bin.join("python3");
        fs::write(&program, format!("#!/bin/sh\nexec '{python}' \"$@\"\n")).unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

/// A key file and a recovery certificate, whose private key is not where the policy could find it.
fn make_keys(folder: &Path) {
    let key = [0x5c_u8; 32];
    let id = Digest::sha256_of(&[b"mainstay.key.v1", &key[..]].concat());
    let text = format!(
        "format = \"mainstay.key.v1\"\nid = \"{}\"\nkey = \"{}\"\n",
        &id.hex()[..32],
        "5c".repeat(32)
    );
    let file = folder.join("prod.key");
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(folder.join("safe")).unwrap();
    let output = command("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-subj", "/CN=recovery", "-days", "30"])
        .args(["-keyout", "safe/recovery-key.pem", "-out", "recovery.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success());
}

const KEYS: &str = "[key.prod]\nkind = \"local\"\npath = \"prod.key\"\n[key.offline]\nkind = \"certificate\"\npath = \"recovery.pem\"\n";

/// The three ways to open an encrypted point that need nothing but its tier and a key.
const WAYS: [&str; 3] = [
    "Encrypted: with a key file",
    "Encrypted: with the recovery certificate",
    "Encrypted: with bash and openssl alone",
];

#[test]
fn an_encrypted_sqlite_database_comes_back_by_hand_in_every_way() {
    let place = Place::new(&format!(
        "{KEYS}[database.shop]\nengine = \"sqlite\"\npath = \"shop.db\"\nencrypt-with = [\"prod\", \"offline\"]\n\
         [[database.shop.series]]\nname = \"daily\"\nschedule = \"0 2 * * *\"\nkeep.disk = {{ daily = 7 }}\n"
    ));
    make_keys(place.path());
    support::shop::create(&place.path().join("shop.db"), 300);
    let point = place.apply(&[]);
    assert!(point.join("data.sqlite.zst.enc").exists());
    let bin = python(place.path());
    let kit = place.path().join("tier/recovery-kit");
    let whole = |file: &Path| {
        let shop = rusqlite::Connection::open(file).unwrap();
        let mut rows = shop.prepare("select * from entries order by 1").unwrap();
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| {
            (0..columns)
                .map(|column| row.get::<_, rusqlite::types::Value>(column))
                .collect::<Result<Vec<_>, _>>()
        });
        format!("{:?}", rows.unwrap().collect::<Vec<_>>())
    };
    let source = whole(&place.path().join("shop.db"));
    for (number, way) in WAYS.into_iter().enumerate() {
        let target = place.path().join(format!("by hand {number}.db"));
        let opened = place.path().join(format!("opened {number}"));
        let said = follow(
            &["Check that nothing", "Encrypted: which keys", way, "SQLite"],
            place.path(),
            &[
                ("POINT", point.to_str().unwrap()),
                ("TARGET", target.to_str().unwrap()),
                ("OPENED", opened.to_str().unwrap()),
                ("KIT", kit.to_str().unwrap()),
                ("KEY", "prod.key"),
                ("RECIPIENT", "offline"),
                ("PRIVATE_KEY", "safe/recovery-key.pem"),
                ("BIN", bin.to_str().unwrap()),
            ],
        );
        assert!(said.contains("data.sqlite.zst.enc: prod, local "), "{said}");
        assert!(!said.contains("5c5c5c5c"), "{said}");
        assert_eq!(whole(&target), source, "{way}");
    }
}

#[test]
fn encrypted_files_come_back_by_hand_also_with_a_key_file_from_another_system() {
    let place = Place::new(&format!(
        "{KEYS}[database.conf]\nengine = \"files\"\npaths = [\"etc\"]\nencrypt-with = [\"prod\", \"offline\"]\n\
         [[database.conf.series]]\nname = \"daily\"\nschedule = \"0 2 * * *\"\nkeep.disk = {{ daily = 7 }}\n"
    ));
    make_keys(place.path());
    let source = place.path().join("etc/app.yaml");
    fs::create_dir(place.path().join("etc")).unwrap();
    fs::write(&source, "port: 80\n").unwrap();
    let point = place.apply(&[]);
    let bin = python(place.path());
    let kit = place.path().join("tier/recovery-kit");
    let key = fs::read_to_string(place.path().join("prod.key")).unwrap();
    fs::write(place.path().join("crlf.key"), key.replace('\n', "\r\n")).unwrap();
    for (number, way) in [WAYS[0], WAYS[2]].into_iter().enumerate() {
        let folder = place.path().join(format!("by hand {number}"));
        fs::create_dir(&folder).unwrap();
        let opened = place.path().join(format!("opened {number}"));
        follow(
            &["Check that nothing", way, "Files"],
            place.path(),
            &[
                ("POINT", point.to_str().unwrap()),
                ("FOLDER", folder.to_str().unwrap()),
                ("OPENED", opened.to_str().unwrap()),
                ("KIT", kit.to_str().unwrap()),
                ("KEY", "crlf.key"),
                ("BIN", bin.to_str().unwrap()),
            ],
        );
        let back = folder.join(source.strip_prefix("/").unwrap());
        assert_eq!(fs::read(back).unwrap(), fs::read(&source).unwrap(), "{way}");
    }
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

fn postgres_format(format: &str, heading: &str, way: Option<&str>) {
    let server = postgres::shared();
    let source = server.create_database("by_hand");
    server.psql(&source, ORDERS);
    let (keys, encrypt) = match way {
        Some(_) => (KEYS, "encrypt-with = [\"prod\", \"offline\"]\n"),
        None => ("", ""),
    };
    let place = Place::new(&format!(
        "{keys}[database.orders]\nengine = \"postgres\"\nurl = {{ env = \"ORDERS_URL\" }}\n{encrypt}[[database.orders.series]]\nname = \"daily\"\n\
         schedule = \"0 2 * * *\"\nformat = \"{format}\"\nglobals = true\nkeep.disk = {{ daily = 7 }}\n"
    ));
    if way.is_some() {
        make_keys(place.path());
    }
    let point = place.apply(&[("ORDERS_URL", &server.url(&source))]);
    let new = format!("{source}_back");
    let folder = place.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    let port = server.port.to_string();
    let mut headings = vec![
        "Check that nothing",
        "PostgreSQL: the server's roles",
        heading,
        "PostgreSQL: was everything there",
    ];
    if let Some(way) = way {
        headings.insert(1, way);
    }
    let bin = format!(
        "{}:{}",
        python(place.path()).display(),
        server.bin.display()
    );
    let kit = place.path().join("tier/recovery-kit");
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
            ("BIN", &bin),
            ("OPENED", place.path().join("opened").to_str().unwrap()),
            ("KIT", kit.to_str().unwrap()),
            ("KEY", "prod.key"),
            ("RECIPIENT", "offline"),
            ("PRIVATE_KEY", "safe/recovery-key.pem"),
        ],
    );
    assert_eq!(server.dump(&new), server.dump(&source));
}

#[test]
fn a_custom_dump_comes_back_by_hand() {
    postgres_format("custom", "PostgreSQL: custom format", None);
}

#[test]
fn a_plain_dump_comes_back_by_hand() {
    postgres_format("plain", "PostgreSQL: plain SQL", None);
}

#[test]
fn a_directory_dump_comes_back_by_hand() {
    postgres_format("directory", "PostgreSQL: directory format", None);
}

#[test]
fn an_encrypted_dump_and_its_roles_come_back_by_hand_in_every_way() {
    for (way, (format, heading)) in WAYS.into_iter().zip([
        ("custom", "PostgreSQL: custom format"),
        ("plain", "PostgreSQL: plain SQL"),
        ("directory", "PostgreSQL: directory format"),
    ]) {
        postgres_format(format, heading, Some(way));
    }
}
