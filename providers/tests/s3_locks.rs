//! Locks and holds on a store that means them (a Ceph gateway), seen from outside by boto3.
//!
//! The gateway ignores `If-None-Match` in buckets that keep versions, as all buckets with locks do: the tiers here are
//! `exclusive`, or they would be refused.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test panics; tests start servers and programs of their own"
)]

#[path = "support/s3.rs"]
mod s3;
#[path = "support/s3_tier.rs"]
mod s3_tier;

use jiff::{SignedDuration, Timestamp};
use mainstay_providers as providers;
use model::{LockMode, LockOrder};
use providers::api::{Expected, NewObject, Tier};
use s3::{BucketKind, Rgw};
use s3_tier::{code, content, get, key, put, put_as, ready, tier};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn locking(mode: &str) -> Value {
    json!({"exclusive": true, "object-lock": {"mode": mode, "for": "30d", "acknowledge-irreversible": true}})
}

/// In so many seconds, in whole seconds.
fn later(seconds: i64) -> Timestamp {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    Timestamp::from_second(time.as_second()).unwrap()
}

async fn locked_bucket(mode: &str) -> (String, Arc<dyn Tier>) {
    let bucket = Rgw::shared().bucket("locks", BucketKind::Lock);
    let tier = ready(Rgw::shared(), &bucket, &locking(mode)).await;
    (bucket, tier)
}

/// Mode and end of an object's lock as boto3 reads them.
fn lock_of(bucket: &str, name: &str) -> String {
    Rgw::shared().python(
        "found = s3.get_object_retention(Bucket=args[0], Key=args[1])['Retention']\n\
         print(found['Mode'], int(found['RetainUntilDate'].timestamp()))",
        &[bucket, name],
    )
}

#[tokio::test]
async fn a_lock_is_there_from_the_moment_an_object_is_visible() {
    for (mode, name) in [
        (LockMode::Governance, "governance"),
        (LockMode::Compliance, "compliance"),
    ] {
        let (bucket, tier) = locked_bucket(name).await;
        let until = later(20);
        let order = Some(LockOrder { mode, until });
        for (object, bytes) in [("small", content(100)), ("large", content((9 << 20) + 1))] {
            let new = NewObject::data(None).locked(order);
            put_as(&*tier, object, &bytes, new).await.unwrap();
            let said = lock_of(&bucket, object);
            assert_eq!(
                said,
                format!("{} {}", name.to_uppercase(), until.as_second())
            );
            let protection = tier.protection(&key(object)).await.unwrap();
            assert_eq!(protection.locked_until, Some(until));
            assert_eq!(
                code(tier.delete(&key(object)).await),
                "mainstay::tier::locked"
            );
            assert!(
                get(&*tier, object).await.unwrap() == bytes,
                "nothing of it is gone"
            );
        }
        let versions = Rgw::shared().versions(&bucket);
        let objects: Vec<_> = versions
            .iter()
            .filter(|line| !line.starts_with('.'))
            .collect();
        assert_eq!(
            objects,
            ["large version", "small version"],
            "no marker hides them either"
        );
    }
}

#[tokio::test]
async fn a_lock_that_has_ended_lets_go() {
    let (bucket, tier) = locked_bucket("compliance").await;
    let order = LockOrder {
        mode: LockMode::Compliance,
        until: later(3),
    };
    put_as(
        &*tier,
        "a",
        &content(10),
        NewObject::data(None).locked(Some(order)),
    )
    .await
    .unwrap();
    assert_eq!(code(tier.delete(&key("a")).await), "mainstay::tier::locked");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(tier.delete(&key("a")).await.unwrap());
    let left = Rgw::shared().versions(&bucket);
    assert!(!left.iter().any(|line| line.starts_with("a ")), "{left:?}");
}

#[tokio::test]
async fn a_lock_is_extended_and_never_shortened() {
    let (bucket, tier) = locked_bucket("governance").await;
    let mode = LockMode::Governance;
    put(&*tier, "a", &content(10)).await.unwrap();
    let lock = |until| {
        let order = LockOrder { mode, until };
        let tier = Arc::clone(&tier);
        async move { tier.extend_lock(&key("a"), &order).await.unwrap() }
    };
    let (near, far) = (later(60), later(120));
    assert_eq!(lock(near).await, near);
    assert_eq!(lock(far).await, far);
    assert_eq!(lock(near).await, far, "what is there is longer, and stays");
    assert_eq!(
        lock_of(&bucket, "a"),
        format!("GOVERNANCE {}", far.as_second())
    );
    assert_eq!(
        code(
            tier.extend_lock(&key("none"), &LockOrder { mode, until: far })
                .await
        ),
        "mainstay::tier::not-found"
    );
}

#[tokio::test]
async fn a_hold_refuses_deletion_until_it_is_lifted() {
    let (bucket, tier) = locked_bucket("governance").await;
    put(&*tier, "a", &content(10)).await.unwrap();
    for _ in 0..2 {
        tier.set_legal_hold(&key("a"), true).await.unwrap();
    }
    let said = Rgw::shared().python(
        "print(s3.get_object_legal_hold(Bucket=args[0], Key='a')['LegalHold']['Status'])",
        &[&bucket],
    );
    assert_eq!(said, "ON");
    assert!(tier.protection(&key("a")).await.unwrap().legal_hold);
    assert_eq!(code(tier.delete(&key("a")).await), "mainstay::tier::locked");
    assert_eq!(get(&*tier, "a").await.unwrap().len(), 10);
    tier.set_legal_hold(&key("a"), false).await.unwrap();
    assert!(!tier.protection(&key("a")).await.unwrap().legal_hold);
    assert!(tier.delete(&key("a")).await.unwrap());
}

#[tokio::test]
async fn a_delete_leaves_no_version_and_no_marker() {
    for kind in [BucketKind::Versioned, BucketKind::Lock] {
        let bucket = Rgw::shared().bucket("versions", kind);
        let tier = ready(Rgw::shared(), &bucket, &json!({"exclusive": true})).await;
        // Somebody else has overwritten and deleted it before, and a neighbour's name begins the same.
        Rgw::shared().python(
            "for body in (b'1', b'2'):\n    s3.put_object(Bucket=args[0], Key='a', Body=body)\n\
             s3.delete_object(Bucket=args[0], Key='a')\n\
             s3.put_object(Bucket=args[0], Key='a-neighbour', Body=b'3')",
            &[&bucket],
        );
        put(&*tier, "a", &content(10)).await.unwrap();
        assert!(tier.delete(&key("a")).await.unwrap());
        assert!(!tier.delete(&key("a")).await.unwrap());
        let left = Rgw::shared().versions(&bucket);
        let left: Vec<_> = left.iter().filter(|line| !line.starts_with('.')).collect();
        assert_eq!(left, ["a-neighbour version"]);
    }
}

#[tokio::test]
async fn one_locked_version_keeps_all_versions() {
    let (bucket, tier) = locked_bucket("governance").await;
    put(&*tier, "a", &content(10)).await.unwrap();
    let until = later(60);
    let order = LockOrder {
        mode: LockMode::Governance,
        until,
    };
    tier.extend_lock(&key("a"), &order).await.unwrap();
    // A newer version of somebody else, which is not locked.
    Rgw::shared().python(
        "s3.put_object(Bucket=args[0], Key='a', Body=b'newer')",
        &[&bucket],
    );
    assert_eq!(code(tier.delete(&key("a")).await), "mainstay::tier::locked");
    let left = Rgw::shared().versions(&bucket);
    let left: Vec<_> = left.iter().filter(|line| line.starts_with("a ")).collect();
    assert_eq!(left, ["a version", "a version"]);
}

#[tokio::test]
async fn a_bucket_that_locks_everything_is_no_surprise() {
    let bucket = Rgw::shared().bucket("default", BucketKind::Lock);
    Rgw::shared().python(
        "s3.put_object_lock_configuration(Bucket=args[0], ObjectLockConfiguration={\n    \
             'ObjectLockEnabled': 'Enabled', 'Rule': {'DefaultRetention': {'Mode': 'GOVERNANCE', 'Days': 1}}})",
        &[&bucket],
    );
    let tier = tier(Rgw::shared(), &bucket, &json!({"exclusive": true}));
    let probed = tier.probe().await.unwrap();
    let removing = probed
        .iter()
        .find(|result| result.what == "removing what was tried");
    assert!(!removing.unwrap().works, "what stays of the probe is said");
    tier.initialise("the-identity").await.unwrap();
    put(&*tier, "a", &content(10)).await.unwrap();
    let protection = tier.protection(&key("a")).await.unwrap();
    assert!(
        protection.locked_until.unwrap() > later(23 * 3600),
        "{protection:?}"
    );
    assert_eq!(code(tier.delete(&key("a")).await), "mainstay::tier::locked");
    // The lease and key rings can be replaced all the same.
    let lease = key("lease");
    let first = tier
        .write_control(&lease, content(10), Expected::Absent, None)
        .await
        .unwrap();
    tier.write_control(&lease, content(11), Expected::Unchanged(first), None)
        .await
        .unwrap();
    let (read, _) = tier.read_control(&lease).await.unwrap().unwrap();
    assert_eq!(read.len(), 11);
}
