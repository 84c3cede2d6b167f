//! What lies on a tier, read with nothing but the file system and the documented layout (design: what is stored).

use model::{Digest, Manifest, RecoveryPointId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Files at a tier's root that are the tier's own: its marker, its lease, and what is locked while a lease is compared.
const OF_THE_TIER: [&str; 3] = [".mainstay-tier.json", LEASE, ".mainstay-control.lock"];
const LEASE: &str = ".mainstay-lease.json";

/// Whether somebody has the lease of the tier; nobody ever had it if it is not there.
pub fn is_leased(tier: &Path) -> bool {
    fs::read(tier.join(LEASE)).is_ok_and(|bytes| {
        let lease: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        lease["free"] != true
    })
}

/// Files of a tier by their path relative to its folder, those of the tier and the recovery kit left out.
pub fn files(tier: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    walk(tier, tier, &mut found);
    found.retain(|file| !OF_THE_TIER.iter().any(|own| file == Path::new(own)));
    found.retain(|file| !file.starts_with("recovery-kit") && !is_audit_export(file));
    found
}

/// Exports of the audit, oldest first: `mainstay-audit/<catalog>/<first>-<last>.jsonl`, and nothing else in that folder.
pub fn audit_exports(tier: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    walk(tier, tier, &mut found);
    found.retain(|file| is_audit_export(file));
    found.into_iter().collect()
}

fn is_audit_export(file: &Path) -> bool {
    let digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let [folder, catalog, name] = parts[..] else {
        return false;
    };
    let range = name
        .strip_suffix(".jsonl")
        .and_then(|name| name.split_once('-'));
    folder == "mainstay-audit"
        && digits(catalog, 32)
        && range.is_some_and(|(first, last)| digits(first, 12) && digits(last, 12))
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    // What vanishes under the walk is not there: a run may be pruning at this moment.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(root, &path, found),
            Ok(_) => {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
            Err(_) => {}
        }
    }
}

/// The visible points of a tier: those with a manifest.
pub fn manifests(tier: &Path) -> BTreeMap<RecoveryPointId, (PathBuf, Manifest)> {
    files(tier)
        .into_iter()
        .filter(|file| file.ends_with("manifest.json"))
        .map(|file| {
            let bytes = fs::read(tier.join(&file)).unwrap();
            let manifest = Manifest::parse(&bytes)
                .unwrap_or_else(|error| panic!("{}: {}", file.display(), error.0));
            let folder = tier.join(file.parent().unwrap());
            (manifest.id.clone(), (folder, manifest))
        })
        .collect()
}

/// Points of a tier whose manifest and objects are all there with the right sizes and SHA-256.
pub fn whole(tier: &Path) -> BTreeSet<RecoveryPointId> {
    manifests(tier)
        .into_iter()
        .filter(|(_, (folder, manifest))| trouble(folder, manifest).is_none())
        .map(|(id, _)| id)
        .collect()
}

/// What is wrong with the objects of a point.
pub fn trouble(folder: &Path, manifest: &Manifest) -> Option<String> {
    manifest.objects.iter().find_map(|object| {
        let Ok(bytes) = fs::read(folder.join(&object.file)) else {
            return Some(format!("`{}` of `{}` is missing", object.file, manifest.id));
        };
        if bytes.len() as u64 != object.bytes.0 {
            return Some(format!(
                "`{}` of `{}` has the wrong size",
                object.file, manifest.id
            ));
        }
        (Digest::sha256_of(&bytes) != object.sha256).then(|| {
            format!(
                "`{}` of `{}` has the wrong content",
                object.file, manifest.id
            )
        })
    })
}

/// Folder of a point on a tier.
pub fn folder(tier: &Path, point: &RecoveryPointId) -> PathBuf {
    tier.join(point.folder())
}

/// The data file of a point on a tier.
pub fn data(tier: &Path, point: &RecoveryPointId) -> PathBuf {
    let folder = folder(tier, point);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("data.")
        })
        .unwrap_or_else(|| panic!("no data in {}", folder.display()))
}
