//! The commands of a runbook are real: they are taken out of the document, as a person would, and run in a shell, each disaster
//! after it was made to happen. On SQLite, and on a real PostgreSQL server.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};
use support::{Site, bank::postgres::Server, program, shop, shop_once};

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

/// Runs every command of a disaster in a shell, in order; each must succeed.
#[track_caller]
fn survive(
    site: &Site,
    disaster: &[String],
    environment: &[(String, String)],
    replace: &[(&str, &str)],
) {
    assert!(!disaster.is_empty());
    let bin = site.path().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_mainstay"), bin.join("mainstay")).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    for command in disaster {
        let command = replace.iter().fold(command.clone(), |command, (from, to)| {
            command.replace(from, to)
        });
        let done = program::command("sh")
            .args(["-c", &format!("set -e; {command}")])
            .current_dir(site.path())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("NO_COLOR", "1")
            .envs(environment.iter().cloned())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{command}\n{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
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

    sql(&site.shop(), "delete from entries; delete from accounts");
    for (table, disaster) in [
        ("entries", "One table is lost or corrupted"),
        ("accounts", "Rows were deleted or changed by mistake"),
    ] {
        survive(&site, &disasters[disaster], &[], &[("entries", table)]);
    }
    assert_eq!(shop::assert_true_state(&site.shop()), 400);

    fs::write(site.shop(), "ruined").unwrap();
    survive(&site, &disasters["The file is gone or ruined"], &[], &[]);
    assert_eq!(shop::assert_true_state(&site.shop()), 400);
    fs::remove_file(site.shop()).unwrap();
    survive(&site, &disasters["The server is gone"], &[], &[]);
    assert_eq!(shop::assert_true_state(&site.shop()), 400);
    fs::remove_file(site.shop()).unwrap();
    fs::remove_dir_all(site.path().join(".mainstay")).unwrap();
    survive(
        &site,
        &disasters["The machine with Mainstay is gone"],
        &[],
        &[],
    );
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
    let environment: Vec<(String, String)> = server
        .program("psql", "postgres")
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    let sum = |database: &str| {
        server
            .psql(database, "select sum(balance) from accounts")
            .trim()
            .to_owned()
    };

    server.psql("bank", "delete from accounts where id > 10");
    survive(
        &site,
        &disasters["Rows were deleted or changed by mistake"],
        &environment,
        &[],
    );
    assert_eq!(sum("bank"), "5050");
    server.psql("bank", "update accounts set balance = 0");
    survive(
        &site,
        &disasters["One table is lost or corrupted"],
        &environment,
        &[],
    );
    assert_eq!(sum("bank"), "5050");
    server.psql("postgres", "drop database bank");
    survive(
        &site,
        &disasters["The database is gone or ruined, its server is there"],
        &environment,
        &[],
    );
    assert_eq!(sum("bank"), "5050");
    let elsewhere = format!("'{}'", server.url("elsewhere"));
    survive(
        &site,
        &disasters["The server is gone"],
        &environment,
        &[(
            "postgres://postgres@new-server.example.com:5432/bank",
            &elsewhere,
        )],
    );
    assert_eq!(sum("elsewhere"), "5050");
    fs::remove_dir_all(site.path().join(".mainstay")).unwrap();
    server.psql("postgres", "drop database bank");
    survive(
        &site,
        &disasters["The machine with Mainstay is gone"],
        &environment,
        &[],
    );
    assert_eq!(sum("bank"), "5050");
    let left: Vec<String> = server
        .databases()
        .into_iter()
        .filter(|name| name.starts_with("bank_") || name.starts_with("mainstay"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
