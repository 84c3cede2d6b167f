//! Promises of older states, checks and exceptions: how they are read, and what a policy can get wrong about them.

#![allow(
    clippy::unwrap_used,
    reason = "a failure of a helper is the test's failure"
)]

mod kinds;

use kinds::{load_texts, show};
use mainstay_policy_schema::{
    Policy,
    policy::{CheckId, CheckRule, CheckSeverity},
};
use std::fmt::Write as _;

const BASE: &str = r#"mainstay = 1
timezone = "Europe/Prague"
[tier.nas]
kind = "filesystem"
path = "/n"
[database.orders]
engine = "sqlite"
path = "orders.db"
labels = { environment = "prod", team = "shop" }
[[database.orders.series]]
name = "daily"
schedule = "0 2 * * *"
keep.nas = { daily = 7 }
"#;

fn loaded(more: &str) -> Policy {
    let loaded = load_texts(&[("p.toml", &format!("{BASE}{more}"))]);
    assert_eq!(show(&loaded), "");
    loaded.policy.unwrap()
}

#[test]
fn promises_of_older_states_are_read_youngest_first() {
    let policy = loaded(
        "[database.orders.objective]\nrpo = \"25h\"\nfailures = 2\n\
         at-age = [{ from = \"1y\", rto = \"1d\" }, { from = \"30d\", rpo = \"7d\" }]\n",
    );
    let objective = &policy.databases.values().next().unwrap().objective;
    assert_eq!(objective.failures, 2);
    let from: Vec<String> = objective
        .at_age
        .iter()
        .map(|one| one.from.to_string())
        .collect();
    assert_eq!(from, ["30d", "1y"]);
    assert!(objective.at_age[0].rto.is_none() && objective.at_age[1].rpo.is_none());
}

#[test]
fn the_entry_that_names_the_most_labels_of_a_database_counts() {
    let policy = loaded(
        r#"[[check]]
id = "3-2-1-1-0"
severity = "warning"
scope = { environment = "prod" }
parameters = { copies = 2 }
[[check]]
id = "3-2-1-1-0"
enabled = false
[[check]]
id = "key-custody"
scope = { environment = "test" }
[[exception]]
check = "rto"
scope = { team = "shop" }
owner = "jana"
why = "the archive is slow until it moves"
until = 2027-01-31
"#,
    );
    let orders = policy.databases.values().next().unwrap();
    let copies = policy.check_of(CheckId::ThreeTwoOneOneZero, orders);
    assert_eq!(
        (copies.severity, copies.enabled),
        (CheckSeverity::Warning, true)
    );
    assert!(matches!(
        copies.rule,
        CheckRule::Copies {
            copies: 2,
            media: 2,
            ..
        }
    ));
    // Declared for others only: as if not declared.
    let keys = policy.check_of(CheckId::KeyCustody, orders);
    assert_eq!(keys.severity, CheckSeverity::Info);
    assert_eq!(
        policy.check_of(CheckId::Rto, orders).severity,
        CheckSeverity::Error
    );
    let exceptions: Vec<_> = policy.exceptions_of(CheckId::Rto, orders).collect();
    // The last day counts to its end, where the policy is at home.
    assert_eq!(exceptions[0].until.to_string(), "2027-01-31T23:00:00Z");
    assert_eq!(policy.exceptions_of(CheckId::Rpo, orders).count(), 0);
}

#[test]
fn where_a_tier_is_and_on_what_is_its_kinds_unless_it_is_said() {
    let text = r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/n"
[tier.tape]
kind = "filesystem"
path = "/t"
off-site = true
media = "tape"
[tier.cloud]
kind = "s3"
bucket = "b"
"#;
    let policy = load_texts(&[("p.toml", text)]).policy.unwrap();
    let seen: Vec<(&str, bool, &str)> = policy
        .tiers
        .values()
        .map(|tier| (tier.name.as_str(), tier.off_site, tier.media.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("cloud", true, "s3"),
            ("nas", false, "filesystem"),
            ("tape", true, "tape")
        ]
    );
    let said = text.replace("bucket = \"b\"", "bucket = \"b\"\noff-site = true");
    let said = load_texts(&[("p.toml", &said)]).policy.unwrap();
    assert_eq!(policy.digest, said.digest, "the default said aloud");
}

#[test]
fn what_is_added_to_the_language_leaves_old_digests_alone() {
    let plain = loaded("");
    let same = loaded("[database.orders.objective]\nfailures = 0\nat-age = []\n");
    assert_eq!(plain.digest, same.digest);
    let other = loaded("[[check]]\nid = \"encryption\"\n");
    assert_ne!(plain.digest, other.digest);
}

#[test]
fn promises_and_checks_that_say_nothing_or_nonsense_are_told() {
    let mut all = String::new();
    for wrong in [
        "[database.orders.objective]\nfailures = -1\n",
        "[database.orders.objective]\nat-age = [{ rpo = \"1d\" }, { from = \"30d\" }, { from = \"0d\", rpo = \"1d\" }]\n",
        "[database.orders.objective]\nat-age = [{ from = \"7d\", rpo = \"1d\" }, { from = \"1w\", rto = \"1mo\" }, { form = \"1y\", rpo = \"1d\" }]\n",
        "[database.orders]\ndeclared-restore = \"1mo\"\n",
        "[[check]]\nid = \"3-2-1\"\n",
        "[[check]]\nseverity = \"fatal\"\n",
        "[[check]]\nid = \"key-custody\"\nparameters = { copies = 3, recipients = 0, recipient = 1 }\n[[check]]\nid = \"key-custody\"\n",
        "[[check]]\nid = \"rto\"\nparameters = { within = \"1d\" }\n",
        "[check]\nid = \"rto\"\n",
        "[[check]]\nid = \"minimum-frequency\"\nevery = \"24h\"\n",
        "[[check]]\nid = \"minimum-retention\"\nparameters = { every = \"24h\", keep-for = \"0d\" }\n",
        "[[check]]\nid = \"minimum-lock\"\nparameters = { lock-for = \"long\" }\n",
        "[[exception]]\ncheck = \"rto\"\n",
        "[[exception]]\ncheck = \"rto\"\ndatabase = \"order\"\nowner = \"\"\nwhy = \"x\"\nuntil = \"soon\"\n",
        "[[exception]]\ncheck = \"rpo\"\ndatabase = \"orders\"\nscope = { team = \"shop\" }\nowner = \"jana\"\nwhy = \"x\"\nuntil = 2027-02-30\n",
    ] {
        // A table cannot be opened twice.
        let text = match wrong.strip_prefix("[database.orders]\n") {
            Some(keys) => BASE.replace("[[database", &format!("{keys}[[database")),
            None => format!("{BASE}{wrong}"),
        };
        let _ = writeln!(all, "{}", show(&load_texts(&[("p.toml", &text)])));
    }
    insta::assert_snapshot!(all);
}
