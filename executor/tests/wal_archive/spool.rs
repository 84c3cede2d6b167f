//! What waits for a tier that is away: where that is declared and safe, and seen by everybody who asks.

use crate::{
    executor::wal::{Fetched, Placed, Put, fetch, push_file, send_along},
    support::{
        World, database, tier,
        wal::{CLUSTER, name, open, segment},
    },
    world::{archiving, code, file, wal},
};
use model::{ByteCount, recovery_record::Promise};

async fn with_spool(limit: u64, rpo_seconds: Option<u64>) -> World {
    let mut world = archiving(&["prod"]).await;
    let spool = world.folder.path().join("spool");
    wal(&mut world).spool = Some(spool);
    wal(&mut world).spool_limit = ByteCount(limit);
    let wired = world.wiring.databases.get_mut(&database()).unwrap();
    wired.rpo = rpo_seconds.map(|seconds| Promise {
        maximum_seconds: seconds,
        target_seconds: seconds,
    });
    let now = jiff::Timestamp::try_from(
        std::fs::metadata(world.folder.path())
            .unwrap()
            .modified()
            .unwrap(),
    );
    world.clock.set(now.unwrap());
    world
}

fn take_away(world: &World, tier: &str) {
    let folder = world.folder.path();
    std::fs::rename(folder.join(tier), folder.join(format!("{tier}-away"))).unwrap();
}

fn bring_back(world: &World, tier: &str) {
    let folder = world.folder.path();
    std::fs::rename(folder.join(format!("{tier}-away")), folder.join(tier)).unwrap();
}

#[tokio::test]
async fn a_tier_that_is_away_is_served_later_if_the_objective_allows_it() {
    let world = with_spool(1 << 30, Some(300)).await;
    let store = open(&world);
    push_file(&store, &file(4, 1)).await.unwrap();
    take_away(&world, "disk");
    for number in [5, 6] {
        let pushed = push_file(&store, &file(number, 1)).await.unwrap();
        assert_eq!(
            pushed.tiers,
            [
                (tier("nas"), Placed::There(Put::Stored)),
                (tier("disk"), Placed::Waiting)
            ]
        );
        assert_eq!(pushed.warnings.len(), 1);
    }
    let waiting = store.spool().unwrap().waiting().unwrap();
    assert_eq!(waiting[&tier("disk")].files, 2);
    // Longer than the largest loss that is promised.
    world.clock.advance(jiff::SignedDuration::from_secs(301));
    let late = push_file(&store, &file(7, 1)).await;
    assert_eq!(code(late), "mainstay::tier::unreachable");
    bring_back(&world, "disk");
    let pushed = push_file(&store, &file(7, 1)).await.unwrap();
    assert_eq!(pushed.tiers[0].1, Placed::There(Put::AlreadyThere));
    send_along(&store, &pushed).await;
    assert!(store.spool().unwrap().waiting().unwrap().is_empty());
    for number in 4..8 {
        let found = store
            .get_from(&tier("disk"), CLUSTER, name(number))
            .await
            .unwrap();
        assert!(found == Some(segment(CLUSTER, 1, number, 1)), "{number}");
    }
}

#[tokio::test]
async fn a_file_waits_only_where_that_is_declared_and_safe() {
    // No objective, no room, no tier at all: the server keeps the file.
    for (limit, rpo, away) in [
        (1 << 30, None, &["disk"][..]),
        (0, Some(300), &["disk"]),
        (1 << 30, Some(300), &["nas", "disk"]),
    ] {
        let world = with_spool(limit, rpo).await;
        for tier in away {
            take_away(&world, tier);
        }
        let store = open(&world);
        let pushed = push_file(&store, &file(5, 1)).await;
        assert_eq!(code(pushed), "mainstay::tier::unreachable");
        assert!(store.spool().unwrap().waiting().unwrap().is_empty());
    }
    // What is wrong with the file is no reason to wait.
    let world = with_spool(1 << 30, Some(300)).await;
    let store = open(&world);
    push_file(&store, &file(5, 1)).await.unwrap();
    let wrong = push_file(&store, &file(5, 2)).await;
    assert_eq!(code(wrong), "mainstay::wal::different-content");
    assert!(store.spool().unwrap().waiting().unwrap().is_empty());
}

/// The fear: the only tier that had a file is lost, the other one comes back, and a recovery is told that the file is not archived
/// while it waits in the spool.
#[tokio::test]
async fn what_waits_in_the_spool_is_given_to_a_recovery() {
    let world = with_spool(1 << 30, Some(300)).await;
    let store = open(&world);
    push_file(&store, &file(4, 1)).await.unwrap();
    take_away(&world, "disk");
    push_file(&store, &file(5, 1)).await.unwrap();
    bring_back(&world, "disk");
    std::fs::remove_dir_all(world.folder.path().join("nas/orders")).unwrap();
    let target = world.folder.path().join("RECOVERYXLOG");
    let store = open(&world);
    let found = fetch(&store, Some(CLUSTER), &name(5).to_string(), &target).await;
    assert_eq!(found.unwrap(), Fetched::Found);
    assert!(std::fs::read(&target).unwrap() == segment(CLUSTER, 1, 5, 1));
    let none = fetch(&store, Some(CLUSTER), &name(6).to_string(), &target).await;
    assert_eq!(none.unwrap(), Fetched::NotFound);
}

/// The fear: a second server's file takes the place of the one that waits.
#[tokio::test]
async fn a_file_that_waits_is_not_replaced_by_another_one() {
    let world = with_spool(1 << 30, Some(300)).await;
    push_file(&open(&world), &file(4, 1)).await.unwrap();
    take_away(&world, "disk");
    push_file(&open(&world), &file(5, 1)).await.unwrap();
    std::fs::remove_dir_all(world.folder.path().join("nas/orders")).unwrap();
    let other = push_file(&open(&world), &file(5, 2)).await;
    assert_eq!(code(other), "mainstay::wal::different-content");
    bring_back(&world, "disk");
    let store = open(&world);
    let (sent, trouble) = store.spool().unwrap().send(&store, 10, |_| true).await;
    assert_eq!((sent, trouble.len()), (1, 0));
    let there = store.get_from(&tier("disk"), CLUSTER, name(5)).await;
    assert!(there.unwrap() == Some(segment(CLUSTER, 1, 5, 1)));
}
