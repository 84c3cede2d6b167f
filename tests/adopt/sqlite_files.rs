//! SQLite files: which are kept, what is refused, odd names, many of them.

use super::{SHOP, audited, document, manifest, old, old_shop, states, untouched};
use crate::support::{Site, program::command, shop};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, time::Instant};

#[test]
fn files_become_points_that_are_kept_verified_and_restored_and_stay_where_they_are() {
    let site = Site::new(SHOP);
    let folder = old(&site);
    for (name, entries) in [
        ("shop-2023-01-01.db", 10),
        ("shop-2024-06-15.db", 20),
        ("shop-2024-06-20.db", 30),
        ("shop-20240701-0200.db", 40),
    ] {
        old_shop(&folder.join(name), entries);
    }
    let before = untouched(&folder);
    let shown = site.expect(0, &["catalog", "adopt", "shop", "old", "--dry-run"]);
    insta::assert_snapshot!(
        "dry_run",
        shown
            .stdout
            .replace(&site.path().display().to_string(), "<site>")
    );
    assert_eq!(site.points(), []);

    site.expect(0, &["catalog", "adopt", "shop", "old"])
        .says("Adopted 4 files");
    assert_eq!(untouched(&folder), before);
    let points = site.points();
    let ids: Vec<&str> = points.iter().map(model::RecoveryPointId::as_str).collect();
    assert_eq!(
        ids,
        [
            "shop/nightly/20230101T000000Z",
            "shop/nightly/20240615T000000Z",
            "shop/nightly/20240620T000000Z",
            "shop/nightly/20240701T020000Z",
        ]
    );
    // Where a rule keeps it, and nowhere else.
    for (point, disk, nas) in [
        (0, true, true),
        (1, true, true),
        (2, true, false),
        (3, true, false),
    ] {
        assert_eq!(site.copy(&points[point], "disk").is_some(), disk, "{point}");
        assert_eq!(site.copy(&points[point], "nas").is_some(), nas, "{point}");
    }
    let told = manifest(&site, "disk", &points[3]);
    let file = folder.join("shop-20240701-0200.db");
    let sum = model::Digest::sha256_of(&fs::read(&file).unwrap());
    assert_eq!(told["source"]["adopted_sha256"], sum.hex());
    assert_eq!(told["source"]["adopted_from"], file.to_str().unwrap());
    assert_eq!(told["source"]["captured_at_from"], "name");
    assert_eq!(told["captured_at"], "2024-07-01T02:00:00Z");
    assert_eq!(told["expectations"]["tables"], serde_json::json!({}));
    assert!(told["source"].get("file").is_none() && told["source"].get("database").is_none());
    assert_eq!(audited(&site, "adoption").len(), 4);
    site.expect(0, &["audit", "verify"]);

    // As any other point.
    site.expect(0, &["list"]).says(ids[0]);
    site.expect(0, &["info", ids[3]])
        .says("shop-20240701-0200.db");
    site.expect(0, &["verify", ids[1], "--level", "restore"]);
    for (point, entries) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
        let back = format!("back-{point}.db");
        site.expect(
            0,
            &["restore", "shop", "--point", ids[point], "--to", &back],
        );
        assert_eq!(shop::assert_true_state(&site.path().join(back)), entries);
    }

    // Again: nothing new. Moved and packed otherwise: the same plain state, but another file, which is said.
    let again = site.expect(0, &["catalog", "adopt", "shop", "old"]);
    again
        .says("4 recovery points already")
        .says("Nothing to adopt");
    fs::create_dir(site.path().join("moved")).unwrap();
    fs::copy(&file, site.path().join("moved/shop-20240701-0200.db")).unwrap();
    site.expect(0, &["catalog", "adopt", "shop", "moved"])
        .says("1 recovery points already");
    old_shop(&folder.join("other.db"), 41);
    fs::rename(folder.join("other.db"), &file).unwrap();
    site.expect(9, &["catalog", "adopt", "shop", "old"])
        .says("whose content is another");
    assert_eq!(site.points(), points);

    // They count like others: the plan keeps them all, and its own first backup comes beside them. It is no slot's that was missed.
    site.expect(0, &["plan"]).never_says("issed");
    site.apply();
    assert_eq!(site.points().len(), 5);
    site.expect(0, &["explain", ids[0]]).says("yearly");
    // Files that nothing would keep are left alone, and said.
    for day in 10..20 {
        fs::copy(
            folder.join("shop-2024-06-20.db"),
            folder.join(format!("shop-2022-05-{day}.db")),
        )
        .unwrap();
    }
    let some = site.expect(9, &["catalog", "adopt", "shop", "old", "--json"]);
    let states = states(&document(&some));
    assert_eq!(states["shop-2022-05-10.db"], "adopted");
    assert_eq!(states["shop-2022-05-11.db"], "not-kept");
    assert_eq!(states["shop-20240701-0200.db"], "refused slot-taken");
    site.expect(0, &["plan", "--json"])
        .never_says("\"action\":\"prune\"");
}

#[test]
fn odd_names_links_and_other_files_are_met_without_harm() {
    let site = Site::new(SHOP);
    let folder = old(&site);
    let at = |name: &[u8]| folder.join(OsStr::from_bytes(name));
    for name in [
        &b"my shop 2024-01-01 (copy).db"[..],
        b"shop\n2024-02-01.db",
        b"shop\xff2024-03-01.db",
        b"2024-04-01/shop.db",
        b"-2024-05-01.db",
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        old_shop(&at(name), 5);
    }
    fs::write(at(b"README.txt"), "not a dump").unwrap();
    fs::write(at(b"empty-2024-06-01.db"), "").unwrap();
    fs::write(
        at(b"sealed-2024-07-01.db.gpg"),
        b"-----BEGIN PGP MESSAGE-----\n\nabc",
    )
    .unwrap();
    fs::write(
        at(b"dump-2024-08-01.sql"),
        "--\n-- PostgreSQL database dump\n--\n",
    )
    .unwrap();
    let mut cut = fs::read(at(b"-2024-05-01.db")).unwrap();
    cut.truncate(cut.len() / 2);
    fs::write(at(b"cut-2024-09-01.db"), &cut).unwrap();
    fs::write(
        at(b"torn-2024-10-01.db"),
        fs::read(at(b"-2024-05-01.db")).unwrap(),
    )
    .unwrap();
    fs::write(at(b"torn-2024-10-01.db-wal"), "the newest changes").unwrap();
    fs::copy(at(b"-2024-05-01.db"), at(b"01-11-2024.db")).unwrap();
    fs::copy(at(b"-2024-05-01.db"), at(b"undated.db")).unwrap();
    fs::copy(at(b"-2024-05-01.db"), at(b"far-2051-01-01.db")).unwrap();
    for twin in [&b"one-2024-12-01.db"[..], b"two-2024-12-01.db"] {
        fs::copy(at(b"-2024-05-01.db"), at(twin)).unwrap();
    }
    std::os::unix::fs::symlink(".", at(b"loop")).unwrap();
    std::os::unix::fs::symlink("self", at(b"self")).unwrap();
    let ended = site.expect(
        9,
        &[
            "catalog",
            "adopt",
            "shop",
            "old",
            "--any-database",
            "--json",
        ],
    );
    insta::assert_json_snapshot!("states_of_odd_files", states(&document(&ended)));
    assert_eq!(site.points().len(), 5);
    for point in site.points() {
        site.expect(
            0,
            &[
                "restore",
                "shop",
                "--point",
                point.as_str(),
                "--to",
                "back.db",
            ],
        );
        assert_eq!(shop::assert_true_state(&site.path().join("back.db")), 5);
        fs::remove_file(site.path().join("back.db")).unwrap();
    }
    // In words; the pipe named by itself is never waited for.
    let shown = site.expect(9, &["catalog", "adopt", "shop", "old", "--any-database"]);
    insta::assert_snapshot!(
        "odd_files",
        shown
            .stdout
            .replace(&site.path().display().to_string(), "<site>")
    );
    let made = command("mkfifo")
        .arg(at(b"pipe-2024-01-01.db"))
        .status()
        .unwrap();
    assert!(made.success());
    site.expect(1, &["catalog", "adopt", "shop", "old/pipe-2024-01-01.db"])
        .says("no ordinary file");
    site.expect(1, &["catalog", "adopt", "shop", "old/README.txt"]);
    site.expect(1, &["catalog", "adopt", "shop", "nowhere"])
        .says("nothing-found");
}

#[test]
fn files_of_another_database_in_the_same_folder_are_never_taken_for_its_states() {
    let site = Site::new(SHOP);
    let folder = old(&site);
    for (name, entries) in [
        ("shop-2024-01-01.db", 10),
        ("shop-2024-02-01.db", 20),
        ("crm-2024-03-01.db", 30),
    ] {
        old_shop(&folder.join(name), entries);
    }
    let adopt = ["catalog", "adopt", "shop"];
    let refused = site.expect(1, &[&adopt[..], &["old", "--json"]].concat());
    let states = states(&document(&refused));
    assert!(
        states
            .values()
            .all(|state| state == "refused unclear-database"),
        "{states:?}"
    );
    assert_eq!(site.points(), []);
    site.expect(0, &[&adopt[..], &["old/shop-*.db"]].concat())
        .says("Adopted 2 files");
    // What is a point already does not count: the other one is asked for alone, or by that word.
    site.expect(0, &[&adopt[..], &["old", "--any-database"]].concat())
        .says("Adopted 1 file");
}

#[test]
fn a_thousand_files_take_seconds_and_all_rules_are_judged_at_once() {
    let site = Site::new(&SHOP.replace("daily = 7, monthly = 12", "daily = 7, monthly = \"all\""));
    let folder = old(&site);
    let first = folder.join("shop-2021-01-01.db");
    old_shop(&first, 3);
    let mut day = jiff::civil::date(2021, 1, 1);
    for _ in 1..1000 {
        day = day.tomorrow().unwrap();
        fs::copy(&first, folder.join(format!("shop-{day}.db"))).unwrap();
    }
    let started = Instant::now();
    let ended = site.expect(0, &["catalog", "adopt", "shop", "old", "--json"]);
    let took = started.elapsed();
    let states = states(&document(&ended));
    let adopted = states.values().filter(|state| *state == "adopted").count();
    // 33 months, and the last seven days, of which none begins a month.
    assert_eq!((states.len(), adopted), (1000, 40));
    assert!(took.as_secs() < 60, "{took:?}");
    site.expect(0, &["catalog", "adopt", "shop", "old"])
        .says("40 recovery points already");
}
