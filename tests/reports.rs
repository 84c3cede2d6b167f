//! Reports for auditors through the real program, on a real catalog: what is in them, in every format.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic like the tests; what they remove and ask for is the test's own"
)]

mod support;

use serde_json::Value;
use std::fs;
use support::{
    SHOP_EVERY_SECOND, Site,
    program::{Ended, Running, command},
};

/// A shop with six points made and two of them pruned.
fn site() -> Site {
    let site = Site::new(SHOP_EVERY_SECOND);
    for _ in 0..6 {
        site.apply();
        site.next_second();
    }
    site
}

fn control<'v>(report: &'v Value, id: &str) -> &'v Value {
    let controls = report["assessment"]["controls"].as_array().unwrap();
    controls.iter().find(|control| control["id"] == id).unwrap()
}

#[test]
fn what_was_pruned_was_due_and_the_policy_of_that_time_is_on_record() {
    let site = site();
    let report = site.expect(0, &["report", "retention", "--json"]).json();
    let deletions = report["assessment"]["retention"]["deletions"]
        .as_array()
        .unwrap();
    assert!(deletions.len() >= 4, "two tiers, two points: {deletions:?}");
    for deletion in deletions {
        assert_eq!(deletion["verdict"], "due", "{deletion}");
    }
    let demands = report["assessment"]["retention"]["demands"]
        .as_array()
        .unwrap();
    assert_eq!(demands.len(), 2, "one for each tier: {demands:?}");
    assert_eq!(demands[0]["keep"], "last 4");
    assert_eq!(control(&report, "changes.recorded")["verdict"], "met");
    // A changed policy ends the rule of the first, and begins with the first run that follows it.
    site.write_policy(&SHOP_EVERY_SECOND.replace("last = 4", "last = 5"));
    site.apply();
    let report = site.expect(0, &["report", "retention", "--json"]).json();
    let demands = report["assessment"]["retention"]["demands"]
        .as_array()
        .unwrap();
    assert_eq!(demands.len(), 4, "{demands:?}");
    assert!(demands[0]["until"].is_string() && demands[1]["until"].is_null());
}

#[test]
fn a_copy_that_somebody_deletes_by_hand_is_in_the_report() {
    let site = site();
    let points = site.points();
    let point = points.last().unwrap();
    fs::remove_dir_all(site.tier("nas").join(point.folder())).unwrap();
    let report = |arguments: &[&str]| {
        let arguments = [&["report", "compliance", "--json"], arguments].concat();
        site.run(&arguments)
    };
    let found = report(&["--check"]);
    assert_eq!(found.code, Some(6), "{found}");
    let found = found.json();
    let control = control(&found, "retention.no-foreign-deletion");
    assert_eq!(control["verdict"], "not-met", "{control}");
    assert_eq!(control["subjects"][0]["subject"], "nas");
    assert_eq!(control["subjects"][0]["numbers"]["missing"], 1);
    // Who does not look finds nothing.
    let trusting = report(&["--trust-catalog"]).json();
    let control = self::control(&trusting, "retention.no-foreign-deletion");
    assert_eq!(control["verdict"], "met", "{control}");
}

#[test]
fn every_table_of_both_reports_is_a_csv() {
    let site = site();
    for report in ["retention", "compliance"] {
        let folder = site.path().join(report);
        let out = folder.to_str().unwrap();
        site.expect(0, &["report", report, "--format", "csv", "--out", out]);
        for entry in fs::read_dir(&folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let widths: std::collections::BTreeSet<usize> = text
                .lines()
                .filter(|line| !line.contains('"'))
                .map(|line| line.split(',').count())
                .collect();
            assert_eq!(widths.len(), 1, "{text}");
        }
    }
    let one = site.expect(
        0,
        &[
            "report",
            "compliance",
            "--format",
            "csv",
            "--table",
            "controls",
        ],
    );
    assert!(one.stdout.starts_with("Control,Demands,Verdict,Why\r\n"));
    let unknown = site.expect(
        1,
        &["report", "compliance", "--format", "csv", "--table", "none"],
    );
    assert!(
        unknown.stderr.contains("mainstay::report::table"),
        "{unknown}"
    );
}

#[test]
fn own_templates_are_used_and_their_mistakes_have_a_line() {
    let site = site();
    site.expect(0, &["report", "template", "own"]);
    let file = site.path().join("own/report.md.hbs");
    let own = fs::read_to_string(&file).unwrap();
    fs::write(&file, own.replace("# {{title}}", "# OUR BANK: {{title}}")).unwrap();
    let report = site.expect(0, &["report", "retention", "--template", "own"]);
    assert!(report.stdout.starts_with("# OUR BANK: Retention report"));
    fs::write(&file, "# {{title}}\n\n{{not_there}}\n").unwrap();
    let wrong = site.expect(1, &["report", "retention", "--template", "own"]);
    assert!(wrong.stderr.contains("`report.md.hbs`, line 3"), "{wrong}");
    fs::write(&file, "{{#each sections}}\n").unwrap();
    let broken = site.expect(1, &["report", "retention", "--template", "own"]);
    assert!(broken.stderr.contains("report.md.hbs"), "{broken}");
    site.expect(1, &["report", "template", "own"]);
    site.expect(1, &["report", "retention", "--template", "nowhere"]);
}

#[test]
fn an_empty_period_is_refused() {
    let site = site();
    let refused = site.expect(
        1,
        &[
            "report",
            "retention",
            "--from",
            "2030-01-01",
            "--to",
            "2029-01-01",
        ],
    );
    assert!(
        refused.stderr.contains("mainstay::report::period"),
        "{refused}"
    );
}

#[test]
fn a_sample_is_drawn_again_with_the_same_seed() {
    let site = site();
    let sample = |seed: &str| {
        let report = site.expect(
            0,
            &[
                "report",
                "compliance",
                "--json",
                "--sample",
                "2",
                "--seed",
                seed,
            ],
        );
        report.json()["assessment"]["sample"].clone()
    };
    let first = sample("lot 7");
    assert_eq!(first.as_array().unwrap().len(), 2);
    assert_eq!(first, sample("lot 7"));
    assert!(
        first[0]["evidence"].as_array().unwrap().len() > 1,
        "{first}"
    );
}

/// Writes a bundle of both reports and gives their files.
fn bundles(site: &Site) -> [std::path::PathBuf; 2] {
    ["retention", "compliance"].map(|report| {
        let file = site.path().join(format!("{report}.tar"));
        let out = file.to_str().unwrap().to_owned();
        site.expect(0, &["report", report, "--bundle", &out]);
        file
    })
}

/// Another machine: nothing but the bundle.
fn elsewhere(bundle: &std::path::Path) -> (tempfile::TempDir, Ended) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(bundle, folder.path().join("bundle.tar")).unwrap();
    let ended = recompute(folder.path());
    (folder, ended)
}

fn recompute(folder: &std::path::Path) -> Ended {
    Running::start(folder, &["audit", "recompute", "bundle.tar"], &[]).wait()
}

/// Unpacks, changes one file, packs again; with `mend` its digest is mended too.
fn change(
    bundle: &std::path::Path,
    file: &str,
    mend: bool,
    edit: impl Fn(String) -> String,
) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let tar = |arguments: &[&str]| {
        let done = command("tar").args(arguments).current_dir(&tree).status();
        assert!(done.unwrap().success());
    };
    tar(&["-xf", bundle.to_str().unwrap()]);
    let path = tree.join(file);
    let before = fs::read_to_string(&path).unwrap();
    let after = edit(before.clone());
    assert_ne!(before, after, "nothing was changed");
    fs::write(&path, &after).unwrap();
    if mend {
        let digest = |text: &str| model::Digest::sha256_of(text.as_bytes()).to_string();
        let index = fs::read_to_string(tree.join("digests.json")).unwrap();
        fs::write(
            tree.join("digests.json"),
            index.replace(&digest(&before), &digest(&after)),
        )
        .unwrap();
    }
    tar(&["-cf", "../bundle.tar", "."]);
    recompute(folder.path())
}

#[test]
fn a_bundle_is_computed_again_without_anything_beside_it() {
    let site = site();
    for bundle in bundles(&site) {
        let (_folder, again) = elsewhere(&bundle);
        assert_eq!(again.code, Some(0), "{again}");
        assert!(again.stdout.contains("everything agrees"), "{again}");
        site.expect(
            1,
            &["report", "retention", "--bundle", bundle.to_str().unwrap()],
        );
    }
}

#[test]
fn one_changed_number_in_a_bundle_is_found_and_named() {
    let site = site();
    let [retention, _] = bundles(&site);
    let later = |text: String| text.replacen("\"min-verified\":1", "\"min-verified\":2", 1);
    let policy = change(&retention, "facts.json", true, later);
    assert_eq!(policy.code, Some(1), "{policy}");
    assert!(
        policy.stdout.contains("does not agree with its digest"),
        "{policy}"
    );
    let bytes = |text: String| {
        let at = text.find("\"bytes\":").unwrap() + 8;
        let digit = text[at..].chars().next().unwrap();
        let other = if digit == '1' { '2' } else { '1' };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    let unmended = change(&retention, "facts.json", false, bytes);
    assert_eq!(unmended.code, Some(1), "{unmended}");
    assert!(
        unmended.stdout.contains("facts.json: its SHA-256"),
        "{unmended}"
    );
    let mended = change(&retention, "facts.json", true, bytes);
    assert_eq!(mended.code, Some(1), "{mended}");
    assert!(mended.stdout.contains("assessment.facts"), "{mended}");
    let verdict = |text: String| text.replacen("\"not-met\"", "\"met\"", 1);
    let praised = change(&retention, "assessment.json", true, verdict);
    assert_eq!(praised.code, Some(1), "{praised}");
    assert!(
        praised
            .stdout
            .contains("the bundle says \"met\", computed is \"not-met\""),
        "{praised}"
    );
    let report = change(&retention, "report.html", true, |text| {
        text.replacen("slots demanded", "slots not demanded", 1)
    });
    assert_eq!(report.code, Some(1), "{report}");
    assert!(report.stdout.contains("report.html"), "{report}");
}

#[test]
fn controls_ask_what_checks_of_the_policy_ask_of_each_database_and_a_bundle_holds_it() {
    let checks = r#"
[[check]]
id = "minimum-frequency"
parameters = { every = "12h" }
[[check]]
id = "minimum-frequency"
scope = { class = "gold" }
parameters = { every = "30m" }
[[check]]
id = "newest-within"
enabled = false
parameters = { age = "30d" }
[[check]]
id = "minimum-retention"
scope = { class = "silver" }
parameters = { keep-for = "1d" }
"#;
    let labels = "path = \"shop.db\"\nobjective = { rpo = \"2d\" }\nlabels = { class = \"gold\" }";
    let policy = SHOP_EVERY_SECOND
        .replace("path = \"shop.db\"", labels)
        .replace("every = \"1s\"", "every = \"5m\"");
    let site = Site::new(&format!("{policy}{checks}"));
    site.apply();
    let report = site.expect(0, &["report", "compliance", "--json"]).json();
    let why = |id: &str| {
        control(&report, id)["subjects"][0]["why"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // The entry that names a label of it, not the one for all; not the one for others; not the one that is switched off.
    assert!(
        why("schedule.frequency")
            .ends_with("30 min are asked for by check minimum-frequency of the policy"),
        "{}",
        why("schedule.frequency")
    );
    assert!(why("retention.minimum").ends_with("35 days are asked for by the default"));
    assert!(why("recency.newest").ends_with("2 days are allowed by its RPO"));
    site.expect(0, &["report", "compliance"])
        .says("by check minimum-frequency of the policy");
    let [_, bundle] = bundles(&site);
    let (_folder, again) = elsewhere(&bundle);
    assert_eq!(again.code, Some(0), "{again}");
    // Asked less by a hand in the facts than by the policy that lies beside them.
    let loose =
        |text: String| text.replace("\"frequency_seconds\":1800", "\"frequency_seconds\":9000");
    let changed = change(&bundle, "facts.json", true, loose);
    assert_eq!(changed.code, Some(1), "{changed}");
    assert!(changed.stdout.contains("facts.parameters"), "{changed}");
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bundle.tar"), "no tar").unwrap();
    let ended = recompute(folder.path());
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.stderr.contains("mainstay::report::bundle"), "{ended}");
}

#[test]
fn oscal_is_what_the_published_schema_says() {
    let site = site();
    let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/reports/tests/oscal/validate.py"
    );
    for report in ["retention", "compliance"] {
        let file = site.path().join("oscal.json");
        site.expect(
            0,
            &[
                "report",
                report,
                "--format",
                "oscal",
                "--out",
                file.to_str().unwrap(),
            ],
        );
        let validated = command(&python)
            .arg(script)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(validated.status.success(), "{validated:?}");
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let findings = document["assessment-results"]["results"][0]["findings"].as_array();
        assert!(findings.unwrap().len() >= 5, "{document:#}");
    }
}
