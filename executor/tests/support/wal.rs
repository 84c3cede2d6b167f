//! Log as a server would write it, and the archive of a world that takes it.

use super::{World, database, keys::key, tier};
use mainstay_executor::{WalWiring, crash_point::CrashPoints, wal::WalStore};
use model::{ByteCount, WalFileName};
use std::sync::Arc;

/// The cluster whose log it is.
pub const CLUSTER: u64 = 7_300_000_000_000_000_001;
/// Bytes of a segment.
pub const SIZE: usize = 1 << 20;

/// An archive on these tiers, encrypted for these keys; nothing waits for a tier.
pub fn wiring(tiers: &[&str], keys: &[&str]) -> WalWiring {
    WalWiring {
        tiers: tiers.iter().map(|name| tier(name)).collect(),
        encrypt_for: keys.iter().map(|name| key(name)).collect(),
        stream_slot: None,
        compression_level: 1,
        parallel: 2,
        spool: None,
        spool_limit: ByteCount(1 << 30),
    }
}

/// Lets a world's log be archived so.
pub fn archive(world: &mut World, wiring: WalWiring) {
    let wired = world.wiring.databases.get_mut(&database()).unwrap();
    wired.wal = Some(wiring);
}

/// The archive as a new process sees it, which remembers nothing.
pub fn open(world: &World) -> Arc<WalStore> {
    let crash = CrashPoints::default();
    Arc::new(WalStore::open(&world.wiring, &database(), world.clock(), crash).unwrap())
}

/// A segment as a cluster would write it.
pub fn segment(cluster: u64, timeline: u32, number: u64, fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; SIZE];
    bytes[..40].fill(0);
    bytes[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
    bytes[2..4].copy_from_slice(&7_u16.to_le_bytes());
    bytes[4..8].copy_from_slice(&timeline.to_le_bytes());
    bytes[8..16].copy_from_slice(&(number * SIZE as u64).to_le_bytes());
    bytes[24..32].copy_from_slice(&cluster.to_le_bytes());
    bytes[32..36].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    bytes
}

/// The name of a segment of the first timeline.
pub fn name(number: u64) -> WalFileName {
    WalFileName::of_segment(1, number, SIZE as u64)
}
