//! `mainstay import` as people use it: real configurations, what is written, what is said of it, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::{fs, path::Path};
use support::program::{Ended, Running};
use tempfile::TempDir;

const SCRIPT: &str = r#"#!/bin/bash
# nightly, from /etc/cron.d/backup
set -euo pipefail
export RESTIC_REPOSITORY="s3:s3.eu-central-1.amazonaws.com/example-backups/web1"
export RESTIC_PASSWORD="correct horse"
KEEP_DAILY=7

restic backup --tag nightly --exclude-caches --exclude-file=/etc/restic/exclude /etc /var/www
restic forget --tag nightly \
    --keep-daily "$KEEP_DAILY" \
    --keep-weekly=4 -m 12 \
    --keep-yearly 7 --keep-within 1m2d --prune
"#;

const BORGMATIC: &str = "location:
    source_directories:
        - /home
        - /etc
    repositories:
        - ssh://joe:hunter2@backup.example.org/./main.borg
        - /var/lib/backups/local.borg
    exclude_patterns:
        - '*.pyc'
storage:
    encryption_passphrase: \"hunter2\"
retention:
    keep_within: 2d
    keep_daily: 7
    keep_weekly: 4
    keep_monthly: 6
    keep_yearly: -1
hooks:
    postgresql_databases:
        - name: users
          hostname: database1.example.org
          port: 5433
          password: hunter2
";

const PGBACKREST: &str = "[global]
repo1-path=/var/lib/pgbackrest
repo1-retention-full=2
repo1-retention-diff=3
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=hunter2
repo2-type=s3
repo2-path=/demo-repo
repo2-s3-bucket=demo-bucket
repo2-s3-endpoint=s3.us-east-1.amazonaws.com
repo2-s3-region=us-east-1
repo2-s3-key=hunter2
repo2-s3-key-secret=hunter2
repo2-retention-full=30
repo2-retention-full-type=time
process-max=2

[main]
pg1-path=/var/lib/postgresql/15/main
pg1-host=db1
";

const PGBACKREST_CRON: &str = "# m h dom mon dow command
30 6 * * 0 pgbackrest --type=full --stanza=main backup
30 6 * * 1-6 pgbackrest --type=diff --stanza=main backup
";

const BARMAN: &str = "[barman]
barman_home = /var/lib/barman
minimum_redundancy = 1

[main]
conninfo = host=pg user=barman dbname=postgres password=hunter2
retention_policy = RECOVERY WINDOW OF 4 WEEKS
wal_retention_policy = main
last_backup_maximum_age = 1 DAY

[small]
retention_policy = REDUNDANCY 3
";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path().join(name), content).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.path(), arguments, &[("NO_COLOR", "1"), ("TZ", "UTC")]).wait()
    }

    /// Imports for two years from a fixed day, in a zone with summer time.
    fn import(&self, tool: &str, file: &str, more: &[&str]) -> Ended {
        let mut all = vec!["import", tool, file];
        all.extend(["--now", "2026-11-21T12:00:00Z", "--years", "2"]);
        if !more.contains(&"--timezone") {
            all.extend(["--timezone", "Europe/Prague"]);
        }
        all.extend(more);
        self.run(&all)
    }

    fn json(&self, tool: &str, file: &str, more: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(more);
        let ended = self.import(tool, file, &all);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended}"))
    }

    /// The policy stands the same validation and formatting as any other.
    fn is_valid(&self, policy: &str) {
        let file = "written.toml";
        fs::write(self.path().join(file), policy).unwrap();
        let validated = self.run(&["validate", "-p", file]);
        assert_eq!(validated.code, Some(0), "{validated}");
        let formatted = self.run(&["fmt", "--check", file]);
        assert_eq!(formatted.code, Some(0), "{formatted}\n{policy}");
    }
}

fn shown(ended: &Ended) -> String {
    let all = format!("{}----\n{}", ended.stdout, ended.stderr);
    assert!(
        !all.contains("hunter2") && !all.contains("correct horse"),
        "a secret: {all}"
    );
    all
}

#[test]
fn a_restic_script_becomes_a_policy_with_the_same_points() {
    let place = Place::new();
    let ended = place
        .file("backup.sh", SCRIPT)
        .import("restic", "backup.sh", &[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    place.is_valid(&ended.stdout);
    insta::assert_snapshot!("import_restic", shown(&ended));
}

#[test]
fn borgmatic_becomes_a_policy_with_a_tier_for_each_repository() {
    let place = Place::new();
    place.file("config.yaml", BORGMATIC);
    let ended = place.import("borg", "config.yaml", &["--schedule", "0 */4 * * *"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    place.is_valid(&ended.stdout);
    insta::assert_snapshot!("import_borgmatic", shown(&ended));
}

#[test]
fn pgbackrest_becomes_a_policy_that_never_keeps_less() {
    let place = Place::new();
    place
        .file("pgbackrest.conf", PGBACKREST)
        .file("crontab", PGBACKREST_CRON);
    let ended = place.import("pgbackrest", "pgbackrest.conf", &["--crontab", "crontab"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    place.is_valid(&ended.stdout);
    insta::assert_snapshot!("import_pgbackrest", shown(&ended));
}

#[test]
fn barman_stays_or_is_replaced() {
    let place = Place::new();
    place.file("barman.conf", BARMAN);
    let stays = place.import("barman", "barman.conf", &["--schedule", "0 1 * * *"]);
    assert_eq!(stays.code, Some(0), "{stays}");
    place.is_valid(&stays.stdout);
    insta::assert_snapshot!("import_barman", shown(&stays));
    let replaced = place.import(
        "barman",
        "barman.conf",
        &["--schedule", "0 1 * * *", "--replace"],
    );
    assert_eq!(replaced.code, Some(0), "{replaced}");
    place.is_valid(&replaced.stdout);
    insta::assert_snapshot!("import_barman_replaced", shown(&replaced));
}

#[test]
fn crontabs_units_and_timers_bring_their_schedule() {
    let place = Place::new();
    place
        .file("crontab", "SHELL=/bin/bash\nRESTIC_REPOSITORY=/srv/restic\n15 3 * * 1-5 root restic backup /etc && restic forget --keep-last 10\n")
        .file("backup.service", "[Unit]\nDescription=backup\n[Service]\nEnvironment=\"RESTIC_REPOSITORY=/srv/restic\"\nExecStart=/usr/bin/restic backup /etc\nExecStartPost=-/usr/bin/restic forget \\\n  --keep-daily 7 \\\n  --keep-weekly unlimited\n")
        .file("backup.timer", "[Timer]\nOnCalendar=Mon..Fri *-*-* 04:30:00\n[Install]\nWantedBy=timers.target\n")
        .file("nested", "@daily bash -c 'borg create /srv/borg::{now} /home; borg prune -d7 --keep-weekly=4 /srv/borg'\n");
    let crontab = place.import("restic", "crontab", &[]).stdout;
    assert!(crontab.contains("schedule = \"15 3 * * 1-5\""), "{crontab}");
    assert!(
        crontab.contains("path = \"/srv/restic-mainstay\""),
        "{crontab}"
    );
    assert!(
        crontab.contains("{ pick = \"last\", last = 10 }"),
        "{crontab}"
    );
    let unit = place.import("restic", "backup.service", &[]).stdout;
    assert!(unit.contains("schedule = \"30 4 * * mon-fri\""), "{unit}");
    assert!(unit.contains("daily = 7, weekly = \"all\""), "{unit}");
    let nested = place.import("borg", "nested", &[]).stdout;
    assert!(nested.contains("schedule = \"@daily\""), "{nested}");
    assert!(nested.contains("paths = [\"/home\"]"), "{nested}");
    assert!(nested.contains("daily = 7, weekly = 4"), "{nested}");
    for policy in [crontab, unit, nested] {
        place.is_valid(&policy);
    }
}

#[test]
fn whatever_cannot_be_taken_over_is_named_with_its_line_and_nothing_is_written() {
    let place = Place::new();
    place.file("folder.conf", "");
    fs::create_dir(place.path().join("folder")).unwrap();
    let cases: [(&str, &str, &[u8], &[&str]); 21] = [
        (
            "restic",
            "a.sh",
            b"restic forget --keep-dialy 7\n",
            &["a.sh:1", "did you mean `--keep-daily`?"],
        ),
        (
            "restic",
            "b.sh",
            b"\n\nrestic forget \\\n --keep-daily -1\n",
            &["b.sh:4", "unlimited"],
        ),
        (
            "restic",
            "c.sh",
            b"restic forget --keep-daily $DAYS $ALL\n",
            &["c.sh:1", "write it out", "`$ALL`"],
        ),
        (
            "restic",
            "d.sh",
            b"restic forget --keep-within 7w\n",
            &["d.sh:1", "`w` is no unit"],
        ),
        (
            "restic",
            "e.sh",
            b"restic forget --keep-daily 7\nrestic forget --keep-daily 8\n",
            &["e.sh:2", "same snapshots as e.sh:1"],
        ),
        (
            "restic",
            "f.sh",
            b"restic forget --keep-daily\n",
            &["f.sh:1", "lacks its value"],
        ),
        ("restic", "g.sh", b"", &["is empty", "import::nothing"]),
        (
            "restic",
            "h.sh",
            b"echo restic forget --keep-daily 7\n",
            &["no `restic forget`", "import::nothing"],
        ),
        (
            "restic",
            "i.sh",
            b"restic\nforget\0",
            &["i.sh:2", "not text"],
        ),
        (
            "restic",
            "j.sh",
            b"# caf\xe9\n",
            &["j.sh:1", "not UTF-8", "iconv"],
        ),
        (
            "restic",
            "k.sh",
            b"\xef\xbb\xbfrestic forget --keep-x 1\r\nrestic forget --keep-yeerly 1\r\n",
            &["k.sh:1", "k.sh:2", "--keep-yearly"],
        ),
        (
            "borg",
            "a.yaml",
            b"keep_daily: 7\nkeep_dayly: 8\n",
            &["a.yaml:2", "did you mean `keep_daily`?"],
        ),
        (
            "borg",
            "b.yaml",
            b"keep_daily: 7\nkeep_daily: 8\n",
            &["b.yaml:2", "duplicated"],
        ),
        (
            "borg",
            "c.yaml",
            b"repositories:\n  - [\n",
            &["c.yaml:", "not YAML"],
        ),
        (
            "borg",
            "d.yaml",
            b"retention:\n  keep_within: 3\n",
            &["d.yaml:2", "H, d, w, m or y"],
        ),
        (
            "borg",
            "e.sh",
            b"borg prune --keep-weeky 4 /srv/borg\n",
            &["e.sh:1", "`--keep-weekly`?"],
        ),
        (
            "pgbackrest",
            "a.conf",
            b"[global]\nrepo1-retention-ful=2\n",
            &["a.conf:2", "`repo1-retention-full`?"],
        ),
        (
            "pgbackrest",
            "b.conf",
            b"[global]\nrepo1-retention-full=0\nnonsense\n",
            &["b.conf:2", "b.conf:3"],
        ),
        (
            "pgbackrest",
            "c.conf",
            b"[global]\nrepo1-retention-full=2\nrepo1-retention-full-type=days\n",
            &["c.conf:3", "`count` and `time`"],
        ),
        (
            "barman",
            "d.conf",
            b"[main]\nretention_policy = LAST 3\n",
            &["d.conf:2", "REDUNDANCY n"],
        ),
        (
            "barman",
            "e.conf",
            b"[main]\nretention_polcy = REDUNDANCY 3\n",
            &["e.conf:2", "did you mean `retention_policy`?"],
        ),
    ];
    for (tool, name, content, says) in cases {
        let ended = place
            .file(name, content)
            .import(tool, name, &["--out", "new.toml"]);
        assert_eq!(ended.code, Some(1), "{name}: {ended}");
        assert_eq!(ended.stdout, "", "{name}: {ended}");
        for words in says {
            assert!(
                ended.stderr.contains(words),
                "{name} lacks {words}: {ended}"
            );
        }
        assert!(!place.path().join("new.toml").exists(), "{name}");
    }
    place.import("restic", "folder", &[]).says("is a folder");
    place
        .import("borg", "none.sh", &[])
        .says("cannot read `none.sh`");
}

#[test]
fn without_any_retention_everything_stays() {
    let place = Place::new();
    place
        .file("backup.sh", "restic -r /srv/restic backup /etc\n")
        .file("config.yaml", "source_directories: [/etc]\nrepositories:\n  - path: /srv/borg\n    label: local\nkeep_daily: 7\nskip_actions: [prune]\n")
        .file("pgbackrest.conf", "[main]\npg1-path=/var/lib/postgresql/15/main\n")
        .file("main.conf", "[main]\nconninfo = host=pg\n");
    for (tool, file) in [
        ("restic", "backup.sh"),
        ("borg", "config.yaml"),
        ("pgbackrest", "pgbackrest.conf"),
        ("barman", "main.conf"),
    ] {
        let ended = place.import(tool, file, &["--years", "1"]);
        let ended = if ended.code == Some(0) {
            ended
        } else {
            place.run(&["import", tool, file, "--timezone", "UTC", "--years", "1"])
        };
        assert_eq!(ended.code, Some(0), "{ended}");
        assert!(ended.stdout.contains("{ forever = true }"), "{ended}");
        ended.says("`forever = true`");
        place.is_valid(&ended.stdout);
    }
}

#[test]
fn fewer_points_exit_3_and_are_listed() {
    let place = Place::new();
    place.file(
        "prune.sh",
        "0 * * * * borg prune --keep-hourly 24 /srv/borg\n",
    );
    // Of the hour that comes twice borg keeps one, so that its rule reaches an hour further that day.
    let ended = place.import("borg", "prune.sh", &[]);
    assert_eq!(ended.code, Some(3), "{ended}");
    ended
        .says("FEWER points than borg")
        .says("kept by `keep-hourly`");
    assert!(ended.stdout.contains("FEWER points than borg"), "{ended}");
    place.is_valid(&ended.stdout);
    let utc = place.import("borg", "prune.sh", &["--timezone", "UTC"]);
    assert_eq!(utc.code, Some(0), "{utc}");
    utc.says("the same points after each of");
}

#[test]
fn programs_get_the_policy_the_settings_and_the_proof() {
    let place = Place::new();
    let script = SCRIPT.replace("1m2d", "40d");
    let document = place
        .file("backup.sh", script)
        .json("restic", "backup.sh", &[]);
    assert_eq!(document["format"], "mainstay.import-policy.v1");
    place.is_valid(document["policy"].as_str().unwrap());
    let proof = &document["proofs"][0];
    assert_eq!(
        (&proof["database"], &proof["tier"]),
        (&"nightly".into(), &"repository".into())
    );
    assert_eq!(
        (&proof["same"], &proof["never_fewer"]),
        (&true.into(), &true.into())
    );
    assert_eq!(proof["runs"], 732);
    let settings = document["settings"].as_array().unwrap();
    let daily = settings
        .iter()
        .find(|one| one["setting"] == "--keep-daily 7")
        .unwrap();
    assert_eq!(daily["place"]["line"], 10);
    assert_eq!(daily["fate"], "taken");
}

#[test]
fn an_existing_file_is_left_alone() {
    let place = Place::new();
    place.file("backup.sh", SCRIPT);
    let first = place.import("restic", "backup.sh", &["--out", "mainstay.toml"]);
    assert_eq!(
        (first.code, first.stdout.as_str()),
        (Some(0), ""),
        "{first}"
    );
    let written = fs::read_to_string(place.path().join("mainstay.toml")).unwrap();
    place.is_valid(&written);
    let again = place.import(
        "restic",
        "backup.sh",
        &["--out", "mainstay.toml", "--schedule", "@hourly"],
    );
    assert_eq!(again.code, Some(1), "{again}");
    again.says("mainstay::import::write");
    assert_eq!(
        fs::read_to_string(place.path().join("mainstay.toml")).unwrap(),
        written
    );
}
