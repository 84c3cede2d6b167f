//! The fear: years of dumps that a script has made are lost on the way into Mainstay, or are worth nothing there.
//!
//! Real dumps of a real `pg_dump`, real SQLite files, in folders and in a bucket; adopted, restored and compared.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod displaced;
mod faults;
mod off_site;
mod postgres_dumps;
mod sqlite_files;

#[path = "../support/mod.rs"]
mod support;

use model::RecoveryPointId;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use support::{Site, shop};

/// A shop whose old copies lie in `old`.
pub(crate) const SHOP: &str = r#"
mainstay = 1

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
name = "nightly"
schedule = "0 2 * * *"
keep.disk = { daily = 7, monthly = 12 }
keep.nas = { yearly = 10 }
verify = "full-read"
window = { retries = 0 }
"#;

/// A folder for old files.
pub(crate) fn old(site: &Site) -> PathBuf {
    let folder = site.path().join("old");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// An SQLite file of so many entries.
pub(crate) fn old_shop(path: &Path, entries: i64) {
    shop::create(path, entries);
}

/// What a command with `--json` says last: its document, behind the events of the run.
#[track_caller]
pub(crate) fn document(ended: &support::program::Ended) -> Value {
    let last = ended.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}\n{ended}"))
}

/// The state and the reason's code of each file, by its name.
pub(crate) fn states(document: &Value) -> BTreeMap<String, String> {
    let files = document["files"].as_array().unwrap();
    files
        .iter()
        .map(|file| {
            let name = file["file"].as_str().unwrap();
            let name = name.rsplit('/').next().unwrap().to_owned();
            let state = file["state"].as_str().unwrap();
            let code = file["code"].as_str().unwrap_or_default();
            (name, format!("{state} {code}").trim_end().to_owned())
        })
        .collect()
}

/// The manifest of a point on a tier.
#[track_caller]
pub(crate) fn manifest(site: &Site, tier: &str, point: &RecoveryPointId) -> Value {
    let path = site.tier(tier).join(point.folder()).join("manifest.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Names, bytes and times of everything in a folder: what adoption must leave alone.
pub(crate) fn untouched(folder: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), fs::read(&path).unwrap(), modified)
        })
        .collect();
    all.sort();
    all
}

/// Entries of the audit of one kind, in their words.
pub(crate) fn audited(site: &Site, kind: &str) -> Vec<String> {
    let shown = site.expect(0, &["audit", "show", "--kind", kind, "--json"]);
    shown
        .stdout
        .lines()
        .map(str::to_owned)
        .filter(|line| line.contains("\"kind\""))
        .collect()
}
