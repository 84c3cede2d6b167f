//! A site whose only database is a server with an archived log, and what `wal status` says of it.

use super::Site;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A policy for the server behind `url`; `wal` and `series` are further keys of the archive and of its physical series.
pub fn log_policy(url: &str, rpo: &str, wal: &str, series: &str) -> String {
    format!(
        r#"
mainstay = 1

[tier.nas]
kind = "filesystem"
path = "tiers/nas"
min-free = "0%"

[database.bank]
engine = "postgres"
url = "{url}"
objective = {{ rpo = "{rpo}" }}

[database.bank.wal]
{wal}
keep.nas = "7d"

[[database.bank.series]]
name = "base"
method = "physical"
{series}
"#
    )
}

/// A site with this policy, whose tiers have their markers from another one.
pub fn log_site(policy: &str) -> Site {
    let site = Site::new(&super::shop_once());
    site.apply();
    site.write_policy(policy);
    site
}

/// What `wal status` says of the database, and its exit code.
pub fn wal_status(site: &Site) -> (Option<i32>, Value) {
    let ended = site.run(&["wal", "status", "--json"]);
    let status = ended.json()["databases"][0].clone();
    (ended.code, status)
}

/// Waits until `wal status` says something; shows the last state when it never does.
#[track_caller]
pub fn until_status(
    site: &Site,
    what: &str,
    seconds: u64,
    mut condition: impl FnMut(&Value) -> bool,
) -> Value {
    let began = Instant::now();
    loop {
        let (_, status) = wal_status(site);
        if condition(&status) {
            return status;
        }
        assert!(
            began.elapsed() < Duration::from_secs(seconds),
            "{what}: {status:#}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}
