//! Archiving many segments takes no more memory than a few: 64 MiB for each that is under way. Alone in its program, which it measures.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_executor as executor;

mod support;

use executor::wal::push;
use model::WalFileName;
use std::{fs, path::Path};
use support::{
    World, tier,
    wal::{CLUSTER, archive, open, wiring},
};
use tokio::{sync::Semaphore, task::JoinSet};

const SEGMENT: usize = 16 << 20;
const SEGMENTS: u64 = 40;
const AT_ONCE: usize = 4;

/// A segment that does not compress.
fn segment(number: u64) -> Vec<u8> {
    let mut bytes = support::wal::segment(CLUSTER, 1, 0, 0);
    bytes[8..16].copy_from_slice(&(number * SEGMENT as u64).to_le_bytes());
    bytes[32..36].copy_from_slice(&u32::try_from(SEGMENT).unwrap().to_le_bytes());
    bytes.truncate(8192);
    let mut state = number + 1;
    while bytes.len() < SEGMENT {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Most resident memory so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

fn write(folder: &Path, number: u64) -> std::path::PathBuf {
    let name = WalFileName::of_segment(1, number, SEGMENT as u64);
    let path = folder.join(name.to_string());
    fs::write(&path, segment(number)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_segments_take_no_more_memory_than_a_few() {
    let mut world = World::new().await;
    fs::create_dir_all(world.folder.path().join("nas")).unwrap();
    let nas = &world.wiring.tiers[&tier("nas")].tier;
    nas.initialise("nas").await.unwrap();
    archive(&mut world, wiring(&["nas"], &["prod"]));
    let store = open(&world);
    let pg_wal = world.folder.path().join("pg_wal");
    fs::create_dir(&pg_wal).unwrap();
    let paths: Vec<_> = (1..=SEGMENTS)
        .map(|number| write(&pg_wal, number))
        .collect();

    let before = peak();
    let turns = std::sync::Arc::new(Semaphore::new(AT_ONCE));
    let mut pushing = JoinSet::new();
    for path in paths {
        let (store, turns) = (store.clone(), turns.clone());
        pushing.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            push(&store, &path, None).await.unwrap();
        });
    }
    pushing.join_all().await;
    let grown = peak() - before;
    let listed = store.list(&tier("nas")).await.unwrap();
    assert_eq!(listed.files.len() as u64, SEGMENTS);
    assert!(
        grown < (AT_ONCE as u64 * 64) << 20,
        "grown by {grown} bytes"
    );
    // For whoever looks at the figure.
    eprintln!("grown by {} MiB", grown >> 20);
}
