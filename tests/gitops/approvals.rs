//! Signatures: how many, whose, of what, and where the rules live.

use crate::{site::Site, support::shop};
use serde_json::Value;
use std::fs;

#[test]
fn a_purge_waits_until_enough_different_signers_agreed_to_exactly_this_plan() {
    let site = Site::new();
    let approval = site.approval(2, &["alice", "bob"]);
    let id = site.plan_purge(
        &site.policy(&["shop", "kiosk"], &approval),
        &site.policy(&["kiosk"], &approval),
    );
    let missing = site.expect(3, &["apply", "plan.json", "-y", "--approve", &id]);
    assert!(
        missing
            .stderr
            .contains("0 of 2 signatures; missing: 2 of alice@example.com, bob@example.com"),
        "{missing}"
    );
    // The same signer twice is one.
    for _ in 0..2 {
        let signed = site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
        assert!(
            signed.stderr.contains("missing: 1 of bob@example.com"),
            "{signed}"
        );
    }
    let missing = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(
        missing
            .stderr
            .contains("1 of 2 signatures (alice@example.com); missing: 1 of bob@example.com"),
        "{missing}"
    );
    // A stranger is refused at once, and leaves nothing.
    let refused = site.expect(3, &["approve", "plan.json", "--key", &site.key("mallory")]);
    assert!(
        refused.stderr.contains("mainstay::approve::refused"),
        "{refused}"
    );
    // Somebody's signature of another plan, and one for another purpose, slipped in beside this one.
    let sign = |namespace: &str, message: &str| {
        let file = site.path().join("message");
        fs::write(&file, message).unwrap();
        let _ = fs::remove_file(site.path().join("message.sig"));
        let arguments = [
            "-q",
            "-Y",
            "sign",
            "-n",
            namespace,
            "-f",
            &site.key("bob"),
            "message",
        ];
        site.run("ssh-keygen", &arguments, site.path());
        fs::read_to_string(site.path().join("message.sig")).unwrap()
    };
    let beside = site.path().join("work/policy/plan.json.sig");
    let good = fs::read_to_string(&beside).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    for (forged, why) in [
        (sign("mainstay-plan", &other), "something else was signed"),
        (sign("file", &id), "it was made for `file`"),
        (good.replacen("AAAA", "AAAB", 1), "damaged"),
    ] {
        fs::write(&beside, format!("{good}{forged}")).unwrap();
        let missing = site.expect(3, &["apply", "plan.json", "-y"]);
        assert!(missing.stderr.contains(why), "{why}: {missing}");
        assert!(site.has_shop());
    }
    // By hand, as somebody does whose key lies elsewhere.
    let by_hand = site.path().join("by-hand.sig");
    fs::write(&by_hand, sign("mainstay-plan", &id)).unwrap();
    site.expect(
        0,
        &["approve", &id, "--signature", by_hand.to_str().unwrap()],
    );
    assert!(site.has_shop());
    site.expect(0, &["apply", "plan.json", "-y"]);
    assert!(!site.has_shop());
    let approved = site.catalog(
        "work/policy",
        "SELECT details FROM audit WHERE kind = 'approval'",
    );
    assert!(
        approved[0].contains("alice@example.com, bob@example.com"),
        "{approved:?}"
    );
    let signed = site.catalog(
        "work/policy",
        "SELECT why FROM audit WHERE kind = 'signature' ORDER BY why",
    );
    assert_eq!(signed.len(), 2, "{signed:?}");
}

#[test]
fn taking_the_rules_out_of_the_policy_takes_no_protection_away() {
    let site = Site::new();
    let approval = site.approval(1, &["alice"]);
    let own_key = site.approval(1, &["alice", "mallory"]);
    let before = site.policy(&["shop", "kiosk"], &approval);
    for weaker in ["", own_key.as_str()] {
        let id = site.plan_purge(&before, &site.policy(&["kiosk"], weaker));
        let refused = site.expect(3, &["apply", "plan.json", "-y", "--approve", &id]);
        assert!(
            refused.stderr.contains("missing: 1 of alice@example.com"),
            "{refused}"
        );
        let refused = site.expect(3, &["approve", "plan.json", "--key", &site.key("mallory")]);
        assert!(
            refused.stderr.contains("belongs to no allowed signer"),
            "{refused}"
        );
        assert!(site.has_shop());
    }
    // What protects goes on meanwhile, and the run says that something is open.
    shop::create(&site.path().join("stall.db"), 10);
    site.write(&site.policy(&["shop", "kiosk", "stall"], ""));
    let said = site.expect(3, &["apply", "-y"]);
    assert!(said.stdout.contains("approval-weakened"), "{said}");
    assert!(site.path().join("nas/stall/daily").exists());
    assert_eq!(
        site.catalog("work/policy", "SELECT rules FROM approval_rules")
            .len(),
        1
    );
    // Who may sign may also let it go.
    site.write(&site.policy(&["kiosk", "stall"], ""));
    site.plan_again();
    site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
    site.expect(0, &["apply", "plan.json", "-y"]);
    assert!(!site.has_shop());
    let none: Vec<String> = Vec::new();
    assert_eq!(
        site.catalog("work/policy", "SELECT rules FROM approval_rules"),
        none
    );
    site.expect(0, &["apply", "-y"]);
}

#[test]
fn without_rules_the_id_of_the_plan_is_enough_as_before() {
    let site = Site::new();
    let id = site.plan_purge(
        &site.policy(&["shop", "kiosk"], ""),
        &site.policy(&["kiosk"], ""),
    );
    let refused = site.expect(1, &["approve", "plan.json", "--key", &site.key("alice")]);
    assert!(
        refused.stderr.contains("mainstay::approve::not-asked"),
        "{refused}"
    );
    site.expect(3, &["apply", "plan.json", "-y"]);
    site.expect(0, &["apply", "plan.json", "-y", "--approve", &id]);
    assert!(!site.has_shop());
}

#[test]
fn mistakes_in_the_rules_are_shown_at_their_place() {
    let site = Site::new();
    let twice = site.approval(3, &["alice"]) + &format!("eve = \"{}\"\n", site.public_key("alice"));
    site.write(&site.policy(&["kiosk"], &(twice + "bob = \"ssh-ed25519 nonsense\"\n")));
    let said = site.expect(4, &["validate", "--json"]);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    let codes: Vec<_> = said["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes, ["policy::same-signer", "policy::bad-signer"]);
    site.write(&site.policy(&["kiosk"], &site.approval(2, &["alice"])));
    let said = site.expect(4, &["validate"]);
    assert!(
        said.stdout.contains("policy::quorum-unreachable")
            || said.stderr.contains("policy::quorum-unreachable"),
        "{said}"
    );
}

#[test]
fn who_wrote_the_policy_cannot_approve_it_where_the_rules_say_so() {
    let site = Site::new();
    site.init();
    let approval = site
        .approval(1, &["alice", "bob"])
        .replace("quorum = 1", "quorum = 1\nexclude-author = true");
    site.write(&site.policy(&["shop", "kiosk"], &approval));
    site.commit("Carol", &[]);
    site.expect(0, &["apply", "-y"]);
    site.write(&site.policy(&["kiosk"], &approval));
    site.plan_again();
    site.expect(0, &["approve", "plan.json", "--key", &site.key("bob")]);
    let unknown = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(unknown.stderr.contains("cannot be told"), "{unknown}");
    // Alice changes the policy, and somebody else commits over it.
    site.commit("Alice", &[]);
    site.write(&(site.policy(&["kiosk"], &approval) + "# another word\n"));
    site.commit("Carol", &[]);
    site.plan_again();
    site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
    let author = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(
        author
            .stderr
            .contains("alice@example.com, who wrote the policy"),
        "{author}"
    );
    assert!(site.has_shop());
    site.expect(0, &["approve", "plan.json", "--key", &site.key("bob")]);
    site.expect(0, &["apply", "plan.json", "-y"]);
    assert!(!site.has_shop());
}

#[test]
fn a_key_that_can_never_sign_is_refused_where_it_is_written() {
    let site = Site::new();
    let keygen = |arguments: &[&str]| site.run("ssh-keygen", arguments, site.path());
    keygen(&["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "keys/weak"]);
    keygen(&[
        "-q",
        "-s",
        "keys/bob",
        "-I",
        "x",
        "-n",
        "x",
        "keys/alice.pub",
    ]);
    for (name, expected) in [
        ("weak", "fewer than 2048 bits"),
        ("alice-cert", "its algorithm is not accepted"),
    ] {
        site.write(&site.policy(&["kiosk"], &site.approval(1, &[name])));
        let said = site.expect(4, &["validate"]).to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
    let one_person = format!(
        "[approval]\nquorum = 2\n[approval.signers]\n\"al@example.com\" = \"{}\"\n\"Al@example.com\" = \"{}\"\n",
        site.public_key("alice"),
        site.public_key("bob")
    );
    site.write(&site.policy(&["kiosk"], &one_person));
    let said = site.expect(4, &["validate"]).to_string();
    assert!(said.contains("policy::same-signer"), "{said}");
}

#[test]
fn a_hold_is_released_by_those_who_may_sign_and_only_that_hold() {
    let site = Site::new();
    site.write(&site.policy(&["shop"], &site.approval(1, &["alice"])));
    site.expect(0, &["apply", "-y"]);
    let point = site
        .catalog("work/policy", "SELECT id FROM points")
        .remove(0);
    let release = ["hold", "release", &point, "--why", "closed"];
    let asked = || {
        let refused = site.expect(3, &release);
        assert!(refused.stderr.contains("0 of 1 signatures"), "{refused}");
        let (_, id) = refused.stderr.split_once("mainstay approve ").unwrap();
        id.split_whitespace().next().unwrap().to_owned()
    };
    site.expect(0, &["hold", "add", &point, "--why", "audit"]);
    let id = asked();
    assert_eq!(asked(), id, "everybody computes the same id");
    site.expect(3, &["approve", &id, "--key", &site.key("mallory")]);
    asked();
    site.expect(0, &["approve", &id, "--key", &site.key("alice")]);
    site.expect(0, &release);
    let told = site.catalog(
        "work/policy",
        "SELECT why FROM audit WHERE kind = 'release'",
    );
    assert_eq!(told, ["closed (approved by alice@example.com)"]);
    // What was signed is the end of that hold, not of the next one.
    site.expect(0, &["hold", "add", &point, "--why", "another audit"]);
    assert_ne!(asked(), id);
    let held = site.catalog(
        "work/policy",
        "SELECT why FROM holds WHERE released_at IS NULL",
    );
    assert_eq!(held, ["another audit"]);
}

#[test]
fn rules_whose_keys_are_lost_end_after_a_week_in_which_everybody_is_told() {
    let site = Site::new();
    site.write(&site.policy(&["shop"], &site.approval(1, &["alice"])));
    site.expect(0, &["apply", "-y"]);
    let reset = ["approve", "--reset", "--why", "lost in the move"];
    for _ in 0..2 {
        let waits = site.expect(3, &reset);
        assert!(
            waits.stderr.contains("mainstay::approve::reset-waits"),
            "{waits}"
        );
    }
    for command in [&["plan"][..], &["status"], &["apply", "-y"]] {
        let told = site.expect(0, command);
        assert!(told.stderr.contains("lost in the move"), "{told}");
    }
    site.expect(0, &["approve", "--cancel-reset", "--why", "found"]);
    site.expect(1, &["approve", "--cancel-reset", "--why", "found"]);
    let plan = site.expect(0, &["plan"]);
    assert!(!plan.stderr.contains("lost in the move"), "{plan}");
    site.expect(3, &reset);
    // A week goes by.
    let file = site.path().join("work/policy/.mainstay/state.db");
    let catalog = rusqlite::Connection::open(file).unwrap();
    let fact = r#"{"asked_at":"2026-01-01T00:00:00Z","who":"eve","why":"lost"}"#;
    let changed = catalog
        .execute(
            "UPDATE approval_facts SET fact = ?1 WHERE name = 'reset'",
            [fact],
        )
        .unwrap();
    assert_eq!(changed, 1);
    site.expect(0, &reset);
    site.write(&site.policy(&["shop"], &site.approval(1, &["bob"])));
    site.expect(0, &["apply", "-y"]);
    let rules = site.catalog("work/policy", "SELECT rules FROM approval_rules");
    assert!(rules[0].contains("bob@example.com"), "{rules:?}");
    site.expect(0, &["audit", "verify"]);
}
