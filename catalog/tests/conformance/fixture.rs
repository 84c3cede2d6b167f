//! Points, names and times that the cases share.

use jiff::{SignedDuration, Timestamp};
use mainstay_catalog::{Catalog, CopyIntent, Lease, Verification};
use model::{
    ByteCount, DatabaseName, Digest, Expectations, Manifest, MethodName, RecoveryPointId,
    SeriesName, StoredObject, TierName, VerifyLevel,
};
use std::collections::BTreeMap;

/// 2026-11-21T02:00:00Z and `seconds` later.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_226_400 + seconds).unwrap()
}

pub(crate) const TTL: SignedDuration = SignedDuration::from_secs(30);

pub(crate) fn tier(name: &str) -> TierName {
    TierName::new(name).unwrap()
}

/// The manifest of the `n`-th hourly point of a series.
pub(crate) fn manifest_of(database: &str, series: &str, n: i64) -> Manifest {
    let database = DatabaseName::new(database).unwrap();
    let series = SeriesName::new(series).unwrap();
    let slot = at(n * 3600);
    Manifest {
        wal: None,
        format: model::manifest::FORMAT.to_owned(),
        id: RecoveryPointId::new(&database, &series, slot),
        database,
        series,
        slot,
        engine: "sqlite".to_owned(),
        method: MethodName::new("snapshot").unwrap(),
        parent: None,
        captured_at: at(n * 3600 + 7),
        finished_at: at(n * 3600 + 9),
        source: BTreeMap::from([("file".to_owned(), "orders.db".to_owned())]),
        objects: vec![StoredObject {
            role: "data".to_owned(),
            file: "data.sqlite.zst".to_owned(),
            content: "sqlite".to_owned(),
            compression: model::manifest::Compression::Zstd,
            encryption: None,
            crc64nvme: None,
            bytes: ByteCount(1000 + n.unsigned_abs()),
            sha256: Digest::sha256_of(&n.to_le_bytes()),
            plain_bytes: ByteCount(4000),
            plain_blake3: Digest::blake3(&[7; 32]),
        }],
        expectations: Expectations::default(),
        recipients: Vec::new(),
        policy_digest: Digest::sha256_of(b"policy"),
        mainstay_version: "0.1.0".to_owned(),
    }
}

pub(crate) fn manifest(n: i64) -> Manifest {
    manifest_of("orders", "hourly", n)
}

pub(crate) fn intent(manifest: &Manifest, tier_name: &str, seconds: i64) -> CopyIntent {
    CopyIntent {
        run: "run-1".to_owned(),
        recovery_point: manifest.id.clone(),
        tier: tier(tier_name),
        method: manifest.method.clone(),
        slot: manifest.slot,
        at: at(seconds),
    }
}

pub(crate) fn verification(
    manifest: &Manifest,
    tier_name: &str,
    level: VerifyLevel,
    seconds: i64,
    passed: bool,
) -> Verification {
    Verification {
        recovery_point: manifest.id.clone(),
        tier: tier(tier_name),
        level,
        at: at(seconds),
        passed,
        detail: String::new(),
        who: "run-1".to_owned(),
    }
}

pub(crate) async fn lease(catalog: &Catalog) -> Lease {
    catalog.acquire_lease("tests", at(0), TTL).await.unwrap()
}

/// Records a copy as the executor does: announced, written, finished.
pub(crate) async fn store(
    catalog: &Catalog,
    lease: &Lease,
    manifest: &Manifest,
    tier_name: &str,
    seconds: i64,
) {
    let intent = intent(manifest, tier_name, seconds);
    catalog.begin_copy(lease, &intent).await.unwrap();
    catalog
        .finish_copy(lease, manifest, &intent.tier, at(seconds + 5))
        .await
        .unwrap();
}
