//! A Git repository with a policy and an inventory of ninety days beside it.

pub(crate) use crate::support::offline::{NOW, inventory};
use crate::support::{
    offline,
    program::{Ended, Running, command},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A shop on two tiers, ninety days on the first.
pub(crate) const SHOP: &str = r#"mainstay = 1
timezone = "Europe/Prague"

[tier.disk]
kind = "filesystem"
path = "disk"

[tier.nas]
kind = "filesystem"
path = "nas"

[profile.usual]
objective = { rpo = "25h", rto = "4h" }

[database.shop]
engine = "sqlite"
profile = "usual"
path = "shop.db"

[[database.shop.series]]
name = "daily"
schedule = "0 2 * * *"
keep.disk = { daily = 90 }
keep.nas = { daily = 14 }
verify = "full-read"
"#;

/// A repository with a policy and an inventory of ninety days beside it.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("mainstay.toml", SHOP);
        place.write("inventory.json", &ninety_days().to_string());
        place.git(&["init", "-q", "-b", "main", "."]);
        place.commit("one");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Changes the policy on the disk.
    pub(crate) fn change(&self, from: &str, to: &str) {
        let policy = fs::read_to_string(self.path().join("mainstay.toml")).unwrap();
        assert!(policy.contains(from), "{from}");
        self.write("mainstay.toml", &policy.replace(from, to));
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let who = [
            "-c",
            "user.name=reviewer",
            "-c",
            "user.email=reviewer@example.com",
        ];
        let mut git = command("git");
        git.args(who).args(arguments).current_dir(self.path());
        for (key, value) in [
            ("GIT_AUTHOR_DATE", NOW),
            ("GIT_COMMITTER_DATE", NOW),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ] {
            git.env(key, value);
        }
        assert!(git.status().unwrap().success(), "git {arguments:?}");
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = Running::start(self.path(), arguments, &[]).wait();
        assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
        ended
    }

    /// `diff` over the ninety days.
    #[track_caller]
    pub(crate) fn diff(&self, code: i32, arguments: &[&str]) -> Ended {
        let inventory = ["--inventory", "inventory.json"];
        self.expect(code, &[&["diff"], arguments, &inventory].concat())
    }

    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let ended = self.diff(code, &[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

pub(crate) fn ninety_days() -> Value {
    let newest: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
    let points: Vec<Value> = (0..90)
        .map(|days| {
            let tiers: &[&str] = if days < 14 {
                &["disk", "nas"]
            } else {
                &["disk"]
            };
            point(newest - SignedDuration::from_hours(24 * days), tiers)
        })
        .collect();
    inventory(&points)
}

pub(crate) fn point(slot: Timestamp, tiers: &[&str]) -> Value {
    offline::point(slot, slot, tiers)
}

pub(crate) fn length(value: &Value, list: &str) -> usize {
    value[list].as_array().unwrap().len()
}
