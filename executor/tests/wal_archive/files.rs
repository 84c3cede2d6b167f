//! What is stored: created or compared, never overwritten; whose log it is; what calls that fail leave.

use crate::{
    executor::{
        self,
        wal::{KnownCluster, Put, WalFile, push, push_file},
    },
    support::{
        faults::Fault,
        tier,
        wal::{CLUSTER, SIZE, name, open, segment},
    },
    world::{archiving, code, file, names, put, stored},
};
use model::WalFileName;
use std::io::Read as _;

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
        assert!(
            store
                .accept(&tier(name), &cluster, &|_| true)
                .await
                .unwrap()
        );
        assert!(
            !store
                .accept(&tier(name), &cluster, &|_| true)
                .await
                .unwrap()
        );
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
        let accepted = open(&world).accept(&tier("nas"), &cluster, &|_| true).await;
        assert_eq!(code(accepted), "mainstay::wal::cluster-file", "{size}");
    }
    assert!(stored(&world, "nas") == before);
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
