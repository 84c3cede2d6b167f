//! How proving scales: 1,000 and 10,000 databases of a few shapes, with their points and measured restores; and what one shape of its own costs.
//!
//! `cargo bench -p mainstay-planner --bench prove_scale` prints a table. Without `--bench` (as `cargo test --all-targets` starts it) it runs once over a
//! hundred databases, so that it cannot rot.
#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mainstay_planner::prove::{Facts, Question, Verdict, prove};
use model::{
    ByteCount, Copy, CopyState, DatabaseName, Digest, Inventory, Keep, MethodName, PointState,
    RecoveryPoint, RecoveryPointId, SeriesName, TierName, VerifyLevel,
    inventory::{MeasuredRestore, Verified},
    retention::{Each, KeepCount, KeepRule},
    tier_facts::TierCapabilities,
};
use policy_schema::{
    Policy, Schedule,
    policy::{DatabaseDeclaration, Objective, Safety, Series, Target, TierDeclaration, Window},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

const NOW: &str = "2026-11-21T03:00:00Z";

/// Schedules that the databases share, so many to each.
const HOURS: [&str; 4] = ["0 1 * * *", "0 2 * * *", "30 3 * * *", "15 */6 * * *"];

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[usize] = if measured {
        &[4, 1_000, 10_000]
    } else {
        &[100]
    };
    println!("databases  shapes    prove  proved");
    let mut times = Vec::new();
    for size in sizes {
        times.push(run(*size));
    }
    if let [_, small, large] = times[..] {
        println!(
            "10 times the databases took {:.1} times as long",
            large.as_secs_f64() / small.as_secs_f64()
        );
    }
}

fn run(databases: usize) -> Duration {
    let policy = policy(databases);
    let inventory = inventory(databases);
    let capabilities = TierCapabilities::new();
    let facts = Facts::default();
    let now = NOW.parse().unwrap();
    let start = Instant::now();
    let question = Question::of_years(&policy, &inventory, &capabilities, &facts, now, 2);
    let proof = prove(&question);
    let took = start.elapsed();
    let proved = proof
        .databases
        .iter()
        .filter(|database| database.verdict == Verdict::Proved)
        .count();
    assert_eq!(proof.databases.len(), databases);
    println!(
        "{databases:>9} {:>7} {:>5} ms {proved:>7}",
        HOURS.len().min(databases),
        took.as_millis()
    );
    took
}

fn tiers() -> [TierName; 2] {
    ["nas", "archive"].map(|name| TierName::new(name).unwrap())
}

fn name(number: usize) -> DatabaseName {
    DatabaseName::new(&format!("tenant-{number:05}")).unwrap()
}

fn series(number: usize) -> Series {
    let keep = |rules: &[(Each, u32)]| Keep {
        rules: rules
            .iter()
            .map(|(each, count)| KeepRule {
                each: *each,
                count: KeepCount::Count(*count),
            })
            .collect(),
        ..Keep::default()
    };
    let [nas, archive] = tiers();
    Series {
        full_every: SignedDuration::from_hours(7 * 24),
        incremental: false,
        name: SeriesName::new("daily").unwrap(),
        method: MethodName::new("logical").unwrap(),
        table: serde_json::Value::Null,
        schedule: Schedule::cron(HOURS[number % HOURS.len()]).unwrap(),
        keep: vec![
            (
                nas,
                keep(&[(Each::Point, 8), (Each::Day, 14), (Each::Week, 8)]),
            ),
            (archive, keep(&[(Each::Month, 24), (Each::Year, 7)])),
        ],
        verify: VerifyLevel::Checksum,
        window: Window {
            start_within: None,
            timeout: SignedDuration::from_hours(1),
            retries: 3,
            retry_after: SignedDuration::from_mins(5),
        },
    }
}

fn policy(databases: usize) -> Policy {
    let target = |hours| {
        let length = SignedDuration::from_hours(hours);
        Some(Target {
            target: length,
            maximum: length,
        })
    };
    Policy {
        digest: Digest::sha256_of(b"benchmark"),
        timezone: TimeZone::get("Europe/Prague").unwrap(),
        timezone_name: "Europe/Prague".to_owned(),
        tiers: tiers()
            .into_iter()
            .map(|name| {
                let tier = TierDeclaration {
                    name: name.clone(),
                    kind: "filesystem".to_owned(),
                    table: serde_json::Value::Null,
                    base: PathBuf::new(),
                    concurrency: 2,
                    bandwidth: None,
                    capabilities: model::Capabilities::PLAIN,
                    off_site: false,
                    media: "filesystem".to_owned(),
                };
                (name, tier)
            })
            .collect(),
        keys: BTreeMap::new(),
        databases: (0..databases)
            .map(|number| {
                let series = series(number);
                let database = DatabaseDeclaration {
                    wal: None,
                    declared_restore: None,
                    name: name(number),
                    engine: "postgres".to_owned(),
                    table: serde_json::Value::Null,
                    base: PathBuf::new(),
                    labels: BTreeMap::new(),
                    objective: Objective {
                        rpo: target(27),
                        rto: target(2),
                        ..Objective::default()
                    },
                    encrypt_with: Vec::new(),
                    asserts: Vec::new(),
                    series: [(series.name.clone(), series)].into(),
                    drills: Vec::new(),
                };
                (database.name.clone(), database)
            })
            .collect(),
        safety: Safety {
            min_verified: 1,
            max_prune_count: 25,
            max_prune_percent: 50,
        },
        checks: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// Ten nights of each database, and five restores from each tier.
fn inventory(databases: usize) -> Inventory {
    let now: Timestamp = NOW.parse().unwrap();
    let mut inventory = Inventory::empty(now);
    for number in 0..databases {
        let series = series(number);
        let database = name(number);
        for night in 0..10 {
            let slot = now - SignedDuration::from_hours(24 * night + 2);
            inventory.recovery_points.push(RecoveryPoint {
                bytes: ByteCount(1 << 30),
                captured_at: slot,
                copies: vec![Copy {
                    bytes: ByteCount(1 << 30),
                    held: false,
                    locked_until: None,
                    state: CopyState::Present,
                    stored_at: slot + SignedDuration::from_mins(9),
                    tier: tiers()[0].clone(),
                    verified: Some(Verified {
                        at: slot + SignedDuration::from_mins(11),
                        level: VerifyLevel::Checksum,
                    }),
                }],
                database: database.clone(),
                id: RecoveryPointId::new(&database, &series.name, slot),
                method: series.method.clone(),
                parent: None,
                series: series.name.clone(),
                slot,
                state: PointState::Complete,
                wal: None,
            });
        }
        let restores = (0..10).map(|count| MeasuredRestore {
            at: now - SignedDuration::from_hours(24 * 7 * count),
            bytes: ByteCount(1 << 30),
            method: series.method.clone(),
            milliseconds: 600_000 + 1000 * u64::try_from(count).unwrap(),
            tier: tiers()[usize::try_from(count % 2).unwrap()].clone(),
        });
        inventory.restores.insert(database, restores.collect());
    }
    inventory
}
