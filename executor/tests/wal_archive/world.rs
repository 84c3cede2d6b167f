//! A world whose log is archived on two tiers.

use crate::{
    executor::{
        WalWiring,
        wal::{Put, WalFile, WalStore},
    },
    support::{
        self, World, database, tier,
        wal::{CLUSTER, name, segment, wiring},
    },
};
use providers::api::ProviderError;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A world whose log is archived on both tiers, encrypted for these keys.
pub(crate) async fn archiving(keys: &[&str]) -> World {
    let mut world = World::new().await;
    for name in ["nas", "disk"] {
        std::fs::create_dir_all(world.folder.path().join(name)).unwrap();
        world.wiring.tiers[&tier(name)]
            .tier
            .initialise(name)
            .await
            .unwrap();
    }
    support::wal::archive(&mut world, wiring(&["nas", "disk"], keys));
    world
}

pub(crate) fn wal(world: &mut World) -> &mut WalWiring {
    let wired = world.wiring.databases.get_mut(&database()).unwrap();
    wired.wal.as_mut().unwrap()
}

pub(crate) fn file(number: u64, fill: u8) -> WalFile {
    WalFile::new(name(number), segment(CLUSTER, 1, number, fill), None).unwrap()
}

pub(crate) async fn put(store: &Arc<WalStore>, file: &WalFile) -> Vec<Result<Put, &'static str>> {
    let results = store.put(file).await;
    results
        .into_iter()
        .map(|(_, result)| result.map_err(|error| error.code))
        .collect()
}

/// Where a file lies on a tier, and its bytes.
pub(crate) fn stored(world: &World, tier: &str) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.folder.path().join(tier).join("orders"), &mut found);
    found.sort();
    found
}

pub(crate) fn names(world: &World, tier: &str) -> Vec<String> {
    let top = world.folder.path().join(tier);
    let relative = |path: PathBuf| path.strip_prefix(&top).unwrap().display().to_string();
    let files = stored(world, tier).into_iter();
    files.map(|(path, _)| relative(path)).collect()
}

pub(crate) fn code<T>(result: Result<T, ProviderError>) -> &'static str {
    result.err().unwrap().code
}
