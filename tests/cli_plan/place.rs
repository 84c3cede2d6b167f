//! A policy and an inventory in a folder, and the program beside them.

pub(crate) use crate::support::offline::inventory;
use crate::support::{
    offline,
    program::{Ended, Running},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A shop on two tiers.
pub(crate) const SHOP: &str = "mainstay = 1
timezone = \"Europe/Prague\"

[tier.disk]
kind = \"filesystem\"
path = \"disk\"

[tier.nas]
kind = \"filesystem\"
path = \"nas\"

[database.shop]
engine = \"sqlite\"
path = \"shop.db\"

[[database.shop.series]]
name = \"daily\"
schedule = \"0 2 * * *\"
keep.disk = { daily = 3 }
keep.nas = { daily = 3, monthly = 2 }
verify = \"full-read\"
";

pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new(policy: &str, inventory: &Value) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("policy.toml", policy);
        place.write("inventory.json", &inventory.to_string());
        place
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.path(), arguments, &[]).wait()
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `plan` without network, state or clock.
    #[track_caller]
    pub(crate) fn plan(&self, code: i32, more: &[&str]) -> Ended {
        self.expect(code, &[&offline::PLAN[..], more].concat())
    }
}

/// A point `days` before the newest slot of [`SHOP`], with a verified copy on each tier.
pub(crate) fn point(days: i64, tiers: &[&str]) -> Value {
    let slot: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    at(slot - SignedDuration::from_hours(24 * days), 0, tiers)
}

pub(crate) fn at(time: Timestamp, slot_shift: i64, tiers: &[&str]) -> Value {
    // Slots are whole seconds.
    let slot = Timestamp::from_second(time.as_second() + slot_shift).unwrap();
    offline::point(slot, time, tiers)
}

/// Seven days of points; today's is missing.
pub(crate) fn a_week() -> Value {
    inventory(
        &(1..8)
            .map(|days| point(days, &["disk", "nas"]))
            .collect::<Vec<_>>(),
    )
}
