//! The digest of an inventory: equal for equal facts in any order, different as soon as one fact differs.
//!
//! A tree, so that series are hashed in parallel: BLAKE3 of each series' points (canonical JSON, one a line, by slot), then
//! BLAKE3 of the inventory without points and of those digests in order. BLAKE3, because SHA-256 of a million points
//! would take longer than planning them.

use crate::{facts::BySeries, parallel};
use model::{Copy, Digest, Inventory, RecoveryPoint};
use std::io::{BufWriter, Write};

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
        keys.iter()
            .map(|key| leaf(groups[key].clone()))
            .collect::<Vec<_>>()
    });
    let mut root = blake3::Hasher::new();
    let mut bare = Inventory {
        format: inventory.format.clone(),
        last_activity: inventory.last_activity,
        observed_at: inventory.observed_at,
        recovery_points: Vec::new(),
        retention_in_force: inventory.retention_in_force.clone(),
        space: inventory.space.clone(),
        unreachable_tiers: inventory.unreachable_tiers.clone(),
        unreachable_why: inventory.unreachable_why.clone(),
    };
    bare.unreachable_tiers.sort();
    write_json(&mut root, &bare);
    for leaf in leaves.iter().flatten() {
        root.update(leaf.as_bytes());
    }
    Digest::blake3(root.finalize().as_bytes())
}

fn leaf(mut points: Vec<&RecoveryPoint>) -> blake3::Hash {
    points.sort_by_key(|point| (point.slot, &point.id));
    let mut hasher = blake3::Hasher::new();
    let mut sink = BufWriter::with_capacity(16 << 10, &mut hasher);
    for point in points {
        let sorted = point.copies.is_sorted_by(by_tier);
        if sorted {
            write_json(&mut sink, point);
        } else {
            let mut point = point.clone();
            point.copies.sort_by(|a, b| a.tier.cmp(&b.tier));
            write_json(&mut sink, &point);
        }
    }
    drop(sink);
    hasher.finalize()
}

fn by_tier(a: &Copy, b: &Copy) -> bool {
    a.tier <= b.tier
}

/// Neither our types nor a hasher can fail to be written; a failure would only make the digest differ.
fn write_json<T: serde::Serialize>(sink: &mut impl Write, value: &T) {
    let _ = serde_json::to_writer(&mut *sink, value);
    let _ = sink.write_all(b"\n");
}
