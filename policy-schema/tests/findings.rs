//! Every mistake of a policy is found at its bytes, all of them at once.

mod kinds;

use kinds::{load_texts, show};
use std::fmt::Write as _;

const GOOD: &str = r#"
mainstay = 1
timezone = "Europe/Prague"
[tier.nas]
kind = "filesystem"
path = "/mnt/nas"
min-free = "20%"
[tier.archive]
kind = "filesystem"
path = "archive"
[key.prod]
kind = "local"
path = "prod.key"
[key.offline]
kind = "certificate"
path = "offline.pem"
[defaults]
labels = { team = "db" }
[profile.critical]
encrypt-with = ["prod", "offline"]
objective = { rpo = "25h", rto = { target = "1h", maximum = "4h" } }
[[profile.critical.series]]
name = "daily"
verify = "full-read"
keep.archive = { monthly = 12, yearly = "7y" }
[database.orders]
engine = "postgres"
profile = "critical"
url = { env = "ORDERS_URL" }
labels = { environment = "prod" }
[[database.orders.series]]
name = "daily"
schedule = "0 2 * * *"
format = "plain"
keep.nas = { daily = 7, weekly = 4, within-daily = "30d" }
window = { start-within = "2h", timeout = "2h", retries = 3, retry-after = "5m" }
[[database.orders.series]]
name = "often"
every = "15m"
anchor = 2026-01-01T00:05:00Z
jitter = "3m"
keep.nas = { last = 96 }
[[database.orders.drill]]
schedule = "0 5 1 * *"
pick = { random-within = "7d" }
assert = [ { sql = "select count(*) from orders", at-least = 1 }, { sql = "select 1", equals = 1 } ]
[database.wiki]
engine = "sqlite"
path = "wiki.db"
[[database.wiki.series]]
name = "hourly"
schedule = "@hourly"
keep.nas = { hourly = 24, daily = "14d" }
[safety]
min-verified = 2
"#;

#[test]
fn the_whole_language_is_read() {
    let loaded = load_texts(&[("policies/mainstay.toml", GOOD)]);
    assert_eq!(show(&loaded), "");
    insta::assert_debug_snapshot!(loaded.policy.unwrap());
}

#[test]
fn mistakes_of_all_layers_and_files_come_at_once() {
    let a = r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/mnt/nas"
minfree = "20%"
[tier.copy]
kind = "filesystem"
path = "/mnt/nas"
[tier.cloud]
kind = "s4"
[profile.a]
inherits = ["b"]
retension = 1
[profile.b]
profile = "a"
[database.Orders]
engine = "postgres"
profile = "a"
url = "postgres://app:hunter2@db/orders"
objective = { rpo = { target = "2h", maximum = "1h" } }
[[database.Orders.series]]
name = "daily"
schedule = "0 2 * * fryday"
format = "costum"
keep.nas = { daily = "seven", weekly = 0 }
keep.nass = { daily = 7 }
"#;
    let b = r#"[database.wiki]
engine = "sqlite"
path = 5
profile = "critcal"
encrypt-with = ["prod"]
token = "s3cr3t"
[[database.wiki.series]]
name = "wal"
schedule = "0 0 2 * * *"
keep = {}
[[database.wiki.series]]
schedule = "0 2 30 2 *"
window = { timeout = "2mo", retries = -1, retry-afer = "5m" }
[[database.wiki.series]]
name = "x"
buffer = "12 parsecs"
keep.nas = { hourly = 24 }
every = "5m"
schedule = "0 2 * * *"
[tier.nas]
kind = "filesystem"
path = "/other"
"#;
    let c = "[database.late]\nengine = \"sqlite\nschedule = \n[storage\nx = 1\n";
    let loaded = load_texts(&[("a.toml", a), ("b.toml", b), ("c.toml", c)]);
    assert!(loaded.policy.is_none());
    let shown = show(&loaded);
    assert!(
        !shown.contains("hunter2") && !shown.contains("s3cr3t"),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
}

const TIERS: &str = "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\n";

fn shown(text: &str) -> String {
    show(&load_texts(&[("p.toml", &format!("{TIERS}{text}"))]))
}

fn series(lines: &str) -> String {
    shown(&format!(
        "[database.a]\nengine = \"sqlite\"\npath = \"a.db\"\n[[database.a.series]]\nname = \"s\"\n{lines}"
    ))
}

#[test]
fn a_promise_that_no_schedule_can_keep_is_a_warning_and_so_is_a_missed_target() {
    let with = |objective: &str, schedule: &str| {
        shown(&format!(
            "[database.a]\nengine = \"sqlite\"\npath = \"a.db\"\nobjective = {objective}\n[[database.a.series]]\nname = \"s\"\n{schedule}\nkeep.nas = {{ last = 7 }}\n"
        ))
    };
    insta::assert_snapshot!(with("{ rpo = \"1h\" }", "schedule = \"0 2 * * *\""));
    insta::assert_snapshot!(with(
        "{ rpo = { target = \"1h\", maximum = \"4d\" } }",
        "schedule = \"0 2 * * 1-5\""
    ));
    assert_eq!(with("{ rpo = \"25h\" }", "schedule = \"0 2 * * *\""), "");
    assert_eq!(with("{ rpo = \"15m\" }", "every = \"15m\""), "");
}

#[test]
fn what_a_keep_can_never_hold_is_told() {
    let keep = |rules: &str| series(&format!("schedule = \"0 2 * * *\"\nkeep.nas = {rules}\n"));
    for fine in [
        "{ daily = 7 }",
        "{ yearly = 7 }",
        "{ within = \"1h\" }",
        "{ last = 1 }",
        "{ forever = true }",
        "{ daily = \"all\" }",
        "{ daily = 7, within-daily = \"2y\" }",
    ] {
        assert_eq!(keep(fine), "", "{fine}");
    }
    let mut all = String::new();
    for wrong in [
        "{}",
        "{ forever = false }",
        "{ pick = \"last\" }",
        "{ last = 0 }",
        "{ within = \"0d\" }",
        "{ within-hourly = \"2d\" }",
        "{ daily = \"some\" }",
        "{ daily = -1 }",
        "{ daily = 1.5 }",
        "7",
    ] {
        all += &keep(wrong);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn wherever_a_secret_stands_it_is_found_and_masked() {
    for text in [
        "[database.a]\nengine = \"postgres\"\nurl = { env = \"postgres://u:hunter2@h/d\" }\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = [\"x\", \"host=h password=hunter2 user=u\"] }\n",
        "[database.a]\nengine = \"postgres\"\nlabels = { dsn = \"postgres://h/d?password=hunter2&x=1\" }\n",
        "[profile.a]\ndb_password = \"hunter2\"\n",
        "[tier.b]\nkind = \"filesystem\"\npath = \"/b\"\nsecret-access-key = 'hunter2'\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"postgres://u:hunter2@h/d\nlabels = {\n",
        "[database.a]\nengine = \"hunter2://u:hunter2@h\"\n[database.hunter3]\nurl = '''postgres://u:hunter2@h'''\n",
        "[database.a]\nurl = \"postgres://u:hunt\\u0065r2@h/d\"\n",
        "[database.a]\npassword = \"hunter2\nx = {\n labels = {\n",
        "[database.a]\ntoken = [\"x\", \"postgres://u:p@ss/hunter2@h/d\"]\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"postgres://127.0.0.1:1/db?sslpassword=hunter2\"\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"postgres://h/db?pass%77ord=hunter2\"\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"postgres://h/db?a=b&X_%54oKen=hunter2#x\"\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"postgres://h/db?pass\\u0077ord=hunter2&a=b&client_secret=hunter2\"\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"host=h sslpassword='hunter2 hunter2' user=u\"\n",
        "[database.a]\nengine = \"postgres\"\nsslpassword = \"hunter2\"\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = [\"x\", \"--password=hunter2\"] }\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = [\"x\", \"-Token=a hunter2\", 'ü'] }\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = [\"x\", \"--auth-token\", \"hunter2\"] }\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = [\"--set=token=hunter2\", \"PGPASS\\u0057ORD=hunter2\"] }\n",
        "[database.a]\nengine = \"postgres\"\nurl = { command = \"x --token=hunter2\" }\n",
        "[database.a]\nurl = { command = [\"x\", \"--password=hunter2\"\nlabels = {\n",
    ] {
        let shown = shown(text)
            .replace("hunter2://", "")
            .replace("hunt\\u0065r2", "hunter2");
        assert!(!shown.contains("hunter2"), "{shown}");
        let unreadable = text.contains("labels = {\n");
        assert!(
            unreadable || shown.contains("policy::password-in-policy"),
            "{shown}"
        );
    }
    for fine in [
        "https://h:80/a@b",
        "postgres://u@h/d",
        "http://h/x?t=12:30&m=a@b",
        "select 1 where reset_password=x or token=y",
    ] {
        let text = format!("[database.a]\nengine = \"sqlite\"\npath = \"{fine}\"\n");
        assert!(!shown(&text).contains("password-in-policy"), "{fine}");
    }
    for fine in [
        "{ env = \"A_PASSWORD\" }",
        "{ command = [\"pass\", \"show\", \"db/password\"] }",
        "{ command = [\"vault\", \"kv\", \"get\", \"-field=password\", \"secret/a\"] }",
        "{ command = [\"x\", \"--password-file=/run/p\", \"--password-file\", \"/run/p\"] }",
        "{ command = [\"x\", \"--no-token\", \"--quiet\"] }",
    ] {
        let reference = format!("[database.a]\nengine = \"postgres\"\nurl = {fine}\n");
        assert!(!shown(&reference).contains("password-in-policy"), "{fine}");
    }
}

#[test]
fn a_mistake_in_a_shared_profile_is_reported_once() {
    let mut text = String::from(
        "[profile.p]\nlabels = { a = 1 }\nencrypt-with = [\"nokey\"]\n[[profile.p.series]]\nname = \"s\"\nschedule = \"0 2 30 2 *\"\nkeep.nas = { daily = 0 }\n",
    );
    for name in ["a", "b", "c"] {
        let _ = write!(
            text,
            "[database.{name}]\nengine = \"sqlite\"\npath = \"{name}.db\"\nprofile = \"p\"\n"
        );
    }
    insta::assert_snapshot!(shown(&text));
}

#[test]
fn odd_values_of_every_kind_are_found() {
    let mut all = String::new();
    for text in [
        "[database]\na = 1\n",
        "[safety]\nmin-verified = 0\nmax-prune-percent = 101\nmax-prune-count = 99999999999999999999\n",
        "[database.a]\nengine = \"postgres\"\nurl = \"ORDERS_URL\"\n",
        "[database.a]\nengine = \"postgress\"\nurl = { evn = \"A\" }\nobjective = { rpo = { }, rto = \"1mo\" }\n",
        "[database.a]\nengine = \"sqlite\"\npath = \":memory:\"\nseries = \"daily\"\ndrill = [ { pick = \"newst\" }, 5, { schedule = \"@daily\", pick = { random-within = \"soon\" }, assert = [ { sql = \"select 1\" }, { at-least = 1 } ] } ]\n",
        "[[database.a.series]]\nname = \"s\"\nmethod = \"binary\"\nevery = \"1mo\"\nanchor = 2026-01-01\nverify = \"fully\"\n",
        "[[database.a.series]]\nname = \"s\"\nevery = \"0m\"\nbuffer = \"12 parsecs\"\n",
        "[defaults]\nengine = \"postgres\"\n[[defaults.series]]\nname = \"s\"\nbuffer = \"12 parsecs\"\njobs = 1\n",
    ] {
        let _ = write!(all, "--- {text}{}", shown(text));
    }
    all += &show(&load_texts(&[
        ("a.toml", "mainstay = 2\ntimezone = \"Praha\"\n"),
        ("b.toml", "timezone = \"UTC\"\n"),
    ]));
    all += &show(&load_texts(&[("a.toml", "# nothing\n")]));
    insta::assert_snapshot!(all);
}

#[test]
fn the_digest_ignores_layout_and_files_and_sees_every_rule() {
    let digest = |files: &[(&str, &str)]| load_texts(files).policy.map(|policy| policy.digest);
    let one = "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\n[tier.b]\nkind = \"filesystem\"\npath = \"/b\"\n";
    let other = "mainstay = 1\n# words\n[tier.b]\npath = \"/b\"\nkind = \"filesystem\"\n";
    let rest = "[tier.nas]\nkind = \"filesystem\"\npath = '/n'\nconcurrency = 2\n";
    assert!(digest(&[("a.toml", one)]).is_some());
    assert_eq!(
        digest(&[("a.toml", one)]),
        digest(&[("x/b.toml", other), ("x/c.toml", rest)])
    );
    assert_ne!(
        digest(&[("a.toml", one)]),
        digest(&[("a.toml", &one.replace("/b", "/c"))])
    );
}

#[test]
fn two_windows_of_one_unit_are_both_in_the_digest() {
    let digest = |keep: &str| {
        let text = format!(
            "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\n[database.shop]\nengine = \"sqlite\"\npath = \"/s.db\"\n\
             [[database.shop.series]]\nname = \"daily\"\nschedule = \"0 2 * * *\"\nkeep.nas = {{ {keep} }}\n"
        );
        let policy = load_texts(&[("p.toml", &text)]).policy;
        policy.expect("a policy without findings").digest
    };
    let both = digest("daily = \"30d\", within-daily = \"14d\"");
    for other in [
        "daily = \"30d\"",
        "within-daily = \"14d\"",
        "daily = \"60d\", within-daily = \"14d\"",
        "daily = \"30d\", within-daily = \"7d\"",
    ] {
        assert_ne!(both, digest(other), "{other}");
    }
}

#[test]
fn nesting_without_end_is_a_finding_and_no_crash() {
    let deep = 20_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{a=".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]\nb = 1", "a.".repeat(deep)),
        format!("[database.{}a]\nb = 1", "a.".repeat(deep)),
    ] {
        assert!(load_texts(&[("p.toml", &text)]).has_errors());
        assert!(mainstay_policy_schema::fmt(&text).is_err());
    }
}

#[test]
fn a_profile_that_nobody_uses_is_checked_but_need_not_be_complete() {
    let fine = "[profile.p]\n[[profile.p.series]]\nname = \"s\"\nkeep.nas = { pick = \"last\" }\n";
    assert_eq!(shown(fine), "");
    let wrong = "[profile.p]\nencrypt-with = [\"k\"]\n[[profile.p.series]]\nname = \"wal\"\nschedule = \"61 * * * *\"\nkeep.nass = { daily = 0 }\n";
    insta::assert_snapshot!(shown(wrong));
}

#[test]
fn an_engine_or_a_tier_of_a_later_version_is_one_mistake_each() {
    let text = r#"mainstay = 1
[tier.cloud]
kind = "azure-blob"
container = "x"
region = "y"
[database.a]
engine = "oracle"
tns-name = "z"
[[database.a.series]]
name = "daily"
method = "rman"
channels = 4
schedule = "0 2 * * *"
keep.cloud = { daily = 7 }
"#;
    insta::assert_snapshot!(show(&load_texts(&[("a.toml", text)])));
}

#[test]
fn a_section_that_one_file_declares_twice_is_one_mistake_with_both_places() {
    let text = r#"mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/a"
[tier.nas]
kind = "filesystem"
path = "/b"
[database.a]
engine = "sqlite"
path = "x"
path = "y"
"#;
    insta::assert_snapshot!(show(&load_texts(&[("a.toml", text)])));
}
