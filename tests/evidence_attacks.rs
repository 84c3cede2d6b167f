//! The fear: somebody who can write to the catalog, to tiers or to a bundle makes evidence say what did not happen. Each attack was
//! once not found, or a report judged wrongly.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what fails here fails the test; what is removed is the test's own"
)]

mod support;

use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};
use support::{
    SHOP_EVERY_SECOND, Site,
    chain::{by_hand, exports},
    program::{Ended, Running},
    shop_once,
};

/// A shop with some points, of which the oldest were pruned.
fn pruned() -> Site {
    let site = Site::new(SHOP_EVERY_SECOND);
    for _ in 0..5 {
        site.apply();
        site.next_second();
    }
    site
}

fn compliance(site: &Site, arguments: &[&str]) -> Value {
    let arguments = [&["report", "compliance", "--json"], arguments].concat();
    site.expect(0, &arguments).json()
}

fn control<'v>(report: &'v Value, id: &str) -> &'v Value {
    let controls = report["assessment"]["controls"].as_array().unwrap();
    controls.iter().find(|control| control["id"] == id).unwrap()
}

#[test]
fn a_report_does_not_praise_an_audit_whose_end_was_cut_off_or_brought_back() {
    let original = pruned();
    let sound = compliance(&original, &[]);
    assert_eq!(control(&sound, "audit.intact")["verdict"], "met");
    let trusting = compliance(&original, &["--trust-catalog"]);
    assert_eq!(
        control(&trusting, "audit.intact")["verdict"],
        "cannot-tell",
        "nobody has looked at what is signed"
    );
    for attack in [
        "DELETE FROM audit; UPDATE audit_head SET sequence = 0, digest = '';",
        "DELETE FROM audit WHERE sequence > 9; \
         UPDATE audit_head SET sequence = 9, digest = (SELECT digest FROM audit WHERE sequence = 9);",
        // Rows behind the end that is remembered.
        "UPDATE audit_head SET sequence = 9, digest = (SELECT digest FROM audit WHERE sequence = 9);",
    ] {
        let site = Site::like(&original);
        by_hand(&site, attack);
        let report = compliance(&site, &[]);
        let judged = control(&report, "audit.intact");
        assert_eq!(judged["verdict"], "not-met", "{attack}: {judged}");
        let retention = site.expect(0, &["report", "retention"]);
        retention.says("RETENTION NOT KEPT");
    }
}

#[test]
fn a_copy_that_was_deleted_by_hand_stays_in_the_report_after_no_rule_wants_it_any_more() {
    let site = pruned();
    let point = site.points().remove(1);
    for tier in ["disk", "nas"] {
        fs::remove_dir_all(site.tier(tier).join(point.folder())).unwrap();
    }
    for _ in 0..4 {
        site.next_second();
        site.apply();
    }
    assert!(!site.points().contains(&point), "retention let it go");
    site.expect(0, &["audit", "show", "--kind", "copy-loss"])
        .says(&point.to_string())
        .says("it is gone from the tier");
    let report = compliance(&site, &[]);
    let judged = control(&report, "retention.no-foreign-deletion");
    assert_eq!(judged["verdict"], "not-met", "{judged}");
    assert_eq!(judged["subjects"][0]["numbers"]["lost-before"], 1);
    site.expect(0, &["report", "retention"])
        .says("RETENTION NOT KEPT");
}

#[test]
fn a_period_that_is_over_is_judged_by_what_was_verified_then() {
    let site = pruned();
    site.next_second();
    let until = jiff::Timestamp::from_second(seconds()).unwrap().to_string();
    let before = compliance(&site, &["--to", &until]);
    site.next_second();
    for point in site.points() {
        site.expect(0, &["verify", &point.to_string()]);
    }
    let after = compliance(&site, &["--to", &until]);
    for id in ["coverage.protected", "verification.level", "recency.newest"] {
        let verdict = |report| control(report, id)["verdict"].clone();
        assert_eq!(verdict(&before), verdict(&after), "{id}");
        assert_eq!(verdict(&after), "met", "{id}");
    }
}

fn seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

#[test]
fn what_no_policy_on_record_says_is_not_taken_for_in_force() {
    let site = pruned();
    let recorded = |arguments: &[&str]| {
        let report = compliance(&site, arguments);
        control(&report, "changes.recorded")["verdict"].clone()
    };
    assert_eq!(recorded(&[]), "met");
    let early = ["--from", "2020-01-01", "--to", "2020-02-01"];
    assert_eq!(recorded(&early), "cannot-tell");
    let arguments = [&["report", "retention"], &early[..]].concat();
    site.expect(0, &arguments).says("CANNOT TELL");
    // An exception that somebody writes into his own copy of the policy was never accepted by a run.
    let exception = "[[exception]]\ncheck = \"encryption\"\ndatabase = \"shop\"\nuntil = 2099-01-01\nowner = \"me\"\nwhy = \"so\"\n";
    site.write_policy(&format!("{SHOP_EVERY_SECOND}\n{exception}"));
    assert_eq!(recorded(&[]), "cannot-tell");
    site.apply();
    assert_eq!(recorded(&[]), "met");
}

#[test]
fn what_is_put_beside_what_is_signed_in_an_export_is_found() {
    let original = pruned();
    let attacks: [fn(String) -> String; 4] = [
        |text| text.replacen('{', "{\"note\":\"approved by the board\",", 1),
        |text| text.replacen("\"details\":{", "\"details\":{\"run\":\"another\",", 1),
        |text| {
            text.replacen(
                "{\"checkpoint\":{",
                "{\"checkpoint\":{\"note\":\"fine\",",
                1,
            )
        },
        |text| text.replacen(',', ", ", 1),
    ];
    for attack in attacks {
        let site = Site::like(&original);
        let file = exports(&site, "nas").remove(1);
        let text = fs::read_to_string(&file).unwrap();
        let changed = attack(text.clone());
        assert_ne!(text, changed);
        fs::write(&file, changed).unwrap();
        site.expect(1, &["audit", "verify"])
            .says("is not written as an export writes it");
    }
}

#[test]
fn a_catalog_that_took_the_place_of_another_is_found() {
    let site = Site::new(&shop_once());
    site.apply();
    let older = exports(&site, "nas");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(site.path().join(".mainstay").join(file));
    }
    site.apply();
    assert!(exports(&site, "nas").len() > older.len());
    site.expect(1, &["audit", "verify"])
        .says("that catalog was taken away and a new one made in its place");
    // Said in the audit it is history.
    site.expect(0, &["catalog", "rebuild"]);
    site.expect(0, &["audit", "verify"]);
    // Who ordered it, not what was ordered.
    site.expect(0, &["audit", "show", "--kind", "catalog-rebuild"])
        .never_says("catalog rebuild: ");
}

#[test]
fn what_somebody_wrote_into_the_audit_cannot_draw_over_the_answer() {
    let site = pruned();
    let drawn = "UPDATE audit SET who = 'x' || char(27) || '[2J' || char(10) || 'all is sound' WHERE sequence = 3;";
    by_hand(&site, drawn);
    let said = site.expect(1, &["audit", "verify", "--color", "always"]);
    assert!(!said.stdout.contains("[2J\nall is sound"), "{said}");
    said.says("x\\u{1b}[2J\\nall is sound");
}

/// A bundle, and the key that signed it.
fn bundle() -> (Site, PathBuf, String) {
    let site = pruned();
    let file = site.path().join("bundle.tar");
    let out = file.to_str().unwrap().to_owned();
    site.expect(0, &["report", "compliance", "--bundle", &out]);
    let shown = site.expect(0, &["audit", "show", "--key"]);
    let key = shown.stdout.lines().next().unwrap().to_owned();
    (site, file, key)
}

fn recompute(bytes: &[u8], arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bundle.tar"), bytes).unwrap();
    let arguments = [&["audit", "recompute", "bundle.tar"], arguments].concat();
    Running::start(folder.path(), &arguments, &[]).wait()
}

/// Name and content of each file of a tar file.
fn files(bundle: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(fs::File::open(bundle).unwrap());
    let entries = tar.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn pack(files: &[(String, Vec<u8>)], link: Option<&str>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    if let Some(target) = link {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "see.html", target).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_bundle_says_who_signed_it_and_that_an_unsigned_one_is_not() {
    let (site, bundle, key) = bundle();
    let bytes = fs::read(&bundle).unwrap();
    let plain = recompute(&bytes, &[]);
    assert_eq!(plain.code, Some(0), "{plain}");
    plain.says(&format!("Signed with {key}. Whose key that is"));
    let known = recompute(&bytes, &["--key", &key]);
    assert_eq!(known.code, Some(0), "{known}");
    known.says("Signed with the given key.");
    let other = format!("ed25519:{}", "ab".repeat(32));
    let unknown = recompute(&bytes, &["--key", &other]);
    assert_eq!(unknown.code, Some(1), "{unknown}");
    unknown.says("not with the given");
    // The signature taken away.
    let mut all = files(&bundle);
    all.retain(|(name, _)| name != "signature.json");
    recompute(&pack(&all, None), &[]).says("Not signed by anybody");
    let demanded = recompute(&pack(&all, None), &["--key", &key]);
    assert_eq!(demanded.code, Some(1), "{demanded}");
    // A machine whose key is lost makes one that is not signed, and says so.
    fs::remove_file(site.path().join(".mainstay/audit.key")).unwrap();
    let out = site.path().join("unsigned.tar");
    site.expect(
        0,
        &["report", "retention", "--bundle", out.to_str().unwrap()],
    )
    .says("The bundle is not signed");
    let unsigned = recompute(&fs::read(&out).unwrap(), &[]);
    assert_eq!(unsigned.code, Some(0), "{unsigned}");
    unsigned.says("Not signed by anybody");
}

#[test]
fn a_bundle_that_was_made_anew_throughout_is_not_signed() {
    let (_site, bundle, key) = bundle();
    let mut all = files(&bundle);
    let digest = |bytes: &[u8]| model::Digest::sha256_of(bytes).to_string();
    let at = |all: &[(String, Vec<u8>)], name: &str| {
        all.iter().position(|(found, _)| found == name).unwrap()
    };
    // Not a verdict, so nothing but its digest tells.
    let (html, index) = (at(&all, "report.html"), at(&all, "digests.json"));
    let before = digest(&all[html].1);
    all[html].1.extend_from_slice(b"<!-- -->");
    let list = String::from_utf8(all[index].1.clone()).unwrap();
    all[index].1 = list.replace(&before, &digest(&all[html].1)).into_bytes();
    let ended = recompute(&pack(&all, None), &["--key", &key]);
    assert_eq!(ended.code, Some(1), "{ended}");
    ended.says("signature.json: the signature does not hold");
}

#[test]
fn whatever_else_is_in_a_bundle_or_missing_from_it_is_found() {
    let (_site, bundle, _) = bundle();
    let all = files(&bundle);
    let bytes = fs::read(&bundle).unwrap();
    let evil = |name: &str| (name.to_owned(), b"<h1>all is well</h1>".to_vec());
    let with = |extra| {
        let mut files = all.clone();
        files.insert(0, extra);
        pack(&files, None)
    };
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    let mut appended = bytes.clone();
    appended
        .write_all(&pack(&[evil("report.html")], None))
        .unwrap();
    let edited = |name: &str, edit: &dyn Fn(&str) -> String| {
        let mut files = all.clone();
        let at = files.iter().position(|(found, _)| found == name).unwrap();
        let text = String::from_utf8(files[at].1.clone()).unwrap();
        let changed = edit(&text);
        assert_ne!(text, changed);
        let index = files
            .iter()
            .position(|(found, _)| found == "digests.json")
            .unwrap();
        let list = String::from_utf8(files[index].1.clone()).unwrap();
        let digest = |text: &str| model::Digest::sha256_of(text.as_bytes()).to_string();
        files[index].1 = list.replace(&digest(&text), &digest(&changed)).into_bytes();
        files[at].1 = changed.into_bytes();
        // Without the signature, which would tell already.
        files.retain(|(name, _)| name != "signature.json");
        pack(&files, None)
    };
    let attacks = [
        (
            "a second file of the name before the right one",
            with(evil("report.html")),
        ),
        ("a file that no list names", with(evil("more.html"))),
        ("a file outside", with(evil("notes.txt"))),
        ("a link", pack(&all, Some("/etc/passwd"))),
        ("another order", pack(&backwards, None)),
        ("another archive behind it", appended),
        ("cut short", bytes[..bytes.len() - 1].to_vec()),
        (
            "a fact that no program reads",
            edited("facts.json", &|text| {
                text.replacen('{', "{\"approved\":\"by all\",", 1)
            }),
        ),
        (
            "a value said twice",
            edited("facts.json", &|text| {
                text.replacen("\"copies\":[{", "\"copies\":[{\"size\":1,", 1)
            }),
        ),
        (
            "a verdict said twice",
            edited("assessment.json", &|text| {
                text.replacen(
                    "\"verdict\":\"not-met\"",
                    "\"verdict\":\"met\",\"verdict\":\"not-met\"",
                    1,
                )
            }),
        ),
    ];
    for (what, bytes) in attacks {
        let ended = recompute(&bytes, &[]);
        assert_eq!(ended.code, Some(1), "{what}: {ended}");
    }
}

#[test]
fn every_flipped_bit_of_a_bundle_is_found() {
    let (_site, bundle, _) = bundle();
    let bytes = fs::read(&bundle).unwrap();
    // Prime steps reach headers, texts and padding alike.
    for at in (0..bytes.len()).step_by((bytes.len() / 60) | 1) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let ended = recompute(&changed, &[]);
        assert_eq!(ended.code, Some(1), "byte {at}: {ended}");
    }
}

#[test]
fn a_report_that_cannot_be_written_leaves_what_was_there() {
    let site = pruned();
    let kept = site.path().join("kept.html");
    fs::write(&kept, "the report of last year").unwrap();
    let own = site.path().join("own");
    site.expect(0, &["report", "template", "own"]);
    fs::write(own.join("report.html.hbs"), "{{#each sections}}").unwrap();
    let out = kept.to_str().unwrap();
    site.expect(
        1,
        &[
            "report",
            "retention",
            "--format",
            "html",
            "--template",
            "own",
            "--out",
            out,
        ],
    );
    assert_eq!(
        fs::read_to_string(&kept).unwrap(),
        "the report of last year"
    );
    site.expect(
        0,
        &["report", "retention", "--format", "html", "--out", out],
    );
    assert!(fs::read_to_string(&kept).unwrap().ends_with("</html>\n"));
    site.expect(1, &["report", "retention", "--out", "/dev/full"]);
}

#[test]
fn proofs_are_computed_again_from_the_bundle_and_a_changed_one_is_found() {
    let promise = "path = \"shop.db\"\nobjective = { rpo = \"1h\", rto = \"2h\" }";
    let hourly = SHOP_EVERY_SECOND.replace("every = \"1s\"", "schedule = \"0 * * * *\"");
    let site = Site::new(&hourly.replace("path = \"shop.db\"", promise));
    site.apply();
    let file = site.path().join("bundle.tar");
    let out = file.to_str().unwrap();
    site.expect(0, &["report", "compliance", "--bundle", out])
        .never_says("cannot be computed again");
    let bytes = fs::read(&file).unwrap();
    let ended = recompute(&bytes, &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.json()["proofs"].as_u64().unwrap() >= 2, "{ended}");
    let all = files(&file);
    let changed = |name: &str, from: &str, to: &str| {
        let mut files = all.clone();
        let place = files.iter().position(|(found, _)| found == name).unwrap();
        let text = String::from_utf8(files[place].1.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        files[place].1 = text.replacen(from, to, 1).into_bytes();
        recompute(&pack(&files, None), &[])
    };
    // Whatever the digests say, the proof itself does not agree.
    changed("facts.json", "\"verdict\":\"", "\"verdict\":\"all-").says("facts.proofs");
    let policy = changed("proof.json", "rpo = \\\"1h", "rpo = \\\"9h");
    assert_eq!(policy.code, Some(1), "{policy}");
    policy.says("proof.json: its policy");
    let moment = changed("proof.json", "\"now\":\"20", "\"now\":\"19");
    moment.says("it is of another moment");
    let mut without = all.clone();
    without.retain(|(name, _)| name != "proof.json");
    let carried = recompute(&pack(&without, None), &[]);
    assert_eq!(carried.code, Some(1), "{carried}");
    carried.says("are carried and were not computed again");
}
