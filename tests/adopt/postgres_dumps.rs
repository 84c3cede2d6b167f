//! Real dumps of a real server, in every format that a script makes.

use super::{audited, document, states, untouched};
use crate::support::{Site, bank::postgres::Server, program::command};
use std::{fs, path::Path};

fn policy(url: &str) -> String {
    format!(
        r#"
mainstay = 1

[tier.disk]
kind = "filesystem"
path = "tiers/disk"
min-free = "0%"

[key.prod]
kind = "local"
path = "prod.key"

[database.erp]
engine = "postgres"
url = "{url}"
encrypt-with = ["prod"]

[[database.erp.series]]
name = "nightly"
schedule = "0 2 * * *"
keep.disk = {{ monthly = 36 }}
verify = "restore"
window = {{ retries = 0 }}

[[database.erp.drill]]
schedule = "@yearly"
pick = "newest"
assert = [{{ sql = "select count(*) from item", at-least = 1 }}]
"#
    )
}

fn dump(server: &Server, to: &Path, arguments: &[&str]) {
    let done = server
        .program("pg_dump", "erp")
        .args(arguments)
        .arg("--file")
        .arg(to)
        .output()
        .unwrap();
    assert!(done.status.success());
}

fn truncate(path: &Path, to: &Path, cut: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(to, &bytes[..bytes.len() - cut]).unwrap();
}

#[test]
fn dumps_of_every_format_become_points_and_come_back() {
    let server = Server::start(&[]);
    server.psql("postgres", "CREATE DATABASE erp TEMPLATE template0");
    server.psql("postgres", "CREATE DATABASE other TEMPLATE template0");
    server.psql(
        "erp",
        "CREATE TABLE item (n int PRIMARY KEY, text text NOT NULL);
         INSERT INTO item SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 3000) i;
         SELECT lo_from_bytea(0, 'a large object')",
    );
    let site = Site::new(&policy(&server.url("erp")));
    site.expect(0, &["key", "generate", "prod"]);
    let folder = site.path().join("old");
    fs::create_dir(&folder).unwrap();
    let mut expected = Vec::new();
    for (month, (name, arguments)) in [
        ("erp_2024-01-01.dump", &["-Fc"][..]),
        ("erp_2024-02-01.sql", &["-Fp", "--verbose"]),
        ("erp_2024-03-01.tar", &["-Ft"]),
        ("erp_2024-04-01.sql", &["-Fp", "--inserts"]),
        ("erp_2024-05-01.tar", &["-Ft"]),
    ]
    .into_iter()
    .enumerate()
    {
        server.psql(
            "erp",
            &format!(
                "INSERT INTO item VALUES ({}, 'of month {month}')",
                10_000 + month
            ),
        );
        dump(&server, &folder.join(name), arguments);
        expected.push(server.dump("erp"));
    }
    for packed in ["erp_2024-04-01.sql", "erp_2024-05-01.tar"] {
        let done = command("gzip").arg(folder.join(packed)).status().unwrap();
        assert!(done.success());
    }

    // Made today, but named for 2024: that is for a person to decide.
    let shown = site.expect(1, &["catalog", "adopt", "erp", "old/erp_2024-01-01.dump"]);
    shown
        .says("its name says 2024-01-01")
        .says("--captured-at name");
    let adopt = ["catalog", "adopt", "erp", "old", "--captured-at", "name"];
    let before = untouched(&folder);
    site.expect(0, &adopt).says("Adopted 5 files");
    assert_eq!(untouched(&folder), before);
    let points = site.points();
    for (point, expected) in points.iter().zip(&expected) {
        let copy = site.copy(point, "disk").unwrap();
        assert_eq!(copy.verified.unwrap().level, model::VerifyLevel::Restore);
        let target = format!("back_{}", &point.stamp()[..8]);
        site.expect(
            0,
            &["restore", "erp", "--point", point.as_str(), "--to", &target],
        );
        assert!(
            server.dump(&target) == *expected,
            "{point} came back as something else"
        );
    }
    site.expect(0, &["drill", "erp"]);
    site.expect(0, &adopt).says("5 recovery points already");
    assert_eq!(audited(&site, "adoption").len(), 5);

    // What is not whole, or not of this database, is refused and leaves no trace.
    truncate(
        &folder.join("erp_2024-01-01.dump"),
        &folder.join("cut_2024-06-01.dump"),
        5000,
    );
    truncate(
        &folder.join("erp_2024-02-01.sql"),
        &folder.join("cut_2024-07-01.sql"),
        200,
    );
    truncate(
        &folder.join("erp_2024-04-01.sql.gz"),
        &folder.join("cut_2024-08-01.sql.gz"),
        9,
    );
    truncate(
        &folder.join("erp_2024-03-01.tar"),
        &folder.join("cut_2024-09-01.tar"),
        200_000,
    );
    dump(
        &server,
        &folder.join("cut_2024-10-01.sql"),
        &["-Fp", "--create"],
    );
    for (name, arguments) in [
        ("cut_2024-10-02.sql", &["-Fp", "--schema-only"][..]),
        ("erp_2024-10-03.dump", &["-Fc", "--schema-only"]),
        ("erp_2024-10-04.tar", &["-Ft", "--data-only"]),
        ("cut_2024-10-05.sql", &["-Fp", "--data-only", "--inserts"]),
    ] {
        dump(&server, &folder.join(name), arguments);
    }
    let done = server
        .program("pg_dump", "other")
        .arg("-Fc")
        .arg("--file")
        .arg(folder.join("other_2024-11-01.dump"))
        .status()
        .unwrap();
    assert!(done.success());
    let done = server
        .program("pg_dumpall", "postgres")
        .arg("--file")
        .arg(folder.join("all_2024-12-01.sql"))
        .status()
        .unwrap();
    assert!(done.success());
    fs::copy(site.shop(), folder.join("shop_2025-01-01.db")).unwrap();
    fs::write(folder.join("nightly.log"), "done\n").unwrap();
    let ended = site.expect(9, &[&adopt[..], &["--json"]].concat());
    insta::assert_json_snapshot!("states_of_dumps", states(&document(&ended)));
    assert_eq!(site.points(), points);
    let words = site.expect(9, &adopt);
    for part in [
        "pg_dump --create",
        "pg_dump --schema-only",
        "pg_dump --data-only",
        "pg_dumpall",
        "a dump of database `other`",
        "the trailer is missing",
        "the database's engine is postgres",
    ] {
        assert!(
            words.stdout.contains(part) || words.stderr.contains(part),
            "{part}\n{words}"
        );
    }
    assert_eq!(audited(&site, "adoption").len(), 5);
}
