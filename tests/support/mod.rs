//! A place in which the real program works: a temporary folder with a policy, a source and tiers.
//!
//! Tests see what a user sees: arguments, exit codes, text, JSON, and the files on the tiers. What must hold of the files
//! is in `laws.rs`, written without any of the program's own code for listing or pruning.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unused_self,
    reason = "each test binary uses another part of it, and its failures are the tests' failures"
)]

pub mod bank;
pub mod chain;
pub mod chance;
pub mod cluster_site;
pub mod laws;
pub mod ledger;
pub mod log_site;
pub mod mount;
pub mod offline;
pub mod processes;
pub mod program;
pub mod shop;
pub mod stated;
pub mod stored;

use model::{Copy, Inventory, RecoveryPointId};
use program::{Ended, Running};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A shop's database on two tiers, a point every second, four kept on each tier.
pub const SHOP_EVERY_SECOND: &str = r#"
mainstay = 1
safety = { max-prune-percent = 100 }

[tier.disk]
kind = "filesystem"
path = "tiers/disk"
min-free = "0%"

[tier.nas]
kind = "filesystem"
path = "tiers/nas"
min-free = "0%"

[database.shop]
engine = "sqlite"
path = "shop.db"

[[database.shop.series]]
name = "often"
every = "1s"
keep.disk = { last = 4 }
keep.nas = { last = 4 }
window = { retries = 0 }
"#;

/// The same with one point a year, so that a second apply finds nothing to do.
pub fn shop_once() -> String {
    SHOP_EVERY_SECOND.replace("every = \"1s\"", "schedule = \"0 0 1 1 *\"")
}

/// A temporary folder with a policy and what it names.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A folder with this policy, a shop's database and two empty tiers.
    pub fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tiers/disk")).unwrap();
        fs::create_dir_all(folder.path().join("tiers/nas")).unwrap();
        let site = Self { folder };
        site.write_policy(policy);
        shop::create(&site.path().join("shop.db"), 400);
        site
    }

    /// A copy of a site as it is now, cheaper than letting time pass again.
    pub fn like(other: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let done = program::command("cp")
            .arg("-a")
            .arg(other.path().join("."))
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(done.success());
        Self { folder }
    }

    /// Replaces the policy.
    pub fn write_policy(&self, policy: &str) {
        fs::write(self.path().join("mainstay.toml"), policy).unwrap();
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The source.
    pub fn shop(&self) -> PathBuf {
        self.path().join("shop.db")
    }

    /// A tier's folder.
    pub fn tier(&self, name: &str) -> PathBuf {
        self.path().join("tiers").join(name)
    }

    /// The catalog's file.
    pub fn catalog(&self) -> PathBuf {
        self.path().join(".mainstay/state.db")
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments, &[]).wait()
    }

    /// Runs the program and expects this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `apply --auto-approve`, which must end with 0.
    #[track_caller]
    pub fn apply(&self) -> Ended {
        self.expect(0, &["apply", "--auto-approve"])
    }

    /// Starts the program with further variables in its environment.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        Running::start(self.path(), arguments, environment)
    }

    /// What the catalog remembers.
    #[track_caller]
    pub fn known(&self) -> Inventory {
        inventory(&self.expect(0, &["inventory", "--json"]))
    }

    /// What is there when the tiers are listed.
    #[track_caller]
    pub fn observed(&self) -> Inventory {
        inventory(&self.expect(0, &["inventory", "--json", "--refresh"]))
    }

    /// The copy of a point on a tier, according to the catalog.
    #[track_caller]
    pub fn copy(&self, point: &RecoveryPointId, tier: &str) -> Option<Copy> {
        let known = self.known();
        let point = known.recovery_points.iter().find(|it| it.id == *point)?;
        point
            .copies
            .iter()
            .find(|copy| copy.tier.as_str() == tier)
            .cloned()
    }

    /// The ids of all points, oldest first.
    #[track_caller]
    pub fn points(&self) -> Vec<RecoveryPointId> {
        let mut points = self.known().recovery_points;
        points.sort_by_key(|point| point.slot);
        points.into_iter().map(|point| point.id).collect()
    }

    /// The plan of now, as JSON.
    #[track_caller]
    pub fn plan(&self, arguments: &[&str]) -> Value {
        let arguments = [&["plan", "--json"], arguments].concat();
        self.expect(0, &arguments).json()
    }

    /// With five points on each tier, of which the next run prunes the oldest and makes another.
    pub fn with_something_to_prune() -> Self {
        let site = Self::new(SHOP_EVERY_SECOND);
        for n in 0..5 {
            // A saved plan prunes nothing for the point that it makes; that is left to the next plan.
            let plan = format!("plan{n}.json");
            site.expect(0, &["plan", "--out", &plan]);
            site.expect(0, &["apply", &plan]);
            site.next_second();
        }
        site
    }

    /// Waits until a new slot of an `every = "1s"` series has come.
    pub fn next_second(&self) {
        next_second();
    }
}

/// Waits until another second has begun.
pub fn next_second() {
    std::thread::sleep(Duration::from_millis(1010));
}

/// Waits until something holds, so many seconds at most.
#[track_caller]
pub fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_secs(seconds),
            "waited in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads the inventory that a command printed.
#[track_caller]
pub fn inventory(ended: &Ended) -> Inventory {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}\n{ended}"))
}
