//! Reviewing a change of the policy through the real program, with real Git repositories: what would be destroyed is said first and is
//! the same everywhere, and nothing that loses something passes by mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{fs, path::Path};
use support::program::{Ended, Running, command};
use tempfile::TempDir;

const NOW: &str = "2026-11-21T12:00:00Z";

/// A shop on two tiers, ninety days on the first.
const SHOP: &str = r#"mainstay = 1
timezone = "Europe/Prague"

[tier.disk]
kind = "filesystem"
path = "disk"

[tier.nas]
kind = "filesystem"
path = "nas"

[profile.usual]
objective = { rpo = "25h", rto = "4h" }

[database.shop]
engine = "sqlite"
profile = "usual"
path = "shop.db"

[[database.shop.series]]
name = "daily"
schedule = "0 2 * * *"
keep.disk = { daily = 90 }
keep.nas = { daily = 14 }
verify = "full-read"
"#;

/// A repository with a policy and an inventory of ninety days beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("mainstay.toml", SHOP);
        place.write("inventory.json", &ninety_days().to_string());
        place.git(&["init", "-q", "-b", "main", "."]);
        place.commit("one");
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Changes the policy on the disk.
    fn change(&self, from: &str, to: &str) {
        let policy = fs::read_to_string(self.path().join("mainstay.toml")).unwrap();
        assert!(policy.contains(from), "{from}");
        self.write("mainstay.toml", &policy.replace(from, to));
    }

    fn git(&self, arguments: &[&str]) {
        let who = [
            "-c",
            "user.name=reviewer",
            "-c",
            "user.email=reviewer@example.com",
        ];
        let mut git = command("git");
        git.args(who).args(arguments).current_dir(self.path());
        for (key, value) in [
            ("GIT_AUTHOR_DATE", NOW),
            ("GIT_COMMITTER_DATE", NOW),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ] {
            git.env(key, value);
        }
        assert!(git.status().unwrap().success(), "git {arguments:?}");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = Running::start(self.path(), arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `diff` over the ninety days.
    #[track_caller]
    fn diff(&self, code: i32, arguments: &[&str]) -> Ended {
        let inventory = ["--inventory", "inventory.json"];
        self.expect(code, &[&["diff"], arguments, &inventory].concat())
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let ended = self.diff(code, &[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

fn ninety_days() -> Value {
    let newest: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    let points: Vec<Value> = (0..90)
        .map(|days| {
            let tiers: &[&str] = if days < 14 {
                &["disk", "nas"]
            } else {
                &["disk"]
            };
            point(newest - SignedDuration::from_hours(24 * days), tiers)
        })
        .collect();
    inventory(&points)
}

fn inventory(points: &[Value]) -> Value {
    json!({"format": "mainstay.inventory.v1", "observed_at": NOW, "unreachable_tiers": [], "recovery_points": points})
}

fn point(slot: Timestamp, tiers: &[&str]) -> Value {
    let stamp = slot.strftime("%Y%m%dT%H%M%SZ").to_string();
    let copies: Vec<Value> = tiers
        .iter()
        .map(|tier| {
            json!({"tier": tier, "state": "present", "bytes": 1_234_567, "stored_at": slot.to_string(), "held": false,
                   "verified": {"level": "full-read", "at": slot.to_string()}, "locked_until": null})
        })
        .collect();
    json!({"id": format!("shop/daily/{stamp}"), "database": "shop", "series": "daily", "method": "snapshot", "parent": null,
           "slot": slot.to_string(), "captured_at": slot.to_string(), "state": "complete", "bytes": 1_234_567, "copies": copies})
}

fn length(value: &Value, list: &str) -> usize {
    value[list].as_array().unwrap().len()
}

#[test]
fn sixty_destroyed_points_are_said_first_and_counted_alike_everywhere() {
    let place = Place::new();
    place.git(&["switch", "-q", "-c", "shorter"]);
    place.change("daily = 90", "daily = 30");
    place.commit("keep less");
    let text = place.diff(3, &["main..shorter"]).stdout;
    let markdown = place.diff(3, &["main..shorter", "--markdown"]).stdout;
    let json = place.json(3, &["main..shorter"]);
    assert!(text.starts_with("60 recovery points "), "{text}");
    assert!(
        markdown.starts_with("### Mainstay diff: 60 recovery points "),
        "{markdown}"
    );
    assert_eq!(length(&json, "destroyed"), 60);
    assert_eq!(markdown.matches("| shop/daily/").count(), 60 + 30);
    assert!(markdown.len() < 60_000);
    let filtered = |text: &str| {
        let commits = [
            &json["old_policy"]["revision"],
            &json["new_policy"]["revision"],
        ];
        let names = ["OLD", "NEW"].into_iter().zip(commits);
        names.fold(text.to_owned(), |text, (name, commit)| {
            text.replace(&commit.as_str().unwrap()[..12], name)
        })
    };
    insta::assert_snapshot!("sixty_destroyed", filtered(&text));
    insta::assert_snapshot!("sixty_destroyed_markdown", filtered(&markdown));
}

#[test]
fn what_ages_out_anyway_is_not_called_destroyed() {
    let place = Place::new();
    // Five days that the old rule lets go too.
    let mut inventory = ninety_days();
    let points = inventory["recovery_points"].as_array_mut().unwrap();
    let newest: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    points.extend(
        (90..95).map(|days| point(newest - SignedDuration::from_hours(24 * days), &["disk"])),
    );
    place.write("inventory.json", &inventory.to_string());
    place.change("daily = 90", "daily = 30");
    assert_eq!(length(&place.json(3, &["main"]), "destroyed"), 60);
}

#[test]
fn a_diff_destroys_exactly_what_the_new_policys_plan_would_prune() {
    let place = Place::new();
    place.change("daily = 90", "daily = 20, monthly = 2");
    place.change("keep.nas = { daily = 14 }", "keep.nas = { daily = 3 }");
    let diff = place.json(3, &["main"]);
    let plan = place.expect(
        0,
        &[
            "plan",
            "--inventory",
            "inventory.json",
            "--now",
            NOW,
            "--json",
        ],
    );
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    let mut pruned: Vec<(String, String)> = steps
        .filter(|step| step["action"] == "prune")
        .map(|step| pair(&step["recovery_point"], &step["tier"]))
        .collect();
    let lists = ["destroyed", "copies_lost"].map(|list| diff[list].as_array().unwrap());
    let mut lost: Vec<(String, String)> = lists
        .into_iter()
        .flatten()
        .flat_map(|point| {
            let copies = point["copies"].as_array().unwrap().iter();
            copies.map(|copy| pair(&point["recovery_point"], &copy["tier"]))
        })
        .collect();
    pruned.sort();
    lost.sort();
    assert!(lost.len() > 60, "{}", lost.len());
    assert_eq!(lost, pruned);
}

fn pair(point: &Value, tier: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(point), text(tier))
}

#[test]
fn an_agreement_holds_for_this_change_only_and_on_any_day() {
    let place = Place::new();
    place.change("daily = 90", "daily = 30");
    let id = place.json(3, &["main"])["id"].as_str().unwrap().to_owned();
    place.diff(0, &["main", "--accept", &id]);
    place.diff(
        0,
        &["main", "--accept", &id, "--now", "2026-12-01T12:00:00Z"],
    );
    place.change("daily = 30", "daily = 29");
    let refused = place.diff(3, &["main", "--accept", &id]);
    assert!(
        refused.stderr.contains("mainstay::diff::accepts-another"),
        "{refused}"
    );
}

#[test]
fn a_promise_that_a_sparser_schedule_breaks_is_said_with_its_sum() {
    let place = Place::new();
    place.change("rpo = \"25h\"", "rpo = \"3d\"");
    place.commit("three days");
    place.change("0 2 * * *", "0 2 * * 1-5");
    let json = place.json(0, &["main"]);
    let verdict = &json["verdicts"][0];
    let told = [&verdict["check"], &verdict["from"], &verdict["to"]];
    assert_eq!(told, ["rpo", "proved", "violated"]);
    assert_eq!(verdict["worse"], true);
    let why = verdict["why"].as_str().unwrap();
    assert!(why.starts_with("up to 3 d 1 h would be lost now"), "{why}");
    let text = place.diff(0, &["main"]).stdout;
    assert!(text.contains("verdict on rpo of shop  proved"), "{text}");
}

#[test]
fn a_change_of_everything_shows_the_worst_first() {
    let place = Place::new();
    place.change("daily = 90", "daily = 30, monthly = 2");
    place.change("keep.nas = { daily = 14 }\n", "");
    place.change("0 2 * * *", "30 3 * * 1-5");
    place.change("verify = \"full-read\"", "verify = \"checksum\"");
    place.change("25h", "4d");
    place.change(
        "engine = \"sqlite\"",
        "engine = \"sqlite\"\nlabels = { environment = \"prod\" }",
    );
    let ended = place.diff(3, &["main"]);
    let commit = place.json(3, &["main"])["old_policy"]["revision"].clone();
    let text = ended.stdout.replace(&commit.as_str().unwrap()[..12], "OLD");
    insta::assert_snapshot!("everything", text);
}

#[test]
fn longer_retention_and_another_layout_need_nobody() {
    let place = Place::new();
    place.change("daily = 14", "daily = 14, monthly = 12");
    place.change("[tier.nas]", "# a comment\n[tier.nas]");
    let json = place.json(0, &["main"]);
    assert_eq!(length(&json, "approval"), 0);
    assert_eq!(length(&json, "destroyed"), 0);
    assert!(length(&json, "expires_later") > 0);
    let text = place.diff(0, &["main"]).stdout;
    assert!(text.starts_with("no recovery point is lost"), "{text}");
}

#[test]
fn the_same_policy_changes_nothing_however_it_is_written() {
    let place = Place::new();
    place.change("mainstay = 1\n", "# written otherwise\nmainstay = 1\n");
    for arguments in [
        &["main", "HEAD"][..],
        &["main"],
        &["main..HEAD"],
        &["main...HEAD"],
    ] {
        let ended = place.diff(0, arguments);
        assert!(ended.stdout.starts_with("nothing changes"), "{ended}");
        let json = place.json(0, arguments);
        assert_eq!(json["id"], Value::Null);
        for list in [
            "destroyed",
            "retention",
            "schedules",
            "settings",
            "approval",
        ] {
            assert_eq!(length(&json, list), 0, "{list}");
        }
    }
}

#[test]
fn a_database_that_left_the_policy_is_orphaned_and_needs_agreement() {
    let place = Place::new();
    let other = SHOP.replace("shop", "store");
    place.write("mainstay.toml", &other);
    let json = place.json(3, &["main"]);
    assert_eq!(json["approval"][0]["code"], "no-longer-backed-up");
    assert_eq!(json["removed"], json!([{"database": "shop"}]));
    assert_eq!(json["new"], json!([{"database": "store"}]));
    assert_eq!(length(&json, "destroyed"), 0);
    let orphaned = &json["orphaned"];
    assert_eq!(orphaned[0]["copies"], 90);
    assert_eq!(orphaned[1]["copies"], 14);
    assert_eq!(orphaned[0]["why"], "database");
}

#[test]
fn a_point_that_was_orphaned_and_would_be_pruned_again_is_destroyed() {
    let place = Place::new();
    // The old policy does not name the tier `disk` for it, so nothing there is deleted; the new one does, and keeps three.
    place.change("keep.disk = { daily = 90 }\n", "");
    place.commit("disk left");
    place.change("keep.nas", "keep.disk = { daily = 3 }\nkeep.nas");
    let json = place.json(3, &["HEAD"]);
    assert_eq!(length(&json, "destroyed"), 90 - 14);
    assert_eq!(length(&json, "copies_lost"), 14 - 3);
    assert_eq!(json["approval"][0]["code"], "destroys");
}

#[test]
fn without_any_inventory_a_shorter_rule_still_needs_agreement() {
    let place = Place::new();
    place.change("daily = 90", "daily = 30");
    let ended = place.expect(3, &["diff", "main", "--now", NOW]);
    assert!(ended.stderr.contains("only rules are compared"), "{ended}");
    assert!(
        ended
            .stdout
            .starts_with("no recovery point is lost now, but less is kept"),
        "{ended}"
    );
}

#[test]
fn a_locked_or_held_point_is_not_said_to_go_now() {
    let place = Place::new();
    let mut inventory = ninety_days();
    inventory["recovery_points"][89]["copies"][0]["locked_until"] = json!("2027-01-01T00:00:00Z");
    inventory["recovery_points"][88]["copies"][0]["held"] = json!(true);
    place.write("inventory.json", &inventory.to_string());
    place.change("daily = 90", "daily = 30");
    let json = place.json(3, &["main"]);
    assert_eq!(length(&json, "destroyed"), 58);
    let later = json["destroyed_later"].as_array().unwrap();
    assert_eq!(later.len(), 1);
    let waits = &later[0]["copies"][0]["waits"];
    assert_eq!(waits["code"], "locked");
    assert!(
        waits["text"].as_str().unwrap().contains("2027-01-01"),
        "{waits}"
    );
}

#[test]
fn policies_of_revisions_are_folders_and_include_files_too() {
    let place = Place::new();
    let (top, database) = SHOP.split_at(SHOP.find("[database.shop]").unwrap());
    fs::remove_file(place.path().join("mainstay.toml")).unwrap();
    place.write(
        "backup/policy/a.toml",
        &format!("include = [\"../shop.toml\"]\n{top}"),
    );
    place.write("backup/shop.toml", database);
    place.commit("as a folder");
    // Another layout of the same policy, at another path.
    place.diff(0, &["HEAD~1:mainstay.toml", "HEAD:backup/policy"]);
    place.write(
        "backup/shop.toml",
        &database.replace("daily = 90", "dayly = 90"),
    );
    place.commit("with a slip");
    let ended = place.diff(4, &["HEAD~1", "HEAD", "-p", "backup/policy"]);
    assert!(
        ended
            .stderr
            .contains("the new policy `HEAD:backup/policy` cannot be used"),
        "{ended}"
    );
    assert!(
        ended.stderr.contains("HEAD:backup/policy/../shop.toml:"),
        "{ended}"
    );
    let ended = place.diff(4, &["HEAD", "HEAD~1", "-p", "backup/policy"]);
    assert!(
        ended
            .stderr
            .contains("the old policy `HEAD:backup/policy` cannot be used"),
        "{ended}"
    );
}

#[test]
fn three_dots_compare_with_the_commit_at_which_the_branch_left() {
    let place = Place::new();
    place.git(&["switch", "-q", "-c", "topic"]);
    place.change("verify = \"full-read\"", "verify = \"checksum\"");
    place.commit("weaker");
    place.git(&["switch", "-q", "main"]);
    place.change("daily = 14", "daily = 20");
    place.commit("main goes on");
    let json = place.json(0, &["main...topic"]);
    assert_eq!(length(&json, "retention"), 0);
    assert_eq!(length(&json, "settings"), 1);
    let json = place.json(3, &["main..topic"]);
    assert_eq!(length(&json, "retention"), 1);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let place = Place::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["nosuch", "HEAD"], 1, "mainstay::git::unknown-revision"),
        (
            &["HEAD:nosuch.toml", "HEAD"],
            4,
            "mainstay::diff::no-policy",
        ),
        (&["main...nosuch"], 1, "mainstay::git::unknown-revision"),
        (
            &["HEAD", "HEAD", "-p", "/etc"],
            1,
            "mainstay::git::no-repository",
        ),
    ];
    for (arguments, code, expected) in cases {
        let ended = place.diff(*code, arguments);
        assert!(ended.stderr.contains(expected), "{arguments:?}\n{ended}");
    }
    place.git(&["branch", "mainstay.toml"]);
    let ended = place.diff(1, &["mainstay.toml", "HEAD"]);
    assert!(
        ended.stderr.contains("mainstay::diff::ambiguous"),
        "{ended}"
    );
    place.diff(0, &["./mainstay.toml", "refs/heads/mainstay.toml"]);
}

#[test]
fn outside_of_a_repository_files_are_compared_and_revisions_refused() {
    let place = Place(tempfile::tempdir().unwrap());
    place.write("old.toml", SHOP);
    place.write("new.toml", &SHOP.replace("daily = 90", "daily = 30"));
    place.write("inventory.json", &ninety_days().to_string());
    assert_eq!(
        length(&place.json(3, &["old.toml", "new.toml"]), "destroyed"),
        60
    );
    let ended = place.diff(1, &["main", "new.toml"]);
    assert!(
        ended.stderr.contains("mainstay::git::no-repository"),
        "{ended}"
    );
}

#[test]
fn a_long_comment_is_cut_and_says_so() {
    let place = Place::new();
    let newest: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    let points: Vec<Value> = (0..2_000)
        .map(|days| point(newest - SignedDuration::from_hours(24 * days), &["disk"]))
        .collect();
    place.write("inventory.json", &inventory(&points).to_string());
    place.change("daily = 90", "daily = \"all\"");
    place.commit("everything");
    place.change("daily = \"all\"", "daily = 100");
    let markdown = place.diff(3, &["main", "--markdown"]).stdout;
    assert!(markdown.len() < 60_000, "{}", markdown.len());
    assert!(
        markdown.starts_with("### Mainstay diff: 1900 recovery points "),
        "{markdown}"
    );
    assert!(
        markdown.contains("#### Recovery points destroyed: no tier would keep them (1900)"),
        "{markdown}"
    );
    let shown = markdown.matches("| shop/daily/2").count();
    assert!(shown > 300, "{shown}");
    assert!(
        markdown.contains(" more: see `mainstay diff … --json`."),
        "{markdown}"
    );
}

#[test]
fn a_secret_in_a_policy_is_not_shown() {
    let place = Place::new();
    let files = "\n[database.conf]\nengine = \"files\"\npaths = [\"/etc/hosts\"]\n\n[[database.conf.series]]\nname = \"daily\"\nschedule = \"0 1 * * *\"\nkeep.disk = { daily = 3 }\n";
    let policy = fs::read_to_string(place.path().join("mainstay.toml")).unwrap();
    place.write("mainstay.toml", &format!("{policy}{files}"));
    place.change("[tier.nas]", "[key.prod]\nkind = \"local\"\npath = \"prod.key\"\npassphrase = { command = [\"/bin/vault\", \"--token=hunter2hunter2\"] }\n\n[tier.nas]");
    let ended = place.diff(0, &["main", "--json"]);
    assert!(!ended.stdout.contains("hunter2"), "{ended}");
    assert!(ended.stdout.contains("***"), "{ended}");
}

#[test]
fn a_kept_point_tells_its_rules_their_places_and_its_end() {
    let place = Place::new();
    let explain = |point: &str| {
        let arguments = ["explain", point, "--inventory", "inventory.json"];
        place.expect(0, &arguments).stdout
    };
    insta::assert_snapshot!("explain_kept", explain("shop/daily/20261115T010000Z"));
    place.change("daily = 90", "daily = 30, yearly = \"all\"");
    insta::assert_snapshot!("explain_not_kept", explain("shop/daily/20261015T010000Z"));
    insta::assert_snapshot!("explain_for_ever", explain("shop/daily/20260824T010000Z"));
    let ended = place.expect(
        1,
        &[
            "explain",
            "shop/daily/20200101T000000Z",
            "--inventory",
            "inventory.json",
        ],
    );
    assert!(ended.stderr.contains("mainstay::point::unknown"), "{ended}");
    let ended = place.expect(1, &["explain", "shop/daily"]);
    assert!(
        ended.stderr.contains("is not a recovery point id"),
        "{ended}"
    );
}

#[test]
fn a_point_that_is_gone_tells_who_deleted_it_and_by_which_rule() {
    let site = support::Site::new(support::SHOP_EVERY_SECOND);
    let apply = || Running::start(site.path(), &["apply", "--auto-approve"], &[]).wait();
    let first = {
        apply();
        let listed = Running::start(site.path(), &["list", "--json"], &[]).wait();
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        listed["recovery_points"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut told = String::new();
    for _ in 0..12 {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        apply();
        let ended = Running::start(site.path(), &["explain", &first], &[]).wait();
        assert_eq!(ended.code, Some(0), "{ended}");
        told = ended.stdout;
        if told.contains("is gone") {
            break;
        }
    }
    assert!(told.contains("is gone"), "{told}");
    assert!(told.contains("deletion on disk by "), "{told}");
    assert!(
        told.contains("`last 4` on disk no longer keeps it"),
        "{told}"
    );
}
