//! More than a year of a server that writes, is promoted, is replaced and loses log, with applies that fail: nothing that a window or a base
//! needs is ever deleted, chains stay short, and every slot of a drill has one drill.

use super::support::{SEGMENT, apply_to, at, inventory, log_of, log_tier, plan, policy, show};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, ByteCount, Copy, Inventory, Plan, ReasonCode, RecoveryPoint,
    wal::{ArchivedHistory, Lsn, TimelineHistory, TimelineSwitch, WalRun, WalSource},
};
use std::collections::{BTreeMap, BTreeSet};

const POLICY: &str = r#"
    orders/base "0 2 * * *" nas{last=3} offsite{weekly=3} incremental full-every=7d
    wal orders nas=9d offsite=20d
    drill orders weekly "0 5 * * 1" within=7d
    drill orders monthly "0 6 1 * *" moment=5d
    max-prune-percent 100
"#;

struct Server {
    cluster: u64,
    timeline: u32,
    position: u64,
    ancestors: Vec<TimelineSwitch>,
}

struct Chance(u64);

impl Chance {
    fn one_in(&mut self, odds: u64) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(odds)
    }
}

/// Segments that were stored and when, tier by tier: what is true, whatever the planner thinks.
type Truth = BTreeMap<(&'static str, u64, u32, u64), Timestamp>;

/// Segments that were deleted.
type Expired = BTreeSet<(&'static str, u64, u32, u64)>;

fn write_log(server: &mut Server, truth: &mut Truth, chance: &mut Chance, now: Timestamp) {
    for _ in 0..3 {
        server.position += 1;
        let lost = chance.one_in(150);
        for tier in ["nas", "offsite"] {
            if !lost {
                truth.insert(
                    (tier, server.cluster, server.timeline, server.position),
                    now,
                );
            }
        }
    }
}

fn observe(inventory: &mut Inventory, server: &Server, truth: &Truth, now: Timestamp) {
    for tier in ["nas", "offsite"] {
        let mut runs: Vec<WalRun> = Vec::new();
        for ((_, cluster, timeline, number), stored) in
            truth.iter().filter(|((on, ..), _)| *on == tier)
        {
            let start = Lsn(number * SEGMENT);
            match runs.last_mut() {
                Some(run)
                    if run.end == start
                        && run.system_identifier == *cluster
                        && run.timeline == *timeline =>
                {
                    run.end = Lsn(start.0 + SEGMENT);
                    run.last_stored_at = run.last_stored_at.max(*stored);
                    run.bytes = ByteCount(run.bytes.0 + 1);
                }
                _ => runs.push(WalRun {
                    bytes: ByteCount(1),
                    end: Lsn(start.0 + SEGMENT),
                    last_stored_at: *stored,
                    segment_bytes: SEGMENT,
                    start,
                    stored_at: *stored,
                    system_identifier: *cluster,
                    timeline: *timeline,
                }),
            }
        }
        log_tier(inventory, "orders", tier).runs = runs;
    }
    log_of(inventory, "orders").source = Some(WalSource {
        at: now,
        position: Lsn((server.position + 1) * SEGMENT),
        system_identifier: server.cluster,
        timeline: server.timeline,
    });
}

/// What happens to servers.
fn fate(server: &mut Server, inventory: &mut Inventory, chance: &mut Chance) {
    if chance.one_in(60) {
        server.ancestors.push(TimelineSwitch {
            at: Lsn((server.position + 1) * SEGMENT),
            timeline: server.timeline,
        });
        server.timeline += 1;
        for tier in ["nas", "offsite"] {
            let history = ArchivedHistory {
                history: TimelineHistory {
                    ancestors: server.ancestors.clone(),
                    timeline: server.timeline,
                },
                system_identifier: server.cluster,
            };
            log_tier(inventory, "orders", tier).histories.push(history);
        }
    }
    if chance.one_in(120) {
        *server = Server {
            cluster: server.cluster + 1,
            timeline: 1,
            position: 3,
            ancestors: Vec::new(),
        };
    }
}

fn apply_badly(inventory: &mut Inventory, plan: &Plan, chance: &mut Chance, odds: u64) -> Plan {
    let mut failed = BTreeSet::new();
    let mut done = plan.clone();
    done.steps.retain(|step| {
        let fails = chance.one_in(odds) || step.after.iter().any(|id| failed.contains(id));
        if fails {
            failed.insert(step.id.clone());
        }
        !fails && !step.needs_approval
    });
    apply_to(inventory, &done);
    done
}

/// Moments of the window that could be reached from the bases and the log on one tier, hour by hour.
fn reachable(inventory: &Inventory, truth: &Truth, tier: &'static str) -> BTreeSet<Timestamp> {
    let name = model::TierName::new(tier).unwrap();
    let whole = |point: &RecoveryPoint| {
        let mut link = Some(point);
        while let Some(this) = link {
            if !this.copy_on(&name).is_some_and(Copy::is_good) {
                return false;
            }
            let Some(parent) = &this.parent else {
                return true;
            };
            link = inventory
                .recovery_points
                .iter()
                .find(|point| point.id == *parent);
        }
        false
    };
    let mut moments = BTreeSet::new();
    for base in inventory
        .recovery_points
        .iter()
        .filter(|point| whole(point))
    {
        let Some(span) = base.wal.as_deref() else {
            continue;
        };
        let there = &inventory.wal.values().next().unwrap().tiers[&name];
        let histories = there.histories.iter();
        let of_cluster = histories.filter(|one| one.system_identifier == span.system_identifier);
        let mut paths: Vec<(u32, Vec<TimelineSwitch>)> = of_cluster
            .map(|one| (one.history.timeline, one.history.ancestors.clone()))
            .filter(|(_, past)| {
                let passes =
                    |left: &TimelineSwitch| left.timeline == span.timeline && left.at >= span.end;
                past.iter().any(passes)
            })
            .collect();
        paths.push((span.timeline, Vec::new()));
        for (timeline, past) in paths {
            let on = |number: u64| {
                let before = |left: &&TimelineSwitch| {
                    left.timeline >= span.timeline && Lsn(number * SEGMENT) < left.at
                };
                past.iter()
                    .find(before)
                    .map_or(timeline, |left| left.timeline)
            };
            let mut number = span.start.segment(SEGMENT);
            while let Some(stored) = truth.get(&(tier, span.system_identifier, on(number), number))
            {
                if *stored >= base.captured_at {
                    moments.insert(*stored);
                }
                number += 1;
            }
        }
    }
    moments
}

/// What was deleted is gone from the tiers.
fn delete(truth: &mut Truth, done: &Plan, expired: &mut Expired) {
    let steps = done.steps.iter();
    for step in steps.filter(|step| step.action == Action::ExpireWal) {
        for range in &step.wal {
            truth.retain(|key, _| {
                let (tier, cluster, timeline, number) = key;
                let inside = *tier == step.tier.as_str()
                    && *cluster == range.system_identifier
                    && *timeline == range.timeline
                    && (range.start.0..range.end.0).contains(&(number * SEGMENT));
                if inside {
                    expired.insert(*key);
                }
                !inside
            });
        }
    }
}

#[test]
fn a_window_that_is_longer_than_bases_are_kept_still_moves_on() {
    let policy = policy(
        r#"
        orders/base "0 2 * * *" nas{last=3} offsite{weekly=1} full-every=1d
        wal orders nas=9d offsite=20d
        max-prune-percent 100
        "#,
    );
    let mut now = at("2026-01-05T02:10:00Z");
    let mut inventory = inventory(&now.to_string(), "");
    let (mut truth, mut expired) = (Truth::new(), Expired::new());
    let mut server = Server {
        cluster: 7,
        timeline: 1,
        position: 3,
        ancestors: Vec::new(),
    };
    for day in 0..90 {
        server.position += 1;
        for tier in ["nas", "offsite"] {
            truth.insert((tier, 7, 1, server.position), now);
        }
        observe(&mut inventory, &server, &truth, now);
        let plan = plan(&policy, &inventory, &now.to_string());
        apply_to(&mut inventory, &plan);
        delete(&mut truth, &plan, &mut expired);
        for (tier, window, bases) in [("nas", 9, 6), ("offsite", 20, 5)] {
            let name = model::TierName::new(tier).unwrap();
            let there = inventory.recovery_points.iter();
            let there: Vec<_> = there.filter(|p| p.copy_on(&name).is_some()).collect();
            assert!(there.len() <= bases, "day {day} {tier}: {there:#?}");
            let hours = |days: i64| SignedDuration::from_hours(24 * days);
            let oldest = there.iter().map(|point| point.captured_at).min().unwrap();
            assert!(
                now.duration_since(oldest) >= hours(window.min(day)),
                "day {day} {tier}: the window begins only at {oldest}"
            );
            // A window, the bases that grow old enough for the next, and what bases elsewhere need for themselves.
            let log = truth.keys().filter(|(on, ..)| *on == tier).count();
            let most = usize::try_from(2 * window + 5).unwrap();
            assert!(log <= most, "day {day} {tier}: {log}\n{}", show(&plan));
        }
        now += SignedDuration::from_hours(24);
    }
}

#[test]
fn four_hundred_days_of_failures_never_cost_a_moment_inside_a_window() {
    for seed in 0..2 {
        let policy = policy(POLICY);
        let mut chance = Chance(seed);
        let mut now = at("2026-01-05T02:10:00Z");
        let mut inventory = inventory(&now.to_string(), "");
        let mut truth = Truth::new();
        let mut server = Server {
            cluster: 7,
            timeline: 1,
            position: 3,
            ancestors: Vec::new(),
        };
        let mut expired = Expired::new();
        let mut out_of_turn = 0;
        for day in 0..400 {
            for hour in [0, 6] {
                let now = now + SignedDuration::from_hours(hour);
                write_log(&mut server, &mut truth, &mut chance, now);
                fate(&mut server, &mut inventory, &mut chance);
                observe(&mut inventory, &server, &truth, now);
                let before: Vec<BTreeSet<Timestamp>> = ["nas", "offsite"]
                    .map(|tier| reachable(&inventory, &truth, tier))
                    .into();
                let plan = plan(&policy, &inventory, &now.to_string());
                let done = apply_badly(&mut inventory, &plan, &mut chance, 6);
                delete(&mut truth, &done, &mut expired);
                out_of_turn += usize::from(
                    plan.steps
                        .iter()
                        .any(|step| step.reason.code == ReasonCode::WalBroken),
                );
                for (tier, (before, days)) in ["nas", "offsite"]
                    .into_iter()
                    .zip(before.into_iter().zip([9, 20]))
                {
                    let after = reachable(&inventory, &truth, tier);
                    let begins = now - SignedDuration::from_hours(24 * days);
                    let lost: Vec<&Timestamp> = before
                        .iter()
                        .filter(|moment| **moment > begins && !after.contains(moment))
                        .collect();
                    assert!(
                        lost.is_empty(),
                        "seed {seed} day {day} {tier}: {lost:?}\n{}",
                        show(&plan)
                    );
                }
                own_log(&inventory, &expired, day);
            }
            now += SignedDuration::from_hours(24);
        }
        assert!(expired.len() > 1_000, "seed {seed}: {}", expired.len());
        assert!(out_of_turn > 3, "seed {seed}: {out_of_turn}");
        // What is left is a window and a little more, not everything.
        assert!(truth.len() < 800, "seed {seed}: {}", truth.len());
        each_slot_once(&inventory);
    }
}

/// The segment that a base needs itself was not deleted.
fn own_log(inventory: &Inventory, expired: &Expired, day: i32) {
    for base in &inventory.recovery_points {
        let mut length = 0;
        let mut link = Some(base);
        while let Some(parent) = link.and_then(|point| point.parent.as_ref()) {
            length += 1;
            link = inventory
                .recovery_points
                .iter()
                .find(|point| point.id == *parent);
            assert!(link.is_some(), "day {day}: {parent} of {} is gone", base.id);
        }
        assert!(length < 9, "day {day}: {} has {length} ancestors", base.id);
        let Some(span) = base.wal.as_deref() else {
            continue;
        };
        let number = span.start.segment(SEGMENT);
        for tier in ["nas", "offsite"] {
            let own = (tier, span.system_identifier, span.timeline, number);
            assert!(
                !expired.contains(&own),
                "day {day}: {} lost its log",
                base.id
            );
        }
    }
}

fn each_slot_once(inventory: &Inventory) {
    let mut slots: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for fact in &inventory.drills {
        slots.entry(&fact.name).or_default().push(fact.slot);
    }
    for (name, slots) in slots {
        let unique: BTreeSet<&Timestamp> = slots.iter().collect();
        assert_eq!(unique.len(), slots.len(), "{name}");
        // Those of 400 days, and the one before them that was never carried out.
        let all = if name == "weekly" { 59 } else { 15 };
        assert!(
            (all - 3..=all).contains(&slots.len()),
            "{name}: {}",
            slots.len()
        );
    }
}
