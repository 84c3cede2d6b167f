//! Archived objects on moto, which refuses to read them until they are thawed, as Glacier does.
#![expect(
    clippy::disallowed_methods,
    reason = "tests ask the clock and start programs of their own"
)]

#[path = "support/fault_proxy.rs"]
mod fault_proxy;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/s3_tier.rs"]
mod s3_tier;

use fault_proxy::FaultProxy;
use mainstay_providers as providers;
use model::{RetrievalSpeed, ThawOrder};
use providers::api::{NewObject, ObjectClass, Readiness};
use s3::{BucketKind, Moto};
use s3_tier::{code, content, get, key, put, put_as, ready, tier_at};
use serde_json::json;

#[tokio::test]
async fn archived_data_is_read_only_after_a_thaw_that_is_asked_for_once() {
    // Its own server: how thaws go on is a setting of all of it.
    let moto = Moto::start();
    moto.thaws_after_looks(5);
    let bucket = moto.bucket("archive", BucketKind::Plain);
    let table = json!({"storage-class": "deep-archive", "retrieval": "bulk"});
    let direct = ready(&moto, &bucket, &table).await;
    let bytes = content((9 << 20) + 1);
    put(&*direct, "data", &bytes).await.unwrap();
    let index = NewObject::index(10);
    assert_eq!(index.class, ObjectClass::Index);
    put_as(&*direct, "manifest.json", &content(10), index)
        .await
        .unwrap();
    let classes = moto.classes(&bucket, "");
    let classes: Vec<_> = classes
        .iter()
        .filter(|line| !line.starts_with('.'))
        .collect();
    assert_eq!(classes, ["data DEEP_ARCHIVE", "manifest.json STANDARD"]);
    assert_eq!(get(&*direct, "manifest.json").await.unwrap().len(), 10);
    assert_eq!(
        direct.readiness(&key("manifest.json")).await.unwrap(),
        Readiness::Ready { until: None }
    );
    assert_eq!(
        code(direct.open(&key("data")).await),
        "mainstay::tier::archived"
    );
    assert_eq!(
        direct.readiness(&key("data")).await.unwrap(),
        Readiness::Archived
    );

    let proxy = FaultProxy::start(moto.port);
    let tier = tier_at(&moto, &proxy.endpoint, &bucket, &table);
    let order = ThawOrder {
        speed: RetrievalSpeed::Bulk,
        days: 3,
        typical_seconds: 0,
    };
    for _ in 0..3 {
        assert_eq!(
            tier.thaw(&key("data"), &order).await.unwrap(),
            Readiness::Thawing
        );
    }
    let asked = |proxy: &FaultProxy| {
        let requests = proxy.requests();
        requests
            .iter()
            .filter(|line| line.contains("?restore"))
            .count()
    };
    assert_eq!(asked(&proxy), 1, "{:?}", proxy.requests());
    let mut looks = 0;
    let until = loop {
        match tier.readiness(&key("data")).await.unwrap() {
            Readiness::Thawing => looks += 1,
            Readiness::Ready { until } => break until.unwrap(),
            Readiness::Archived => panic!("it was frozen again"),
        }
        assert!(looks < 10);
    };
    let days = (until - jiff::Timestamp::now()).get_seconds();
    assert!((2 * 86_400..=4 * 86_400).contains(&days), "{until}");
    assert!(get(&*tier, "data").await.unwrap() == bytes);
    // A thaw that is done is not asked for again.
    let again = tier.thaw(&key("data"), &order).await.unwrap();
    assert!(matches!(again, Readiness::Ready { until: Some(_) }));
    assert_eq!(asked(&proxy), 1);
    assert_eq!(
        code(tier.thaw(&key("none"), &order).await),
        "mainstay::tier::not-found"
    );
    // The object itself stays in the archive.
    assert_eq!(moto.classes(&bucket, "data"), ["data DEEP_ARCHIVE"]);
}
