//! The archive of a log in buckets: a Ceph gateway, which leaves the comparing to us, and moto, which compares.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

#[path = "../../providers/tests/support/fault_proxy.rs"]
mod fault_proxy;
#[path = "../../providers/tests/support/s3.rs"]
mod s3;
mod support;

use executor::{
    TierWiring,
    wal::{Fetched, Put, WalFile, WalStore, fetch},
};
use fault_proxy::{Fault, FaultProxy, Rule};
use providers::tiers::s3::{S3Config, S3Tier};
use s3::{BucketKind, Moto, Rgw, Store};
use std::sync::Arc;
use support::{
    World, tier,
    wal::{self, CLUSTER, name, open},
};

/// A world whose log is archived in one bucket, encrypted.
async fn archiving(store: &Store, endpoint: &str, bucket: &str) -> World {
    let mut world = World::new().await;
    let folder = world.folder.path();
    std::fs::write(folder.join("id"), &store.access_key).unwrap();
    std::fs::write(folder.join("secret"), &store.secret_key).unwrap();
    let mut table = serde_json::json!({
        "bucket": bucket,
        "prefix": "cloud",
        "region": store.region,
        "endpoint": endpoint,
        "credentials": {"access-key-id": {"file": "id"}, "secret-access-key": {"file": "secret"}},
    });
    // The gateway ignores conditions in buckets with versions.
    if store.access_key == "AK" {
        table["exclusive"] = true.into();
    }
    let config: S3Config = serde_json::from_value(table).unwrap();
    let cloud: Arc<dyn providers::api::Tier> = Arc::new(S3Tier::new(tier("cloud"), config, folder));
    cloud.initialise("cloud").await.unwrap();
    let wired = TierWiring {
        tier: cloud,
        concurrency: 2,
    };
    world.wiring.tiers.insert(tier("cloud"), wired);
    wal::archive(&mut world, wal::wiring(&["cloud"], &["prod"]));
    world
}

fn segment(number: u64, fill: u8) -> Vec<u8> {
    wal::segment(CLUSTER, 1, number, fill)
}

async fn put(store: &Arc<WalStore>, number: u64, fill: u8) -> Result<Put, &'static str> {
    let sent = WalFile::new(name(number), segment(number, fill), None).unwrap();
    let mut results = store.put(&sent).await;
    results.pop().unwrap().1.map_err(|error| error.code)
}

fn stores() -> [&'static Store; 2] {
    [Rgw::shared(), Moto::shared()]
}

#[tokio::test]
async fn a_bucket_takes_a_file_once_gives_it_back_and_refuses_another_under_its_name() {
    for (store, kind) in stores()
        .into_iter()
        .flat_map(|store| [(store, BucketKind::Plain), (store, BucketKind::Versioned)])
    {
        let bucket = store.bucket("wal", kind);
        let world = archiving(store, &store.endpoint, &bucket).await;
        assert_eq!(put(&open(&world), 5, 1).await, Ok(Put::Stored));
        let before = store.versions(&bucket);
        assert_eq!(put(&open(&world), 5, 1).await, Ok(Put::AlreadyThere));
        let other = put(&open(&world), 5, 2).await;
        assert_eq!(other, Err("mainstay::wal::different-content"));
        assert_eq!(store.versions(&bucket), before, "{kind:?}");
        let target = world.folder.path().join("RECOVERYXLOG");
        let (archive, cluster) = (open(&world), Some(CLUSTER));
        let found = fetch(&archive, cluster, &name(5).to_string(), &target).await;
        assert_eq!(found.unwrap(), Fetched::Found);
        assert!(std::fs::read(&target).unwrap() == segment(5, 1));
        let none = fetch(&archive, cluster, &name(6).to_string(), &target).await;
        assert_eq!(none.unwrap(), Fetched::NotFound);
        let listing = archive.list(&tier("cloud")).await.unwrap();
        assert_eq!(listing.files.len(), 1);
        assert_eq!(listing.strangers, Vec::<String>::new());
        assert!(
            archive
                .delete(&tier("cloud"), &listing.files[0])
                .await
                .unwrap()
        );
        let left = store.versions(&bucket);
        assert!(!left.iter().any(|line| line.contains(".zst")), "{left:?}");
    }
}

/// The fear: an answer is lost, and the repeat is refused, or calls archived what is not there.
#[tokio::test]
async fn whatever_the_network_does_archived_means_that_it_is_there() {
    for store in stores() {
        let proxy = FaultProxy::start(store.port);
        let bucket = store.bucket("walnet", BucketKind::Plain);
        let world = archiving(store, &proxy.endpoint, &bucket).await;
        assert_eq!(put(&open(&world), 1, 1).await, Ok(Put::Stored));
        for (at, fault) in [
            Fault::DropBefore,
            Fault::DropAfter,
            Fault::InternalError,
            Fault::InternalErrorAfter,
            Fault::SlowDown,
            Fault::TruncateResponse,
            Fault::FlipRequest,
        ]
        .into_iter()
        .enumerate()
        {
            // Moto compares what it gets with nothing.
            if fault == Fault::FlipRequest && store.access_key != "AK" {
                continue;
            }
            let number = 10 + at as u64;
            proxy.disturb(Rule::once(fault, 1).method("PUT").target(".zst"));
            let result = put(&open(&world), number, 1).await;
            assert_eq!(proxy.calm(), 1, "{fault:?}");
            if result.is_ok() {
                let found = open(&world).get(CLUSTER, name(number)).await.unwrap();
                assert!(found == Some(segment(number, 1)), "{fault:?}");
            }
            let again = put(&open(&world), number, 1).await;
            assert!(again.is_ok(), "{fault:?}: {result:?}, then {again:?}");
            let other = put(&open(&world), number, 2).await;
            assert_eq!(other, Err("mainstay::wal::different-content"), "{fault:?}");
        }
    }
}

/// The fear: a store that cannot be asked, or answers with other bytes, ends a recovery early.
#[tokio::test]
async fn a_store_that_fails_or_gives_other_bytes_never_says_not_archived() {
    let store: &Store = Moto::shared();
    let proxy = FaultProxy::start(store.port);
    let bucket = store.bucket("walread", BucketKind::Plain);
    let world = archiving(store, &proxy.endpoint, &bucket).await;
    put(&open(&world), 5, 1).await.unwrap();
    let target = world.folder.path().join("RECOVERYXLOG");
    for fault in [
        Fault::DropAfter,
        Fault::SlowDown,
        Fault::FlipResponse,
        Fault::TruncateResponse,
    ] {
        for number in [5, 6] {
            proxy.disturb(Rule::from(fault, 1).method("GET"));
            let (archive, wanted) = (open(&world), name(number).to_string());
            let found = fetch(&archive, Some(CLUSTER), &wanted, &target).await;
            proxy.calm();
            match found {
                Err(_) => assert!(!target.exists(), "{fault:?}"),
                Ok(Fetched::Found) => assert!(
                    std::fs::read(&target).unwrap() == segment(5, 1),
                    "{fault:?}"
                ),
                // The store did say that there is no such key.
                Ok(Fetched::NotFound) => {
                    assert_eq!(number, 6);
                    assert!(matches!(
                        fault,
                        Fault::FlipResponse | Fault::TruncateResponse
                    ));
                }
                Ok(Fetched::FoundBeginning) => unreachable!("{fault:?}"),
            }
            let _ = std::fs::remove_file(&target);
        }
    }
}

/// The fear: a store says yes and keeps nothing, and the server forgets the file.
#[tokio::test]
async fn a_store_that_says_yes_and_keeps_nothing_is_found_out_before_the_server_is_told() {
    let store: &Store = Moto::shared();
    for lost in [".zst", "keys.json", "cluster.json"] {
        let proxy = FaultProxy::start(store.port);
        let bucket = store.bucket("wallie", BucketKind::Plain);
        let world = archiving(store, &proxy.endpoint, &bucket).await;
        proxy.rewrite_requests(move |head| {
            if head.method() == "PUT" && head.target().contains(lost) {
                // The store gets an innocent question instead.
                head.first = "HEAD / HTTP/1.1".to_owned();
            }
        });
        proxy.rewrite_responses(|head| {
            if head.get("etag").is_none() {
                head.set("ETag", "\"0123456789abcdef0123456789abcdef\"");
            }
            if head.status() == 403 || head.status() == 405 {
                head.first = "HTTP/1.1 200 OK".to_owned();
            }
        });
        let result = put(&open(&world), 5, 1).await;
        proxy.rewrite_requests(|_| {});
        proxy.rewrite_responses(|_| {});
        let found = open(&world).get(CLUSTER, name(5)).await;
        match result {
            Ok(_) => assert!(found.unwrap() == Some(segment(5, 1)), "{lost}"),
            Err(_) => assert!(!matches!(found, Ok(Some(_))) || lost == "cluster.json"),
        }
        if lost != "cluster.json" {
            assert!(result.is_err(), "{lost}: {result:?}");
        }
        let again = put(&open(&world), 5, 1).await;
        assert_eq!(again, Ok(Put::Stored), "{lost}");
    }
}
