//! What a policy can get wrong about places that are not on this machine, keys and limits; in the words that people read.

mod kinds;

use kinds::{load_texts, show};
use model::ByteCount;
use std::fmt::Write as _;

#[test]
fn a_limit_of_bandwidth_is_read_also_by_time_of_the_day() {
    let tier = |bandwidth: &str| {
        let text = format!(
            "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\nbandwidth = {bandwidth}\n"
        );
        let loaded = load_texts(&[("p.toml", &text)]);
        assert_eq!(show(&loaded), "", "{bandwidth}");
        let policy = loaded.policy.unwrap();
        let limits = policy.tiers.values().next().unwrap().bandwidth.clone();
        (limits.unwrap(), policy.digest)
    };
    let at = |hour| jiff::civil::time(hour, 0, 0, 0);
    let (always, one) = tier("\"50MiB/s\"");
    assert_eq!(always.limit_at(at(3)), Some(ByteCount(50 << 20)));
    let (by_time, two) = tier(
        "[{ limit = \"100MiB/s\" }, { from = \"22:00\", to = \"06:00\", limit = \"1GiB/s\" }]",
    );
    assert_eq!(by_time.limit_at(at(3)), Some(ByteCount(1 << 30)));
    assert_eq!(by_time.limit_at(at(12)), Some(ByteCount(100 << 20)));
    let (_, three) = tier("\"51200KiB/s\"");
    assert_ne!(one, two);
    assert_eq!(
        one, three,
        "the same limit in other words is no other policy"
    );
}

#[test]
fn a_limit_of_bandwidth_that_says_nothing_is_told() {
    let mut all = String::new();
    for wrong in [
        "50",
        "\"50MiB\"",
        "\"100Mbit/s\"",
        "\"0/s\"",
        "[]",
        "[{ from = \"8:00\", to = 18:00:00, limit = \"10\" }]",
        "[{ from = \"08:00\", limit = \"10MiB/s\" }]",
        "[{ from = \"08:00\", to = \"08:00\", limit = \"10MiB/s\" }]",
        "[{ from = \"08:00\", to = \"18:00\" }, 5, { limit = \"1MiB/s\" }, { limit = \"2MiB/s\" }]",
        "[{ form = \"08:00\", to = \"18:00\", limit = \"10MiB/s\" }]",
    ] {
        let text = format!(
            "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\nbandwidth = {wrong}\n"
        );
        let _ = writeln!(all, "{}", show(&load_texts(&[("p.toml", &text)])));
    }
    insta::assert_snapshot!(all);
}

/// Places on this machine, elsewhere, and cold; two keys that are kept apart.
const PLACES: &str = r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/mnt/nas"
[tier.cloud]
kind = "s3"
bucket = "cloud"
[tier.archive]
kind = "s3"
bucket = "archive"
storage-class = "deep-archive"
[key.prod]
kind = "local"
path = "prod.key"
[key.offline]
kind = "certificate"
path = "offline.pem"
"#;

fn shown(text: &str) -> String {
    show(&load_texts(&[("p.toml", &format!("{PLACES}{text}"))]))
}

/// A database that is encrypted for both keys, with one nightly series.
fn nightly(keeps: &str) -> String {
    format!(
        "[database.a]\nengine = \"sqlite\"\npath = \"a.db\"\nencrypt-with = [\"prod\", \"offline\"]\n\
         [[database.a.series]]\nname = \"daily\"\nschedule = \"0 2 * * *\"\n{keeps}\n"
    )
}

#[test]
fn a_sealed_policy_with_an_archive_has_nothing_to_be_told() {
    let fine = nightly(
        "keep.nas = { daily = 7 }\nkeep.cloud = { daily = 30, monthly = 12 }\nkeep.archive = { monthly = 12, yearly = 7 }",
    );
    assert_eq!(shown(&fine), "");
}

#[test]
fn one_recipient_is_one_loss_away_from_losing_the_data() {
    let profile = r#"[profile.p]
encrypt-with = ["prod"]
[[profile.p.series]]
name = "s"
schedule = "0 2 * * *"
keep.nas = { daily = 7 }
[database.a]
engine = "sqlite"
path = "a.db"
profile = "p"
[database.b]
engine = "sqlite"
path = "b.db"
profile = "p"
[database.c]
engine = "sqlite"
path = "c.db"
profile = "p"
encrypt-with = ["offline"]
"#;
    insta::assert_snapshot!(shown(profile));
}

#[test]
fn two_names_of_one_key_are_no_two_recipients() {
    let again = "[key.spare]\nkind = \"local\"\npath = \"prod.key\"\n";
    let together = nightly("keep.nas = { daily = 7 }").replace(
        "[\"prod\", \"offline\"]",
        "[\"prod\", \"spare\", \"offline\"]",
    );
    let apart = nightly("keep.nas = { daily = 7 }")
        + "[database.b]\nengine = \"sqlite\"\npath = \"b.db\"\nencrypt-with = [\"spare\", \"offline\"]\n\
           [[database.b.series]]\nname = \"s\"\nschedule = \"0 2 * * *\"\nkeep.nas = { daily = 7 }\n";
    insta::assert_snapshot!(
        shown(&format!("{again}{together}")) + "\n" + &shown(&format!("{again}{apart}"))
    );
}

#[test]
fn one_key_for_two_environments_is_told_with_both() {
    let of = |name: &str, environment: &str| {
        format!(
            "[database.{name}]\nengine = \"sqlite\"\npath = \"{name}.db\"\nencrypt-with = [\"prod\", \"offline\"]\n\
             labels = {{ environment = \"{environment}\" }}\n[[database.{name}.series]]\nname = \"s\"\n\
             schedule = \"0 2 * * *\"\nkeep.nas = {{ daily = 7 }}\n"
        )
    };
    insta::assert_snapshot!(shown(
        &(of("a", "production") + &of("b", "development") + &of("c", "production"))
    ));
    assert_eq!(shown(&(of("a", "production") + &of("c", "production"))), "");
}

#[test]
fn plain_data_does_not_leave_the_machine_unseen() {
    let plain = nightly("keep.nas = { daily = 7 }\nkeep.cloud = { daily = 7 }")
        .replace("encrypt-with = [\"prod\", \"offline\"]\n", "");
    let sealed = "[profile.other]\nencrypt-with = [\"prod\", \"offline\"]\n";
    insta::assert_snapshot!(shown(&format!("{sealed}{plain}")));
    let misspelled = nightly("keep.cloud = { daily = 7 }").replace("\"prod\"", "\"prot\"");
    assert!(!shown(&misspelled).contains("plain-off-machine"));
}

#[test]
fn a_key_that_nothing_uses_is_told() {
    let unused =
        nightly("keep.nas = { daily = 7 }") + "[key.old]\nkind = \"local\"\npath = \"old.key\"\n";
    insta::assert_snapshot!(shown(&unused));
}

#[test]
fn what_is_deleted_before_it_was_paid_for_is_told_in_days() {
    let mut all = String::new();
    for keep in [
        "{ daily = 30 }",
        "{ weekly = 4, monthly = 12 }",
        "{ within = \"179d\" }",
        "{ monthly = 12, pick = \"last\" }",
    ] {
        let text = nightly(&format!(
            "keep.nas = {{ daily = 7 }}\nkeep.archive = {keep}"
        ));
        let _ = writeln!(all, "{}", shown(&text));
    }
    insta::assert_snapshot!(all);
    for keep in [
        "{ monthly = 6 }",
        "{ daily = 180 }",
        "{ within = \"180d\", yearly = 7 }",
        "{ daily = 7, within = \"1y\" }",
        "{ forever = true }",
        "{ daily = \"all\" }",
    ] {
        let text = nightly(&format!(
            "keep.nas = {{ daily = 7 }}\nkeep.archive = {keep}"
        ));
        assert_eq!(shown(&text), "", "{keep}");
    }
}

fn locked(mode: &str, length: &str, keep: &str) -> String {
    let lock = format!(
        "[tier.locked]\nkind = \"s3\"\nbucket = \"locked\"\nobject-lock = {{ mode = \"{mode}\", for = \"{length}\" }}\n"
    );
    shown(&(lock + &nightly(&format!("keep.nas = {{ daily = 7 }}\nkeep.locked = {keep}"))))
}

#[test]
fn a_lock_that_outlasts_retention_is_an_error_only_where_nobody_can_lift_it() {
    insta::assert_snapshot!(
        locked("governance", "1y", "{ daily = 30, monthly = 3 }")
            + "\n"
            + &locked("compliance", "40d", "{ daily = 30 }")
    );
    for (length, keep) in [
        ("30d", "{ daily = 30 }"),
        ("1mo", "{ monthly = 1 }"),
        ("7y", "{ yearly = 7 }"),
        ("7y", "{ daily = 30, yearly = \"7y\" }"),
        ("100y", "{ forever = true }"),
        ("100y", "{ yearly = \"all\" }"),
        ("retention", "{ daily = 1 }"),
    ] {
        assert_eq!(locked("compliance", length, keep), "", "{length} {keep}");
    }
}

#[test]
fn what_lies_only_in_an_archive_is_told_and_how_long_a_thaw_takes() {
    let only = nightly("keep.archive = { monthly = 12 }");
    let promised = only.replace(
        "[[database.a.series]]",
        "objective = { rto = { target = \"1h\", maximum = \"4h\" } }\n[[database.a.series]]",
    );
    let first = nightly("keep.archive = { monthly = 12 }\nkeep.nas = { daily = 7 }");
    insta::assert_snapshot!(
        [only, promised.clone(), first]
            .map(|text| shown(&text))
            .join("\n")
    );
    assert!(!shown(&promised.replace("4h", "49h")).contains("promises"));
}

#[test]
fn attested_is_what_a_store_says_and_no_policy_asks_for_it() {
    insta::assert_snapshot!(shown(&nightly(
        "verify = \"attested\"\nkeep.nas = { daily = 7 }"
    )));
}

#[test]
fn a_secret_where_only_references_belong_is_masked_whatever_its_form() {
    for text in [
        "[tier.x]\nkind = \"s3\"\nbucket = \"x\"\ncredentials = \"hunter2\"\n",
        "[tier.x]\nkind = \"s3\"\nbucket = \"x\"\ncredentials = { access-key-id = \"hunter2\", secret-access-key = { env = \"S\" } }\n",
        "[tier.x]\nkind = \"s3\"\nbucket = \"x\"\ncredentials = { key = \"hunter2\" }\n",
        "[tier.x.credentials]\nsecret-access-key = { text = \"hunter2\" }\n",
        "[tier.x.credentials]\nsession = [\"hunter2\"]\n",
        "[key.x]\nkind = \"local\"\npath = \"x\"\npassphrase = { value = \"hunter2\" }\n",
        "[key.x]\nkind = \"local\"\npath = \"x\"\npassphrase = { file = \"postgres://u:hunter2@h/d\" }\n",
        "[key.x]\nkind = \"certificate\"\npath = \"x\"\nprivate-key = \"hunter2\"\n",
        "[key.x]\nkind = \"certificate\"\npath = \"x\"\nprivate_key.pem = \"hunter2\"\n",
        "[key.x]\nkind = \"certificate\"\npath = \"\"\"\n-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\n\"\"\"\n",
        "[key.x]\npath = \"-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----\"\n",
        "[key.x]\nlabel = \"-----BEGIN PRIVATE KEY----- hunter2\nx = {\n",
        "[key.x]\nprivate-key = \"hunter2\nx = {\n",
        "[tier.x]\ncredentials = { key = \"hunter2\"\nx = {\n",
    ] {
        let loaded = load_texts(&[("p.toml", &format!("{PLACES}{text}"))]);
        let told = show(&loaded);
        let masked = loaded.shown_text("p.toml".as_ref()).unwrap();
        assert!(
            !told.contains("hunter2") && !masked.contains("hunter2"),
            "{text}{masked}{told}"
        );
        let unreadable = text.contains("x = {\n");
        assert!(
            unreadable || told.contains("policy::password-in-policy"),
            "{told}"
        );
        for path in ["key.x", "tier.x"] {
            assert!(
                !format!("{:?}", loaded.explain(path)).contains("hunter2"),
                "{text}"
            );
        }
    }
    let number = shown("[key.x]\nkind = \"local\"\npath = \"x\"\npassphrase = 4711\n");
    assert!(!number.contains("4711"), "{number}");
    for fine in [
        "[tier.credentials]\nkind = \"s3\"\nbucket = \"x\"\n",
        "[tier.x]\nkind = \"s3\"\nbucket = \"x\"\ncredentials = { access-key-id = { env = \"A\" }, secret-access-key = { command = [\"pass\", \"show\", \"s3\"] } }\n",
        "[database.secret]\nengine = \"sqlite\"\npath = \"-----BEGIN PUBLIC KEY-----\"\n",
        "[database.a]\nengine = \"sqlite\"\npath = \"a\"\n[[database.a.series]]\nname = \"s\"\nkeep.credentials = { last = 1, pick = \"last\" }\n",
    ] {
        assert!(
            !shown(fine).contains("password-in-policy"),
            "{}",
            shown(fine)
        );
    }
}

#[test]
fn the_kinds_of_keys_that_exist_are_named_when_another_is_asked_for() {
    insta::assert_snapshot!(shown("[key.x]\nkind = \"gcp-kms\"\nproject = \"y\"\n"));
}
