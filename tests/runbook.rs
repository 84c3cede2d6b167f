//! The commands of a runbook are real: they are taken out of the document, as a person would, and run in a shell, each disaster
//! after it was made to happen. On SQLite, on a database of a real PostgreSQL server, and on a whole server.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{
    Site,
    bank::postgres::Server,
    cluster_site::{ClusterSite, Release, as_server_user},
    program, shop, shop_once,
};

/// The commands of each disaster, by its heading.
fn commands(markdown: &str) -> BTreeMap<String, Vec<String>> {
    let mut disasters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut heading, mut block) = (String::new(), None::<String>);
    for line in markdown.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(text), "```") => {
                disasters
                    .entry(heading.clone())
                    .or_default()
                    .push(std::mem::take(text));
                block = None;
            }
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, line) => {
                if let Some(title) = line.strip_prefix("## ") {
                    title.clone_into(&mut heading);
                }
            }
        }
    }
    disasters
}

/// Where a person types the commands.
struct Desk<'a> {
    folder: &'a Path,
    environment: Vec<(String, String)>,
    /// Folder of the server's programs, for those who work as its user.
    bin: Option<&'a Path>,
}

impl<'a> Desk<'a> {
    fn of(site: &'a Site) -> Self {
        Self {
            folder: site.path(),
            environment: Vec::new(),
            bin: None,
        }
    }

    /// As the server's user, with its programs.
    fn of_cluster(site: &'a ClusterSite) -> Self {
        Self {
            folder: site.path(),
            environment: to_reach(&site.server),
            bin: Some(&site.server.bin),
        }
    }

    /// A command in a shell.
    fn shell(&self, command: &str) -> Command {
        let bin = self.folder.join("bin");
        if !bin.exists() {
            fs::create_dir(&bin).unwrap();
            symlink(env!("CARGO_BIN_EXE_mainstay"), bin.join("mainstay")).unwrap();
        }
        let mut path = bin.display().to_string();
        let mut shell = match self.bin {
            Some(servers) => {
                path = format!("{path}:{}", servers.display());
                as_server_user(Path::new("sh"))
            }
            None => program::command("sh"),
        };
        shell
            .args(["-c", &format!("set -e; {command}")])
            .current_dir(self.folder)
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        shell
    }

    /// Runs every command of a disaster in a shell, in order; each must succeed.
    #[track_caller]
    fn survive(&self, disaster: &[String], replace: &[(&str, &str)]) {
        assert!(!disaster.is_empty());
        for command in disaster {
            let command = put(command, replace);
            // Into files: a server that is started would keep a pipe open.
            let said = tempfile::tempfile().unwrap();
            let done = self
                .shell(&command)
                .stdout(said.try_clone().unwrap())
                .stderr(said.try_clone().unwrap())
                .status()
                .unwrap();
            assert!(done.success(), "{command}\n{}", program::text(&said));
        }
    }
}

/// A command with what a person puts into it.
fn put(command: &str, replace: &[(&str, &str)]) -> String {
    replace
        .iter()
        .fold(command.to_owned(), |command, (from, to)| {
            command.replace(from, to)
        })
}

/// Variables with which PostgreSQL's programs find a server.
fn to_reach(server: &Server) -> Vec<(String, String)> {
    server
        .program("psql", "postgres")
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect()
}

fn sql(path: &Path, sql: &str) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

#[test]
fn every_command_of_the_runbook_of_a_file_works() {
    let site = Site::new(&shop_once());
    site.apply();
    site.expect(0, &["drill", "shop"]);
    let runbook = site.expect(0, &["runbook", "shop"]).stdout;
    assert!(runbook.contains("last proved"), "{runbook}");
    let disasters = commands(&runbook);
    assert_eq!(disasters.len(), 5, "{runbook}");
    let desk = Desk::of(&site);

    sql(&site.shop(), "delete from entries; delete from accounts");
    for (table, disaster) in [
        ("entries", "One table is lost or corrupted"),
        ("accounts", "Rows were deleted or changed by mistake"),
    ] {
        desk.survive(&disasters[disaster], &[("entries", table)]);
    }
    assert_eq!(shop::assert_true_state(&site.shop()), 400);

    fs::write(site.shop(), "ruined").unwrap();
    desk.survive(&disasters["The file is gone or ruined"], &[]);
    assert_eq!(shop::assert_true_state(&site.shop()), 400);
    fs::remove_file(site.shop()).unwrap();
    desk.survive(&disasters["The server is gone"], &[]);
    assert_eq!(shop::assert_true_state(&site.shop()), 400);
    fs::remove_file(site.shop()).unwrap();
    fs::remove_dir_all(site.path().join(".mainstay")).unwrap();
    desk.survive(&disasters["The machine with Mainstay is gone"], &[]);
    assert_eq!(shop::assert_true_state(&site.shop()), 400);

    let page = site.path().join("runbook.html");
    site.expect(
        0,
        &[
            "runbook",
            "shop",
            "--format",
            "html",
            "--out",
            &page.display().to_string(),
        ],
    );
    assert!(
        fs::read_to_string(page)
            .unwrap()
            .contains("Rows were deleted")
    );
    site.expect(1, &["runbook", "no-such"])
        .says("declares no database");
}

#[test]
fn every_command_of_the_runbook_of_a_postgres_database_works() {
    let server = Server::start(&[]);
    server.psql("postgres", "create database bank");
    server.psql("bank", "create table accounts (id int primary key, balance bigint not null); insert into accounts select i, i from generate_series(1, 100) i");
    let url = server.url("bank");
    let policy = shop_once()
        + &format!(
            "\n[database.bank]\nengine = \"postgres\"\nurl = \"{url}\"\n[[database.bank.series]]\nname = \"yearly\"\nschedule = \"0 0 1 1 *\"\nkeep.nas = {{ last = 4 }}\n"
        );
    let site = Site::new(&policy);
    site.apply();
    let disasters = commands(&site.expect(0, &["runbook", "bank"]).stdout);
    assert_eq!(disasters.len(), 5);
    let desk = Desk {
        environment: to_reach(&server),
        ..Desk::of(&site)
    };
    let sum = |database: &str| {
        server
            .psql(database, "select sum(balance) from accounts")
            .trim()
            .to_owned()
    };

    server.psql("bank", "delete from accounts where id > 10");
    desk.survive(&disasters["Rows were deleted or changed by mistake"], &[]);
    assert_eq!(sum("bank"), "5050");
    server.psql("bank", "update accounts set balance = 0");
    desk.survive(&disasters["One table is lost or corrupted"], &[]);
    assert_eq!(sum("bank"), "5050");
    server.psql("postgres", "drop database bank");
    desk.survive(
        &disasters["The database is gone or ruined, its server is there"],
        &[],
    );
    assert_eq!(sum("bank"), "5050");
    let elsewhere = format!("'{}'", server.url("elsewhere"));
    desk.survive(
        &disasters["The server is gone"],
        &[(
            "postgres://postgres@new-server.example.com:5432/bank",
            &elsewhere,
        )],
    );
    assert_eq!(sum("elsewhere"), "5050");
    fs::remove_dir_all(site.path().join(".mainstay")).unwrap();
    server.psql("postgres", "drop database bank");
    desk.survive(&disasters["The machine with Mainstay is gone"], &[]);
    assert_eq!(sum("bank"), "5050");
    let left: Vec<String> = server
        .databases()
        .into_iter()
        .filter(|name| name.starts_with("bank_") || name.starts_with("mainstay"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A server that was started on a restored folder, which nobody else would stop.
struct Restored<'a>(&'a ClusterSite, PathBuf);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        let _ = as_server_user(&self.0.server.bin.join("pg_ctl"))
            .args(["stop", "--mode=immediate", "--wait", "--silent", "-D"])
            .arg(&self.1)
            .stderr(Stdio::null())
            .status();
    }
}

/// The example of a moment in a disaster's commands.
fn moment_in(disaster: &[String]) -> String {
    let mut words = disaster[0].split_whitespace();
    words.find(|word| *word == "--at").unwrap();
    words.next().unwrap().to_owned()
}

const ROWS: &str = "SELECT count(*) FROM history WHERE at IS NOT NULL";

#[test]
fn every_command_of_the_runbook_of_a_whole_server_works() {
    let site = ClusterSite::start(Release::Installed, &[], "");
    // Where a person has it: what `ALTER SYSTEM` says of archiving is left out of a restored server.
    let conf = site.server.data().join("postgresql.conf");
    let mut conf = OpenOptions::new().append(true).open(conf).unwrap();
    conf.write_all(b"archive_mode = on\ntrack_commit_timestamp = on\n")
        .unwrap();
    site.sql("INSERT INTO history SELECT FROM generate_series(1, 100)");
    site.sql("CREATE DATABASE shop");
    site.server
        .psql("shop", "CREATE TABLE sold AS SELECT generate_series(1, 10)");
    site.backup();
    let runbook = site.expect(0, &["runbook", "cluster"]).stdout;
    let disasters = commands(&runbook);
    assert_eq!(disasters.len(), 5, "{runbook}");
    let mut desk = Desk::of_cluster(&site);
    // What a person sees on the clock, and what happens then.
    let accident = |database: &str, sql: &str| {
        let moment = site.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
        site.server.psql(database, sql);
        site.archive_all();
        moment
    };

    for (title, sql) in [
        (
            "One table is lost or corrupted",
            "UPDATE history SET at = NULL",
        ),
        (
            "Rows were deleted or changed by mistake",
            "DELETE FROM history WHERE id > 10",
        ),
    ] {
        let disaster = &disasters[title];
        let moment = accident("postgres", sql);
        desk.survive(
            disaster,
            &[
                (&moment_in(disaster), &moment),
                ("public.orders", "public.history"),
                ("\"orders\"", "\"history\""),
            ],
        );
        assert_eq!(site.sql(ROWS), "100", "{title}");
    }
    // Something else is committed in between, as the runbook says it must be.
    let moment = accident("postgres", "INSERT INTO history DEFAULT VALUES");
    accident("postgres", "DROP DATABASE shop");
    let disaster = &disasters["A database of the cluster was dropped"];
    database_dropped(&site, &mut desk, disaster, &moment);
    server_gone(&site, &desk, &disasters);
}

fn database_dropped(site: &ClusterSite, desk: &mut Desk<'_>, disaster: &[String], moment: &str) {
    let [first, second] = disaster else {
        panic!("{disaster:?}");
    };
    let first = put(first, &[(&moment_in(disaster), moment)]);
    site.sql("CREATE DATABASE shop");
    // So that Ctrl-C reaches the program, as in a terminal.
    let command = desk.shell(&format!("exec {first}"));
    site.while_temporary(command, |url| {
        desk.environment.extend([
            (
                "SCRATCH_URL".to_owned(),
                url.replacen("/postgres?", "/shop?", 1),
            ),
            ("PRODUCTION_URL".to_owned(), site.server.url("shop")),
        ]);
        desk.survive(std::slice::from_ref(second), &[]);
    });
    let sold = site.server.psql("shop", "SELECT count(*) FROM sold");
    assert_eq!(sold.trim(), "10");
}

fn server_gone(site: &ClusterSite, desk: &Desk<'_>, disasters: &BTreeMap<String, Vec<String>>) {
    let example = "/var/lib/postgresql/restored";
    let folder = |name: &str| site.path().join(name);
    let sockets = &desk.environment.iter().find(|(name, _)| name == "PGHOST");
    let start = format!(
        "pg_ctl start --options='-p {} -k {} -c listen_addresses='",
        site.server.port,
        sockets.unwrap().1
    );
    site.sql("INSERT INTO history SELECT FROM generate_series(1, 23)");
    site.archive_all();
    site.server.crash();
    let restored = Restored(site, folder("restored"));
    desk.survive(
        &disasters["The server or its data directory is gone"],
        &[
            (example, &restored.1.display().to_string()),
            ("pg_ctl start", &start),
        ],
    );
    assert_eq!(site.sql(ROWS), "124");
    assert_eq!(site.sql("SELECT pg_is_in_recovery()"), "f");
    // It is backed up as the old one was: what comes now is not lost either.
    site.sql("INSERT INTO history DEFAULT VALUES");
    site.archive_all();
    drop(restored);

    fs::remove_dir_all(folder(".mainstay")).unwrap();
    let again = folder("again");
    desk.survive(
        &disasters["The machine with Mainstay is gone"],
        &[(example, &again.display().to_string())],
    );
    assert_eq!(site.started(&again, ROWS), "125");
}
