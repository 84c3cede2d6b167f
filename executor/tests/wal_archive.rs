//! The archive of a log on its tiers: created or compared, never overwritten; whose log it is; keys; what waits for a tier.

#![allow(
    clippy::disallowed_methods,
    reason = "that somebody takes a folder away is what is tested"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{
    WalWiring,
    crash_point::CrashPoints,
    wal::{
        Fetched, KnownCluster, Placed, Put, WalFile, WalStore, fetch, push, push_file, send_along,
    },
};
use model::{ByteCount, WalFileName, recovery_record::Promise};
use providers::api::ProviderError;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use support::{World, database, faults::Fault, keys::key, tier};

const CLUSTER: u64 = 7_300_000_000_000_000_001;
const SIZE: usize = 1 << 20;

/// A world whose log is archived on both tiers, encrypted for these keys.
async fn archiving(keys: &[&str]) -> World {
    let mut world = World::new().await;
    for name in ["nas", "disk"] {
        std::fs::create_dir_all(world.folder.path().join(name)).unwrap();
        world.wiring.tiers[&tier(name)]
            .tier
            .initialise(name)
            .await
            .unwrap();
    }
    let wired = world.wiring.databases.get_mut(&database()).unwrap();
    wired.wal = Some(WalWiring {
        tiers: vec![tier("nas"), tier("disk")],
        encrypt_for: keys.iter().map(|name| key(name)).collect(),
        stream_slot: None,
        compression_level: 1,
        parallel: 2,
        spool: None,
        spool_limit: ByteCount(1 << 30),
    });
    world
}

fn wal(world: &mut World) -> &mut WalWiring {
    let wired = world.wiring.databases.get_mut(&database()).unwrap();
    wired.wal.as_mut().unwrap()
}

fn open(world: &World) -> Arc<WalStore> {
    let crash = CrashPoints::default();
    Arc::new(WalStore::open(&world.wiring, &database(), world.clock(), crash).unwrap())
}

/// A segment as a cluster would write it.
fn segment(cluster: u64, timeline: u32, number: u64, fill: u8) -> Vec<u8> {
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

fn name(number: u64) -> WalFileName {
    WalFileName::of_segment(1, number, SIZE as u64)
}

fn file(number: u64, fill: u8) -> WalFile {
    WalFile::new(name(number), segment(CLUSTER, 1, number, fill), None).unwrap()
}

async fn put(store: &Arc<WalStore>, file: &WalFile) -> Vec<Result<Put, &'static str>> {
    let results = store.put(file).await;
    results
        .into_iter()
        .map(|(_, result)| result.map_err(|error| error.code))
        .collect()
}

/// Where a file lies on a tier, and its bytes.
fn stored(world: &World, tier: &str) -> Vec<(PathBuf, Vec<u8>)> {
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

fn names(world: &World, tier: &str) -> Vec<String> {
    let top = world.folder.path().join(tier);
    let relative = |path: PathBuf| path.strip_prefix(&top).unwrap().display().to_string();
    let files = stored(world, tier).into_iter();
    files.map(|(path, _)| relative(path)).collect()
}

fn code<T>(result: Result<T, ProviderError>) -> &'static str {
    result.err().unwrap().code
}

#[tokio::test]
async fn a_file_lies_on_every_tier_and_comes_back_byte_by_byte() {
    for keys in [&[][..], &["prod", "offline"]] {
        let world = archiving(keys).await;
        let store = open(&world);
        assert_eq!(
            put(&store, &file(5, 1)).await,
            [Ok(Put::Stored), Ok(Put::Stored)]
        );
        let found = store.get(CLUSTER, name(5)).await.unwrap();
        assert!(found == Some(segment(CLUSTER, 1, 5, 1)));
        assert_eq!(store.get(CLUSTER, name(6)).await.unwrap(), None);
        for name in ["nas", "disk"] {
            let listing = store.list(&tier(name)).await.unwrap();
            assert_eq!(listing.files.len(), 1);
            assert_eq!(listing.files[0].system_identifier, CLUSTER);
            assert_eq!(listing.clusters.unwrap().current, CLUSTER);
            assert_eq!(listing.strangers, Vec::<String>::new());
        }
        let folder = "orders/wal/7300000000000000001/00000001/0000000100000000";
        let mut expected = vec![
            format!("{folder}/000000010000000000000005.zst"),
            "orders/wal/cluster.json".to_owned(),
        ];
        if !keys.is_empty() {
            expected[0] += ".enc";
            expected.insert(1, format!("{folder}/keys.json"));
            let plain = segment(CLUSTER, 1, 5, 1);
            let whole = std::fs::read(world.folder.path().join("nas").join(&expected[0])).unwrap();
            assert!(!whole.windows(64).any(|window| window == &plain[100..164]));
        }
        assert_eq!(names(&world, "nas"), expected);
        assert_eq!(names(&world, "disk"), expected);
    }
}

/// The fear: a server sends a file again after a crash, or another server sends another one under the same name.
#[tokio::test]
async fn the_same_again_is_fine_and_other_content_is_refused_without_a_change() {
    for keys in [&[][..], &["prod"]] {
        let world = archiving(keys).await;
        put(&open(&world), &file(5, 1)).await;
        let before = stored(&world, "nas");
        // Another process, which remembers nothing.
        let store = open(&world);
        let again = [Ok(Put::AlreadyThere), Ok(Put::AlreadyThere)];
        assert_eq!(put(&store, &file(5, 1)).await, again);
        let refused = Err("mainstay::wal::different-content");
        assert_eq!(put(&store, &file(5, 2)).await, [refused, refused]);
        assert!(stored(&world, "nas") == before);
    }
}

#[tokio::test]
async fn encryption_switched_on_or_off_does_not_make_a_file_twice() {
    let mut world = archiving(&[]).await;
    put(&open(&world), &file(5, 1)).await;
    wal(&mut world).encrypt_for = vec![key("prod")];
    let store = open(&world);
    assert_eq!(put(&store, &file(5, 1)).await, [Ok(Put::AlreadyThere); 2]);
    let refused = Err("mainstay::wal::different-content");
    assert_eq!(put(&store, &file(5, 2)).await, [refused, refused]);
    put(&store, &file(6, 1)).await;
    wal(&mut world).encrypt_for = Vec::new();
    let store = open(&world);
    assert_eq!(put(&store, &file(6, 1)).await, [Ok(Put::AlreadyThere); 2]);
    assert!(store.get(CLUSTER, name(5)).await.unwrap().is_some());
    assert!(store.get(CLUSTER, name(6)).await.unwrap().is_some());
}

/// The fear: a copy of the server, or a new one under the same policy, archives into the log of the first.
#[tokio::test]
async fn another_cluster_is_refused_until_a_person_accepts_it() {
    let world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    let before = names(&world, "nas");
    let store = open(&world);
    let other = WalFile::new(name(5), segment(CLUSTER + 1, 1, 5, 1), None).unwrap();
    let refused = Err("mainstay::wal::other-cluster");
    assert_eq!(put(&store, &other).await, [refused, refused]);
    assert_eq!(names(&world, "nas"), before);
    let cluster = KnownCluster {
        system_identifier: CLUSTER + 1,
        segment_bytes: None,
        since: world.clock().now(),
        who: "dba".to_owned(),
        why: "upgraded".to_owned(),
    };
    for name in ["nas", "disk"] {
        assert!(store.accept(&tier(name), &cluster).await.unwrap());
        assert!(!store.accept(&tier(name), &cluster).await.unwrap());
    }
    assert_eq!(
        put(&store, &other).await,
        [Ok(Put::Stored), Ok(Put::Stored)]
    );
    // The old one is not taken any more, and what it left can be read.
    assert_eq!(put(&open(&world), &file(6, 1)).await, [refused, refused]);
    assert!(store.get(CLUSTER, name(5)).await.unwrap().is_some());
    let known = store.clusters(&tier("nas")).await.unwrap().unwrap();
    assert_eq!(known.clusters.len(), 2);
    assert_eq!(known.clusters[1].why, "upgraded");
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused_before_anything_is_done() {
    let whole = segment(CLUSTER, 1, 5, 1);
    let take = |number, bytes: &[u8], server| {
        WalFile::new(name(number), bytes.to_vec(), server).map_err(|error| error.code)
    };
    let wrong = "mainstay::wal::not-this-segment";
    assert!(take(5, &whole, Some(CLUSTER)).is_ok());
    assert_eq!(take(6, &whole, None).unwrap_err(), wrong);
    assert_eq!(take(5, &whole[..SIZE - 1], None).unwrap_err(), wrong);
    assert_eq!(take(5, &[], None).unwrap_err(), wrong);
    assert_eq!(take(5, &vec![0; SIZE], None).unwrap_err(), wrong);
    let other = Some(CLUSTER + 1);
    assert_eq!(
        take(5, &whole, other).unwrap_err(),
        "mainstay::wal::other-cluster"
    );
    let history = WalFileName::parse("00000002.history").unwrap();
    let without = WalFile::new(history, b"1\t0/3000000\tno reason\n".to_vec(), None);
    assert_eq!(code(without), "mainstay::wal::cluster-file");
}

#[tokio::test]
async fn histories_backups_partials_and_beginnings_have_their_places() {
    let world = archiving(&["prod"]).await;
    let store = open(&world);
    let own = |text: &str| WalFileName::parse(text).unwrap();
    for (text, bytes) in [
        ("00000002.history", b"1\t0/3000000\tno reason\n".to_vec()),
        (
            "000000010000000000000005.00000028.backup",
            b"START WAL LOCATION\n".to_vec(),
        ),
        (
            "000000010000000000000005.partial",
            segment(CLUSTER, 1, 5, 3),
        ),
        (
            "000000010000000000000007.00002000.beginning",
            segment(CLUSTER, 1, 7, 3)[..8192].to_vec(),
        ),
        (
            "000000010000000000000007.00004000.beginning",
            segment(CLUSTER, 1, 7, 3)[..16384].to_vec(),
        ),
    ] {
        let file = WalFile::new(own(text), bytes.clone(), Some(CLUSTER)).unwrap();
        assert_eq!(put(&store, &file).await, [Ok(Put::Stored), Ok(Put::Stored)]);
        assert!(store.get(CLUSTER, own(text)).await.unwrap() == Some(bytes));
    }
    // A server that asks for the segment gets the longest part of it, filled up.
    let beginning = store
        .get_beginning(CLUSTER, name(7))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(beginning.len(), SIZE);
    assert!(beginning[..16384] == segment(CLUSTER, 1, 7, 3)[..16384]);
    assert!(beginning[16384..].iter().all(|byte| *byte == 0));
    let fetcher = store.fetcher(CLUSTER);
    let mut whole = Vec::new();
    fetcher
        .fetch(&name(5))
        .await
        .unwrap()
        .unwrap()
        .read_to_end(&mut whole)
        .unwrap();
    assert!(whole == segment(CLUSTER, 1, 5, 3));
    assert!(fetcher.fetch(&name(6)).await.unwrap().is_none());
}

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

#[tokio::test]
async fn keys_that_are_gone_come_from_the_other_tier_and_are_never_made_anew_over_files() {
    let mut world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    let ring = |world: &World, tier: &str| {
        world.folder.path().join(tier).join(format!(
            "orders/wal/{CLUSTER}/00000001/0000000100000000/keys.json"
        ))
    };
    let (nas, disk) = (ring(&world, "nas"), ring(&world, "disk"));
    let good = std::fs::read(&nas).unwrap();
    assert!(
        good == std::fs::read(&disk).unwrap(),
        "one key for both tiers"
    );
    std::fs::remove_file(&nas).unwrap();
    assert_eq!(put(&open(&world), &file(6, 1)).await, [Ok(Put::Stored); 2]);
    assert!(good == std::fs::read(&nas).unwrap());
    std::fs::remove_file(&nas).unwrap();
    std::fs::remove_file(&disk).unwrap();
    let lost = Err("mainstay::wal::keys-lost");
    assert_eq!(put(&open(&world), &file(7, 1)).await, [lost, lost]);
    assert_eq!(
        code(open(&world).get(CLUSTER, name(5)).await),
        "mainstay::wal::keys-lost"
    );
    for path in [&nas, &disk] {
        std::fs::write(path, &good).unwrap();
    }
    // Without a key that opens, nothing can be told, and nothing is archived.
    let prod = world.wiring.keys.remove(&key("prod")).unwrap();
    assert_eq!(
        code(open(&world).get(CLUSTER, name(5)).await),
        "mainstay::key::none-opens"
    );
    wal(&mut world).encrypt_for = vec![key("offline")];
    let cannot = Err("mainstay::wal::cannot-open");
    assert_eq!(put(&open(&world), &file(7, 1)).await, [cannot, cannot]);
    world.wiring.keys.insert(key("prod"), prod);
    assert_eq!(put(&open(&world), &file(7, 1)).await, [Ok(Put::Stored); 2]);
}

#[tokio::test]
async fn several_that_send_at_once_make_one_file_and_one_key() {
    let world = archiving(&["prod"]).await;
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = open(&world);
        sending.spawn(async move {
            let mut all = Vec::new();
            for number in 1..4 {
                all.extend(put(&store, &file(number, 1)).await);
            }
            all
        });
    }
    let mut stored = 0;
    while let Some(results) = sending.join_next().await {
        for result in results.unwrap() {
            stored += usize::from(result.unwrap() == Put::Stored);
        }
    }
    assert_eq!(stored, 6, "three files on two tiers, each made once");
    for number in 1..4 {
        let found = open(&world).get(CLUSTER, name(number)).await.unwrap();
        assert!(found == Some(segment(CLUSTER, 1, number, 1)));
    }
}

/// The fear: a process dies in any of its calls, and what it left stops the next or is half a file.
#[tokio::test]
async fn a_death_in_any_call_leaves_nothing_half_and_the_next_try_succeeds() {
    for fault in [Fault::Death, Fault::After, Fault::Before] {
        for n in 1.. {
            let world = archiving(&["prod"]).await;
            world.faults.arm(n, fault);
            let store = open(&world);
            let (store, first) = (&store, file(5, 1));
            tokio::select! {
                _ = push_file(store, &first) => {}
                () = world.faults.death() => {}
            }
            let hit = world.faults.disarm();
            let store = open(&world);
            if let Some(found) = store.get(CLUSTER, name(5)).await.unwrap() {
                assert!(found == segment(CLUSTER, 1, 5, 1), "{fault:?} {n}");
            }
            let again = put(&store, &file(5, 1)).await;
            assert!(again.iter().all(Result::is_ok), "{fault:?} {n}: {again:?}");
            for name in ["nas", "disk"] {
                let listing = store.list(&tier(name)).await.unwrap();
                assert_eq!(listing.files.len(), 1, "{fault:?} {n}");
                assert_eq!(listing.strangers, Vec::<String>::new());
            }
            if !hit {
                assert!(n > 5, "the fault never came");
                break;
            }
        }
    }
}

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

#[tokio::test]
async fn a_path_that_cannot_be_archived_is_named() {
    let world = archiving(&[]).await;
    let store = open(&world);
    let folder = world.folder.path().join("data/pg_wal");
    std::fs::create_dir_all(&folder).unwrap();
    let missing = folder.join(name(5).to_string());
    assert_eq!(
        code(push(&store, &missing, None).await),
        "mainstay::wal::unreadable"
    );
    std::fs::write(&missing, b"").unwrap();
    assert_eq!(
        code(push(&store, &missing, None).await),
        "mainstay::wal::not-this-segment"
    );
    let other = folder.join("notes.txt");
    std::fs::write(&other, b"x").unwrap();
    assert_eq!(
        code(push(&store, &other, None).await),
        "mainstay::wal::file-name"
    );
    // A history says nothing of its cluster: that stands in `pg_control`.
    let history = folder.join("00000002.history");
    std::fs::write(&history, b"1\t0/3000000\tno reason\n").unwrap();
    assert_eq!(
        code(push(&store, &history, None).await),
        "mainstay::wal::cluster-file"
    );
    let control = world.folder.path().join("data/global/pg_control");
    std::fs::create_dir_all(control.parent().unwrap()).unwrap();
    std::fs::write(&control, [&CLUSTER.to_ne_bytes()[..], &[0; 100]].concat()).unwrap();
    push(&store, &history, None).await.unwrap();
    assert_eq!(
        names(&world, "nas")[0],
        format!("orders/wal/{CLUSTER}/history/00000002.history.zst")
    );
}

/// The fear: the old key is destroyed after a rotation, and the log was forgotten.
#[tokio::test]
async fn after_a_rotation_the_new_key_alone_opens_the_log() {
    let mut world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    world.add_key("next");
    let order = executor::RotateOrder {
        wanted: std::collections::BTreeMap::from([(database(), vec![key("next")])]),
        points: None,
        tiers: None,
        keep_old: false,
        who: "tester".to_owned(),
        why: "a test".to_owned(),
        run: "rotation".to_owned(),
        lease_wait: std::time::Duration::ZERO,
    };
    let before = stored(&world, "nas");
    for changed in [1, 0] {
        let clock = world.clock();
        let report = executor::rotate(&order, &world.wiring, &world.catalog, &clock, &|_, _| {});
        let report = report.await.unwrap();
        assert!(report.is_complete());
        for tier in report.tiers.values() {
            assert_eq!(
                (tier.rewrapped.len(), tier.already_fine.len()),
                (changed, 1 - changed)
            );
        }
    }
    let keys = executor::key_report(&world.wiring, None, world.clock().now(), &|_, _| {});
    let keys = keys.await.unwrap();
    assert_eq!(keys.copies, 2);
    let next = keys
        .keys
        .iter()
        .find(|used| used.names.contains(&key("next")))
        .unwrap();
    assert_eq!((next.copies, next.only.len()), (2, 1));
    let changed = stored(&world, "nas")
        .into_iter()
        .zip(before)
        .filter(|(now, before)| now != before)
        .map(|((path, _), _)| path)
        .collect::<Vec<_>>();
    assert_eq!(changed.len(), 1);
    assert!(changed[0].ends_with("keys.json"));
    world.wiring.keys.remove(&key("prod"));
    wal(&mut world).encrypt_for = vec![key("next")];
    let store = open(&world);
    assert!(store.get(CLUSTER, name(5)).await.unwrap() == Some(segment(CLUSTER, 1, 5, 1)));
    assert_eq!(put(&store, &file(6, 1)).await, [Ok(Put::Stored); 2]);
}

/// The emergency: no Mainstay, only the kit, the key file and a folder of the tier.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the scripts are programs, and which Python has `cryptography` is said by ./check"
)]
async fn the_kit_opens_a_segment_by_hand() {
    let world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    put(&open(&world), &file(6, 2)).await;
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("recovery-kit");
    let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = world.folder.path().join(format!(
        "nas/orders/wal/{CLUSTER}/00000001/0000000100000000"
    ));
    let run = |program: &str, script: &str, name: &str| {
        std::process::Command::new(program)
            .arg(kit.join(script))
            .args([&folder, Path::new(name), Path::new("--key-file")])
            .arg(world.key_path("prod"))
            .output()
            .unwrap()
    };
    let own = "000000010000000000000005.zst.enc";
    for (program, script) in [(python.as_str(), "recover.py"), ("bash", "recover.sh")] {
        let done = run(program, script, own);
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{script}: {words}");
        let packed = bytes::Bytes::from(done.stdout);
        let plain = providers::stream::unpack_whole(&[packed], None, 1 << 30, "by hand");
        assert!(plain.unwrap() == segment(CLUSTER, 1, 5, 1), "{script}");
    }
    // Another file in its place.
    std::fs::copy(
        folder.join("000000010000000000000006.zst.enc"),
        folder.join(own),
    )
    .unwrap();
    assert!(!run(&python, "recover.py", own).status.success());
}

/// The fear: a process made a file visible and died before the folder was synced; the next one says "already there", the server
/// forgets the file, and the power fails.
#[tokio::test]
async fn a_file_that_is_there_already_is_made_durable_before_that_is_said() {
    let world = archiving(&["prod"]).await;
    put(&open(&world), &file(5, 1)).await;
    assert!(world.faults.synced().is_empty());
    let again = put(&open(&world), &file(5, 1)).await;
    assert_eq!(again, [Ok(Put::AlreadyThere); 2]);
    let folder = format!("orders/wal/{CLUSTER}/00000001/0000000100000000");
    let own = format!("{folder}/000000010000000000000005.zst.enc");
    assert_eq!(world.faults.synced(), [own.clone(), own]);
    // Where that fails, the server keeps the file. It is the last call on a tier.
    let mut kept = 0;
    for n in 1.. {
        world.faults.arm(n, Fault::Before);
        let again = put(&open(&world), &file(5, 1)).await;
        if !world.faults.disarm() {
            break;
        }
        kept = again.iter().filter(|one| one.is_err()).count();
    }
    assert_eq!(kept, 1);
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

/// The fear: others on the machine have files archived, or tell the server that its file is.
#[tokio::test]
async fn only_its_owner_can_ask_an_agent() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = archiving(&[]).await;
    let folder = world.folder.path().join("sockets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let _agent = executor::wal::WalAgent::start(open(&world), &folder).unwrap();
    let about = std::fs::symlink_metadata(folder.join("orders.sock")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

/// The fear: a slip in `wal accept` puts every segment in a wrong place, and what is needed is deleted.
#[tokio::test]
async fn a_size_that_segments_cannot_have_is_not_accepted() {
    let world = archiving(&[]).await;
    put(&open(&world), &file(5, 1)).await;
    let before = stored(&world, "nas");
    for size in [0, 3, 16, 1 << 31] {
        let cluster = KnownCluster {
            system_identifier: CLUSTER,
            segment_bytes: Some(size),
            since: world.clock().now(),
            who: "dba".to_owned(),
            why: "a slip".to_owned(),
        };
        let accepted = open(&world).accept(&tier("nas"), &cluster).await;
        assert_eq!(code(accepted), "mainstay::wal::cluster-file", "{size}");
    }
    assert!(stored(&world, "nas") == before);
}
