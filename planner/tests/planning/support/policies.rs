//! Policies, and what their tiers can do, from text.

use jiff::{SignedDuration, tz::TimeZone};
use model::{
    ByteCount, DatabaseName, Digest, Keep, KeyName, MethodName, Period, SeriesName, TierName,
    VerifyLevel,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
    tier_facts::{Capabilities, LockMode, LockRule, RetrievalSpeed, ThawOrder, TierCapabilities},
};
use policy_schema::{
    Policy, Schedule,
    policy::{
        DatabaseDeclaration, Drill, DrillPick, Objective, Safety, Series, Target, TierDeclaration,
        WalDeclaration, WalMode, Window,
    },
};
use std::collections::BTreeMap;

pub(crate) fn policy(text: &str) -> Policy {
    let mut policy = Policy {
        digest: Digest::sha256_of(text.as_bytes()),
        timezone: TimeZone::UTC,
        timezone_name: "UTC".to_owned(),
        tiers: BTreeMap::new(),
        keys: BTreeMap::new(),
        databases: BTreeMap::new(),
        approval: None,
        safety: Safety {
            min_verified: 1,
            max_prune_count: 25,
            max_prune_percent: 50,
        },
        checks: Vec::new(),
        exceptions: Vec::new(),
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "zone" => {
                policy.timezone = TimeZone::get(rest).unwrap();
                rest.clone_into(&mut policy.timezone_name);
            }
            "tier" => declare_tier(&mut policy, &TierName::new(rest).unwrap()),
            "min-verified" => policy.safety.min_verified = rest.parse().unwrap(),
            "max-prune-count" => policy.safety.max_prune_count = rest.parse().unwrap(),
            "max-prune-percent" => policy.safety.max_prune_percent = rest.parse().unwrap(),
            "wal" => wal_line(&mut policy, rest),
            "drill" => drill_line(&mut policy, rest),
            _ => series_line(&mut policy, first, rest),
        }
    }
    policy
}

/// `daily=7 weekly=4 within=30d within-daily=30d monthly=all pick=last model=additive forever`.
pub(crate) fn keep(text: &str) -> Keep {
    let mut keep = Keep::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match (key, value) {
            ("forever", _) => keep.forever = true,
            ("pick", "first") => keep.pick = Pick::First,
            ("pick", "last") => keep.pick = Pick::Last,
            ("model", "overlap") => keep.model = RetentionModel::Overlap,
            ("model", "additive") => keep.model = RetentionModel::Additive,
            _ => {
                let bare = key.strip_prefix("within-").unwrap_or(key);
                let each = match bare {
                    "last" | "within" => Each::Point,
                    "hourly" => Each::Hour,
                    "daily" => Each::Day,
                    "weekly" => Each::Week,
                    "monthly" => Each::Month,
                    "quarterly" => Each::Quarter,
                    "yearly" => Each::Year,
                    other => panic!("`{other}` is no rule"),
                };
                let count = if value == "all" {
                    KeepCount::All
                } else if let Ok(number) = value.parse() {
                    KeepCount::Count(number)
                } else {
                    KeepCount::Window(Period::parse(value).unwrap())
                };
                keep.rules.push(KeepRule { each, count });
            }
        }
    }
    keep
}

fn declare_tier(policy: &mut Policy, name: &TierName) {
    policy.tiers.insert(
        name.clone(),
        TierDeclaration {
            name: name.clone(),
            kind: "filesystem".to_owned(),
            table: serde_json::Value::Null,
            base: ".".into(),
            concurrency: 2,
            bandwidth: None,
            capabilities: model::Capabilities::PLAIN,
            off_site: false,
            media: "filesystem".to_owned(),
        },
    );
}

fn series_line(policy: &mut Policy, name: &str, rest: &str) {
    let (database, series) = name.split_once('/').unwrap();
    let (cron, rest) = rest
        .trim()
        .strip_prefix('"')
        .unwrap()
        .split_once('"')
        .unwrap();
    let mut new = Series {
        full_every: SignedDuration::from_hours(7 * 24),
        incremental: false,
        name: SeriesName::new(series).unwrap(),
        method: MethodName::new("logical").unwrap(),
        table: serde_json::Value::Null,
        schedule: Schedule::cron(cron).unwrap(),
        keep: Vec::new(),
        verify: VerifyLevel::Checksum,
        window: Window {
            start_within: None,
            timeout: SignedDuration::from_hours(2),
            retries: 3,
            retry_after: SignedDuration::from_mins(5),
        },
    };
    let mut objective = Objective::default();
    let mut encrypt_with = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        if let Some((before, after)) = rest.split_once('{')
            && !before.contains(' ')
        {
            let (rules, after) = after.split_once('}').unwrap();
            let tier = TierName::new(before).unwrap();
            declare_tier(policy, &tier);
            new.keep.push((tier, keep(rules)));
            rest = after.trim();
            continue;
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "incremental" => new.incremental = true,
            "full-every" => new.full_every = Period::parse(value).unwrap().fixed().unwrap(),
            "verify" => new.verify = value.parse().unwrap(),
            "encrypt" => {
                encrypt_with = value
                    .split(',')
                    .map(|name| KeyName::new(name).unwrap())
                    .collect();
            }
            "start-within" => {
                new.window.start_within = Period::parse(value).unwrap().fixed();
            }
            "rpo" => {
                let (target, maximum) = value.split_once('-').unwrap_or((value, value));
                let fixed = |text| Period::parse(text).unwrap().fixed().unwrap();
                objective.rpo = Some(Target {
                    target: fixed(target),
                    maximum: fixed(maximum),
                });
            }
            other => panic!("`{other}` is no option of a series"),
        }
        rest = after.trim();
    }
    let name = DatabaseName::new(database).unwrap();
    let declared = policy
        .databases
        .entry(name.clone())
        .or_insert_with(|| DatabaseDeclaration {
            wal: None,
            declared_restore: None,
            name,
            engine: "postgres".to_owned(),
            table: serde_json::Value::Null,
            base: ".".into(),
            labels: BTreeMap::new(),
            objective,
            encrypt_with,
            asserts: Vec::new(),
            series: BTreeMap::new(),
            drills: Vec::new(),
        });
    declared.series.insert(new.name.clone(), new);
}

fn wal_line(policy: &mut Policy, rest: &str) {
    let (database, rest) = rest.split_once(' ').unwrap();
    let keep: Vec<(TierName, Period)> = rest
        .split_whitespace()
        .map(|word| {
            let (tier, window) = word.split_once('=').unwrap();
            (TierName::new(tier).unwrap(), Period::parse(window).unwrap())
        })
        .collect();
    for (tier, _) in &keep {
        declare_tier(policy, tier);
    }
    declared(policy, database).wal = Some(WalDeclaration {
        mode: WalMode::Archive,
        bases: Vec::new(),
        keep,
        slot: String::new(),
        compression_level: 1,
        parallel: 4,
        spool: None,
        spool_limit: ByteCount(1 << 30),
    });
}

fn drill_line(policy: &mut Policy, rest: &str) {
    let (database, rest) = rest.split_once(' ').unwrap();
    let (name, rest) = rest.split_once(' ').unwrap();
    let (cron, rest) = rest.strip_prefix('"').unwrap().split_once('"').unwrap();
    let mut drill = Drill {
        name: name.to_owned(),
        schedule: Schedule::cron(cron).unwrap(),
        pick: DrillPick::Newest,
        asserts: Vec::new(),
        from: None,
        amcheck: false,
    };
    for word in rest.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("newest", _) => drill.pick = DrillPick::Newest,
            ("oldest-kept", _) => drill.pick = DrillPick::OldestKept,
            ("within", of) => drill.pick = DrillPick::RandomWithin(Period::parse(of).unwrap()),
            ("moment", of) => drill.pick = DrillPick::RandomMoment(Period::parse(of).unwrap()),
            ("from", tier) => drill.from = Some(TierName::new(tier).unwrap()),
            (other, _) => panic!("`{other}` is no option of a drill"),
        }
    }
    declared(policy, database).drills.push(drill);
}

fn declared<'p>(policy: &'p mut Policy, database: &str) -> &'p mut DatabaseDeclaration {
    let name = DatabaseName::new(database).unwrap();
    policy
        .databases
        .get_mut(&name)
        .expect("the series stands before what else belongs to its database")
}

/// One tier a line: `archive thaw=bulk,12h`, `vault lock=30d`, `vault lock=retention`; the mode is compliance.
pub(crate) fn capable(text: &str) -> TierCapabilities {
    let mut all = TierCapabilities::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let tier = TierName::new(words.next().unwrap()).unwrap();
        let mut can = Capabilities::PLAIN;
        for word in words {
            match word.split_once('=').unwrap() {
                ("thaw", order) => {
                    let (speed, typical) = order.split_once(',').unwrap();
                    let typical = Period::parse(typical).unwrap().fixed().unwrap();
                    can.thaw = Some(ThawOrder {
                        speed: match speed {
                            "expedited" => RetrievalSpeed::Expedited,
                            "standard" => RetrievalSpeed::Standard,
                            _ => RetrievalSpeed::Bulk,
                        },
                        days: 3,
                        typical_seconds: typical.as_secs().unsigned_abs(),
                    });
                }
                ("lock", length) => {
                    can.lock = Some(LockRule {
                        mode: LockMode::Compliance,
                        length: (length != "retention").then(|| Period::parse(length).unwrap()),
                    });
                }
                (other, _) => panic!("`{other}` is nothing that a tier can do"),
            }
        }
        all.insert(tier, can);
    }
    all
}
