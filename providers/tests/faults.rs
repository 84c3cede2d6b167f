//! The fault wrappers themselves: every call can be made to fail, and nothing becomes half-visible by it.
#![cfg(feature = "faults")]
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
use model::{TierName, manifest::Compression};
use providers::{
    api::{NewObject, ObjectKey, Result, Tier},
    registry, stream,
    wrappers::{Faults, FaultyTier, When},
};
use serde_json::json;
use std::{io::Cursor, path::Path, sync::Arc};

fn plain_tier(base: &Path) -> Arc<dyn Tier> {
    let table = json!({"path": "tier", "min-free": "0%"});
    registry::tier(&TierName::new("nas").unwrap(), "filesystem", &table, base).unwrap()
}

async fn work(tier: &dyn Tier) -> Result<()> {
    let key = ObjectKey::new("a/data").unwrap();
    tier.initialise("id").await?;
    let writer = tier.create(&key, NewObject::default()).await?;
    let source = Box::new(Cursor::new(vec![7; 3 << 20]));
    let (_, writer) = stream::store(
        source,
        writer,
        Compression::None,
        None,
        None,
        Arc::new(|_| {}),
    )
    .await?;
    writer.finish().await?;
    let mut reader = tier.open(&key).await?;
    while reader.read().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn failing_the_nth_call_visits_every_call_and_leaves_nothing_half_visible() {
    for when in [When::Before, When::After] {
        for n in 1.. {
            let base = tempfile::tempdir().unwrap();
            let tier = plain_tier(base.path());
            let faults = Faults::fail_call(n, when);
            let result = work(&FaultyTier::new(Arc::clone(&tier), faults.clone())).await;
            assert_eq!(result.is_err(), faults.struck(), "{:?}", faults.log());
            let _ = tier.initialise("id").await.unwrap();
            for object in tier.list("").await.unwrap() {
                assert_eq!(
                    object.bytes.0,
                    3 << 20,
                    "call {n}: {:?}",
                    faults.log().last()
                );
            }
            assert!(tier.clean_leftovers("").await.unwrap().is_empty());
            if !faults.struck() {
                assert!(n > 8, "too few calls: {:?}", faults.log());
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_is_cut_leaves_nothing() {
    let base = tempfile::tempdir().unwrap();
    let tier = plain_tier(base.path());
    let faults = Faults::none().cut_writes_after((1 << 20) + 5);
    let error = work(&FaultyTier::new(Arc::clone(&tier), faults.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.code, providers::wrappers::faults::CODE);
    assert!(faults.struck());
    assert!(tier.list("").await.unwrap().is_empty());
}
