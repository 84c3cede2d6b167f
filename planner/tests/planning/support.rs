//! Policies and inventories written as a few lines of text, a check around every plan, and a pretend apply.
//!
//! Policy: a line `orders/daily "0 2 * * *" nas{daily=7 weekly=4} archive{monthly=12}`, options behind it
//! (`verify=restore start-within=2h encrypt=prod,offline`); settings on lines of their own (`zone Europe/Prague`, `max-prune-count 5`).
//! `incremental` and `full-every=7d` belong to a series; `wal orders nas=14d offsite=35d` and
//! `drill orders monthly "0 5 1 * *" newest` (`oldest-kept`, `within=7d`, `moment=7d`, `from=nas`) to a database.
//! What tiers can do is said by [`capable`]: `archive thaw=bulk,12h`, `vault lock=retention`.
//! Inventory: a line `orders/daily/20261120T020000Z nas:v archive:u`, where a copy is `v` verified by checksum, `f` by full
//! read, `r` by restore, `a` attested, `u` unverified, `m` missing, `d` damaged, `x` foreign, and `h` behind it means held,
//! `L<time>` locked; `incomplete`, `parent=<id>` and `wal=<cluster>:<timeline>:<first segment>-<last segment>` belong to the point.
//! `log orders nas 7:1 10-20 <first stored> <last stored>` is a run of whole segments, by their numbers; `history orders nas 7:2 1@15`,
//! `source orders 7:1 21 <when asked>`, `drilled orders monthly <slot>`.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mainstay_planner::Options;
use model::{
    Action, ByteCount, Copy, CopyState, DatabaseName, Digest, Inventory, Keep, KeyName, MethodName,
    Period, Plan, PointState, RecoveryPoint, RecoveryPointId, SeriesName, Step, TierName, Verified,
    VerifyLevel,
    inventory::DrillFact,
    retention::{Each, KeepCount, KeepRule, Pick, RetentionModel},
    tier_facts::{Capabilities, LockMode, LockRule, RetrievalSpeed, ThawOrder, TierCapabilities},
    wal::{
        ArchivedHistory, Lsn, TimelineHistory, TimelineSwitch, WalArchive, WalRun, WalSource,
        WalSpan, WalTier,
    },
};
use policy_schema::{
    Policy, Schedule,
    policy::{
        DatabaseDeclaration, Drill, DrillPick, Objective, Safety, Series, Target, TierDeclaration,
        WalDeclaration, WalMode, Window,
    },
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

/// Size of a segment in tests.
pub(crate) const SEGMENT: u64 = 16 << 20;

pub(crate) fn segment(number: &str) -> Lsn {
    Lsn::of_segment(number.parse().unwrap(), SEGMENT)
}

fn cluster(text: &str) -> (u64, u32) {
    let (cluster, timeline) = text.split_once(':').unwrap();
    (cluster.parse().unwrap(), timeline.parse().unwrap())
}

fn log_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[2]);
    let (first, last) = words[3].split_once('-').unwrap();
    let (start, last) = (segment(first), segment(last));
    let run = WalRun {
        bytes: ByteCount(last.since(start) / SEGMENT + 1),
        end: Lsn(last.0 + SEGMENT),
        last_stored_at: at(words[5]),
        segment_bytes: SEGMENT,
        start,
        stored_at: at(words[4]),
        system_identifier,
        timeline,
    };
    log_tier(inventory, words[0], words[1]).runs.push(run);
}

fn history_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[2]);
    let ancestors = words[3..].iter().map(|word| {
        let (timeline, left) = word.split_once('@').unwrap();
        TimelineSwitch {
            at: segment(left),
            timeline: timeline.parse().unwrap(),
        }
    });
    let history = TimelineHistory {
        ancestors: ancestors.collect(),
        timeline,
    };
    let there = log_tier(inventory, words[0], words[1]);
    there.histories.push(ArchivedHistory {
        history,
        system_identifier,
    });
}

pub(crate) fn log_of<'i>(inventory: &'i mut Inventory, database: &str) -> &'i mut WalArchive {
    let database = DatabaseName::new(database).unwrap();
    inventory.wal.entry(database).or_default()
}

pub(crate) fn log_tier<'i>(
    inventory: &'i mut Inventory,
    database: &str,
    tier: &str,
) -> &'i mut WalTier {
    let tier = TierName::new(tier).unwrap();
    log_of(inventory, database).tiers.entry(tier).or_default()
}

fn source_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[1]);
    log_of(inventory, words[0]).source = Some(WalSource {
        at: at(words[3]),
        position: segment(words[2]),
        system_identifier,
        timeline,
    });
}

fn drilled_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let database = DatabaseName::new(words[0]).unwrap();
    let series = SeriesName::new("any").unwrap();
    inventory.drills.push(DrillFact {
        at: at(words[2]),
        name: words[1].to_owned(),
        passed: words.get(3) != Some(&"failed"),
        recovery_point: RecoveryPointId::new(&database, &series, at(words[2])),
        slot: at(words[2]),
        database,
    });
}

/// `7:1:10-12`: begins a little after the start of segment 10 and ends in segment 12.
fn span(text: &str) -> WalSpan {
    let (place, segments) = text.rsplit_once(':').unwrap();
    let (system_identifier, timeline) = cluster(place);
    let (first, last) = segments.split_once('-').unwrap();
    WalSpan {
        end: Lsn(segment(last).0 + 0x200),
        included: false,
        segment_bytes: SEGMENT,
        start: Lsn(segment(first).0 + 0x28),
        system_identifier,
        timeline,
    }
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
        } else if first == "log" {
            log_line(&mut inventory, rest);
        } else if first == "history" {
            history_line(&mut inventory, rest);
        } else if first == "source" {
            source_line(&mut inventory, rest);
        } else if first == "drilled" {
            drilled_line(&mut inventory, rest);
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
        } else if let Some(wal) = word.strip_prefix("wal=") {
            point.wal = Some(Box::new(span(wal)));
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
        if let Some(parent) = &step.parent {
            let _ = write!(text, " onto {parent}");
        }
        for range in &step.wal {
            let number = |at: Lsn| at.segment(SEGMENT);
            let (first, last) = (number(range.start), number(range.end) - 1);
            let (cluster, timeline) = (range.system_identifier, range.timeline);
            let _ = write!(text, " {cluster}:{timeline} {first}-{last}");
        }
        if let Some(target) = step.drill.as_ref().and_then(|drill| drill.target.as_ref()) {
            let _ = write!(text, " to {target}");
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
                made.parent.clone_from(&step.parent);
                // A server that was asked makes physical points: they need the segment that it writes now.
                let archive = inventory.wal.get(&step.database);
                if let Some(source) = archive.and_then(|archive| archive.source.as_ref()) {
                    let number = source.position.segment(SEGMENT);
                    let place = format!("{}:{}", source.system_identifier, source.timeline);
                    made.wal = Some(Box::new(span(&format!("{place}:{number}-{number}"))));
                }
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
            Action::Drill => {
                let order = step.drill.as_ref().unwrap();
                inventory.drills.push(DrillFact {
                    at: now,
                    database: step.database.clone(),
                    name: order.name.clone(),
                    passed: true,
                    recovery_point: step.recovery_point.clone(),
                    slot: order.slot,
                });
            }
            Action::ExpireWal => expire(inventory, step),
            Action::Thaw => {}
        }
    }
    inventory.observed_at = now;
    if plan.applyable {
        inventory.last_activity = Some(now);
    }
    inventory.retention_in_force.clone_from(&plan.retention);
}

/// Takes the step's ranges out of the runs.
fn expire(inventory: &mut Inventory, step: &Step) {
    let there = log_tier(inventory, step.database.as_str(), step.tier.as_str());
    for range in &step.wal {
        let mut left = Vec::new();
        for run in there.runs.drain(..) {
            let same = run.system_identifier == range.system_identifier
                && run.timeline == range.timeline
                && run.start <= range.start
                && range.end <= run.end;
            if !same {
                left.push(run);
                continue;
            }
            for (start, end) in [(run.start, range.start), (range.end, run.end)] {
                if start < end {
                    left.push(WalRun {
                        start,
                        end,
                        ..run.clone()
                    });
                }
            }
        }
        there.runs = left;
    }
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
