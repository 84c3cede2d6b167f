//! The archive of the log, incremental points and drills: read, inherited, and every way in which they could bring nothing back is told.

mod kinds;

use kinds::{load_texts, show};
use mainstay_policy_schema::policy::{DrillPick, WalMode};
use model::{ByteCount, Period};
use std::path::Path;

const TIERS: &str = r#"
mainstay = 1
[tier.nas]
kind = "filesystem"
path = "/mnt/nas"
[tier.offsite]
kind = "filesystem"
path = "/mnt/offsite"
"#;

const ORDERS: &str = r#"
[database.orders]
engine = "postgres"
url = { env = "ORDERS_URL" }
objective = { rpo = "5m" }
[[database.orders.series]]
name = "base"
method = "physical"
schedule = "0 1 * * *"
keep.nas = { last = 3 }
keep.offsite = { weekly = 5 }
"#;

/// The beginning of a physical series.
const BASES: &str = "name = \"base\"\nmethod = \"physical\"\n";

/// A database with one series and the archive of its log.
fn database(name: &str, series: &str, wal: &str) -> String {
    format!(
        r#"[database.{name}]
engine = "postgres"
url = {{ env = "URL" }}
[[database.{name}.series]]
{series}keep.nas = {{ last = 3 }}
[database.{name}.wal]
{wal}"#
    )
}

fn with(rest: &str) -> String {
    format!("{TIERS}{ORDERS}{rest}")
}

fn told(text: &str) -> String {
    show(&load_texts(&[("policy.toml", text)]))
}

#[test]
fn the_log_incremental_points_and_drills_are_read() {
    let text = with(
        r#"
incremental = true
full-every = "14d"
[database.orders.wal]
mode = "stream"
keep.offsite = "35d"
keep.nas = "14d"
parallel = 8
spool = "spool"
spool-limit = "2GiB"
[[database.orders.drill]]
name = "monthly"
schedule = "0 5 1 * *"
pick = { random-moment-within = "7d" }
from = "nas"
amcheck = true
[[database.orders.drill]]
every = "1d"
"#,
    );
    let loaded = load_texts(&[("policy.toml", &text)]);
    assert_eq!(show(&loaded), "");
    let policy = loaded.policy.unwrap();
    let orders = policy.databases.values().next().unwrap();
    let wal = orders.wal.as_ref().unwrap();
    let keep: Vec<(String, String)> = wal
        .keep
        .iter()
        .map(|(tier, window)| (tier.to_string(), window.to_string()))
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(keep, [pair("offsite", "35d"), pair("nas", "14d")]);
    assert_eq!(wal.mode, WalMode::Stream);
    assert_eq!(wal.slot, "mainstay_orders");
    assert_eq!((wal.compression_level, wal.parallel), (1, 8));
    assert_eq!(wal.spool.as_deref(), Some(Path::new("spool")));
    assert_eq!(wal.spool_limit, ByteCount(2 << 30));
    let series = orders.series.values().next().unwrap();
    assert!(series.incremental);
    assert_eq!(series.full_every.as_hours(), 14 * 24);
    assert_eq!(orders.drills[0].name, "monthly");
    assert_eq!(
        orders.drills[0].pick,
        DrillPick::RandomMoment(Period::parse("7d").unwrap())
    );
    assert!(orders.drills[0].amcheck);
    assert_eq!(orders.drills[0].from.as_ref().unwrap().as_str(), "nas");
    assert_eq!(orders.drills[1].name, "drill-2");
}

#[test]
fn the_archive_of_the_log_is_inherited_key_by_key() {
    let text = format!(
        r#"{TIERS}
[defaults]
wal = {{ parallel = 2, keep = {{ nas = "7d" }} }}
[profile.critical.wal]
keep = {{ offsite = "35d" }}
{}
profile = "critical"
{}
[database.orders.wal]
keep.nas = "14d"
"#,
        &ORDERS[..ORDERS.find("[[").unwrap()],
        &ORDERS[ORDERS.find("[[").unwrap()..]
    );
    let loaded = load_texts(&[("policy.toml", &text)]);
    assert_eq!(show(&loaded), "");
    let explained = loaded.explain("database.orders.wal.keep").unwrap();
    let parts: Vec<String> = explained
        .contributions
        .iter()
        .map(|part| format!("{} = {} {:?}", part.path, part.value, part.via))
        .collect();
    assert_eq!(
        parts,
        [
            r#"database.orders.wal.keep.nas = "14d" None"#,
            r#"database.orders.wal.keep.offsite = "35d" Some("profile `critical`")"#,
        ]
    );
    let policy = loaded.policy.unwrap();
    let orders = policy.databases.values().next().unwrap();
    assert_eq!(orders.wal.as_ref().unwrap().parallel, 2);
}

#[test]
fn a_promise_of_minutes_is_the_archives_and_not_the_schedules() {
    assert!(told(&with("")).contains("policy::rpo-not-met"));
    let archived = with("[database.orders.wal]\nkeep.nas = \"14d\"\n");
    assert_eq!(told(&archived), "");
}

#[test]
fn log_that_could_bring_nothing_back_is_told() {
    let nightly = "schedule = \"0 2 * * *\"\n";
    let dumps = format!("name = \"daily\"\n{nightly}");
    let logical = database("logical", &dumps, "keep.nas = \"14d\"\n");
    let bases = format!("{BASES}{nightly}");
    let empty = database("empty", &bases, "mode = \"stream\"\n");
    let windows = r#"keep.nas = "1d"
keep.offsite = "14d"
keep.nass = "14d"
keep.cold = "14d"
keep.cool = "0d"
"#;
    let weekly = format!("{BASES}schedule = \"0 2 * * sun\"\n");
    let orders = database("orders", &weekly, windows);
    let text = format!(
        r#"{TIERS}
[tier.cold]
kind = "s3"
bucket = "cold"
storage-class = "deep-archive"
[tier.cool]
kind = "s3"
bucket = "cool"
storage-class = "standard-ia"
{logical}[database.wiki]
engine = "sqlite"
path = "wiki.db"
[[database.wiki.series]]
name = "daily"
schedule = "0 2 * * *"
keep.nas = {{ last = 3 }}
[database.wiki.wal]
keep.nas = "14d"
{empty}{orders}"#
    );
    insta::assert_snapshot!(told(&text));
}

#[test]
fn keys_that_do_nothing_and_values_that_cannot_be_are_told() {
    let nightly = format!("{BASES}schedule = \"0 3 * * *\"\n");
    let unused = "slot = \"wiki\"\nspool = \"spool\"\nkeep.nas = \"14d\"\n";
    let wiki = database("wiki", &nightly, unused);
    let text = with(
        r#"
full-every = "14d"
[[database.orders.series]]
name = "dumps"
schedule = "0 3 * * *"
incremental = true
keep.nas = { last = 3 }
[[database.orders.series]]
name = "wal"
method = "physical"
schedule = "0 3 * * *"
incremental = true
full-every = "1mo"
keep.nas = { last = 3 }
[database.orders.wal]
mode = "pull"
slot = "My-Slot"
spool-limit = "1GiB"
parallel = 0
keep.nas = "fortnight"
"#,
    ) + &wiki;
    insta::assert_snapshot!(told(&text));
}

#[test]
fn drills_that_could_restore_nothing_are_told() {
    let text = with(
        r#"
[[database.orders.drill]]
schedule = "0 5 1 * *"
pick = { random-moment-within = "7d" }
[[database.orders.drill]]
name = "weekly"
schedule = "0 5 * * 1"
pick = { random-within = "7d", random-moment-within = "7d" }
[[database.orders.drill]]
name = "weekly"
schedule = "0 5 * * 1"
[[database.orders.drill]]
name = "from-nowhere"
schedule = "0 5 * * 1"
from = "nass"
[[database.orders.drill]]
name = "never"
schedule = "0 5 * * 1"
pick = { random-within = "0d" }
[[database.orders.drill]]
name = "what"
schedule = "0 5 * * 1"
pick = { random = "7d" }
"#,
    );
    insta::assert_snapshot!(told(&text));
}

#[test]
fn a_policy_without_log_keeps_the_digest_that_it_had() {
    let plain = load_texts(&[("policy.toml", &with(""))]).policy.unwrap();
    let with_log = with("[database.orders.wal]\nkeep.nas = \"14d\"\n");
    let with_log = load_texts(&[("policy.toml", &with_log)]).policy.unwrap();
    assert_ne!(plain.digest, with_log.digest);
    let shown = load_texts(&[("policy.toml", &with(""))])
        .explain("database.orders")
        .unwrap()
        .value
        .unwrap()
        .to_string();
    assert!(
        !shown.contains("wal") && !shown.contains("incremental"),
        "{shown}"
    );
}
