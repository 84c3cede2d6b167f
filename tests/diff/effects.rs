//! What a change does to recovery points, promises and protection, and who must agree.

use crate::place::{NOW, Place, SHOP, inventory, length, ninety_days, point};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fs;

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
fn a_tier_that_lies_elsewhere_leaves_everything_behind_and_needs_agreement() {
    let place = Place::new();
    place.change("path = \"disk\"", "path = \"new-disk\"");
    let text = place.diff(3, &["main"]).stdout;
    assert!(
        text.starts_with("90 copies stay behind on a tier that is another place now\n"),
        "{text}"
    );
    let json = place.json(3, &["main"]);
    assert_eq!(json["approval"][0]["code"], "tier-moved");
    assert_eq!(json["orphaned"][0]["why"], "place");
    assert_eq!(json["orphaned"][0]["copies"], 90);
    // The same place, written otherwise, is the same place.
    place.change("path = \"new-disk\"", "path = \"disk/\"");
    place.diff(0, &["main"]);
}

#[test]
fn fewer_people_who_must_agree_and_checks_that_fail_nothing_are_weaker() {
    let signers = "\n[[check]]\nid = \"encryption\"\n\n[approval]\nquorum = 2\nexclude-author = true\n[approval.signers]\n\
                   a = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\"\n\
                   b = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDwhYj4lSm3gSG0jDpVPO1cWZmGfGXWLbVAl1sHbDqM\"\n";
    let place = Place::new();
    place.write("mainstay.toml", &format!("{SHOP}{signers}"));
    place.commit("approval");
    place.change("quorum = 2", "quorum = 1");
    place.change("exclude-author = true", "exclude-author = false");
    place.change(
        "id = \"encryption\"",
        "id = \"encryption\"\nseverity = \"warning\"",
    );
    place.change("rto = \"4h\" }", "rto = \"4h\", failures = 1 }");
    let json = place.json(0, &["main"]);
    let weaker: Vec<&str> = json["settings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|setting| setting["weaker"] == true)
        .map(|setting| setting["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        weaker,
        ["approval.exclude-author", "approval.quorum", "check"]
    );
}

#[test]
fn a_check_that_asks_less_of_a_database_is_weaker_whichever_entry_says_so() {
    let check = "\n[[check]]\nid = \"minimum-retention\"\nparameters = { keep-for = \"60d\" }\n";
    let place = Place::new();
    place.write("mainstay.toml", &format!("{SHOP}{check}"));
    place.commit("sixty days");
    let weaker = |place: &Place| {
        let json = place.json(0, &["main"]);
        let settings = json["settings"].as_array().unwrap();
        let check = settings.iter().find(|setting| setting["path"] == "check");
        check.unwrap()["weaker"].clone()
    };
    place.change("60d", "90d");
    assert_eq!(weaker(&place), false);
    place.change("90d", "59d");
    assert_eq!(weaker(&place), true);
    // As many checks as before and one more, but the new one holds for the database and asks less.
    place.change("59d", "60d");
    place.change(
        "path = \"shop.db\"",
        "path = \"shop.db\"\nlabels = { env = \"test\" }",
    );
    let policy = fs::read_to_string(place.path().join("mainstay.toml")).unwrap();
    let scoped = check
        .replace("60d", "30d")
        .replace("parameters", "scope = { env = \"test\" }\nparameters");
    place.write("mainstay.toml", &format!("{policy}{scoped}"));
    assert_eq!(weaker(&place), true);
    // Below the default of the control, where nothing was asked before.
    let place = Place::new();
    place.write(
        "mainstay.toml",
        &format!("{SHOP}{}", check.replace("60d", "7d")),
    );
    assert_eq!(weaker(&place), true);
    place.write("mainstay.toml", &format!("{SHOP}{check}"));
    assert_eq!(weaker(&place), false);
}

#[test]
fn what_stands_in_a_label_moves_no_cursor() {
    let place = Place::new();
    place.change(
        "path = \"shop.db\"",
        "path = \"shop.db\"\nlabels = { note = \"a\\nb\\u001b[31m\" }",
    );
    let text = place.diff(0, &["main"]).stdout;
    assert!(text.contains("a\\nb\\u{1b}[31m"), "{text}");
}

#[test]
fn a_tier_that_is_away_is_named_as_what_a_deletion_waits_for() {
    let place = Place::new();
    let mut inventory = ninety_days();
    inventory["unreachable_tiers"] = json!(["disk"]);
    place.write("inventory.json", &inventory.to_string());
    place.change("daily = 90", "daily = 30");
    let json = place.json(3, &["main"]);
    assert_eq!(length(&json, "destroyed"), 0);
    let later = json["destroyed_later"].as_array().unwrap();
    assert_eq!(later.len(), 60);
    let waits = &later[0]["copies"][0]["waits"];
    assert_eq!(waits["text"], "disk could not be observed", "{waits}");
}
