//! Plans made by hand.

use super::{at, database, series, tier};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, Digest, MethodName, Plan, Reason, ReasonCode, RecoveryPointId, Step, StepId,
    VerifyLevel, plan,
    step::{Limits, Precondition},
};
use std::collections::BTreeMap;

/// The point of the n-th day of November 2026.
pub fn point(day: i64) -> RecoveryPointId {
    RecoveryPointId::new(&database(), &series(), slot(day))
}

pub fn slot(day: i64) -> Timestamp {
    at("2026-11-01T02:00:00Z") + SignedDuration::from_hours(24 * (day - 1))
}

fn step(action: Action, day: i64, on: &str, code: ReasonCode) -> Step {
    let (recovery_point, tier) = (point(day), tier(on));
    Step {
        drill: None,
        parent: None,
        wal: Vec::new(),
        action,
        after: Vec::new(),
        bytes: None,
        database: database(),
        destructive: false,
        encrypt_for: Vec::new(),
        lock: None,
        thaw: None,
        from: None,
        id: StepId::new(action, &recovery_point, &tier),
        justified_by: Vec::new(),
        level: None,
        limits: Limits {
            retries: 0,
            retry_after_seconds: 0,
            timeout_seconds: 60,
        },
        method: None,
        min_verified: None,
        needs_approval: false,
        reason: Reason::new(code, "because the test says so"),
        recovery_point,
        requires: Vec::new(),
        retention: None,
        series: series(),
        slot: None,
        tier,
    }
}

pub fn backup(day: i64, on: &str) -> Step {
    Step {
        method: Some(MethodName::new("text").unwrap()),
        slot: Some(slot(day)),
        requires: vec![Precondition::Absent {
            recovery_point: point(day),
            tier: tier(on),
        }],
        ..step(Action::Backup, day, on, ReasonCode::SlotDue)
    }
}

pub fn upload(day: i64, from: &str, to: &str) -> Step {
    Step {
        from: Some(tier(from)),
        requires: vec![
            Precondition::Absent {
                recovery_point: point(day),
                tier: tier(to),
            },
            Precondition::Present {
                recovery_point: point(day),
                tier: tier(from),
            },
        ],
        ..step(Action::Upload, day, to, ReasonCode::CopyWanted)
    }
}

pub fn repair(day: i64, from: &str, to: &str) -> Step {
    Step {
        from: Some(tier(from)),
        requires: vec![
            Precondition::Absent {
                recovery_point: point(day),
                tier: tier(to),
            },
            Precondition::Verified {
                recovery_point: point(day),
                tier: tier(from),
            },
        ],
        ..step(Action::Repair, day, to, ReasonCode::CopyDamaged)
    }
}

pub fn adopt(day: i64, on: &str) -> Step {
    step(Action::Adopt, day, on, ReasonCode::FoundOnTier)
}

pub fn verify(day: i64, on: &str, level: VerifyLevel) -> Step {
    Step {
        level: Some(level),
        requires: vec![Precondition::Present {
            recovery_point: point(day),
            tier: tier(on),
        }],
        ..step(Action::Verify, day, on, ReasonCode::NeverVerified)
    }
}

pub fn prune(day: i64, on: &str, justified_by: &[i64]) -> Step {
    Step {
        destructive: true,
        justified_by: justified_by.iter().map(|day| point(*day)).collect(),
        min_verified: Some(1),
        requires: vec![Precondition::Present {
            recovery_point: point(day),
            tier: tier(on),
        }],
        ..step(Action::Prune, day, on, ReasonCode::NotKept)
    }
}

/// A step that waits for others.
pub trait After {
    #[must_use]
    fn after(self, steps: &[&Step]) -> Self;
}

impl After for Step {
    fn after(mut self, steps: &[&Step]) -> Self {
        self.after = steps.iter().map(|step| step.id.clone()).collect();
        self
    }
}

/// Seals a plan.
pub fn plan(evaluated_at: Timestamp, steps: Vec<Step>) -> Plan {
    plan_with(evaluated_at, steps, false)
}

pub fn plan_with(evaluated_at: Timestamp, steps: Vec<Step>, needs_approval: bool) -> Plan {
    Plan {
        applyable: true,
        approval: Vec::new(),
        approval_rules: None,
        evaluated_at,
        format: plan::FORMAT.to_owned(),
        id: None,
        inventory_digest: Digest::sha256_of(b"inventory"),
        kept: Vec::new(),
        missed: Vec::new(),
        needs_approval,
        next_slots: Vec::new(),
        not_planned: Vec::new(),
        policy_digest: Digest::sha256_of(b"policy"),
        policy_source: None,
        retention: BTreeMap::new(),
        steps,
    }
    .seal()
    .unwrap()
}

/// Backup on `nas`, verified; upload to `disk`, verified; the point of `old`, if given, pruned on `nas`.
pub fn daily(evaluated_at: Timestamp, day: i64, old: Option<i64>) -> Plan {
    let backup = backup(day, "nas");
    let verify_nas = verify(day, "nas", VerifyLevel::FullRead).after(&[&backup]);
    let upload = upload(day, "nas", "disk").after(&[&verify_nas]);
    let verify_disk = verify(day, "disk", VerifyLevel::Checksum).after(&[&upload]);
    let mut steps = vec![backup, verify_nas.clone(), upload, verify_disk];
    if let Some(old) = old {
        steps.push(prune(old, "nas", &[day]).after(&[&verify_nas]));
    }
    plan(evaluated_at, steps)
}
