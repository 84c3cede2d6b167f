//! What a server gets back: the right bytes or nothing, and "not there" only when every tier was read.

use crate::{
    executor::{
        self,
        wal::{Fetched, Put, fetch},
    },
    support::wal::{CLUSTER, name, open, segment},
    world::{archiving, code, file, put},
};
use std::sync::Arc;

/// The fear: an archive that cannot be read says "not there", and the server goes on without the rest of its log.
#[tokio::test]
async fn not_there_is_said_only_when_every_tier_was_read() {
    let world = archiving(&["prod"]).await;
    let store = open(&world);
    put(&store, &file(5, 1)).await;
    let away = world.folder.path().join("nas-away");
    std::fs::rename(world.folder.path().join("nas"), &away).unwrap();
    let target = world.folder.path().join("RECOVERYXLOG");
    let found = fetch(&store, Some(CLUSTER), &name(5).to_string(), &target).await;
    assert_eq!(found.unwrap(), Fetched::Found);
    assert!(std::fs::read(&target).unwrap() == segment(CLUSTER, 1, 5, 1));
    std::fs::remove_file(&target).unwrap();
    let unknown = fetch(&store, Some(CLUSTER), &name(6).to_string(), &target).await;
    assert_eq!(code(unknown), "mainstay::tier::unreachable");
    std::fs::rename(&away, world.folder.path().join("nas")).unwrap();
    let unknown = fetch(&store, Some(CLUSTER), &name(6).to_string(), &target).await;
    assert_eq!(unknown.unwrap(), Fetched::NotFound);
    // The history of the next timeline is never there, and that is no reason to stop.
    let history = fetch(&store, Some(CLUSTER), "00000002.history", &target).await;
    assert_eq!(history.unwrap(), Fetched::NotFound);
    let stranger = fetch(&store, Some(CLUSTER + 1), "00000002.history", &target).await;
    let stranger = stranger.unwrap_err();
    assert_eq!(stranger.code, "mainstay::wal::unknown-cluster");
    assert!(
        stranger.message.contains(&CLUSTER.to_string()),
        "{stranger}"
    );
    assert!(!target.exists());
}

#[tokio::test]
async fn an_empty_archive_is_no_end_of_a_log() {
    let world = archiving(&[]).await;
    let target = world.folder.path().join("RECOVERYXLOG");
    let found = fetch(&open(&world), Some(CLUSTER), "00000002.history", &target).await;
    assert_eq!(code(found), "mainstay::wal::unknown-cluster");
}

#[tokio::test]
async fn a_damaged_or_exchanged_file_is_read_from_the_other_tier_and_never_given_out() {
    for keys in [&[][..], &["prod"]] {
        let world = archiving(keys).await;
        let store = open(&world);
        put(&store, &file(5, 1)).await;
        put(&store, &file(6, 2)).await;
        let path = |tier: &str, number: &str| {
            let ending = if keys.is_empty() { "zst" } else { "zst.enc" };
            world.folder.path().join(tier).join(format!(
                "orders/wal/{CLUSTER}/00000001/0000000100000000/0000000100000000000000{number}.{ending}"
            ))
        };
        let good = std::fs::read(path("nas", "05")).unwrap();
        let other = std::fs::read(path("nas", "06")).unwrap();
        let mut flipped = good.clone();
        let middle = good.len() / 2;
        flipped[middle] ^= 1;
        for bad in [
            other,
            flipped,
            good[..middle].to_vec(),
            Vec::new(),
            b"?".to_vec(),
        ] {
            std::fs::write(path("nas", "05"), &bad).unwrap();
            let found = store.get(CLUSTER, name(5)).await.unwrap();
            assert!(found == Some(segment(CLUSTER, 1, 5, 1)));
            let there = put(&store, &file(5, 1)).await;
            assert_eq!(
                there,
                [
                    Err("mainstay::wal::existing-damaged"),
                    Ok(Put::AlreadyThere)
                ]
            );
            std::fs::remove_file(path("disk", "05")).unwrap();
            assert_eq!(
                code(store.get(CLUSTER, name(5)).await),
                "mainstay::copy::damaged"
            );
            std::fs::write(path("disk", "05"), &good).unwrap();
        }
    }
}

/// The fear: after a power loss a file that was fetched ahead has its size and zeros inside, and ends a recovery early.
#[test]
fn a_file_that_a_dead_process_fetched_ahead_is_not_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("pg_wal/RECOVERYXLOG");
    let ahead = folder.path().join("pg_wal/.mainstay-prefetch");
    std::fs::create_dir_all(&ahead).unwrap();
    std::fs::write(ahead.join(name(5).to_string()), segment(CLUSTER, 1, 5, 0)).unwrap();
    let lock = std::fs::File::create(ahead.join("lock")).unwrap();
    let taken = executor::wal::take_prefetched(&name(5).to_string(), &target);
    assert_eq!(taken, executor::wal::Prefetched::Not);
    assert!(!target.exists());
    // As long as whoever fetched it lives it is.
    lock.lock().unwrap();
    let taken = executor::wal::take_prefetched(&name(5).to_string(), &target);
    assert_eq!(taken, executor::wal::Prefetched::Taken { coming: true });
    assert!(target.exists());
}

#[tokio::test]
async fn fetching_ahead_begins_and_ends_with_an_empty_folder() {
    let world = archiving(&["prod"]).await;
    let store = open(&world);
    put(&store, &file(5, 1)).await;
    put(&store, &file(6, 1)).await;
    let target = world.folder.path().join("data/pg_wal/RECOVERYXLOG");
    let ahead = target.with_file_name(".mainstay-prefetch");
    std::fs::create_dir_all(&ahead).unwrap();
    std::fs::write(ahead.join(name(6).to_string()), segment(CLUSTER, 1, 6, 9)).unwrap();
    let five = name(5).to_string();
    fetch(&store, Some(CLUSTER), &five, &target).await.unwrap();
    let (own, at) = (Arc::clone(&store), target.clone());
    let fetching =
        tokio::spawn(async move { executor::wal::prefetch(&own, CLUSTER, &at, 2).await });
    let six = name(6).to_string();
    let mut taken = executor::wal::Prefetched::Not;
    for _ in 0..500 {
        if ahead.join(&six).exists() {
            taken = executor::wal::take_prefetched(&six, &target);
        }
        if taken != executor::wal::Prefetched::Not {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_ne!(taken, executor::wal::Prefetched::Not);
    assert!(std::fs::read(&target).unwrap() == segment(CLUSTER, 1, 6, 1));
    fetching.await.unwrap().unwrap();
    assert!(!ahead.exists());
}
