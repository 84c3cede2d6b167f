//! How simulating scales: seven years of four databases with daily, weekly, monthly and yearly series, a quarter-hourly and an incremental one; then
//! three years of 1,000 and of 10,000 databases.
//!
//! `cargo bench -p mainstay-planner --bench simulate_scale` prints a table. Without `--bench` it runs once over few, so that it cannot rot.
#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

mod fleet;
mod processor;

use fleet::peak_memory_mib;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use mainstay_planner::{
    forecast::Scenario,
    simulation::{Prices, Simulation, simulate},
};
use model::{Inventory, retention::Each, tier_facts::TierCapabilities};
use policy_schema::{Policy, policy::Series};
use processor::processor_time;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const NOW: &str = "2026-11-21T03:00:00Z";

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (years, sizes): (i64, &[usize]) = if measured {
        (7, &[1_000, 10_000])
    } else {
        (1, &[10])
    };
    println!(
        "what                                                        copies      time  processor  peak memory"
    );
    few("daily, weekly, monthly, yearly", years, &generations());
    few("and every quarter of an hour", years, &with_quarter_hours());
    few("and incremental, always planned", years, &with_chains());
    let nightly = [generations().swap_remove(0)];
    let mut times = Vec::new();
    for size in sizes {
        times.push(run(
            &format!("{size} databases, nightly, 3 years"),
            *size,
            3,
            &nightly,
        ));
    }
    if let [small, large] = times[..] {
        println!(
            "10 times the databases took {:.1} times the processor's time",
            large.as_secs_f64() / small.as_secs_f64()
        );
    }
}

fn few(what: &str, years: i64, series: &[Series]) {
    run(
        &format!("4 databases, {years} years: {what}"),
        4,
        years,
        series,
    );
}

fn generations() -> Vec<Series> {
    let nas = [(Each::Day, 7), (Each::Week, 4)];
    let archive = [(Each::Month, 12), (Each::Year, 7)];
    vec![
        fleet::series("daily", "0 2 * * *", [&nas, &archive]),
        fleet::series("weekly", "0 3 * * 0", [&[(Each::Week, 8)], &[]]),
        fleet::series("monthly", "0 4 1 * *", [&[], &[(Each::Month, 24)]]),
        fleet::series("yearly", "0 5 1 1 *", [&[], &[(Each::Year, 7)]]),
    ]
}

fn with_quarter_hours() -> Vec<Series> {
    let nas = [(Each::Point, 96), (Each::Hour, 48), (Each::Day, 14)];
    let mut all = generations();
    all.push(fleet::series(
        "often",
        "*/15 * * * *",
        [&nas, &[(Each::Month, 12)]],
    ));
    all
}

fn with_chains() -> Vec<Series> {
    let mut all = generations();
    for series in &mut all {
        series.incremental = series.name.as_str() == "daily";
    }
    all
}

fn run(what: &str, databases: usize, years: i64, series: &[Series]) -> Duration {
    let policy = fleet::policy(databases, series);
    let (start, used) = (Instant::now(), processor_time());
    let simulated = simulated(&policy, years);
    let (taken, used) = (start.elapsed(), processor_time().saturating_sub(used));
    let series = simulated
        .databases
        .values()
        .flat_map(|database| database.series.values());
    let copies: u64 = series
        .flat_map(|tiers| tiers.values())
        .map(|usage| usage.made)
        .sum();
    println!(
        "{what:<56} {copies:>9} {:>6} ms {:>7} ms {:>8} MiB",
        taken.as_millis(),
        used.as_millis(),
        peak_memory_mib()
    );
    used
}

fn simulated(policy: &Policy, years: i64) -> Simulation {
    let from: Timestamp = NOW.parse().unwrap();
    let until = from.to_zoned(TimeZone::UTC) + years.years();
    simulate(
        policy,
        &Inventory::empty(from),
        &TierCapabilities::new(),
        &Scenario::undisturbed(from, until.timestamp()),
        &Prices::built_in(),
        &BTreeSet::new(),
    )
}
