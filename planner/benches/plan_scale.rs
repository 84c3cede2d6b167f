//! How planning scales: reading an inventory, deciding, and sealing the plan, for 1,000 and 10,000 databases with a
//! hundred recovery points each; then the peak memory of all of it.
//!
//! `cargo bench -p mainstay-planner` prints a table. Without `--bench` (as `cargo test --all-targets` starts it) it runs
//! once over a hundred databases, so that it cannot rot.
#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mainstay_planner::{Options, draft_plan, inventory_digest};
use model::{
    DatabaseName, Digest, Inventory, Keep, MethodName, SeriesName, TierName, VerifyLevel,
    retention::{Each, KeepCount, KeepRule},
    tier_facts::TierCapabilities,
};
use policy_schema::{
    Policy, Schedule,
    policy::{DatabaseDeclaration, Objective, Safety, Series, TierDeclaration, Window},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const NOW: &str = "2026-11-21T03:00:00Z";
const POINTS: i64 = 100;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[usize] = if measured { &[1_000, 10_000] } else { &[100] };
    println!(
        "databases  points     read     plan  (digest)   seal   steps     plan bytes  peak memory"
    );
    let mut plan_times = Vec::new();
    for size in sizes {
        plan_times.push(run(*size));
    }
    if let [small, large] = plan_times[..] {
        println!(
            "10 times the databases took {:.1} times as long to plan",
            large.as_secs_f64() / small.as_secs_f64()
        );
    }
}

fn run(databases: usize) -> Duration {
    let path = write_inventory(databases);
    let policy = policy(databases);
    let start = Instant::now();
    let inventory: Inventory = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let read = start.elapsed();
    std::fs::remove_file(&path).unwrap();

    let start = Instant::now();
    let now = NOW.parse().unwrap();
    let mut plan = draft_plan(
        &policy,
        &inventory,
        &TierCapabilities::new(),
        now,
        &Options::default(),
    );
    let planned = start.elapsed();

    let start = Instant::now();
    let digest = inventory_digest(&inventory);
    let digested = start.elapsed();
    assert_eq!(digest, plan.inventory_digest);

    let start = Instant::now();
    plan = plan.seal().unwrap();
    let sealed = start.elapsed();
    let bytes = model::canonical::to_vec(&plan)
        .map(|json| json.len())
        .unwrap();
    println!(
        "{databases:>9} {:>7} {:>6} ms {:>5} ms {:>5} ms {:>5} ms {:>7} {bytes:>14} {:>8} MiB",
        inventory.recovery_points.len(),
        read.as_millis(),
        planned.as_millis(),
        digested.as_millis(),
        sealed.as_millis(),
        plan.steps.len(),
        peak_memory_mib()
    );
    planned
}

/// Highest resident size of this process so far (`VmHWM`, proc(5)); 0 where there is no `/proc`.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

fn policy(databases: usize) -> Policy {
    let tiers = ["nas", "archive"].map(|name| TierName::new(name).unwrap());
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
    let series = Series {
        full_every: SignedDuration::from_hours(7 * 24),
        incremental: false,
        name: SeriesName::new("daily").unwrap(),
        method: MethodName::new("logical").unwrap(),
        table: serde_json::Value::Null,
        schedule: Schedule::cron("0 2 * * *").unwrap(),
        keep: vec![
            (
                tiers[0].clone(),
                keep(&[(Each::Day, 99), (Each::Week, 8), (Each::Month, 3)]),
            ),
            (tiers[1].clone(), keep(&[(Each::Month, 12)])),
        ],
        verify: VerifyLevel::Checksum,
        window: Window {
            start_within: None,
            timeout: SignedDuration::from_hours(2),
            retries: 3,
            retry_after: SignedDuration::from_mins(5),
        },
    };
    Policy {
        digest: Digest::sha256_of(b"benchmark"),
        timezone: TimeZone::get("Europe/Prague").unwrap(),
        timezone_name: "Europe/Prague".to_owned(),
        tiers: tiers
            .iter()
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
                (name.clone(), tier)
            })
            .collect(),
        keys: BTreeMap::new(),
        databases: (0..databases)
            .map(|number| {
                let name = database_name(number);
                let database = DatabaseDeclaration {
                    wal: None,
                    declared_restore: None,
                    name: name.clone(),
                    engine: "postgres".to_owned(),
                    table: serde_json::Value::Null,
                    base: PathBuf::new(),
                    labels: BTreeMap::new(),
                    objective: Objective::default(),
                    encrypt_with: Vec::new(),
                    asserts: Vec::new(),
                    series: [(series.name.clone(), series.clone())].into(),
                    drills: Vec::new(),
                };
                (name, database)
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

fn database_name(number: usize) -> DatabaseName {
    DatabaseName::new(&format!("tenant-{number:05}")).unwrap()
}

/// One point a night for the last hundred nights but the last, the first of each month also on the archive; written piece by
/// piece, so that making it does not count as memory.
fn write_inventory(databases: usize) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plan-scale-{databases}.json"));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    write!(file, r#"{{"format":"mainstay.inventory.v1","observed_at":"{NOW}","unreachable_tiers":[],"recovery_points":["#).unwrap();
    let last: Timestamp = "2026-11-20T01:00:00Z".parse().unwrap();
    let nights: Vec<Timestamp> = (0..POINTS)
        .map(|night| last - SignedDuration::from_hours(24 * night))
        .collect();
    for number in 0..databases {
        let database = database_name(number);
        for (night, slot) in nights.iter().enumerate() {
            let comma = if (number, night) == (0, 0) { "" } else { "," };
            let stamp = slot.strftime("%Y%m%dT%H%M%SZ");
            let copy = |tier: &str| {
                format!(
                    r#"{{"tier":"{tier}","state":"present","bytes":1048576,"stored_at":"{slot}","verified":{{"level":"checksum","at":"{slot}"}},"locked_until":null,"held":false}}"#
                )
            };
            let archive = if stamp.to_string().get(6..8) == Some("01") {
                format!(",{}", copy("archive"))
            } else {
                String::new()
            };
            write!(
                file,
                r#"{comma}{{"id":"{database}/daily/{stamp}","database":"{database}","series":"daily","method":"logical","parent":null,"slot":"{slot}","captured_at":"{slot}","state":"complete","bytes":1048576,"copies":[{}{archive}]}}"#,
                copy("nas")
            )
            .unwrap();
        }
    }
    write!(file, "]}}").unwrap();
    file.flush().unwrap();
    path
}
