//! pgBackRest: a server of its own with full, differential and incremental backups, and `expire --dry-run` with many counts.

use super::{
    output,
    support::bank::postgres::{Server, as_server_user},
};
use jiff::{Timestamp, tz::TimeZone};
use planner::foreign::{Backup, Kind, Rules, pgbackrest};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

/// Labels of backups in what pgBackRest says.
fn labels(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || "FDI_-".contains(c)));
    // Names of log segments end with such letters too, but have no dash.
    let is_label =
        |part: &&str| part.contains('-') && part.len() >= 16 && part.ends_with(['F', 'D', 'I']);
    parts.filter(is_label).map(str::to_owned).collect()
}

fn kind(label: &str) -> Kind {
    match label.chars().last() {
        Some('F') => Kind::Full,
        Some('D') => Kind::Differential,
        _ => Kind::Incremental,
    }
}

#[test]
fn the_model_of_pgbackrest_keeps_what_pgbackrest_keeps() {
    let server = Server::start(&["archive_mode=on", "wal_level=replica", "max_wal_senders=3"]);
    let folder = tempfile::Builder::new()
        .prefix("mainstay-test-pgbackrest-")
        .tempdir_in("/tmp")
        .unwrap();
    // The server runs as another user when the test is run by root.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let here = folder.path().display();
    let config = folder.path().join("pgbackrest.conf");
    let text = format!(
        "[global]\nrepo1-path={here}/repo\nrepo1-retention-full=9\nlog-path={here}\nlock-path={here}\nspool-path={here}\nlog-level-console=info\n\
         log-level-file=off\nstart-fast=y\ncompress-type=none\narchive-timeout=60\n\
         [main]\npg1-path={}\npg1-port={}\npg1-socket-path={}\npg1-user=postgres\n",
        server.data().display(),
        server.port,
        server.folder.display()
    );
    fs::write(&config, text).unwrap();
    let run = |arguments: &[&str]| {
        let mut program = as_server_user(Path::new("/usr/bin/pgbackrest"));
        program
            .arg(format!("--config={}", config.display()))
            .arg("--stanza=main")
            .args(arguments);
        output(&mut program)
    };
    let archive = format!(
        "ALTER SYSTEM SET archive_command = 'pgbackrest --config={} --stanza=main archive-push %p'",
        config.display()
    );
    server.psql("postgres", &archive);
    server.psql("postgres", "SELECT pg_reload_conf()");
    run(&["stanza-create"]);
    for kind in [
        "full", "diff", "incr", "diff", "incr", "full", "incr", "diff", "full", "diff", "incr",
    ] {
        run(&["backup", &format!("--type={kind}")]);
    }
    let mut all: Vec<String> = labels(&run(&["info"])).into_iter().collect();
    // In the order in which they were made: by the last time in the label.
    all.sort_by_key(|label| label.rsplit('_').next().unwrap().to_owned());
    let kinds: String = all.iter().map(|label| &label[label.len() - 1..]).collect();
    assert_eq!(kinds, "FDIDIFIDFDI");

    let backups: Vec<Backup> = (0..)
        .zip(&all)
        .map(|(second, label)| Backup {
            at: Timestamp::from_second(second).unwrap(),
            kind: kind(label),
        })
        .collect();
    let now = Timestamp::from_second(100).unwrap();
    for (full, differential) in [
        (1, None),
        (2, None),
        (3, None),
        (9, Some(1)),
        (9, Some(2)),
        (9, Some(4)),
        (2, Some(1)),
        (2, Some(3)),
        (1, Some(2)),
    ] {
        let full_option = format!("--repo1-retention-full={full}");
        let mut arguments = vec!["expire".to_owned(), "--dry-run".to_owned(), full_option];
        arguments.extend(differential.map(|count| format!("--repo1-retention-diff={count}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = run(&arguments);
        let expired: String = said
            .lines()
            .filter(|line| {
                line.contains("expire full backup") || line.contains("expire diff backup")
            })
            .collect::<Vec<_>>()
            .join("\n");
        let gone = labels(&expired);
        let theirs: Vec<&String> = all.iter().filter(|label| !gone.contains(*label)).collect();
        let rules = Rules::PgBackRest(pgbackrest::Rules {
            full: Some(pgbackrest::Full::Count(full)),
            differential,
        });
        let verdicts = rules.judge(&backups, now, &TimeZone::UTC);
        let ours: Vec<&String> = all
            .iter()
            .zip(verdicts)
            .filter(|(_, why)| why.is_some())
            .map(|(label, _)| label)
            .collect();
        assert_eq!(ours, theirs, "{arguments:?}: {said}");
    }
}
