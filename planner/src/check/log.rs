//! The promises about archived log, chains and drills, stated without the rules' own arithmetic: every piece of log that is deleted is
//! compared with every base, one by one.

use super::Report;
use model::{
    Action, Copy, Inventory, Plan, PointState, RecoveryPoint, RecoveryPointId, Step, StepId,
    TierName,
    step::WalRange,
    wal::{ArchivedHistory, WalSpan, WalTier},
};
use policy_schema::Policy;
use std::collections::{BTreeMap, BTreeSet};

/// Whether `range` and the log that a base needs to be consistent overlap, segment by segment.
fn takes_own_log(range: &WalRange, span: &WalSpan) -> bool {
    !span.included
        && range.system_identifier == span.system_identifier
        && range.end > span.start
        && range.start.0 < span.end.0
}

/// Whether the log of `range` continues a base, as far as histories tell.
fn continues(range: &WalRange, span: &WalSpan, histories: &[ArchivedHistory]) -> bool {
    if range.system_identifier != span.system_identifier || range.end <= span.start {
        return false;
    }
    if range.timeline == span.timeline {
        return true;
    }
    // A later timeline that branched off this base's own, after the base began.
    histories.iter().any(|known| {
        known.system_identifier == range.system_identifier
            && known.history.timeline == range.timeline
            && known
                .history
                .ancestors
                .iter()
                .any(|left| left.timeline == span.timeline && left.at >= span.start)
    })
}

pub(super) fn deletions(
    plan: &Plan,
    policy: &Policy,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    for step in &plan.steps {
        let id = || step.id.to_string();
        if (step.action == Action::ExpireWal) == step.wal.is_empty() {
            report("only log is expired, and log is only expired", id());
        }
        if step.action != Action::ExpireWal {
            continue;
        }
        let window = policy
            .databases
            .get(&step.database)
            .and_then(|database| database.wal.as_ref())
            .and_then(|wal| wal.keep.iter().find(|(tier, _)| *tier == step.tier));
        let there = inventory
            .wal
            .get(&step.database)
            .and_then(|archive| archive.tiers.get(&step.tier));
        let (Some((_, window)), Some(there)) = (window, there) else {
            report(
                "log is expired only where it is declared and was seen",
                id(),
            );
            continue;
        };
        if inventory.unreachable_tiers.contains(&step.tier) {
            report("no log is expired on a tier that was not observed", id());
        }
        let newest = inventory
            .recovery_points
            .iter()
            .map(|point| point.captured_at);
        if newest
            .chain(inventory.last_activity)
            .any(|at| plan.evaluated_at < at - crate::world::TOLERANCE)
        {
            report("no log is expired while the clock is behind", id());
        }
        expired(step, there, inventory, report);
        let begins = window.before(plan.evaluated_at, &policy.timezone);
        windows(step, there, begins, inventory, report);
    }
}

fn expired(step: &Step, there: &WalTier, inventory: &Inventory, report: &mut Report<'_>) {
    let id = || step.id.to_string();
    let bases = || {
        let points = inventory.recovery_points.iter();
        points.filter(|point| point.database == step.database && point.wal.is_some())
    };
    for range in &step.wal {
        let run = there.runs.iter().find(|run| {
            run.system_identifier == range.system_identifier
                && run.timeline == range.timeline
                && run.start <= range.start
                && range.end <= run.end
        });
        let whole = run.is_some_and(|run| {
            let size = run.segment_bytes.max(1);
            range.start < range.end && range.start.0 % size == 0 && range.end.0 % size == 0
        });
        if !whole {
            report("whole segments that are there are expired", id());
        }
        for base in bases().filter(|base| !base.copies.is_empty()) {
            if base
                .wal
                .as_deref()
                .is_some_and(|span| takes_own_log(range, span))
            {
                report(
                    "the log that a base needs itself is never expired",
                    base.id.to_string(),
                );
            }
        }
    }
    let good = |point: &RecoveryPointId| {
        bases().any(|base| {
            base.id == *point
                && base.state == PointState::Complete
                && base.copies.iter().any(Copy::is_good)
        })
    };
    if step.justified_by.is_empty() || !step.justified_by.iter().all(good) {
        report("a verified base justifies that log goes", id());
    }
}

/// The newest verified base from before the window, and every base since, still leads to every moment after it.
fn windows(
    step: &Step,
    there: &WalTier,
    begins: jiff::Timestamp,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    let mut bases: Vec<&RecoveryPoint> = inventory
        .recovery_points
        .iter()
        .filter(|point| {
            point.database == step.database
                && point.state == PointState::Complete
                && point.wal.is_some()
                && point.copy_on(&step.tier).is_some_and(Copy::is_good)
        })
        .collect();
    bases.sort_by_key(|base| base.captured_at);
    let first = bases
        .iter()
        .rposition(|base| base.captured_at <= begins)
        .unwrap_or(0);
    for base in bases.iter().skip(first) {
        let Some(span) = base.wal.as_deref() else {
            continue;
        };
        for range in &step.wal {
            if continues(range, span, &there.histories) {
                report(
                    "no log inside a window is expired",
                    format!("{} for {}", step.id, base.id),
                );
            }
        }
    }
}

/// Copies that the plan prunes.
fn pruned(plan: &Plan) -> BTreeSet<(&RecoveryPointId, &TierName)> {
    let steps = plan.steps.iter();
    let prunes = steps.filter(|step| step.action == Action::Prune);
    prunes
        .map(|step| (&step.recovery_point, &step.tier))
        .collect()
}

fn known(inventory: &Inventory) -> BTreeMap<&RecoveryPointId, &RecoveryPoint> {
    let points = inventory.recovery_points.iter();
    points.map(|point| (&point.id, point)).collect()
}

/// The base that a window begins with, and the one that it begins with next, stay on their tier, and their chains.
pub(super) fn first_bases(
    plan: &Plan,
    policy: &Policy,
    inventory: &Inventory,
    report: &mut Report<'_>,
) {
    let pruned = pruned(plan);
    if pruned.is_empty() {
        return;
    }
    let known = known(inventory);
    for database in policy.databases.values() {
        for (tier, window) in database.wal.iter().flat_map(|wal| &wal.keep) {
            let log = inventory.wal.get(&database.name);
            let newest_log = log.and_then(|log| log.tiers.get(tier)).and_then(|there| {
                let partials = there.partials.iter().map(|part| part.stored_at);
                let runs = there.runs.iter().map(|run| run.last_stored_at);
                runs.chain(partials).max()
            });
            let bases = inventory
                .recovery_points
                .iter()
                .filter(|point| point.database == database.name && point.wal.is_some());
            let mut bases: Vec<&RecoveryPoint> = bases.collect();
            let newest_base = bases.iter().map(|base| base.captured_at).max();
            // A window ends with the log that there is.
            let Some(ends) = newest_log.or(newest_base) else {
                continue;
            };
            bases.retain(|base| {
                base.state == PointState::Complete && base.copy_on(tier).is_some_and(Copy::is_good)
            });
            bases.sort_by_key(|base| (base.captured_at, &base.id));
            let begins = window.before(ends.min(plan.evaluated_at), &policy.timezone);
            let first = bases
                .iter()
                .rposition(|base| base.captured_at <= begins)
                .unwrap_or(0);
            let kept_there = |base: &&&RecoveryPoint| {
                database
                    .series
                    .get(&base.series)
                    .is_some_and(|series| series.keep.iter().any(|(named, _)| named == tier))
            };
            for base in bases.iter().skip(first).take(2).filter(kept_there) {
                stays(base, tier, &pruned, &known, report);
            }
        }
    }
}

/// Neither the base nor anything that it is incremental to is pruned.
fn stays(
    base: &RecoveryPoint,
    tier: &TierName,
    pruned: &BTreeSet<(&RecoveryPointId, &TierName)>,
    known: &BTreeMap<&RecoveryPointId, &RecoveryPoint>,
    report: &mut Report<'_>,
) {
    let mut link = Some(base);
    while let Some(point) = link {
        if pruned.contains(&(&point.id, tier)) {
            report(
                "the base that a window begins with stays",
                point.id.to_string(),
            );
        }
        let parent = point.parent.as_ref();
        link = parent.and_then(|parent| known.get(parent).copied());
    }
}

pub(super) fn chains(plan: &Plan, inventory: &Inventory, policy: &Policy, report: &mut Report<'_>) {
    let incremental: Vec<(&Step, &RecoveryPointId)> = plan
        .steps
        .iter()
        .filter_map(|step| Some((step, step.parent.as_ref()?)))
        .collect();
    if incremental.is_empty() {
        return;
    }
    let known = known(inventory);
    let pruned = pruned(plan);
    for (step, parent) in incremental {
        let id = || step.id.to_string();
        if step.action != Action::Backup {
            report("only a backup is incremental", id());
        }
        // Where the candidate goes, its chain goes first or is.
        let places = plan.steps.iter().filter(|other| {
            other.recovery_point == step.recovery_point
                && matches!(other.action, Action::Backup | Action::Upload)
        });
        for place in places {
            let mut link = Some(parent);
            let mut full = None;
            while let Some(this) = link {
                let point = known.get(this);
                let there = point.and_then(|point| point.copy_on(&place.tier));
                let proof = StepId::new(Action::Verify, this, &place.tier);
                let here = there.is_some_and(Copy::is_good)
                    || place.after.contains(&proof)
                    || (place.action == Action::Upload && there.is_some_and(Copy::is_present));
                if !here || pruned.contains(&(this, &place.tier)) {
                    report(
                        "an incremental point is made where its whole chain is",
                        format!("{} without {this}", place.id),
                    );
                }
                full = point.copied();
                link = point.and_then(|point| point.parent.as_ref());
            }
            let series = policy
                .databases
                .get(&step.database)
                .and_then(|database| database.series.get(&step.series));
            let old = full
                .zip(series)
                .zip(step.slot)
                .is_some_and(|((full, series), slot)| {
                    slot.duration_since(full.slot) >= series.full_every
                });
            if old {
                report("no chain is longer than full-every", id());
            }
        }
    }
}

pub(super) fn drills(plan: &Plan, inventory: &Inventory, policy: &Policy, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for step in &plan.steps {
        let id = || step.id.to_string();
        if (step.action == Action::Drill) != step.drill.is_some() {
            report("drills, and only they, have an order", id());
        }
        let Some(order) = &step.drill else { continue };
        if !seen.insert((&step.database, &order.name)) {
            report("a drill is carried out once in a plan", id());
        }
        let declared = policy.databases.get(&step.database);
        if !declared
            .is_some_and(|database| database.drills.iter().any(|drill| drill.name == order.name))
        {
            report("only declared drills are carried out", id());
        }
        if order.slot > plan.evaluated_at {
            report("a drill's slot has come", id());
        }
        let asked = step.reason.code == model::ReasonCode::Requested;
        let again = inventory.drills.iter().any(|fact| {
            fact.database == step.database && fact.name == order.name && fact.slot == order.slot
        });
        if again && !asked {
            report("a slot of a drill is carried out once", id());
        }
        let proof = StepId::new(Action::Verify, &step.recovery_point, &step.tier);
        let there = inventory
            .recovery_points
            .iter()
            .find(|point| point.id == step.recovery_point)
            .and_then(|point| point.copy_on(&step.tier))
            .is_some_and(Copy::is_good);
        if !there && !step.after.contains(&proof) {
            report("a drill restores what is verified", id());
        }
        let prune = StepId::new(Action::Prune, &step.recovery_point, &step.tier);
        if plan.steps.iter().any(|step| step.id == prune) {
            report("a drill restores what stays", id());
        }
    }
}
