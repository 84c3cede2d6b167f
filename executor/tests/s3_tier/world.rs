//! Tiers in buckets, steps that only they know, and what boto3 sees of them.

use crate::{
    executor,
    s3::Store,
    support::{
        self, World,
        plans::{After, backup, plan, point, verify},
        tier, words,
    },
};
use executor::RunEnd;
use jiff::Timestamp;
use model::{
    Action, LockOrder, RecoveryPointId, Step, StepId, ThawOrder, VerifyLevel,
    tier_facts::{LockMode, RetrievalSpeed},
};
use providers::tiers::s3::{S3Config, S3Tier};
use std::sync::Arc;

/// Declares a tier in a bucket of a store.
pub(crate) fn add(
    world: &mut World,
    name: &str,
    store: &Store,
    bucket: &str,
    more: &serde_json::Value,
) {
    let folder = world.folder.path();
    std::fs::write(folder.join("id"), &store.access_key).unwrap();
    std::fs::write(folder.join("secret"), &store.secret_key).unwrap();
    let mut table = serde_json::json!({
        "bucket": bucket,
        "prefix": name,
        "region": store.region,
        "endpoint": store.endpoint,
        "credentials": {"access-key-id": {"file": "id"}, "secret-access-key": {"file": "secret"}},
    });
    // The gateway ignores conditions in buckets with locks, so it is used by a declaration that nobody else writes there.
    if store.access_key == "AK" {
        table["exclusive"] = true.into();
    }
    for (key, value) in more.as_object().unwrap() {
        table[key] = value.clone();
    }
    let config: S3Config = serde_json::from_value(table).unwrap();
    let wired = executor::TierWiring {
        tier: Arc::new(S3Tier::new(tier(name), config, folder)),
        concurrency: 2,
    };
    world.wiring.tiers.insert(tier(name), wired);
}

/// Moto counts looks from the moment at which an object is stored, and shows a thaw as done until so many were made; the
/// writing and the asking make more than this.
pub(crate) const FEW: u32 = 3;
/// More looks than any test makes.
pub(crate) const NEVER: u32 = 1_000_000;

pub(crate) fn locked_tier() -> serde_json::Value {
    serde_json::json!({"object-lock": {"mode": "governance", "for": "1d"}})
}

/// A day after the store's own now, in whole seconds.
pub(crate) fn tomorrow(store: &Store, days: i64) -> Timestamp {
    let now: i64 = store
        .python("import time; print(int(time.time()))", &[])
        .parse()
        .unwrap();
    // Also after the clock of the test, whichever of the two is ahead.
    let now = now.max(support::at("2026-11-22T02:00:00Z").as_second());
    Timestamp::from_second(now + days * 86_400).unwrap()
}

pub(crate) fn order(until: Timestamp) -> LockOrder {
    LockOrder {
        mode: LockMode::Governance,
        until,
    }
}

pub(crate) fn lock(day: i64, on: &str, until: Timestamp) -> Step {
    let step = backup(day, on);
    Step {
        action: Action::Lock,
        id: StepId::new(Action::Lock, &step.recovery_point, &step.tier),
        lock: Some(order(until)),
        requires: Vec::new(),
        method: None,
        slot: None,
        ..step
    }
}

pub(crate) fn thaw(day: i64, on: &str) -> Step {
    let step = backup(day, on);
    Step {
        action: Action::Thaw,
        id: StepId::new(Action::Thaw, &step.recovery_point, &step.tier),
        thaw: Some(ThawOrder {
            speed: RetrievalSpeed::Bulk,
            days: 3,
            typical_seconds: 48 * 3600,
        }),
        requires: Vec::new(),
        method: None,
        slot: None,
        ..step
    }
}

/// Points of the days on a tier, each verified, and made when it was its time.
pub(crate) async fn backed_up(world: &World, on: &str, days: &[i64], locked: Option<LockOrder>) {
    for day in days {
        world.clock.set(support::plans::slot(*day));
        let mut step = backup(*day, on);
        step.lock = locked;
        let check = verify(*day, on, VerifyLevel::Checksum).after(&[&step]);
        let report = world
            .apply(&plan(world.clock().now(), vec![step, check]))
            .await;
        assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
    }
}

pub(crate) async fn run(world: &World, steps: Vec<Step>) -> Vec<String> {
    words(&world.apply(&plan(world.clock().now(), steps)).await)
}

pub(crate) async fn locked_until(world: &World, day: i64, on: &str) -> Option<Timestamp> {
    let known = world
        .catalog
        .point(&point(day), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    known.copy_on(&tier(on)).unwrap().locked_until
}

/// Keys of a point's files with the end of their locks, as boto3 sees them.
pub(crate) fn locks(
    store: &Store,
    bucket: &str,
    prefix: &str,
    point: &RecoveryPointId,
) -> Vec<String> {
    let printed = store.python(
        "for item in s3.list_objects_v2(Bucket=args[0], Prefix=args[1]).get('Contents', []):\n    \
             head = s3.head_object(Bucket=args[0], Key=item['Key'])\n    \
             end = head.get('ObjectLockRetainUntilDate')\n    \
             print(item['Key'].split('/')[-1], int(end.timestamp()) if end else '-', head.get('ObjectLockLegalHoldStatus', 'OFF'))",
        &[bucket, &format!("{prefix}/{}/", point.folder())],
    );
    printed.lines().map(str::to_owned).collect()
}
