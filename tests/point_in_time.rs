//! Any moment back, with the real program and a real server: a base backup and the archived log give exactly what was committed
//! before the moment, whatever moment; what cannot be reached is refused with what can.
//!
//! The judge is the source itself: `track_commit_timestamp` remembers when each row of an append-only table was committed.
#![allow(
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use std::{collections::BTreeSet, path::Path};
use support::{
    chance::Chance,
    cluster_site::{ClusterSite, Release},
    until,
};

/// Rows with the microsecond of their commit, in the order of the commits.
fn commits(site: &ClusterSite) -> Vec<(i64, i64)> {
    let sql = "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM history ORDER BY 2";
    let text = site.sql(sql);
    let number = |text: &str| text.parse::<i64>().unwrap();
    text.lines()
        .map(|line| line.split_once('|').unwrap())
        .map(|(id, at)| (number(id), number(at)))
        .collect()
}

fn ids(text: &str) -> BTreeSet<i64> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn committed_by(commits: &[(i64, i64)], at: i64) -> BTreeSet<i64> {
    let before = commits.iter().filter(|(_, committed)| *committed <= at);
    before.map(|(id, _)| *id).collect()
}

fn text_of(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .unwrap()
        .to_string()
}

const IDS: &str = "SELECT id FROM history";

#[test]
fn any_moment_comes_back_with_exactly_what_was_committed_before_it() {
    let site = ClusterSite::start(Release::Installed, &["archive_timeout=3"], "");
    site.sql("INSERT INTO history DEFAULT VALUES");
    let before_any_base = text_of(commits(&site)[0].1);
    site.backup();
    let load = site.writers(2, 20, 200);
    until("six seconds are written between the bases", 60, || {
        let written = "SELECT max(at) - min(at) > interval '6 s' FROM history WHERE id > 1";
        site.sql(written) == "t"
    });
    site.backup();
    load.finish();
    site.sql("SELECT pg_create_restore_point('before the release')");
    let at_the_name = ids(&site.sql(IDS));
    let xid = site.sql(
        "WITH new AS (INSERT INTO history DEFAULT VALUES RETURNING id) SELECT pg_current_xact_id()",
    );
    let at_the_xid = ids(&site.sql(IDS));
    site.sql("INSERT INTO history SELECT FROM generate_series(1, 5)");
    site.archive_all();
    let all = commits(&site);
    let base = all[1].1 + 3_000_000;
    let last = all.last().unwrap().1;

    // Half-way between two commits, so that nobody can say that the clock's last digit decided.
    let mut chance = Chance::seeded();
    for round in 0..5 {
        let wanted = base
            + i64::try_from(chance.below(u64::try_from(last - base - 1_000_000).unwrap())).unwrap();
        let next = all.iter().position(|(_, at)| *at > wanted).unwrap();
        let moment = i64::midpoint(all[next - 1].1, all[next].1);
        let found = ids(&site.at(&["--at", &text_of(moment)], IDS));
        assert_eq!(
            found,
            committed_by(&all, moment),
            "round {round}, {}",
            text_of(moment)
        );
    }
    assert_eq!(ids(&site.at(&["--xid", &xid], IDS)), at_the_xid);
    assert_eq!(
        ids(&site.at(&["--name", "before the release"], IDS)),
        at_the_name
    );
    assert_eq!(ids(&site.at(&["--latest"], IDS)), committed_by(&all, last));
    let found = ids(&site.at(&["--immediate"], IDS));
    assert!(found.is_subset(&committed_by(&all, last)) && found.len() > 1);

    // Into a folder, for a server that somebody starts.
    let folder = site.path().join("restored");
    let to = folder.to_str().unwrap();
    let moment = i64::midpoint(all[all.len() / 2].1, all[all.len() / 2 + 1].1);
    let ended = site.expect(
        0,
        &["restore", "cluster", "--at", &text_of(moment), "--to", to],
    );
    assert!(ended.stderr.contains("pg_ctl start"), "{ended}");
    assert_eq!(ids(&site.started(&folder, IDS)), committed_by(&all, moment));
    assert!(folder.join("PG_VERSION").is_file());
    let ended = site.expect(1, &["restore", "cluster", "--latest", "--to", to]);
    assert!(ended.stderr.contains("replace"), "{ended}");
    site.expect(
        0,
        &[
            "restore",
            "cluster",
            "--latest",
            "--to",
            to,
            "--replace",
            "--yes",
            "--promote",
        ],
    );

    // What cannot be reached.
    for (moment, word) in [
        (before_any_base.as_str(), "before"),
        ("2099-01-01 00:00:00+00", "in the future"),
    ] {
        let refused = site.expect(1, &["restore", "cluster", "--at", moment, "--scratch"]);
        assert!(
            refused.stderr.contains("mainstay::restore::unreachable"),
            "{word}: {refused}"
        );
        assert!(
            refused.stderr.contains("can be reached:"),
            "{word}: {refused}"
        );
    }
    let refused = site.expect(
        1,
        &["restore", "cluster", "--xid", "4000000000", "--scratch"],
    );
    assert!(refused.stderr.contains("4000000000"), "{refused}");
    let refused = site.expect(
        1,
        &[
            "restore",
            "cluster",
            "--at",
            "2026-06-20 15:00:00",
            "--scratch",
        ],
    );
    assert!(refused.stderr.contains("zone"), "{refused}");
    holes(&site, &all);
    new_machine(&site, &all);
}

#[test]
fn a_chain_comes_back_and_a_damaged_link_is_said_and_answered_by_a_new_full_point() {
    let site = ClusterSite::start(
        Release::Eighteen,
        &["summarize_wal=on"],
        "incremental = true",
    );
    for _ in 0..4 {
        site.sql("INSERT INTO history SELECT FROM generate_series(1, 50)");
        site.sql("CHECKPOINT");
        site.backup();
        // Points of one second have one name.
        let made = site.sql("SELECT date_trunc('second', clock_timestamp())");
        until("the next second", 10, || {
            site.sql(&format!(
                "SELECT clock_timestamp() >= timestamptz '{made}' + interval '1 s'"
            )) == "t"
        });
    }
    let all = ids(&site.sql(IDS));
    let points = points(&site);
    assert_eq!(points.len(), 4);
    assert_eq!(points[0].1, None);
    for two in points.windows(2) {
        assert_eq!(two[1].1.as_ref(), Some(&two[0].0), "{points:?}");
    }
    let last = points[3].0.as_str();
    assert_eq!(ids(&site.at(&["--point", last], IDS)), all);
    let said = site.expect(
        0,
        &["verify", last, "--tier", "near", "--level", "full-read"],
    );
    assert!(said.stdout.contains("good"), "{said}");

    // The link is spoilt everywhere: the full read of it notices, then that of those that build on it.
    for tier in ["near", "far"] {
        site.spoil(tier, &points[1].0);
    }
    site.expect(1, &["verify", &points[1].0, "--level", "checksum"]);
    let said = site.expect(
        1,
        &["verify", last, "--tier", "near", "--level", "full-read"],
    );
    assert!(said.stdout.contains(&points[1].0), "{said}");
    let refused = site.expect(
        1,
        &[
            "restore",
            "cluster",
            "--point",
            last,
            "--scratch",
            "--check",
        ],
    );
    assert!(
        refused.stderr.contains(&points[1].0) || refused.stderr.contains("unreachable"),
        "{refused}"
    );
    // The full point before it still reaches everything, over the log.
    site.archive_all();
    assert_eq!(ids(&site.at(&["--latest"], IDS)), all);
    site.backup();
    let after = self::points(&site);
    assert_eq!(after.last().unwrap().1, None, "{after:?}");
}

/// Ids and parents, the oldest first.
fn points(site: &ClusterSite) -> Vec<(String, Option<String>)> {
    let known = site.expect(0, &["inventory", "--json"]);
    let known: serde_json::Value = serde_json::from_str(&known.stdout).unwrap();
    let mut points: Vec<_> = known["recovery_points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            let text = |key: &str| point[key].as_str().map(str::to_owned);
            (text("id").unwrap(), text("parent"))
        })
        .collect();
    points.sort();
    points
}

/// A file that is missing on one tier comes from the other; one that is nowhere is a hole, and is named.
fn holes(site: &ClusterSite, all: &[(i64, i64)]) {
    let last = all.last().unwrap().1;
    let sql = "SELECT max(name) FROM (SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name < pg_walfile_name(pg_current_wal_lsn()) ORDER BY name DESC OFFSET 1) older";
    let file = site.sql(sql);
    for (number, tier) in ["near", "far"].iter().enumerate() {
        let found = site.archived(tier, &file);
        assert_eq!(found.len(), 1, "{file} on {tier}");
        std::fs::rename(&found[0], site.path().join(format!("kept-{number}"))).unwrap();
        if number == 0 {
            assert_eq!(ids(&site.at(&["--latest"], IDS)), committed_by(all, last));
        } else {
            let refused = site.expect(
                1,
                &[
                    "restore",
                    "cluster",
                    "--at",
                    &text_of(last - 1),
                    "--scratch",
                ],
            );
            assert!(
                refused.stderr.contains("mainstay::restore::unreachable"),
                "{refused}"
            );
            assert!(refused.stderr.contains(&file), "{file}: {refused}");
            std::fs::rename(site.path().join("kept-1"), &found[0]).unwrap();
        }
    }
}

/// With the policy, one tier and the key, and nothing else: no catalog, no server.
fn new_machine(site: &ClusterSite, all: &[(i64, i64)]) {
    remove(&site.path().join(".mainstay"));
    remove(&site.path().join("near"));
    site.server.crash();
    let moment = i64::midpoint(all[all.len() / 2].1, all[all.len() / 2 + 1].1);
    let found = ids(&site.at(&["--at", &text_of(moment)], IDS));
    assert_eq!(found, committed_by(all, moment));
}

#[expect(clippy::disallowed_methods, reason = "a folder of the test's own")]
fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}
