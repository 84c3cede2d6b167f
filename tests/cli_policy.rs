//! The policy side of the command line, as a user sees it: findings, formatting, where values come from, first steps,
//! the schema, and what happens with input that is no policy at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Stdio},
};
use support::{
    mount::SmallDisk,
    program::{Ended, Running, command},
};
use tempfile::TempDir;

/// Five mistakes in three files.
const MAIN: &str = "mainstay = 1
timezone = \"Europe/Prauge\"
";
const TIERS: &str = "# Where copies are stored.
[tier.nas]
kind = \"filesystem\"
path = \"/mnt/nas\"
min-fre = \"20%\"
";
const DATABASES: &str = "[database.shop]
engine = \"sqlite\"
path = \"shop.db\"
objective = { rpo = \"25 hrs\" }

[[database.shop.series]]
name = \"daily\"
schedule = \"0 0 2 * * *\"
keep.nass = { daily = 7 }
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    Running::start(folder, arguments, &[]).wait()
}

#[track_caller]
fn expect(code: i32, folder: &Path, arguments: &[&str]) -> Ended {
    let ended = run(folder, arguments);
    assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
    ended
}

fn five_mistakes() -> TempDir {
    folder(&[
        ("policy/databases.toml", DATABASES),
        ("policy/main.toml", MAIN),
        ("policy/tiers.toml", TIERS),
    ])
}

#[test]
fn five_mistakes_in_three_files_are_five_labelled_findings_at_once() {
    let folder = five_mistakes();
    let ended = expect(4, folder.path(), &["validate"]);
    assert_eq!(ended.stdout, "", "findings are words");
    insta::assert_snapshot!("five_mistakes", ended.stderr);
}

#[test]
fn findings_for_programs_name_file_line_column_bytes_and_code() {
    let folder = five_mistakes();
    let ended = expect(4, folder.path(), &["validate", "--json"]);
    assert_eq!(ended.stderr, "");
    let findings = ended.json();
    assert_eq!(findings["format"], "mainstay.findings.v1");
    let list = findings["findings"].as_array().unwrap();
    assert_eq!(list.len(), 5);
    for finding in list {
        // The bytes are those of the file, whatever is counted for people.
        let file = finding["file"].as_str().unwrap();
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        let at = |index: usize| usize::try_from(finding["bytes"][index].as_u64().unwrap()).unwrap();
        let before = &text[..at(0)];
        assert_eq!(
            finding["line"].as_u64().unwrap(),
            before.matches('\n').count() as u64 + 1
        );
        assert!(at(1) > at(0), "an empty place: {finding}");
        assert!(
            finding["help"].is_string(),
            "a finding without help: {finding}"
        );
    }
    insta::assert_snapshot!(
        "five_mistakes_json",
        serde_json::to_string_pretty(&findings).unwrap()
    );
}

#[test]
fn every_command_that_needs_the_policy_ends_with_4_and_touches_nothing() {
    let folder = five_mistakes();
    for arguments in [
        vec!["plan"],
        vec!["apply", "--auto-approve"],
        vec!["status"],
        vec!["backup", "shop"],
        vec!["restore", "shop", "--to", "x.db"],
    ] {
        let ended = expect(4, folder.path(), &arguments);
        assert!(
            ended.stderr.contains("[mainstay::policy::invalid]"),
            "{ended}"
        );
    }
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["policy"]);
}

#[test]
fn a_password_in_the_policy_is_a_finding_and_is_never_shown() {
    let policy = "mainstay = 1
[tier.disk]
kind = \"filesystem\"
path = \"disk\"
[database.orders]
engine = \"postgres\"
url = \"postgres://app:Tr0ub4dor@db.example.com/orders\"
[[database.orders.series]]
name = \"daily\"
schedule = \"0 2 * * *\"
keep.disk = { daily = 7 }
";
    let folder = folder(&[("mainstay.toml", policy)]);
    for arguments in [
        vec!["validate"],
        vec!["validate", "--json"],
        vec!["explain", "database.orders"],
        vec!["explain", "database.orders.url", "--json"],
        vec!["plan"],
        vec!["plan", "--json"],
        vec!["inventory"],
    ] {
        let ended = run(folder.path(), &arguments);
        assert!(
            !ended.stdout.contains("Tr0ub4dor") && !ended.stderr.contains("Tr0ub4dor"),
            "mainstay {arguments:?} shows the password\n{ended}"
        );
    }
    let findings = expect(4, folder.path(), &["validate", "--json"]).json();
    let codes: BTreeSet<&str> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert!(
        codes
            .iter()
            .any(|code| code.ends_with("password-in-policy")),
        "{codes:?}"
    );
}

const UGLY: &str = "mainstay=1
[tier.disk]
kind   = \"filesystem\"
path=\"disk\"   # beside this file
[database.shop]
engine=\"sqlite\"
path=\"shop.db\"
[[database.shop.series]]
name=\"daily\"
schedule=\"0 2 * * *\"
keep.disk={daily=7}
";

#[test]
fn fmt_check_names_the_file_and_changes_nothing_and_fmt_mends_it() {
    let folder = folder(&[("mainstay.toml", UGLY)]);
    let file = folder.path().join("mainstay.toml");
    let ended = expect(1, folder.path(), &["fmt", "--check"]);
    assert_eq!(ended.stdout, "mainstay.toml\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), UGLY);
    let before = expect(0, folder.path(), &["explain", "database.shop", "--json"]).json();
    expect(0, folder.path(), &["fmt"]);
    let formatted = fs::read_to_string(&file).unwrap();
    assert!(formatted.contains("# beside this file"));
    let quiet = expect(0, folder.path(), &["fmt", "--check"]);
    assert_eq!(quiet.stdout, "");
    let after = expect(0, folder.path(), &["explain", "database.shop", "--json"]).json();
    assert_eq!(
        before["value"], after["value"],
        "formatting changed a value"
    );
    insta::assert_snapshot!("formatted", formatted);
}

#[test]
fn explain_names_the_file_and_line_of_each_part() {
    let folder = folder(&[
        (
            "policy/databases.toml",
            "[database.shop]
engine = \"sqlite\"
profile = \"critical\"
path = \"shop.db\"

[[database.shop.series]]
name = \"daily\"
schedule = \"0 2 * * *\"
keep.disk = { daily = 7 }
",
        ),
        (
            "policy/main.toml",
            "mainstay = 1

[tier.disk]
kind = \"filesystem\"
path = \"disk\"

[profile.critical]
objective = { rpo = \"25h\", rto = \"2h\" }
",
        ),
    ]);
    let all = [
        "database.shop.objective",
        "database.shop.series.daily.keep.disk",
        "database.shop.series.daily.method",
        "timezone",
        "database",
    ]
    .map(|key| {
        format!(
            "$ mainstay explain {key}\n{}",
            expect(0, folder.path(), &["explain", key]).stdout
        )
    })
    .join("\n");
    insta::assert_snapshot!("explained", all);
    let ended = expect(1, folder.path(), &["explain", "database.shop.series.dayly"]);
    insta::assert_snapshot!(ended.stderr, @r"
    error: the policy has nothing at `database.shop.series.dayly`
      help: did you mean `daily`?
      [mainstay::explain::nothing]
    ");
}

#[test]
fn init_writes_a_policy_that_validates_and_never_a_password() {
    for (database, variable) in [
        (
            "postgres://bob:Tr0ub4dor@db.example.com:5433/My-Orders?sslmode=require",
            Some("MY_ORDERS_URL"),
        ),
        ("postgresql://db.example.com/orders", Some("ORDERS_URL")),
        ("./data/shop.db", None),
        ("Über Größe.sqlite3", None),
    ] {
        let folder = folder(&[]);
        let ended = expect(0, folder.path(), &["init", database]);
        let text = fs::read_to_string(folder.path().join("mainstay.toml")).unwrap();
        assert!(!text.contains("Tr0ub4dor") && !ended.stdout.contains("Tr0ub4dor"));
        if let Some(variable) = variable {
            assert!(ended.stdout.contains(variable), "{ended}");
        }
        expect(0, folder.path(), &["validate", "--strict"]);
        expect(0, folder.path(), &["fmt", "--check"]);
        expect(0, folder.path(), &["plan"]);

        // Nothing is overwritten.
        let again = expect(1, folder.path(), &["init", "other.db"]);
        assert!(again.stderr.contains("[mainstay::init::write]"), "{again}");
        let kept = fs::read_to_string(folder.path().join("mainstay.toml")).unwrap();
        assert_eq!(kept, text);
    }
}

#[test]
fn the_first_policy_works_as_it_was_written() {
    let folder = folder(&[]);
    // The policy keeps a share of the disk free, and how full the disk of the tests is, is not what is tested.
    let _disk = SmallDisk::mount(folder.path(), 256 * 1024);
    support::shop::create(&folder.path().join("shop.db"), 100);
    expect(0, folder.path(), &["init", "shop.db"]);
    expect(0, folder.path(), &["apply", "--auto-approve"]);
    let again = expect(0, folder.path(), &["apply", "--auto-approve"]);
    assert!(again.stdout.starts_with("No changes."), "{again}");
    expect(0, folder.path(), &["status"]);
}

#[test]
fn init_does_not_take_a_connection_string_for_a_path() {
    let folder = folder(&[]);
    for database in [
        "mysql://root:Tr0ub4dor@db/shop",
        "host=db user=bob password=Tr0ub4dor",
        " ",
    ] {
        let ended = expect(1, folder.path(), &["init", database]);
        assert!(
            ended.stderr.contains("[mainstay::init::database]"),
            "{ended}"
        );
        assert!(!ended.stderr.contains("Tr0ub4dor"), "{ended}");
        assert!(!folder.path().join("mainstay.toml").exists());
    }
}

#[test]
fn the_schema_needs_no_policy_and_knows_the_keys_of_every_engine_and_tier() {
    let folder = folder(&[]);
    let ended = expect(0, folder.path(), &["schema"]);
    let schema = ended.json();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let keys = keys_of(&schema);
    for key in [
        "schedule",
        "every",
        "keep",
        "objective",
        "path",
        "min-free",
        "compression",
        "verify",
    ] {
        assert!(keys.contains(key), "the schema does not name `{key}`");
    }
    unresolved(&schema, &schema);
    let again = expect(0, folder.path(), &["schema"]);
    assert_eq!(again.stdout, ended.stdout, "the schema is not stable");
}

/// Every key that some table of the schema names.
fn keys_of(schema: &Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut left = vec![schema];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(map) => {
                if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                    keys.extend(properties.keys().cloned());
                }
                left.extend(map.values());
            }
            Value::Array(list) => left.extend(list),
            _ => {}
        }
    }
    keys
}

/// Panics at a `$ref` that leads nowhere.
fn unresolved(root: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').expect(target);
                assert!(root.pointer(pointer).is_some(), "{target} leads nowhere");
            }
            map.values().for_each(|value| unresolved(root, value));
        }
        Value::Array(list) => list.iter().for_each(|value| unresolved(root, value)),
        _ => {}
    }
}

#[test]
fn the_language_guide_names_every_key_of_the_schema() {
    let folder = folder(&[]);
    let schema = expect(0, folder.path(), &["schema"]).json();
    let guide =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md")).unwrap();
    let missing: Vec<String> = keys_of(&schema)
        .into_iter()
        .filter(|key| !guide.contains(&format!("`{key}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/policy.md does not name these keys: {missing:#?}"
    );
}

#[test]
fn whatever_is_given_as_a_policy_ends_in_words_and_never_in_a_panic() {
    let folder = folder(&[
        ("empty.toml", ""),
        ("nul.toml", "mainstay = 1\0"),
        ("deep.toml", &format!("a = {}", "[".repeat(5_000))),
        (
            "long.toml",
            &format!("mainstay = \"{}\"", "ü".repeat(50_000)),
        ),
        ("bom.toml", "\u{feff}mainstay = 1\n"),
        ("crlf.toml", &UGLY.replace('\n', "\r\n")),
    ]);
    fs::create_dir(folder.path().join("nothing")).unwrap();
    fs::write(folder.path().join("binary.toml"), [0xff, 0xfe, 0, 1, 2]).unwrap();
    for (policy, code) in [
        ("absent.toml", 1),
        ("empty.toml", 4),
        ("nul.toml", 4),
        ("deep.toml", 4),
        ("long.toml", 4),
        ("bom.toml", 0),
        ("crlf.toml", 0),
        ("nothing", 4),
        ("binary.toml", 4),
        ("/dev/null", 4),
    ] {
        for command in ["validate", "plan"] {
            let ended = run(folder.path(), &[command, "-p", policy]);
            assert_eq!(ended.code, Some(code), "{command} -p {policy}\n{ended}");
            assert!(
                !ended.stderr.contains("panicked") && !ended.stderr.contains("RUST_BACKTRACE"),
                "{command} -p {policy}\n{ended}"
            );
        }
    }
}

#[test]
fn wrong_arguments_end_with_1_because_2_means_changes() {
    let folder = folder(&[("mainstay.toml", UGLY)]);
    for arguments in [
        vec![],
        vec!["frobnicate"],
        vec!["plan", "--now", "yesterday"],
        vec!["plan", "--inventory", "x.json"],
        vec!["plan", "--json", "--markdown"],
        vec!["plan", "--purge", "a/b/c"],
        vec!["verify", "--level", "hard"],
        vec!["apply", "--parallel", "0"],
        vec!["apply", "--lease-wait", "3 parsecs"],
        vec!["completions", "tcsh"],
        vec!["backup", "nobody"],
        vec!["backup", "shop", "--series", "hourly"],
    ] {
        let ended = expect(1, folder.path(), &arguments);
        assert!(!ended.stderr.is_empty(), "{arguments:?} says nothing");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
    }
    for arguments in [vec!["--help"], vec!["--version"], vec!["help", "plan"]] {
        let ended = expect(0, folder.path(), &arguments);
        assert!(!ended.stdout.is_empty());
    }
}

#[test]
fn the_help_names_every_exit_code() {
    let folder = folder(&[]);
    let ended = expect(0, folder.path(), &["--help"]);
    insta::assert_snapshot!("help", ended.stdout);
}

/// The program with its output into a pipe that somebody else closes.
fn into_closed_pipe(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child: Child = command(env!("CARGO_BIN_EXE_mainstay"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_reader_that_goes_away_ends_the_output_quietly() {
    let folder = folder(&[("mainstay.toml", UGLY)]);
    for arguments in [
        vec!["schema"],
        vec!["--help"],
        vec!["plan", "--json"],
        vec!["completions", "bash"],
        vec!["inventory"],
    ] {
        let (code, words) = into_closed_pipe(folder.path(), &arguments);
        assert_eq!((code, words.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn colours_come_when_asked_for_and_only_then() {
    let folder = folder(&[("mainstay.toml", UGLY)]);
    let plain = expect(0, folder.path(), &["plan"]);
    assert!(!plain.stdout.contains('\u{1b}'), "{plain}");
    let coloured = Running::start(
        folder.path(),
        &["--color", "always", "plan"],
        &[("NO_COLOR", "")],
    )
    .wait();
    assert!(coloured.stdout.contains('\u{1b}'), "{coloured}");
}
