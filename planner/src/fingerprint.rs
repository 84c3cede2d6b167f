//! The digest of an inventory: equal for equal facts in any order, different as soon as one fact differs.
//!
//! A tree, so that series are hashed in parallel: BLAKE3 of each series' points (canonical JSON, one a line, by slot), then
//! BLAKE3 of the inventory without points and of those digests in order. BLAKE3, because SHA-256 of a million points
//! would take longer than planning them.

use crate::{facts::BySeries, parallel};
use model::{Copy, Digest, Inventory, RecoveryPoint};

/// The digest that a plan made from `inventory` carries.
pub fn inventory_digest(inventory: &Inventory) -> Digest {
    of_grouped(
        inventory,
        &crate::facts::by_series(&inventory.recovery_points),
    )
}

pub(crate) fn of_grouped(inventory: &Inventory, groups: &BySeries<'_>) -> Digest {
    let mut keys: Vec<_> = groups.keys().collect();
    keys.sort_unstable();
    let leaves = parallel::map_chunks(&keys, |keys| {
        // One buffer for all: writing into memory and hashing a series at once beats a buffered stream.
        let mut json = Vec::new();
        keys.iter()
            .map(|key| leaf(groups[key].clone(), &mut json))
            .collect::<Vec<_>>()
    });
    let mut root = blake3::Hasher::new();
    let mut bare = Inventory {
        approval_in_force: inventory.approval_in_force.clone(),
        format: inventory.format.clone(),
        last_activity: inventory.last_activity,
        observed_at: inventory.observed_at,
        recovery_points: Vec::new(),
        retention_in_force: inventory.retention_in_force.clone(),
        space: inventory.space.clone(),
        unreachable_tiers: inventory.unreachable_tiers.clone(),
        unreachable_why: inventory.unreachable_why.clone(),
        drills: inventory.drills.clone(),
        restores: inventory.restores.clone(),
        wal: inventory.wal.clone(),
    };
    bare.unreachable_tiers.sort();
    bare.drills.sort_by(|a, b| {
        (&a.database, &a.name, a.slot, a.at).cmp(&(&b.database, &b.name, b.slot, b.at))
    });
    for tier in bare
        .wal
        .values_mut()
        .flat_map(|archive| archive.tiers.values_mut())
    {
        tier.runs
            .sort_by_key(|run| (run.system_identifier, run.timeline, run.start));
        tier.histories
            .sort_by_key(|one| (one.system_identifier, one.history.timeline));
        tier.partials
            .sort_by_key(|part| (part.system_identifier, part.timeline, part.end));
    }
    let mut json = Vec::new();
    write_json(&mut json, &bare);
    root.update(&json);
    for leaf in leaves.iter().flatten() {
        root.update(leaf.as_bytes());
    }
    Digest::blake3(root.finalize().as_bytes())
}

fn leaf(mut points: Vec<&RecoveryPoint>, json: &mut Vec<u8>) -> blake3::Hash {
    points.sort_by_key(|point| (point.slot, &point.id));
    json.clear();
    for point in points {
        if point.copies.is_sorted_by(by_tier) {
            write_json(json, point);
        } else {
            let mut point = point.clone();
            point.copies.sort_by(|a, b| a.tier.cmp(&b.tier));
            write_json(json, &point);
        }
    }
    blake3::hash(json)
}

fn by_tier(a: &Copy, b: &Copy) -> bool {
    a.tier <= b.tier
}

/// Our types can always be written to memory; a failure would only make the digest differ.
fn write_json<T: serde::Serialize>(json: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(&mut *json, value);
    json.push(b'\n');
}
