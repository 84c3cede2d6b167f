//! How well each database is protected right now: the data behind `mainstay status`.
//!
//! The newest *good* point counts: complete, with a copy that is present and verified on a tier that could be observed.
//! Its age is that of the state it holds (`captured_at`), because that is what would be lost.
//! Not here: exit codes and words (root package).

pub use crate::log_status::{LogStatus, LogTier, LogWindow};
use crate::recovery_time;
pub use crate::recovery_time::{Estimate, FailedDrill, Proof, RtoStatus, RtoVerdict};
use jiff::Timestamp;
use model::{Copy, DatabaseName, Inventory, RecoveryPoint, RecoveryPointId, TierName, VerifyLevel};
use policy_schema::{Policy, policy::DatabaseDeclaration};
use serde::Serialize;
use std::collections::BTreeMap;

/// One database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseStatus {
    /// Seconds since the state that the newest good point holds: what would be lost now.
    pub age_seconds: Option<i64>,
    /// Copies, by declared tier.
    pub copies: BTreeMap<TierName, TierStatus>,
    /// Database.
    pub database: DatabaseName,
    /// The last verification that any copy passed.
    pub last_verified: Option<LastVerified>,
    /// The archived log; `None`: none is archived, or nobody has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The newest point with a verified copy on a tier that could be observed.
    pub newest_good: Option<NewestGood>,
    /// When a series of it runs next.
    pub next_run: Option<Timestamp>,
    /// The promise, if there is one.
    pub rpo: Option<RpoStatus>,
    /// How long a restore would take, and whether that is promised.
    pub rto: RtoStatus,
    /// How it stands.
    pub verdict: Verdict,
    /// The verdict in words.
    pub why: String,
}

impl DatabaseStatus {
    /// Whether `mainstay status` ends with exit 6.
    pub fn fails(&self) -> bool {
        self.verdict.fails() || self.rto.verdict.fails()
    }
}

/// The newest point that could be relied upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewestGood {
    /// Instant whose state it is.
    pub captured_at: Timestamp,
    /// The point.
    pub recovery_point: RecoveryPointId,
}

/// A verification that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastVerified {
    /// When.
    pub at: Timestamp,
    /// How thoroughly.
    pub level: VerifyLevel,
    /// Which point.
    pub recovery_point: RecoveryPointId,
    /// Where.
    pub tier: TierName,
}

/// What one tier holds of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TierStatus {
    /// Copies that are damaged or gone.
    pub bad: u32,
    /// Readable copies, as far as is known.
    pub present: u32,
    /// Whether the tier could be observed; if not, the numbers are the last known ones.
    pub reachable: bool,
    /// Readable copies that have passed a verification.
    pub verified: u32,
}

/// The promised largest loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RpoStatus {
    /// What must not be exceeded.
    pub maximum_seconds: i64,
    /// Where one wants to be.
    pub target_seconds: i64,
}

/// How a database stands against its RPO, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The promise is kept.
    Met,
    /// There are good points, but nothing was promised.
    NoObjective,
    /// Older than the target, younger than the maximum.
    Late,
    /// How far the archived log is behind cannot be told. Only [`DatabaseStatus::judge_log`] sets it.
    Unknown,
    /// The promise is broken.
    Violated,
    /// It cannot be proved: no verified copy on a tier that could be observed.
    Unproved,
    /// What is there may be good, but none of the keys that it is encrypted for can be used here. Whoever has looked at the keys sets it.
    NoKey,
}

impl Verdict {
    /// Whether the promise is broken or cannot be proved.
    pub fn fails(self) -> bool {
        matches!(self, Self::Violated | Self::Unproved | Self::NoKey)
    }
}

/// The state of every declared database, by name.
pub fn status(policy: &Policy, inventory: &Inventory, now: Timestamp) -> Vec<DatabaseStatus> {
    let mut points = recovery_time::complete_points(inventory);
    policy
        .databases
        .values()
        .map(|database| {
            let points = points.remove(&database.name).unwrap_or_default();
            of_database(policy, inventory, now, database, &points)
        })
        .collect()
}

fn of_database(
    policy: &Policy,
    inventory: &Inventory,
    now: Timestamp,
    database: &DatabaseDeclaration,
    points: &[&RecoveryPoint],
) -> DatabaseStatus {
    let observed = |copy: &Copy| !inventory.unreachable_tiers.contains(&copy.tier);
    let newest_good = points
        .iter()
        .filter(|point| {
            point
                .copies
                .iter()
                .any(|copy| copy.is_good() && observed(copy))
        })
        .max_by_key(|point| (point.captured_at, &point.id));
    let rpo = database.objective.rpo.map(|rpo| RpoStatus {
        maximum_seconds: rpo.maximum.as_secs(),
        target_seconds: rpo.target.as_secs(),
    });
    let age_seconds =
        newest_good.map(|point| now.duration_since(point.captured_at).as_secs().max(0));
    let (verdict, why) = judge(points, age_seconds, rpo);
    let next_run = database
        .series
        .values()
        .filter_map(|series| {
            // A slot whose jittered start is still ahead is the next one, as in a plan.
            let started = now.checked_sub(series.schedule.start_delay()).ok()?;
            series.schedule.next_after(started, &policy.timezone)
        })
        .min();
    DatabaseStatus {
        age_seconds,
        copies: copies(inventory, database, points),
        database: database.name.clone(),
        last_verified: last_verified(points),
        log: None,
        newest_good: newest_good.map(|point| NewestGood {
            captured_at: point.captured_at,
            recovery_point: point.id.clone(),
        }),
        next_run,
        rpo,
        rto: recovery_time::of_database(inventory, database, points),
        verdict,
        why,
    }
}

fn judge(
    points: &[&RecoveryPoint],
    age_seconds: Option<i64>,
    rpo: Option<RpoStatus>,
) -> (Verdict, String) {
    let words = |seconds: i64| format!("{:#}", jiff::SignedDuration::from_secs(seconds));
    let Some(age) = age_seconds else {
        let why = if points.is_empty() {
            "there is no recovery point yet"
        } else {
            "no recovery point has a verified copy on a tier that can be observed"
        };
        return (Verdict::Unproved, why.to_owned());
    };
    let Some(rpo) = rpo else {
        return (
            Verdict::NoObjective,
            format!(
                "newest good point is {} old; no RPO is declared",
                words(age)
            ),
        );
    };
    if age > rpo.maximum_seconds {
        let why = format!(
            "newest good point is {} old; at most {} is promised",
            words(age),
            words(rpo.maximum_seconds)
        );
        return (Verdict::Violated, why);
    }
    if age > rpo.target_seconds {
        let why = format!(
            "newest good point is {} old; the target is {}, the maximum {}",
            words(age),
            words(rpo.target_seconds),
            words(rpo.maximum_seconds)
        );
        return (Verdict::Late, why);
    }
    (
        Verdict::Met,
        format!(
            "newest good point is {} old, within {}",
            words(age),
            words(rpo.target_seconds)
        ),
    )
}

fn copies(
    inventory: &Inventory,
    database: &DatabaseDeclaration,
    points: &[&RecoveryPoint],
) -> BTreeMap<TierName, TierStatus> {
    let mut copies: BTreeMap<TierName, TierStatus> = database
        .series
        .values()
        .flat_map(|series| &series.keep)
        .map(|(tier, _)| {
            let reachable = !inventory.unreachable_tiers.contains(tier);
            (
                tier.clone(),
                TierStatus {
                    reachable,
                    ..TierStatus::default()
                },
            )
        })
        .collect();
    for copy in points.iter().flat_map(|point| &point.copies) {
        if let Some(tier) = copies.get_mut(&copy.tier) {
            tier.present += u32::from(copy.is_present());
            tier.verified += u32::from(copy.is_good());
            tier.bad += u32::from(matches!(
                copy.state,
                model::CopyState::Damaged | model::CopyState::Missing
            ));
        }
    }
    copies
}

fn last_verified(points: &[&RecoveryPoint]) -> Option<LastVerified> {
    points
        .iter()
        .flat_map(|point| point.copies.iter().map(move |copy| (*point, copy)))
        .filter_map(|(point, copy)| Some((point, copy, copy.verified?)))
        .max_by_key(|(point, copy, verified)| (verified.at, &point.id, &copy.tier))
        .map(|(point, copy, verified)| LastVerified {
            at: verified.at,
            level: verified.level,
            recovery_point: point.id.clone(),
            tier: copy.tier.clone(),
        })
}
