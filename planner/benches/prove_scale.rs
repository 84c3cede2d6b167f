//! How proving scales: 1,000 and 10,000 databases of a few shapes, with their points and measured restores; and what one shape of its own costs.
//!
//! `cargo bench -p mainstay-planner --bench prove_scale` prints a table. Without `--bench` (as `cargo test --all-targets` starts it) it runs once over a
//! hundred databases, so that it cannot rot.
#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

mod fleet;

use jiff::{SignedDuration, Timestamp};
use mainstay_planner::prove::{Facts, Question, Verdict, prove};
use model::{
    ByteCount, Copy, CopyState, Inventory, PointState, RecoveryPoint, RecoveryPointId, VerifyLevel,
    inventory::{MeasuredRestore, Verified},
    retention::Each,
    tier_facts::TierCapabilities,
};
use policy_schema::{
    Policy, Schedule,
    policy::{Objective, Target},
};
use std::time::{Duration, Instant};

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
    println!("databases  shapes    prove  proved  peak memory");
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
    let inventory = inventory(&policy);
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
        "{databases:>9} {:>7} {:>5} ms {proved:>7} {:>8} MiB",
        HOURS.len().min(databases),
        took.as_millis(),
        fleet::peak_memory_mib()
    );
    took
}

fn policy(databases: usize) -> Policy {
    let keeps: fleet::Keeps<'_> = [
        &[(Each::Point, 8), (Each::Day, 14), (Each::Week, 8)],
        &[(Each::Month, 24), (Each::Year, 7)],
    ];
    let target = |hours| {
        let length = SignedDuration::from_hours(hours);
        Some(Target {
            target: length,
            maximum: length,
        })
    };
    let mut policy = fleet::policy(databases, &[fleet::series("daily", HOURS[0], keeps)]);
    for (number, database) in policy.databases.values_mut().enumerate() {
        database.objective = Objective {
            rpo: target(27),
            rto: target(2),
            ..Objective::default()
        };
        for series in database.series.values_mut() {
            series.schedule = Schedule::cron(HOURS[number % HOURS.len()]).unwrap();
        }
    }
    policy
}

/// Ten nights of each database, and five restores from each tier.
fn inventory(policy: &Policy) -> Inventory {
    let now: Timestamp = NOW.parse().unwrap();
    let mut inventory = Inventory::empty(now);
    let series = policy.databases.values().flat_map(|declared| {
        let all = declared.series.values();
        all.map(move |series| (&declared.name, series))
    });
    for (database, series) in series {
        for night in 0..10 {
            let slot = now - SignedDuration::from_hours(24 * night + 2);
            inventory.recovery_points.push(RecoveryPoint {
                adopted: false,
                bytes: ByteCount(1 << 30),
                captured_at: slot,
                copies: vec![Copy {
                    bytes: ByteCount(1 << 30),
                    held: false,
                    locked_until: None,
                    state: CopyState::Present,
                    stored_at: slot + SignedDuration::from_mins(9),
                    tier: series.keep[0].0.clone(),
                    verified: Some(Verified {
                        at: slot + SignedDuration::from_mins(11),
                        level: VerifyLevel::Checksum,
                    }),
                }],
                database: database.clone(),
                id: RecoveryPointId::new(database, &series.name, slot),
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
            tier: series.keep[usize::try_from(count % 2).unwrap()].0.clone(),
        });
        inventory
            .restores
            .insert(database.clone(), restores.collect());
    }
    inventory
}
