//! Somebody who may write policies and plans, but not sign: what they try must not delete anything.

use crate::site::Site;
use model::Plan;
use std::fs;

/// Seals a plan anew after somebody changed it, as anybody can.
fn forge(site: &Site, change: impl FnOnce(&mut Plan)) {
    let file = site.path().join("work/policy/plan.json");
    let mut plan: Plan = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut plan);
    let plan = plan.seal().unwrap();
    fs::write(&file, model::canonical::to_vec(&plan).unwrap()).unwrap();
}

/// Backs the shop up `more` times besides.
fn back_up(site: &Site, more: usize) {
    site.expect(0, &["apply", "-y"]);
    for _ in 0..more {
        site.next_second();
        site.expect(0, &["backup", "shop"]);
    }
}

/// A policy that keeps so many points, with Alice as signer.
fn keeping(site: &Site, last: u32, more: &str) -> String {
    let approval = site.approval(1, &["alice"]);
    let policy = site.policy(&["shop", "kiosk"], &(more.to_owned() + &approval));
    policy.replace("last = 3", &format!("last = {last}"))
}

fn plan(site: &Site) {
    let _ = fs::remove_file(site.path().join("work/policy/plan.json"));
    site.expect(0, &["plan", "--out", "plan.json"]);
}

#[test]
fn a_plan_that_calls_its_own_deletions_routine_is_not_believed() {
    let site = Site::new();
    site.write(&keeping(&site, 9, ""));
    back_up(&site, 2);
    site.write(&keeping(&site, 1, ""));
    plan(&site);
    forge(&site, |plan| {
        assert_eq!(plan.steps.len(), 2);
        plan.approval.clear();
        plan.needs_approval = false;
        for step in &mut plan.steps {
            step.needs_approval = false;
        }
    });
    let refused = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(
        refused
            .stderr
            .contains("2 deletion(s) of this plan are not what would be planned now"),
        "{refused}"
    );
    assert!(
        refused.stderr.contains("missing: 1 of alice@example.com"),
        "{refused}"
    );
    assert_eq!(site.points("shop"), 3);
    // Nor with deletions that do not even say that they delete.
    forge(&site, |plan| {
        for step in &mut plan.steps {
            step.destructive = false;
        }
    });
    site.expect(3, &["apply", "plan.json", "-y"]);
    assert_eq!(site.points("shop"), 3);
}

#[test]
fn a_plan_without_steps_cannot_put_a_shorter_retention_in_force() {
    let site = Site::new();
    site.write(&keeping(&site, 9, ""));
    back_up(&site, 1);
    site.write(&keeping(&site, 1, ""));
    plan(&site);
    forge(&site, |plan| {
        plan.approval.clear();
        plan.needs_approval = false;
        plan.steps.clear();
    });
    site.expect(0, &["apply", "plan.json", "-y"]);
    site.expect(3, &["apply", "-y"]);
    assert_eq!(site.points("shop"), 2);
}

#[test]
fn a_routine_plan_is_carried_out_again_and_later_without_signatures() {
    let site = Site::new();
    site.write(&keeping(&site, 2, ""));
    back_up(&site, 1);
    site.write(&(keeping(&site, 2, "").replace("365d", "1s")));
    plan(&site);
    site.expect(0, &["apply", "plan.json", "-y"]);
    site.expect(0, &["apply", "-y"]);
    assert_eq!(site.points("shop"), 2);
    site.expect(0, &["apply", "plan.json", "-y"]);
}

#[test]
fn a_signed_plan_does_not_bring_an_abandoned_policy_back() {
    let site = Site::new();
    site.write(&keeping(&site, 9, ""));
    back_up(&site, 2);
    let short = keeping(&site, 2, "");
    site.write(&short);
    plan(&site);
    site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
    site.expect(0, &["apply", "plan.json", "-y"]);
    site.expect(0, &["apply", "plan.json", "-y"]);
    assert_eq!(site.points("shop"), 2);
    site.write(&keeping(&site, 9, ""));
    back_up(&site, 1);
    assert_eq!(site.points("shop"), 3);
    // The policy from then, and the plan that Alice signed then.
    site.write(&short);
    let spent = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(
        spent
            .stderr
            .contains("signatures of this plan count no longer"),
        "{spent}"
    );
    let waits = site.expect(3, &["apply", "-y"]);
    assert!(
        waits
            .stdout
            .contains("retention of shop/daily on nas became shorter"),
        "{waits}"
    );
    assert_eq!(site.points("shop"), 3);
}

#[test]
fn looser_limits_of_deletions_wait_for_the_signers() {
    let site = Site::new();
    site.write(&keeping(&site, 1, "[safety]\nmax-prune-count = 1\n"));
    site.expect(0, &["apply", "-y"]);
    // Junk, as somebody makes it to push the good points out: more than one would go at once.
    site.write(&keeping(&site, 4, "[safety]\nmax-prune-count = 1\n"));
    back_up(&site, 3);
    let loose = "[safety]\nmax-prune-count = 99\nmax-prune-percent = 100\n";
    for limits in [loose, ""] {
        site.write(&keeping(&site, 4, limits));
        let waits = site.expect(3, &["apply", "-y"]);
        assert!(
            waits
                .stdout
                .contains("`[safety]` lets more be deleted without a signature"),
            "{waits}"
        );
        let rules = site.catalog("work/policy", "SELECT rules FROM approval_rules");
        assert!(rules[0].contains("\"max_prune_count\":1,"), "{rules:?}");
    }
    // Stricter ones hold at once.
    site.write(&keeping(
        &site,
        4,
        "[safety]\nmax-prune-count = 1\nmin-verified = 2\n",
    ));
    site.expect(0, &["apply", "-y"]);
    let rules = site.catalog("work/policy", "SELECT rules FROM approval_rules");
    assert!(rules[0].contains("\"min_verified\":2"), "{rules:?}");
}

#[test]
fn whoever_shortened_retention_stays_its_author_until_it_is_approved() {
    let site = Site::new();
    site.init();
    let text = |last, more: &str| {
        let approval = site
            .approval(1, &["alice", "bob"])
            .replace("quorum = 1", "quorum = 1\nexclude-author = true");
        let policy = site.policy(&["shop"], &(approval + more));
        policy.replace("last = 3", &format!("last = {last}"))
    };
    site.write(&text(9, ""));
    site.commit("Carol", &[]);
    back_up(&site, 2);
    site.write(&text(1, ""));
    site.commit("Alice", &[]);
    // A run that had to wait, one of a single backup, and a harmless change by somebody else.
    site.expect(3, &["apply", "-y"]);
    site.next_second();
    site.expect(0, &["backup", "shop"]);
    site.write(&text(1, "# a word\n"));
    site.commit("Carol", &[]);
    site.expect(3, &["apply", "-y"]);
    plan(&site);
    site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
    let author = site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(
        author
            .stderr
            .contains("alice@example.com, who wrote the policy"),
        "{author}"
    );
    // Nor is the plan believed about who that was.
    forge(&site, |plan| {
        plan.policy_source.as_mut().unwrap().earlier_authors.clear();
    });
    site.expect(0, &["approve", "plan.json", "--key", &site.key("alice")]);
    site.expect(3, &["apply", "plan.json", "-y"]);
    assert!(site.points("shop") > 2);
    site.expect(0, &["approve", "plan.json", "--key", &site.key("bob")]);
    site.expect(0, &["apply", "plan.json", "-y"]);
    assert_eq!(site.points("shop"), 1);
}

#[test]
fn whoever_changes_what_the_policy_links_to_is_its_author() {
    let site = Site::new();
    site.init();
    fs::create_dir(site.path().join("work/common")).unwrap();
    let common = site.path().join("work/common/mainstay.toml");
    std::os::unix::fs::symlink(
        "../common/mainstay.toml",
        site.path().join("work/policy/mainstay.toml"),
    )
    .unwrap();
    std::os::unix::fs::symlink("policy", site.path().join("work/linked")).unwrap();
    fs::write(&common, site.policy(&["kiosk"], "")).unwrap();
    site.commit("Carol", &[]);
    fs::write(&common, site.policy(&["kiosk"], "# a word\n")).unwrap();
    let changed = site.commit("Alice", &[]);
    fs::write(site.path().join("work/other"), "").unwrap();
    site.commit("Carol", &[]);
    let plan = site.expect(0, &["plan", "--json"]).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let source = &plan["policy_source"];
    assert_eq!(source["author"], "Alice <alice@example.com>", "{source}");
    assert_eq!(source["changed_in"], changed.as_str());
    // A folder that is a link is read from the commit as from the disk.
    let from = format!("{}/work@main", site.path().display());
    let arguments = ["apply", "--from-git", &from, "--path", "linked", "-y"];
    let host = site.path().join("host");
    let ended = crate::support::program::Running::start(&host, &arguments, &[]).wait();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(site.path().join("nas/kiosk/daily").exists());
}
