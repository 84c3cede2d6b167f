//! Approvals with signatures and policies under Git, through the real program, with `ssh-keygen` and `git`: nothing that needs approval
//! is deleted without those who may, whatever somebody writes into the policy or pushes to the branch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::unused_self,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use serde_json::Value;
use std::{fs, path::Path};
use support::{
    program::{Ended, Running, command},
    shop,
};
use tempfile::TempDir;

/// Keys of some people, two databases, a repository of policies, and a host that applies them.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for folder in ["keys", "host", "work/policy"] {
            fs::create_dir_all(site.path().join(folder)).unwrap();
        }
        for name in ["alice", "bob", "mallory"] {
            let key = site.path().join("keys").join(name);
            site.run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
                site.path(),
            );
        }
        shop::create(&site.path().join("shop.db"), 10);
        shop::create(&site.path().join("kiosk.db"), 10);
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> String {
        let output = command(program)
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn public_key(&self, name: &str) -> String {
        let file = self.path().join("keys").join(format!("{name}.pub"));
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// `[approval]` with these signers.
    fn approval(&self, quorum: u32, names: &[&str]) -> String {
        let mut text = format!("\n[approval]\nquorum = {quorum}\n[approval.signers]\n");
        for name in names {
            text += &format!("\"{name}@example.com\" = \"{}\"\n", self.public_key(name));
        }
        text
    }

    /// A policy with these databases.
    fn policy(&self, databases: &[&str], more: &str) -> String {
        let root = self.path().display();
        let mut text =
            format!("mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"{root}/nas\"\n");
        for name in databases {
            text += &format!(
                "[database.{name}]\nengine = \"sqlite\"\npath = \"{root}/{name}.db\"\n\
                 [[database.{name}.series]]\nname = \"daily\"\nevery = \"365d\"\nkeep.nas = {{ last = 3 }}\n"
            );
        }
        text + more
    }

    fn write(&self, policy: &str) {
        fs::write(self.path().join("work/policy/mainstay.toml"), policy).unwrap();
    }

    /// In the folder of the policy.
    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = Running::start(&self.path().join("work/policy"), arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// On the host that follows the repository.
    #[track_caller]
    fn follow(&self, code: i32, more: &[&str]) -> Ended {
        let from = format!("{}/work@main", self.path().display());
        let arguments = ["apply", "--from-git", &from, "--path", "policy", "-y"];
        let arguments = [&arguments, more].concat();
        let ended = Running::start(&self.path().join("host"), &arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    fn key(&self, name: &str) -> String {
        self.path().join("keys").join(name).display().to_string()
    }

    /// Backs up, then plans to purge the shop under another policy; gives the id of the plan.
    #[track_caller]
    fn plan_purge(&self, before: &str, after: &str) -> String {
        self.write(before);
        self.expect(0, &["apply", "-y"]);
        assert!(self.has_shop());
        self.write(after);
        self.plan_again()
    }

    #[track_caller]
    fn plan_again(&self) -> String {
        let _ = fs::remove_file(self.path().join("work/policy/plan.json"));
        let _ = fs::remove_file(self.path().join("work/policy/plan.json.sig"));
        self.expect(0, &["plan", "--purge", "shop", "--out", "plan.json"]);
        let plan: Value =
            serde_json::from_slice(&fs::read(self.path().join("work/policy/plan.json")).unwrap())
                .unwrap();
        plan["id"].as_str().unwrap().to_owned()
    }

    fn has_shop(&self) -> bool {
        let folder = self.path().join("nas/shop/daily");
        let mut years = fs::read_dir(folder).into_iter().flatten();
        years.any(|year| fs::read_dir(year.unwrap().path()).unwrap().next().is_some())
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_by("Carol", arguments)
    }

    fn git_by(&self, name: &str, arguments: &[&str]) -> String {
        let mail = format!("user.email={}@example.com", name.to_lowercase());
        let name = format!("user.name={name}");
        let who = ["-c", &name, "-c", &mail];
        self.run(
            "git",
            &[&who, arguments].concat(),
            &self.path().join("work"),
        )
    }

    fn init(&self) {
        self.git(&["init", "-q", "-b", "main", "."]);
        fs::write(
            self.path().join("work/.gitignore"),
            ".mainstay/\nplan.json*\n",
        )
        .unwrap();
    }

    /// Commits; gives the commit.
    fn commit(&self, name: &str, more: &[&str]) -> String {
        self.git(&["add", "--all"]);
        let arguments = ["commit", "-q", "--allow-empty", "-m", "change"];
        self.git_by(name, &[&arguments, more].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    fn catalog(&self, place: &str, sql: &str) -> Vec<String> {
        let file = self.path().join(place).join(".mainstay/state.db");
        let catalog = rusqlite::Connection::open(file).unwrap();
        let mut statement = catalog.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

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
fn a_plan_tells_its_commit_and_who_wrote_it_but_not_one_from_an_inventory() {
    let site = Site::new();
    site.init();
    site.write(&site.policy(&["kiosk"], ""));
    let first = site.commit("Alice", &[]);
    let tip = site.commit("Bob", &[]);
    let plan = |arguments: &[&str]| -> Value {
        serde_json::from_str(
            &site
                .expect(0, &[&["plan", "--json"], arguments].concat())
                .stdout,
        )
        .unwrap()
    };
    let source = &plan(&[])["policy_source"];
    assert_eq!(source["author"], "Alice <alice@example.com>");
    assert_eq!(source["changed_in"], first.as_str());
    assert_eq!(source["revision"], tip.as_str());
    assert_eq!(source["dirty"], Value::Null);
    site.expect(0, &["apply", "-y"]);
    let change = site.catalog(
        "work/policy",
        "SELECT details FROM audit WHERE kind = 'policy-change'",
    );
    assert!(change[0].contains(&first), "{change:?}");
    // Pure: the same bytes whatever Git says.
    let inventory = site.expect(0, &["inventory", "--json"]).stdout;
    fs::write(site.path().join("inventory.json"), inventory).unwrap();
    let from = site.path().join("inventory.json");
    let pure = [
        "--inventory",
        from.to_str().unwrap(),
        "--now",
        "2026-11-22T00:00:00Z",
    ];
    let before = plan(&pure);
    let text = site.policy(&["kiosk"], "\n# a word\n");
    site.write(&text);
    assert_eq!(plan(&[])["policy_source"]["dirty"], true);
    assert_eq!(plan(&pure), before);
    assert_eq!(before["policy_source"], Value::Null);
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
fn a_host_follows_a_branch_forward_only() {
    let site = Site::new();
    site.init();
    site.write(&site.policy(&["kiosk"], ""));
    let first = site.commit("Alice", &[]);
    site.follow(0, &[]);
    assert!(site.path().join("nas/kiosk/daily").exists());
    site.follow(0, &[]);
    site.write(&site.policy(&["kiosk", "shop"], ""));
    let second = site.commit("Alice", &[]);
    site.follow(0, &[]);
    assert!(site.has_shop());
    // Back.
    site.git(&["reset", "-q", "--hard", &first]);
    let back = site.follow(3, &[]);
    assert!(back.stderr.contains("mainstay::git::backwards"), "{back}");
    // Rewritten: the same change by somebody else.
    site.write(&site.policy(&["kiosk", "shop"], "\n# mine\n"));
    let third = site.commit("Mallory", &[]);
    let rewritten = site.follow(3, &[]);
    assert!(
        rewritten.stderr.contains("mainstay::git::rewritten"),
        "{rewritten}"
    );
    assert!(rewritten.stderr.contains(&second), "{rewritten}");
    // Also when the cache, with the commit that was applied, is gone.
    fs::rename(
        site.path().join("host/.mainstay/git"),
        site.path().join("gone"),
    )
    .unwrap();
    site.git(&["gc", "-q", "--prune=now"]);
    let rewritten = site.follow(3, &[]);
    assert!(
        rewritten.stderr.contains("mainstay::git::rewritten"),
        "{rewritten}"
    );
    let other = site.follow(1, &["--accept-history", &second]);
    assert!(
        other.stderr.contains("mainstay::git::accepts-another"),
        "{other}"
    );
    site.follow(0, &["--accept-history", &third]);
    site.follow(0, &[]);
    let accepted = site.catalog(
        "host",
        "SELECT why FROM audit WHERE kind = 'history-accept'",
    );
    assert_eq!(
        accepted,
        [format!("follows {third} although {second} was applied")]
    );
}

#[test]
fn a_commit_must_be_signed_by_somebody_who_may_where_that_is_asked() {
    let site = Site::new();
    site.init();
    let list = site.path().join("allowed");
    let alice = site.public_key("alice");
    fs::write(&list, format!("alice@example.com {alice}\n")).unwrap();
    let list = ["--verify-signature", list.to_str().unwrap()];
    let signed_by = |name: &str| {
        let key = format!("user.signingkey={}", site.key(name));
        site.git(&["add", "--all"]);
        let arguments = ["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S"];
        site.git(&[&arguments[..], &["--allow-empty", "-m", "signed"]].concat());
    };
    site.write(&site.policy(&["kiosk"], ""));
    site.commit("Alice", &[]);
    let unsigned = site.follow(3, &list);
    assert!(unsigned.stderr.contains("it is not signed"), "{unsigned}");
    signed_by("mallory");
    let stranger = site.follow(3, &list);
    assert!(
        stranger.stderr.contains("belongs to no allowed signer"),
        "{stranger}"
    );
    let nobody = site.follow(1, &["--verify-signature"]);
    assert!(
        nobody.stderr.contains("mainstay::git::no-signers"),
        "{nobody}"
    );
    assert!(!site.path().join("nas/kiosk").exists());
    // A key that the commit itself allows is no reason to believe the commit.
    site.write(&site.policy(&["kiosk"], &site.approval(1, &["mallory"])));
    signed_by("mallory");
    site.follow(3, &list);
    site.write(&site.policy(&["kiosk"], &site.approval(1, &["bob"])));
    signed_by("alice");
    site.follow(0, &list);
    // From now on the rules in force tell, and they name only Bob.
    site.follow(3, &["--verify-signature"]);
    signed_by("bob");
    site.follow(0, &["--verify-signature"]);
}
