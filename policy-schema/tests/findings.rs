//! Every mistake of a policy is found at its bytes, all of them at once.

mod kinds;

use kinds::{load_texts, show};

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
[defaults]
labels = { team = "db" }
[profile.critical]
encrypt-with = ["prod"]
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
