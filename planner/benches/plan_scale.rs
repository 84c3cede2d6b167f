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

mod fleet;
mod processor;

use fleet::{database_name, peak_memory_mib};
use jiff::{SignedDuration, Timestamp};
use mainstay_planner::{Options, draft_plan, inventory_digest};
use model::{Inventory, retention::Each, tier_facts::TierCapabilities};
use processor::processor_time;
use std::{
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
            "10 times the databases took {:.1} times the processor's time to plan",
            large.as_secs_f64() / small.as_secs_f64()
        );
    }
}

fn run(databases: usize) -> Duration {
    let path = write_inventory(databases);
    let nas = [(Each::Day, 99), (Each::Week, 8), (Each::Month, 3)];
    let series = fleet::series("daily", "0 2 * * *", [&nas, &[(Each::Month, 12)]]);
    let policy = fleet::policy(databases, &[series]);
    let start = Instant::now();
    let inventory: Inventory = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let read = start.elapsed();
    std::fs::remove_file(&path).unwrap();

    let (start, used) = (Instant::now(), processor_time());
    let now = NOW.parse().unwrap();
    let mut plan = draft_plan(
        &policy,
        &inventory,
        &TierCapabilities::new(),
        now,
        &Options::default(),
    );
    let (planned, used) = (start.elapsed(), processor_time().saturating_sub(used));

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
    used
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
