//! What must hold after every finished apply, whatever happened before.

use super::{Site, inventory, stored};
use model::{CopyState, Inventory, PointState, RecoveryPointId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Points by tier.
pub type Whole = BTreeMap<String, BTreeSet<RecoveryPointId>>;

const TIERS: [&str; 2] = ["disk", "nas"];

/// What is whole on each tier at this moment, by the bytes.
pub fn whole(site: &Site) -> Whole {
    TIERS
        .iter()
        .map(|tier| ((*tier).to_owned(), stored::whole(&site.tier(tier))))
        .collect()
}

/// The catalog and the tiers agree, every copy is whole, nothing is doubled, nothing is half there, nothing lies around.
/// Gives the points with a copy that was never verified: only what a clean-up has just recorded may be among them.
#[track_caller]
pub fn assert_settled(site: &Site) -> BTreeSet<RecoveryPointId> {
    let known = site.known();
    assert_no_doubles(&known);
    for tier in TIERS {
        assert_tier(&site.tier(tier), tier, &known);
    }
    assert_same_manifests(site);
    let scratch = fs::read_dir(site.path().join(".mainstay/scratch"))
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name())
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    assert!(scratch.is_empty(), "scratch is left: {scratch:?}");
    site.expect(0, &["plan", "--refresh-only"]);
    known
        .recovery_points
        .into_iter()
        .filter(|point| point.copies.iter().any(|copy| copy.verified.is_none()))
        .map(|point| point.id)
        .collect()
}

fn assert_no_doubles(known: &Inventory) {
    let mut slots = BTreeSet::new();
    let mut states = BTreeSet::new();
    for point in &known.recovery_points {
        assert_eq!(point.state, PointState::Complete, "{} is left", point.id);
        assert!(
            slots.insert((&point.database, &point.series, point.slot)),
            "{} is doubled",
            point.id
        );
        assert!(
            states.insert((&point.database, &point.series, point.captured_at)),
            "{} is doubled",
            point.id
        );
        assert!(!point.copies.is_empty(), "{} has no copy", point.id);
    }
}

fn assert_tier(folder: &Path, name: &str, known: &Inventory) {
    let mut expected = BTreeSet::new();
    let manifests = stored::manifests(folder);
    for point in &known.recovery_points {
        let Some(copy) = point.copies.iter().find(|copy| copy.tier.as_str() == name) else {
            continue;
        };
        assert_eq!(copy.state, CopyState::Present, "{} on {name}", point.id);
        let (at, manifest) = manifests
            .get(&point.id)
            .unwrap_or_else(|| panic!("{} is listed on {name} and not there", point.id));
        assert_eq!(stored::trouble(at, manifest), None, "on {name}");
        assert_eq!(manifest.slot, point.slot);
        assert_eq!(copy.bytes, manifest.bytes());
        let at = at.strip_prefix(folder).unwrap();
        expected.insert(at.join("manifest.json"));
        expected.extend(manifest.objects.iter().map(|object| at.join(&object.file)));
        if manifest.is_encrypted() {
            expected.insert(at.join("keys.json"));
        }
    }
    let there = stored::files(folder);
    let left: Vec<_> = there.difference(&expected).collect();
    assert!(left.is_empty(), "left on {name}: {left:?}");
    assert_eq!(there, expected, "on {name}");
}

/// Copies of one point are interchangeable: their manifests are the same bytes.
fn assert_same_manifests(site: &Site) {
    let nas = stored::manifests(&site.tier("nas"));
    for (id, (disk, _)) in stored::manifests(&site.tier("disk")) {
        if let Some((nas, _)) = nas.get(&id) {
            let [a, b] = [disk, nas.clone()].map(|at| fs::read(at.join("manifest.json")).unwrap());
            assert_eq!(a, b, "{id}");
        }
    }
}

/// A catalog made anew from the tiers alone knows the same points and copies.
#[track_caller]
pub fn assert_rebuilds(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("rebuilt.db").display().to_string();
    site.expect(0, &["catalog", "rebuild", "--state", &state]);
    let rebuilt = inventory(&site.expect(0, &["inventory", "--json", "--state", &state]));
    assert_eq!(facts(&rebuilt), facts(&site.known()));
}

type Facts = BTreeMap<RecoveryPointId, (jiff::Timestamp, jiff::Timestamp, u64, Vec<(String, u64)>)>;

fn facts(inventory: &Inventory) -> Facts {
    let points = inventory.recovery_points.iter().map(|point| {
        let copies = point
            .copies
            .iter()
            .map(|copy| (copy.tier.to_string(), copy.bytes.0))
            .collect();
        (
            point.id.clone(),
            (point.slot, point.captured_at, point.bytes.0, copies),
        )
    });
    points.collect()
}

/// A copy may be gone only if as many newer ones of its series are whole on the same tier as the policy keeps there.
#[track_caller]
pub fn assert_nothing_lost(before: &Whole, after: &Whole, last: usize) {
    for (tier, points) in before {
        for gone in points.difference(&after[tier]) {
            let newer = after[tier]
                .iter()
                .filter(|it| series(it) == series(gone) && it.stamp() > gone.stamp())
                .count();
            assert!(
                newer >= last,
                "{gone} is gone from {tier}, and only {newer} newer ones are there: {after:?}"
            );
        }
    }
}

fn series(point: &RecoveryPointId) -> (&str, &str) {
    (point.database(), point.series())
}

/// Each series has on each tier what the policy keeps, and at most one point that came due while the run was ending.
#[track_caller]
pub fn assert_pruned(after: &Whole, last: usize) {
    for (tier, points) in after {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for point in points {
            *counts.entry(series(point)).or_default() += 1;
        }
        assert!(
            counts
                .values()
                .all(|count| (last..=last + 1).contains(count)),
            "{tier}: {counts:?}"
        );
    }
}
