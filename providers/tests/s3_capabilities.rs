//! What a probe says of a store is true, and a store that ignores what safety depends on is refused.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test panics; tests start servers and programs of their own"
)]

#[path = "support/fault_proxy.rs"]
mod fault_proxy;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/s3_tier.rs"]
mod s3_tier;

use fault_proxy::{FaultProxy, Head};
use jiff::{SignedDuration, Timestamp};
use mainstay_providers as providers;
use model::{LockMode, LockOrder};
use providers::api::{NewObject, Tier};
use s3::{BucketKind, Moto, Rgw, Store};
use s3_tier::{code, content, put, put_as, ready, tier, tier_at};
use serde_json::{Value, json};
use std::sync::Arc;

async fn probed(tier: Arc<dyn Tier>) -> String {
    let results = tier.probe().await.unwrap();
    let lines = results.iter().map(|result| {
        let works = if result.works { "yes" } else { "no " };
        let needed = if result.needed { " (needed)" } else { "" };
        format!("{works} {}{needed}: {}", result.what, result.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn everything() -> Value {
    json!({
        "storage-class": "deep-archive",
        "object-lock": {"mode": "governance", "for": "30d"},
    })
}

async fn says(store: &Store) -> String {
    let bucket = store.bucket("probe", BucketKind::Lock);
    let said = probed(tier(store, &bucket, &everything())).await;
    assert_eq!(
        store.versions(&bucket),
        [""; 0],
        "a probe leaves nothing: {said}"
    );
    assert_eq!(store.unfinished_uploads(&bucket), [""; 0]);
    said
}

#[tokio::test]
async fn a_probe_tells_the_truth_of_a_ceph_gateway() {
    insta::assert_snapshot!(says(Rgw::shared()).await);
}

#[tokio::test]
async fn a_probe_tells_the_truth_of_moto() {
    insta::assert_snapshot!(says(Moto::shared()).await);
}

/// moto, which checks no signatures, behind a proxy that changes requests on their way.
fn changed(change: impl Fn(&mut Head) + Send + Sync + 'static) -> (FaultProxy, String) {
    let proxy = FaultProxy::start(Moto::shared().port);
    proxy.rewrite_requests(change);
    let bucket = Moto::shared().bucket("unfit", BucketKind::Lock);
    (proxy, bucket)
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused() {
    for header in ["if-none-match", "if-match"] {
        let (proxy, bucket) = changed(move |head| {
            if head.method() == "PUT" {
                head.remove(header);
            }
        });
        let at = |more: Value| tier_at(Moto::shared(), &proxy.endpoint, &bucket, &more);
        assert_eq!(
            code(at(json!({})).initialise("x").await),
            "mainstay::tier::unfit",
            "{header}"
        );
        assert_eq!(at(json!({})).observe().await.unwrap().identity, None);
        // The policy's word that nobody else writes there.
        let alone = at(json!({"exclusive": true}));
        alone.initialise("x").await.unwrap();
        put(&*alone, "a", &content(10)).await.unwrap();
        assert_eq!(
            code(put(&*alone, "a", &content(10)).await),
            "mainstay::tier::exists"
        );
    }
}

#[tokio::test]
async fn a_store_that_ignores_locks_is_refused() {
    let (proxy, bucket) = changed(|head| {
        let ignored = |name: &String| name.to_ascii_lowercase().starts_with("x-amz-object-lock");
        head.headers.retain(|(name, _)| !ignored(name));
    });
    let tier = tier_at(Moto::shared(), &proxy.endpoint, &bucket, &everything());
    assert_eq!(code(tier.initialise("x").await), "mainstay::tier::unfit");
}

#[tokio::test]
async fn a_store_that_ignores_the_storage_class_is_refused() {
    let (proxy, bucket) = changed(|head| head.remove("x-amz-storage-class"));
    let tier = tier_at(Moto::shared(), &proxy.endpoint, &bucket, &everything());
    assert_eq!(code(tier.initialise("x").await), "mainstay::tier::unfit");
}

#[tokio::test]
async fn what_a_store_stops_honouring_later_is_seen_and_removed() {
    let store = Moto::shared();
    let bucket = store.bucket("later", BucketKind::Lock);
    let in_an_hour = Timestamp::now() + SignedDuration::from_hours(1);
    let order = LockOrder {
        mode: LockMode::Governance,
        until: Timestamp::from_second(in_an_hour.as_second()).unwrap(),
    };
    ready(store, &bucket, &everything()).await;
    for ignored in ["x-amz-storage-class", "x-amz-object-lock"] {
        let proxy = FaultProxy::start(store.port);
        proxy.rewrite_requests(move |head| {
            let keep = |name: &String| !name.to_ascii_lowercase().starts_with(ignored);
            head.headers.retain(|(name, _)| keep(name));
            // Nor does it lock what is there already.
            if ignored.contains("lock")
                && head.method() == "PUT"
                && head.target().contains("?retention")
            {
                let bucket = head.target().split('/').nth(1).unwrap_or_default();
                head.first = format!("GET /{bucket}?versioning HTTP/1.1");
            }
        });
        let tier = tier_at(store, &proxy.endpoint, &bucket, &everything());
        for (name, bytes) in [("small", content(10)), ("large", content((9 << 20) + 1))] {
            // What is locked although its class is wrong could not be removed.
            let lock = (ignored == "x-amz-object-lock").then_some(order);
            let new = NewObject::data(None).locked(lock);
            assert_eq!(
                code(put_as(&*tier, name, &bytes, new).await),
                "mainstay::tier::not-honoured",
                "{ignored} {name}"
            );
            assert!(
                tier.list("").await.unwrap().is_empty(),
                "the object is gone again: {ignored} {name}"
            );
        }
    }
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_said_plainly() {
    let bucket = Rgw::shared().bucket("keys", BucketKind::Plain);
    let there = |bucket: &str, more: Value| tier(Rgw::shared(), bucket, &more);
    assert_eq!(
        code(there("no-such-bucket", json!({})).observe().await),
        "mainstay::tier::unreachable"
    );
    let wrong = std::path::Path::new("wrong-secret");
    std::fs::write(Rgw::shared().folder.join(wrong), "not the secret").unwrap();
    let more = json!({"credentials": {
        "access-key-id": {"file": "access-key-id"},
        "secret-access-key": {"file": "wrong-secret"},
    }});
    let error = there(&bucket, more).observe().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        ["mainstay::tier::unreachable", "mainstay::tier::denied"].contains(&error.code),
        "{shown}"
    );
    assert!(!shown.contains("not the secret"), "{shown}");
}
