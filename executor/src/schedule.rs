//! Which step may start now: what it waits for has succeeded, and there is room for it.
//!
//! Pure and synchronous. Steps are offered in the plan's order, so the same plan starts in the same order. A graph that
//! knows of steps only their edges and what they occupy; what a step does is in `steps/`.

use model::{Action, DatabaseName, Step, StepId, TierName, VerifyLevel};
use std::collections::{BTreeMap, BTreeSet};

/// Why a plan's steps are no DAG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two steps have one id.
    #[error("the plan has two steps `{0}`")]
    Double(StepId),
    /// An edge leads nowhere.
    #[error("step `{step}` waits for `{missing}`, which is not in the plan")]
    Unknown {
        /// The step that waits.
        step: StepId,
        /// What it waits for.
        missing: StepId,
    },
    /// Steps wait for each other.
    #[error("step `{0}` waits for itself")]
    Cycle(StepId),
}

/// Most steps that may run at the same time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) overall: usize,
    pub(crate) databases: BTreeMap<DatabaseName, usize>,
    pub(crate) tiers: BTreeMap<TierName, usize>,
}

/// Steps with what they still wait for.
#[derive(Debug)]
pub(crate) struct Schedule {
    steps: Vec<Step>,
    dependants: Vec<Vec<usize>>,
    waits_for: Vec<usize>,
    ready: BTreeSet<usize>,
    limits: Limits,
    running: BTreeSet<usize>,
}

impl Schedule {
    /// Takes the steps of a plan; refuses what is no DAG before anything is started.
    pub(crate) fn new(steps: &[Step], limits: Limits) -> Result<Self, GraphError> {
        let mut index = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            if index.insert(step.id.clone(), at).is_some() {
                return Err(GraphError::Double(step.id.clone()));
            }
        }
        let mut dependants = vec![Vec::new(); steps.len()];
        let mut waits_for = vec![0; steps.len()];
        for (at, step) in steps.iter().enumerate() {
            for before in step.after.iter().collect::<BTreeSet<_>>() {
                let Some(&before) = index.get(before) else {
                    return Err(GraphError::Unknown {
                        step: step.id.clone(),
                        missing: before.clone(),
                    });
                };
                dependants[before].push(at);
                waits_for[at] += 1;
            }
        }
        let ready: BTreeSet<usize> = (0..steps.len()).filter(|at| waits_for[*at] == 0).collect();
        let schedule = Self {
            steps: steps.to_vec(),
            dependants,
            waits_for,
            ready,
            limits,
            running: BTreeSet::new(),
        };
        schedule.check_acyclic()?;
        Ok(schedule)
    }

    fn check_acyclic(&self) -> Result<(), GraphError> {
        let mut waits_for = self.waits_for.clone();
        let mut open: Vec<usize> = self.ready.iter().copied().collect();
        let mut reached = 0;
        while let Some(at) = open.pop() {
            reached += 1;
            for &next in &self.dependants[at] {
                waits_for[next] -= 1;
                if waits_for[next] == 0 {
                    open.push(next);
                }
            }
        }
        if reached < self.steps.len()
            && let Some(at) = waits_for.iter().position(|waits| *waits > 0)
        {
            return Err(GraphError::Cycle(self.steps[at].id.clone()));
        }
        Ok(())
    }

    pub(crate) fn step(&self, at: usize) -> &Step {
        &self.steps[at]
    }

    /// The first step, in the plan's order, that may start now; it counts as running from here on.
    pub(crate) fn start_next(&mut self) -> Option<usize> {
        let at = self.ready.iter().copied().find(|at| self.has_room(*at))?;
        self.ready.remove(&at);
        self.running.insert(at);
        Some(at)
    }

    fn has_room(&self, at: usize) -> bool {
        if self.running.len() >= self.limits.overall.max(1) {
            return false;
        }
        let step = &self.steps[at];
        let running = || self.running.iter().map(|at| &self.steps[*at]);
        if loads_database(step) {
            let limit = *self.limits.databases.get(&step.database).unwrap_or(&1);
            let busy = running()
                .filter(|other| other.database == step.database && loads_database(other))
                .count();
            if busy >= limit.max(1) {
                return false;
            }
        }
        tiers_of(step).all(|tier| {
            let limit = *self.limits.tiers.get(tier).unwrap_or(&1);
            let busy = running()
                .filter(|other| tiers_of(other).any(|used| used == tier))
                .count();
            busy < limit.max(1)
        })
    }

    /// A step has succeeded: what waited only for it becomes ready.
    pub(crate) fn succeeded(&mut self, at: usize) {
        self.running.remove(&at);
        for next in self.dependants[at].clone() {
            self.waits_for[next] -= 1;
            if self.waits_for[next] == 0 {
                self.ready.insert(next);
            }
        }
    }

    /// A step has not succeeded: everything that depends on it, however far, will not be tried. Returned in the plan's order.
    pub(crate) fn not_done(&mut self, at: usize) -> Vec<usize> {
        self.running.remove(&at);
        self.ready.remove(&at);
        let mut lost = BTreeSet::new();
        let mut open = self.dependants[at].clone();
        while let Some(next) = open.pop() {
            if lost.insert(next) {
                open.extend(&self.dependants[next]);
            }
        }
        lost.into_iter().collect()
    }

    /// Every step, in the plan's order, with whether it was running; afterwards nothing will start.
    pub(crate) fn drain(&mut self) -> Vec<(usize, bool)> {
        let running = std::mem::take(&mut self.running);
        self.ready.clear();
        (0..self.steps.len())
            .map(|at| (at, running.contains(&at)))
            .collect()
    }
}

/// Whether a step burdens the database or its server, not only tiers.
fn loads_database(step: &Step) -> bool {
    match step.action {
        Action::Backup | Action::Drill => true,
        Action::Verify => step.level == Some(VerifyLevel::Restore),
        Action::Adopt
        | Action::ExpireWal
        | Action::Lock
        | Action::Prune
        | Action::Repair
        | Action::Thaw
        | Action::Upload => false,
    }
}

fn tiers_of(step: &Step) -> impl Iterator<Item = &TierName> {
    std::iter::once(&step.tier).chain(step.from.as_ref().filter(|from| **from != step.tier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Reason, ReasonCode, RecoveryPointId, step};

    /// `database:tier`, with the ids of what comes first.
    fn step(action: Action, database: &str, tier: &str, after: &[&Step]) -> Step {
        let point = RecoveryPointId::parse(&format!("{database}/daily/20261121T020000Z")).unwrap();
        let tier = TierName::new(tier).unwrap();
        Step {
            drill: None,
            parent: None,
            wal: Vec::new(),
            action,
            after: after.iter().map(|step| step.id.clone()).collect(),
            bytes: None,
            database: DatabaseName::new(database).unwrap(),
            destructive: false,
            encrypt_for: Vec::new(),
            lock: None,
            thaw: None,
            from: None,
            id: StepId::new(action, &point, &tier),
            justified_by: Vec::new(),
            level: None,
            limits: step::Limits {
                retries: 0,
                retry_after_seconds: 0,
                timeout_seconds: 1,
            },
            method: None,
            min_verified: None,
            needs_approval: false,
            reason: Reason::new(ReasonCode::SlotDue, "test"),
            recovery_point: point,
            requires: Vec::new(),
            retention: None,
            series: model::SeriesName::new("daily").unwrap(),
            slot: None,
            tier,
        }
    }

    fn limits(overall: usize, per_tier: usize) -> Limits {
        let tiers = ["nas", "disk"].map(|name| (TierName::new(name).unwrap(), per_tier));
        Limits {
            overall,
            databases: BTreeMap::new(),
            tiers: tiers.into(),
        }
    }

    fn startable(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.start_next()).collect()
    }

    #[test]
    fn a_step_starts_when_everything_before_it_has_succeeded() {
        let a = step(Action::Backup, "a", "nas", &[]);
        let b = step(Action::Verify, "a", "nas", &[&a]);
        let c = step(Action::Upload, "a", "disk", &[&a, &b]);
        let mut schedule = Schedule::new(&[a, b, c], limits(9, 9)).unwrap();
        assert_eq!(startable(&mut schedule), [0]);
        schedule.succeeded(0);
        assert_eq!(startable(&mut schedule), [1]);
        schedule.succeeded(1);
        assert_eq!(startable(&mut schedule), [2]);
    }

    #[test]
    fn what_depends_on_a_failed_step_is_lost_and_nothing_else() {
        let a = step(Action::Backup, "a", "nas", &[]);
        let b = step(Action::Verify, "a", "nas", &[&a]);
        let c = step(Action::Upload, "a", "disk", &[&b]);
        let other = step(Action::Backup, "b", "nas", &[]);
        let mut schedule = Schedule::new(&[a, b, c, other], limits(9, 9)).unwrap();
        assert_eq!(startable(&mut schedule), [0, 3]);
        assert_eq!(schedule.not_done(0), [1, 2]);
        schedule.succeeded(3);
        assert_eq!(startable(&mut schedule), Vec::<usize>::new());
    }

    #[test]
    fn databases_tiers_and_the_whole_have_their_limits() {
        let steps = [
            step(Action::Backup, "a", "nas", &[]),
            step(Action::Backup, "a", "disk", &[]),
            step(Action::Backup, "b", "nas", &[]),
            step(Action::Backup, "c", "disk", &[]),
        ];
        let started = |limits| startable(&mut Schedule::new(&steps, limits).unwrap());
        // One at a time for database `a`.
        assert_eq!(started(limits(9, 9)), [0, 2, 3]);
        assert_eq!(started(limits(9, 1)), [0, 3]);
        assert_eq!(started(limits(1, 9)), [0]);
        // Zero would wait for ever.
        assert_eq!(started(limits(0, 0)), [0]);
    }

    #[test]
    fn what_is_no_dag_is_refused() {
        let a = step(Action::Backup, "a", "nas", &[]);
        let mut b = step(Action::Verify, "a", "nas", &[&a]);
        assert!(matches!(
            Schedule::new(&[a.clone(), a.clone()], Limits::default()),
            Err(GraphError::Double(_))
        ));
        assert!(matches!(
            Schedule::new(std::slice::from_ref(&b), Limits::default()),
            Err(GraphError::Unknown { .. })
        ));
        b.after.push(b.id.clone());
        assert!(matches!(
            Schedule::new(&[a, b], Limits::default()),
            Err(GraphError::Cycle(_))
        ));
    }
}
