//! What is routine at the time of a run: deletions that need nobody's approval, and the retention that may come into force.
//!
//! A saved plan says of itself which of its steps need approval, and its id proves only that nobody changed it since somebody sealed it.
//! Where signatures are asked for, whoever may write a plan must not be able to call a deletion routine. So the caller plans anew, from the
//! policy and the world of now, and what that plan does not call routine waits for signatures.
//! Not here: what is routine (`planner`), whether signatures are enough (`approval`).

use catalog::Retention;
use model::{Action, Plan, Step, step::WalRange};

/// What a plan that was made just now calls routine.
#[derive(Debug, Clone, Default)]
pub struct Routine {
    deletions: Vec<Step>,
    retention: Retention,
}

impl Routine {
    /// What a plan of this moment, made by the planner and by nobody else, calls routine.
    pub fn of(plan: &Plan) -> Self {
        let (waiting, free): (Vec<&Step>, Vec<&Step>) = plan
            .steps
            .iter()
            .filter(|step| deletes(step))
            .partition(|step| step.needs_approval);
        let mut retention = plan.retention.clone();
        for step in waiting {
            // It comes into force with the deletion that somebody must approve, not before.
            let by_series = retention.get_mut(&step.database);
            if let Some(by_tier) = by_series.and_then(|found| found.get_mut(&step.series)) {
                by_tier.remove(&step.tier);
            }
        }
        Self {
            deletions: free.into_iter().cloned().collect(),
            retention,
        }
    }

    /// Whether a step deletes nothing but what is routine, and leaves as much.
    pub(super) fn covers(&self, step: &Step) -> bool {
        !deletes(step)
            || self.deletions.iter().any(|known| {
                known.action == step.action
                    && known.recovery_point == step.recovery_point
                    && known.tier == step.tier
                    && known.min_verified <= step.min_verified
                    && step
                        .wal
                        .iter()
                        .all(|range| known.wal.iter().any(|known| contains(known, range)))
            })
    }

    /// Leaves of rules of retention those that are in force after a plan of now, too.
    pub(super) fn limit(&self, retention: &mut Retention) {
        for (database, by_series) in &mut *retention {
            for (series, by_tier) in by_series {
                let known = self.retention.get(database);
                let known = known.and_then(|known| known.get(series));
                by_tier
                    .retain(|tier, keep| known.and_then(|known| known.get(tier)) == Some(&*keep));
            }
        }
    }
}

/// Whether a step takes something away, whatever it says of itself.
pub(super) fn deletes(step: &Step) -> bool {
    step.destructive || matches!(step.action, Action::Prune | Action::ExpireWal)
}

fn contains(known: &WalRange, range: &WalRange) -> bool {
    known.system_identifier == range.system_identifier
        && known.timeline == range.timeline
        && known.start <= range.start
        && range.end <= known.end
}
