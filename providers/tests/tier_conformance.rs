//! The contract of `providers::api::tier`, run over every registered kind of tier, and over every store that a
//! kind can be tried on. A new kind adds one arm to `tables_for`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test panics"
)]

#[path = "support/s3.rs"]
mod s3;
#[path = "support/s3_tier.rs"]
mod s3_tier;

use bytes::Bytes;
use mainstay_providers as providers;
use model::{ByteCount, TierName};
use providers::{
    api::{NewObject, ObjectKey, ProviderError, Result, Tier},
    registry,
};
use s3::{BucketKind, Moto, Rgw};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// The tables of fresh tiers of this kind in `base`, one for each store that can be had.
fn tables_for(kind: &str, base: &Path) -> Vec<Value> {
    match kind {
        "filesystem" => vec![json!({"path": base.join("tier"), "min-free": "0%"})],
        // The gateway's conditions hold only in buckets without versions.
        "s3" => [
            (&**Rgw::shared(), BucketKind::Plain),
            (&**Moto::shared(), BucketKind::Versioned),
        ]
        .map(|(store, bucket)| {
            let bucket = store.bucket("conformance", bucket);
            s3_tier::table(
                store,
                &store.endpoint,
                &bucket,
                &json!({"prefix": "pre/fix"}),
            )
        })
        .into(),
        other => panic!("the conformance suite has no tier of kind `{other}`: add one"),
    }
}

/// Fresh tiers of every kind, without their markers, and the folder that some of them need.
fn fresh_tiers() -> (TempDir, Vec<Arc<dyn Tier>>) {
    let entries = registry::tiers();
    assert!(!entries.is_empty());
    let base = tempfile::tempdir().unwrap();
    let name = TierName::new("nas").unwrap();
    let tiers = entries.iter().flat_map(|entry| {
        let tables = tables_for(entry.kind, base.path());
        let build = |table: Value| registry::tier(&name, entry.kind, &table, base.path()).unwrap();
        tables.into_iter().map(build).collect::<Vec<_>>()
    });
    let tiers = tiers.collect();
    (base, tiers)
}

/// Runs one test over every kind.
async fn every_kind<F: Future<Output = ()>>(test: impl Fn(Arc<dyn Tier>) -> F) {
    let (_base, tiers) = fresh_tiers();
    for tier in tiers {
        tier.initialise("the-identity").await.unwrap();
        test(tier).await;
    }
}

/// How often a test repeats what costs requests, where a network is in between.
fn rounds(tier: &dyn Tier, near: usize, far: usize) -> usize {
    match tier.place_in_store() {
        None => near,
        Some(_) => far,
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(tier: &dyn Tier, name: &str, bytes: &[u8]) -> Result<()> {
    let mut writer = tier
        .create(
            &key(name),
            NewObject::data(Some(ByteCount(bytes.len() as u64))),
        )
        .await?;
    writer.write(Bytes::copy_from_slice(bytes)).await?;
    let info = writer.finish().await?;
    assert_eq!(info.bytes.0, bytes.len() as u64);
    assert_eq!(info.key, key(name));
    Ok(())
}

async fn get(tier: &dyn Tier, name: &str) -> Result<Vec<u8>> {
    let mut reader = tier.open(&key(name)).await?;
    let mut all = Vec::new();
    while let Some(chunk) = reader.read().await? {
        assert!(!chunk.is_empty());
        all.extend_from_slice(&chunk);
    }
    assert!(reader.read().await?.is_none(), "the end stays the end");
    Ok(all)
}

async fn names(tier: &dyn Tier, prefix: &str) -> Vec<String> {
    let list = tier.list(prefix).await.unwrap();
    list.into_iter()
        .map(|info| info.key.as_str().to_owned())
        .collect()
}

fn code<T>(result: Result<T>) -> &'static str {
    let error: ProviderError = result.err().expect("it should have failed");
    error.code
}

#[tokio::test]
async fn what_was_written_is_read_again() {
    every_kind(|tier| async move {
        for (name, len) in [
            ("a/empty", 0),
            ("a/one", 1),
            ("a/b/large", (5 << 20) + 3),
            ("top", 1 << 20),
        ] {
            let bytes: Vec<u8> = (0..len)
                .map(|at: u32| at.to_le_bytes()[usize::from(at.is_multiple_of(3))])
                .collect();
            put(&*tier, name, &bytes).await.unwrap();
            assert!(get(&*tier, name).await.unwrap() == bytes, "{name}");
            let info = tier.stat(&key(name)).await.unwrap().unwrap();
            assert_eq!(info.bytes.0, u64::from(len));
        }
        assert_eq!(
            names(&*tier, "").await,
            ["a/b/large", "a/empty", "a/one", "top"]
        );
        assert_eq!(
            code(tier.open(&key("a/none")).await),
            "mainstay::tier::not-found"
        );
        assert_eq!(
            code(tier.open(&key("none/none")).await),
            "mainstay::tier::not-found"
        );
        assert_eq!(
            code(tier.open(&key("a")).await),
            "mainstay::tier::not-found"
        );
        assert!(tier.stat(&key("a/none")).await.unwrap().is_none());
        assert!(tier.stat(&key("a")).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn nothing_is_ever_overwritten() {
    every_kind(|tier| async move {
        put(&*tier, "a/b", b"first").await.unwrap();
        assert_eq!(
            code(tier.create(&key("a/b"), NewObject::default()).await),
            "mainstay::tier::exists"
        );
        // Two writers before either has finished: the first to finish wins.
        let mut slow = tier
            .create(&key("a/c"), NewObject::default())
            .await
            .unwrap();
        slow.write(Bytes::from_static(b"slow")).await.unwrap();
        put(&*tier, "a/c", b"fast").await.unwrap();
        assert_eq!(code(slow.finish().await), "mainstay::tier::exists");
        assert_eq!(get(&*tier, "a/b").await.unwrap(), b"first");
        assert_eq!(get(&*tier, "a/c").await.unwrap(), b"fast");
        assert!(
            tier.clean_leftovers("").await.unwrap().is_empty(),
            "the loser left nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_creators_exactly_one_wins() {
    every_kind(|tier| async move {
        for round in 0..rounds(&*tier, 10, 4) {
            let name = format!("race/{round}/object");
            let mut racers = Vec::new();
            for racer in 0..8_u8 {
                let (tier, name) = (Arc::clone(&tier), name.clone());
                racers.push(tokio::spawn(async move {
                    (racer, put(&*tier, &name, &[racer; 100]).await)
                }));
            }
            let mut winners = Vec::new();
            for racer in racers {
                match racer.await.unwrap() {
                    (racer, Ok(())) => winners.push(racer),
                    (_, Err(error)) => assert_eq!(error.code, "mainstay::tier::exists"),
                }
            }
            assert_eq!(winners.len(), 1);
            assert_eq!(get(&*tier, &name).await.unwrap(), [winners[0]; 100]);
        }
    })
    .await;
}

#[tokio::test]
async fn an_object_is_invisible_until_it_is_finished() {
    every_kind(|tier| async move {
        let mut writer = tier
            .create(&key("a/b"), NewObject::default())
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        assert!(names(&*tier, "").await.is_empty());
        assert!(tier.stat(&key("a/b")).await.unwrap().is_none());
        assert_eq!(
            code(tier.open(&key("a/b")).await),
            "mainstay::tier::not-found"
        );
        writer.finish().await.unwrap();
        assert_eq!(names(&*tier, "").await, ["a/b"]);
    })
    .await;
}

#[tokio::test]
async fn an_aborted_or_dropped_object_leaves_nothing() {
    every_kind(|tier| async move {
        let mut writer = tier
            .create(&key("a/b"), NewObject::default())
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        writer.abort().await.unwrap();
        let mut writer = tier
            .create(&key("a/b"), NewObject::default())
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        drop(writer);
        assert!(names(&*tier, "").await.is_empty());
        assert!(tier.clean_leftovers("").await.unwrap().is_empty());
        put(&*tier, "a/b", b"whole").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_cleanup_spares_running_writers() {
    every_kind(|tier| async move {
        let mut writer = tier
            .create(&key("a/b"), NewObject::default())
            .await
            .unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        assert!(tier.clean_leftovers("").await.unwrap().is_empty());
        writer
            .write(Bytes::from_static(b" and half"))
            .await
            .unwrap();
        writer.finish().await.unwrap();
        assert_eq!(get(&*tier, "a/b").await.unwrap(), b"half and half");
    })
    .await;
}

#[tokio::test]
async fn a_list_is_complete_and_sorted() {
    every_kind(|tier| async move {
        let mut expected = Vec::new();
        let count = rounds(&*tier, 5000, 1500);
        let mut running = JoinSet::new();
        for at in 0..count {
            let name = format!("db/series-{}/{:04}/object", at % 7, at);
            expected.push(name.clone());
            let tier = Arc::clone(&tier);
            running.spawn(async move { put(&*tier, &name, b"x").await.unwrap() });
            if running.len() >= 16 {
                running.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        put(&*tier, "db2/other", b"x").await.unwrap();
        expected.sort();
        assert_eq!(names(&*tier, "db/").await, expected);
        let fourth: Vec<&String> = expected
            .iter()
            .filter(|name| name.starts_with("db/series-4/00"))
            .collect();
        assert_eq!(
            names(&*tier, "db/series-4/00")
                .await
                .iter()
                .collect::<Vec<_>>(),
            fourth
        );
        assert_eq!(
            names(&*tier, "db").await.len(),
            count + 1,
            "a prefix is a text, not a folder"
        );
        assert_eq!(names(&*tier, "db2/other").await, ["db2/other"]);
        assert!(names(&*tier, "nothing/").await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn deleting_twice_is_deleting_once() {
    every_kind(|tier| async move {
        put(&*tier, "a/b/c", b"x").await.unwrap();
        put(&*tier, "a/d", b"x").await.unwrap();
        assert!(tier.delete(&key("a/b/c")).await.unwrap());
        assert!(!tier.delete(&key("a/b/c")).await.unwrap());
        assert!(
            !tier.delete(&key("a")).await.unwrap(),
            "a folder is no object"
        );
        assert_eq!(names(&*tier, "").await, ["a/d"]);
        assert!(tier.delete(&key("a/d")).await.unwrap());
        assert!(names(&*tier, "").await.is_empty());
        // The same key can be used again: a repair does.
        put(&*tier, "a/b/c", b"y").await.unwrap();
        assert_eq!(get(&*tier, "a/b/c").await.unwrap(), b"y");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_last_object_of_a_folder_does_not_disturb_a_writer_there() {
    every_kind(|tier| async move {
        for _ in 0..rounds(&*tier, 100, 5) {
            put(&*tier, "a/b/old", b"x").await.unwrap();
            let other = Arc::clone(&tier);
            let deleting = tokio::spawn(async move { other.delete(&key("a/b/old")).await });
            put(&*tier, "a/b/new", b"x").await.unwrap();
            assert!(deleting.await.unwrap().unwrap());
            assert!(tier.delete(&key("a/b/new")).await.unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn a_tier_keeps_its_first_identity() {
    every_kind(|tier| async move {
        assert_eq!(
            tier.observe().await.unwrap().identity.as_deref(),
            Some("the-identity")
        );
        assert_eq!(tier.initialise("another").await.unwrap(), "the-identity");
        assert_eq!(
            tier.observe().await.unwrap().identity.as_deref(),
            Some("the-identity")
        );
        assert!(
            names(&*tier, "").await.is_empty(),
            "the marker is no object"
        );
    })
    .await;
    let (_base, tiers) = fresh_tiers();
    for tier in tiers {
        assert_eq!(tier.observe().await.unwrap().identity, None);
        let (one, two) = tokio::join!(tier.initialise("one"), tier.initialise("two"));
        assert_eq!(one.unwrap(), two.unwrap(), "two at once agree");
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_tier_without_its_marker() {
    let (_base, tiers) = fresh_tiers();
    for tier in tiers {
        for _ in 0..2 {
            assert_eq!(
                code(tier.create(&key("a"), NewObject::default()).await),
                "mainstay::tier::unreachable"
            );
            assert_eq!(code(tier.list("").await), "mainstay::tier::unreachable");
            assert_eq!(
                code(tier.stat(&key("a")).await),
                "mainstay::tier::unreachable"
            );
            assert_eq!(
                code(tier.delete(&key("a")).await),
                "mainstay::tier::unreachable"
            );
            assert_eq!(
                code(tier.open(&key("a")).await),
                "mainstay::tier::unreachable"
            );
            assert_eq!(
                code(tier.clean_leftovers("").await),
                "mainstay::tier::unreachable"
            );
            assert_eq!(tier.observe().await.unwrap().identity, None);
        }
    }
}

#[test]
fn keys_cannot_leave_the_tier() {
    for bad in [
        "",
        "/",
        "/etc/passwd",
        "a//b",
        "a/",
        "../x",
        "a/../../x",
        "./a",
        "a/.",
        "a\0b",
        &"x".repeat(1025),
    ] {
        assert!(ObjectKey::new(bad).is_none(), "{bad:?}");
    }
}

#[tokio::test]
async fn names_that_listings_would_hide_are_refused() {
    every_kind(|tier| async move {
        assert_eq!(
            code(tier.create(&key("a/.hidden"), NewObject::default()).await),
            "mainstay::tier::key"
        );
        assert_eq!(
            code(tier.create(&key(".a/b"), NewObject::default()).await),
            "mainstay::tier::key"
        );
        put(&*tier, &format!("a/{}", "n".repeat(255)), b"long")
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_tier_opened_for_looking_cannot_be_changed() {
    every_kind(|tier| async move {
        put(&*tier, "a/b", b"x").await.unwrap();
        let looking = providers::wrappers::ReadOnlyTier::new(Arc::clone(&tier));
        for refused in [
            code(looking.create(&key("c"), NewObject::default()).await),
            code(looking.delete(&key("a/b")).await),
            code(looking.initialise("x").await),
            code(looking.clean_leftovers("").await),
        ] {
            assert_eq!(refused, "mainstay::tier::read-only");
        }
        assert_eq!(names(&looking, "").await, ["a/b"]);
        assert_eq!(get(&looking, "a/b").await.unwrap(), b"x");
        assert!(looking.observe().await.unwrap().identity.is_some());
    })
    .await;
}
