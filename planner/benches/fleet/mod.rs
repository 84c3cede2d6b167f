//! Policies of many databases with the same series: what the benchmarks of the planner run over.

use jiff::{SignedDuration, tz::TimeZone};
use model::{
    DatabaseName, Digest, Keep, MethodName, SeriesName, TierName, VerifyLevel,
    retention::{Each, KeepCount, KeepRule},
};
use policy_schema::{
    Policy, Schedule,
    policy::{DatabaseDeclaration, Objective, Safety, Series, TierDeclaration, Window},
};
use std::{collections::BTreeMap, path::PathBuf};

/// The tiers of every series, the primary first.
const TIERS: [&str; 2] = ["nas", "archive"];

/// Rules of each of the tiers, as units and counts.
pub(crate) type Keeps<'k> = [&'k [(Each, u32)]; 2];

/// A series that keeps so much on each tier.
pub(crate) fn series(name: &str, cron: &str, keeps: Keeps<'_>) -> Series {
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
    let tiers = TIERS
        .iter()
        .zip(keeps)
        .filter(|(_, rules)| !rules.is_empty());
    Series {
        full_every: SignedDuration::from_hours(7 * 24),
        incremental: false,
        name: SeriesName::new(name).unwrap(),
        method: MethodName::new("logical").unwrap(),
        table: serde_json::Value::Null,
        schedule: Schedule::cron(cron).unwrap(),
        keep: tiers
            .map(|(tier, rules)| (TierName::new(tier).unwrap(), keep(rules)))
            .collect(),
        verify: VerifyLevel::Checksum,
        window: Window {
            start_within: None,
            timeout: SignedDuration::from_hours(2),
            retries: 3,
            retry_after: SignedDuration::from_mins(5),
        },
    }
}

/// A policy of so many databases, each with these series.
pub(crate) fn policy(databases: usize, series: &[Series]) -> Policy {
    let tiers = TIERS.map(|name| TierName::new(name).unwrap());
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
                    series: series
                        .iter()
                        .map(|series| (series.name.clone(), series.clone()))
                        .collect(),
                    drills: Vec::new(),
                };
                (name, database)
            })
            .collect(),
        approval: None,
        safety: Safety {
            min_verified: 1,
            max_prune_count: 25,
            max_prune_percent: 50,
        },
        checks: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// `tenant-00042`.
pub(crate) fn database_name(number: usize) -> DatabaseName {
    DatabaseName::new(&format!("tenant-{number:05}")).unwrap()
}

/// Highest resident size of this process so far (`VmHWM`, proc(5)); 0 where there is no `/proc`.
pub(crate) fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
