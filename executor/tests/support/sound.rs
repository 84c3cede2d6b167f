//! What must hold after any run, whatever went wrong: nothing half-visible, nothing doubled, nothing that only one side knows.

use super::World;
use mainstay_executor::{Refresh, observe};
use model::{CopyState, RecoveryPointId};
use std::{collections::BTreeSet, path::Path};

/// Points on a tier that are visible, after checking that each is whole.
pub async fn visible(world: &World, name: &str) -> BTreeSet<RecoveryPointId> {
    let tier = &world.wiring.tiers[&super::tier(name)].tier;
    let mut points = BTreeSet::new();
    let Ok(objects) = tier.list("").await else {
        return points;
    };
    for info in objects {
        if !info.key.as_str().ends_with("/manifest.json") {
            continue;
        }
        let path = world.folder.path().join(name).join(info.key.as_str());
        let manifest = model::Manifest::parse(&std::fs::read(&path).unwrap()).unwrap();
        for object in &manifest.objects {
            let bytes = std::fs::read(path.with_file_name(&object.file)).unwrap();
            assert_eq!(
                model::Digest::sha256_of(&bytes),
                object.sha256,
                "`{}` is visible and wrong",
                path.display()
            );
        }
        if manifest.is_encrypted() {
            // Without its keys nobody can read it; a catalog that calls it present is caught by `assert_settled`.
            let Ok(ring) = std::fs::read(path.with_file_name("keys.json")) else {
                continue;
            };
            let ring = model::KeyRing::parse(&ring).unwrap();
            ring.belongs_to(&manifest).unwrap();
        }
        assert!(points.insert(manifest.id), "doubled");
    }
    points
}

/// Every file below a tier that no visible point names and that is not of the recovery kit, temporary files included.
pub fn stray(folder: &Path) -> Vec<String> {
    let mut stray = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let manifest = std::fs::read(folder.join("manifest.json"))
            .ok()
            .and_then(|bytes| model::Manifest::parse(&bytes).ok());
        for entry in entries {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let named = matches!(
                name.as_str(),
                ".mainstay-tier.json" | ".mainstay-lease.json" | ".mainstay-control.lock"
            ) || folder.ends_with("recovery-kit")
                || manifest.as_ref().is_some_and(|manifest| {
                    name == "manifest.json"
                        || (name == "keys.json" && manifest.is_encrypted())
                        || manifest.objects.iter().any(|object| object.file == name)
                });
            if !named {
                stray.push(entry.path().display().to_string());
            }
        }
    }
    stray.sort();
    stray
}

/// After a run that was interrupted: what is visible is whole. After one that converged: no trace of the interruption.
pub async fn assert_settled(world: &World, context: &str) {
    for name in ["nas", "disk"] {
        let on_tier = visible(world, name).await;
        let inventory = world.catalog.inventory(world.clock().now()).await.unwrap();
        let known: BTreeSet<RecoveryPointId> = inventory
            .recovery_points
            .iter()
            .filter(|point| {
                point
                    .copy_on(&super::tier(name))
                    .is_some_and(|copy| copy.state == CopyState::Present)
            })
            .map(|point| point.id.clone())
            .collect();
        assert_eq!(on_tier, known, "{context}: `{name}` and the catalog differ");
        assert_eq!(
            stray(&world.folder.path().join(name)),
            Vec::<String>::new(),
            "{context}: leftovers on `{name}`"
        );
    }
    assert!(
        world.catalog.unfinished().await.unwrap().is_empty(),
        "{context}: begun copies stay in the journal"
    );
    assert!(
        world.catalog.lease().await.unwrap().is_none(),
        "{context}: the lease was not given back"
    );
    let scratch = world.wiring.scratch.read_dir().map_or(0, Iterator::count);
    assert_eq!(scratch, 0, "{context}: scratch files stay");
    let seen = observe(
        Some(&world.catalog),
        &world.wiring.tiers,
        world.clock().now(),
        Refresh::Full,
    )
    .await
    .unwrap();
    assert_eq!(seen.drift, Vec::new(), "{context}: drift");
}
