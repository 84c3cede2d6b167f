//! Policies and inventories written as a few lines of text, a check around every plan, and a pretend apply.
//!
//! Policy: a line `orders/daily "0 2 * * *" nas{daily=7 weekly=4} archive{monthly=12}`, options behind it
//! (`verify=restore start-within=2h encrypt=prod,offline`); settings on lines of their own (`zone Europe/Prague`, `max-prune-count 5`).
//! What tiers can do is said by [`capable`]: `archive thaw=bulk,12h`, `vault lock=retention`.
//! Inventory: a line `orders/daily/20261120T020000Z nas:v archive:u`, where a copy is `v` verified by checksum, `f` by full
//! read, `r` by restore, `a` attested, `u` unverified, `m` missing, `d` damaged, `x` foreign, and `h` behind it means held,
//! `L<time>` locked; `incomplete` and `parent=<id>` belong to the point.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mainstay_planner::Options;
use model::{
    Action, ByteCount, Copy, CopyState, DatabaseName, Digest, Inventory, Keep, KeyName, MethodName,
    Period, Plan, PointState, RecoveryPoint, RecoveryPointId, SeriesName, Step, TierName, Verified,
    VerifyLevel,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
    tier_facts::{Capabilities, LockMode, LockRule, RetrievalSpeed, ThawOrder, TierCapabilities},
};
use policy_schema::{
    Policy, Schedule,
    policy::{DatabaseDeclaration, Objective, Safety, Series, Target, TierDeclaration, Window},
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is not a time"))
}

pub(crate) fn stamp_to_time(stamp: &str) -> Timestamp {
    at(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        &stamp[0..4],
        &stamp[4..6],
        &stamp[6..8],
        &stamp[9..11],
        &stamp[11..13],
        &stamp[13..15]
    ))
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

pub(crate) fn policy(text: &str) -> Policy {
    let mut policy = Policy {
        digest: Digest::sha256_of(text.as_bytes()),
        timezone: TimeZone::UTC,
        timezone_name: "UTC".to_owned(),
        tiers: BTreeMap::new(),
        keys: BTreeMap::new(),
        databases: BTreeMap::new(),
        safety: Safety {
            min_verified: 1,
            max_prune_count: 25,
            max_prune_percent: 50,
        },
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
            _ => series_line(&mut policy, first, rest),
        }
    }
    policy
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
        let (key, value) = word.split_once('=').unwrap();
        match key {
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

pub(crate) fn inventory(now: &str, text: &str) -> Inventory {
    let mut inventory = Inventory::empty(at(now));
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if first == "unreachable" {
            let tier = TierName::new(rest).unwrap();
            inventory
                .unreachable_why
                .insert(tier.clone(), "its marker file is missing".to_owned());
            inventory.unreachable_tiers.push(tier);
        } else {
            inventory.recovery_points.push(point(first, rest));
        }
    }
    inventory
}

fn point(id: &str, rest: &str) -> RecoveryPoint {
    let id = RecoveryPointId::parse(id).unwrap();
    let slot = stamp_to_time(id.stamp());
    let mut point = RecoveryPoint {
        wal: None,
        bytes: ByteCount(1 << 20),
        captured_at: slot,
        copies: Vec::new(),
        database: DatabaseName::new(id.database()).unwrap(),
        series: SeriesName::new(id.series()).unwrap(),
        id,
        method: MethodName::new("logical").unwrap(),
        parent: None,
        slot,
        state: PointState::Complete,
    };
    for word in rest.split_whitespace() {
        if word == "incomplete" {
            point.state = PointState::Incomplete;
        } else if let Some(parent) = word.strip_prefix("parent=") {
            point.parent = Some(RecoveryPointId::parse(parent).unwrap());
        } else {
            let (tier, flags) = word.split_once(':').unwrap();
            point.copies.push(copy(tier, flags, slot));
        }
    }
    point
}

fn copy(tier: &str, flags: &str, slot: Timestamp) -> Copy {
    let (flags, locked) = flags.split_once('L').unwrap_or((flags, ""));
    let level = flags.chars().find_map(|flag| match flag {
        'a' => Some(VerifyLevel::Attested),
        'v' => Some(VerifyLevel::Checksum),
        'f' => Some(VerifyLevel::FullRead),
        'r' => Some(VerifyLevel::Restore),
        _ => None,
    });
    let state = flags
        .chars()
        .find_map(|flag| match flag {
            'm' => Some(CopyState::Missing),
            'd' => Some(CopyState::Damaged),
            'x' => Some(CopyState::Foreign),
            _ => None,
        })
        .unwrap_or(CopyState::Present);
    Copy {
        bytes: ByteCount(1 << 20),
        held: flags.contains('h'),
        locked_until: (!locked.is_empty()).then(|| at(locked)),
        state,
        stored_at: slot,
        tier: TierName::new(tier).unwrap(),
        verified: level.map(|level| Verified { at: slot, level }),
    }
}

/// Daily points at 02:00 from `first` (a date) for `days` days, each with `copies`.
pub(crate) fn daily(name: &str, first: &str, days: i64, copies: &str) -> String {
    let start: jiff::civil::Date = first.parse().unwrap();
    (0..days).fold(String::new(), |mut text, day| {
        let date = start + SignedDuration::from_hours(24 * day);
        let _ = writeln!(text, "{name}/{}T020000Z {copies}", date.strftime("%Y%m%d"));
        text
    })
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

/// Plans and checks the plan: the one way to make a plan in a test.
pub(crate) fn plan_with(
    policy: &Policy,
    inventory: &Inventory,
    now: &str,
    options: &Options,
) -> Plan {
    plan_on(policy, inventory, &TierCapabilities::new(), now, options)
}

/// The same with tiers that can do something.
pub(crate) fn plan_on(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: &str,
    options: &Options,
) -> Plan {
    let plan = mainstay_planner::plan(policy, inventory, capabilities, at(now), options);
    let violations = mainstay_planner::check(&plan, policy, inventory, capabilities);
    assert!(violations.is_empty(), "{violations:#?}\n{}", show(&plan));
    plan
}

pub(crate) fn plan(policy: &Policy, inventory: &Inventory, now: &str) -> Plan {
    plan_with(policy, inventory, now, &Options::default())
}

/// A plan as few lines as a person would want to read in a test.
pub(crate) fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let _ = write!(text, "{}", step.id);
        if let Some(level) = step.level {
            let _ = write!(text, " by {level}");
        }
        if let Some(from) = &step.from {
            let _ = write!(text, " from {from}");
        }
        if let Some(lock) = &step.lock {
            let _ = write!(text, " locked until {}", lock.until);
        }
        if !step.encrypt_for.is_empty() {
            let keys: Vec<&str> = step.encrypt_for.iter().map(KeyName::as_str).collect();
            let _ = write!(text, " encrypted for {}", keys.join(", "));
        }
        if step.needs_approval {
            let _ = write!(text, " NEEDS APPROVAL");
        }
        let _ = writeln!(text, ": {}: {}", step.reason.code, step.reason.text);
        for before in &step.after {
            let _ = writeln!(text, "    after {before}");
        }
        for point in &step.justified_by {
            let _ = writeln!(text, "    because of {point}");
        }
    }
    for reason in &plan.approval {
        let _ = writeln!(text, "! {}: {}", reason.code, reason.text);
    }
    for wait in &plan.not_planned {
        let _ = writeln!(
            text,
            "~ {}: {}: {}",
            wait.what, wait.reason.code, wait.reason.text
        );
    }
    for missed in &plan.missed {
        let _ = writeln!(
            text,
            "missed {}/{}: {} from {} to {}",
            missed.database, missed.series, missed.count, missed.first, missed.last
        );
    }
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

/// What is kept, one line each.
pub(crate) fn show_kept(plan: &Plan) -> String {
    plan.kept.iter().fold(String::new(), |mut text, kept| {
        let _ = writeln!(
            text,
            "{}@{}: {}",
            kept.recovery_point,
            kept.tier,
            kept.reasons.join(", ")
        );
        text
    })
}

pub(crate) fn ids(plan: &Plan, action: Action) -> Vec<String> {
    plan.steps
        .iter()
        .filter(|step| step.action == action)
        .map(|step| format!("{}@{}", step.recovery_point, step.tier))
        .collect()
}

/// Carries a plan out on the inventory, as far as data goes, every step succeeding in the plan's order.
pub(crate) fn apply_to(inventory: &mut Inventory, plan: &Plan) {
    let now = plan.evaluated_at;
    for step in &plan.steps {
        match step.action {
            Action::Backup => {
                let mut made = point(step.recovery_point.as_str(), "");
                made.captured_at = now;
                made.copies.push(new_copy(step, now));
                inventory.recovery_points.push(made);
            }
            Action::Upload | Action::Repair => {
                let point = find(inventory, &step.recovery_point);
                point.copies.retain(|copy| copy.tier != step.tier);
                point.copies.push(new_copy(step, now));
            }
            Action::Adopt => {
                copy_of(inventory, step).state = CopyState::Present;
            }
            Action::Verify => {
                copy_of(inventory, step).verified = Some(Verified {
                    at: now,
                    level: step.level.unwrap(),
                });
            }
            Action::Prune => {
                let point = find(inventory, &step.recovery_point);
                point.copies.retain(|copy| copy.tier != step.tier);
                inventory
                    .recovery_points
                    .retain(|point| !point.copies.is_empty());
            }
            Action::Lock => {
                copy_of(inventory, step).locked_until = step.lock.map(|lock| lock.until);
            }
            Action::Drill | Action::ExpireWal | Action::Thaw => {}
        }
    }
    inventory.observed_at = now;
    if plan.applyable {
        inventory.last_activity = Some(now);
    }
    inventory.retention_in_force.clone_from(&plan.retention);
}

fn new_copy(step: &Step, now: Timestamp) -> Copy {
    Copy {
        locked_until: step.lock.map(|lock| lock.until),
        stored_at: now,
        ..copy(step.tier.as_str(), "u", now)
    }
}

fn find<'i>(inventory: &'i mut Inventory, id: &RecoveryPointId) -> &'i mut RecoveryPoint {
    inventory
        .recovery_points
        .iter_mut()
        .find(|point| &point.id == id)
        .unwrap()
}

fn copy_of<'i>(inventory: &'i mut Inventory, step: &Step) -> &'i mut Copy {
    find(inventory, &step.recovery_point)
        .copies
        .iter_mut()
        .find(|copy| copy.tier == step.tier)
        .unwrap()
}
