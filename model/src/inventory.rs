//! What exists, as far as it was observed: the planner's second input.
//!
//! Format `mainstay.inventory.v1` (design.md §6); a contract that others write. Fields that design.md does not list are
//! additions, optional when read. Invariant: unknown is never "absent": copies on a tier that could not be observed keep
//! their last known state, and the tier stands in `unreachable_tiers`.

use crate::{
    approval::ApprovalRules,
    level::VerifyLevel,
    names::{DatabaseName, MethodName, SeriesName, TierName},
    recovery_point_id::RecoveryPointId,
    retention::Keep,
    tier_facts::Space,
    units::ByteCount,
    wal::{WalArchive, WalSpan},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Value of [`Inventory::format`].
pub const FORMAT: &str = "mainstay.inventory.v1";

/// Everything that is known to exist. Fields in alphabetical order: it is digested (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Who may approve, as the last apply put in force; changed only with the approval of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_in_force: Option<ApprovalRules>,
    /// The newest run of each drill, and older ones as far as they are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<DrillFact>,
    /// [`FORMAT`].
    pub format: String,
    /// The newest time anything happened according to the catalog (a run, a stored copy); a clock behind it is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<Timestamp>,
    /// When this was observed.
    pub observed_at: Timestamp,
    /// All known recovery points, in any order.
    #[serde(default)]
    pub recovery_points: Vec<RecoveryPoint>,
    /// Restores and drills that ended well, the newest first, some of each database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restores: BTreeMap<DatabaseName, Vec<MeasuredRestore>>,
    /// The retention under which the last apply pruned, per series and tier; what it kept is not deleted unasked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retention_in_force: BTreeMap<DatabaseName, BTreeMap<SeriesName, BTreeMap<TierName, Keep>>>,
    /// Room on each tier that could be asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub space: BTreeMap<TierName, Space>,
    /// Tiers that could not be observed.
    #[serde(default)]
    pub unreachable_tiers: Vec<TierName>,
    /// Why, for each of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreachable_why: BTreeMap<TierName, String>,
    /// The archived log of each database that archives one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wal: BTreeMap<DatabaseName, WalArchive>,
}

impl Inventory {
    /// An inventory with nothing in it.
    pub fn empty(observed_at: Timestamp) -> Self {
        Self {
            approval_in_force: None,
            format: FORMAT.to_owned(),
            last_activity: None,
            observed_at,
            recovery_points: Vec::new(),
            retention_in_force: BTreeMap::new(),
            space: BTreeMap::new(),
            unreachable_tiers: Vec::new(),
            unreachable_why: BTreeMap::new(),
            drills: Vec::new(),
            restores: BTreeMap::new(),
            wal: BTreeMap::new(),
        }
    }
}

/// A state of a database that one can return to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// Whether it was made of an existing file: such a point says nothing of the schedule at its time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Stored size of one copy.
    #[serde(default)]
    pub bytes: ByteCount,
    /// Instant whose state it is.
    pub captured_at: Timestamp,
    /// Where it is stored.
    #[serde(default, deserialize_with = "without_spare_room")]
    pub copies: Vec<Copy>,
    /// Database it is a state of.
    pub database: DatabaseName,
    /// `database/series/slot`.
    pub id: RecoveryPointId,
    /// Method that made it.
    pub method: MethodName,
    /// Point that this one is incremental to.
    #[serde(default)]
    pub parent: Option<RecoveryPointId>,
    /// Series it belongs to.
    pub series: SeriesName,
    /// Nominal time.
    pub slot: Timestamp,
    /// Whether it can be used at all.
    pub state: PointState,
    /// For a physical point: the log that it needs to be consistent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<Box<WalSpan>>,
}

/// A drill that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFact {
    /// When it ended.
    pub at: Timestamp,
    /// Database.
    pub database: DatabaseName,
    /// Name of the drill.
    pub name: String,
    /// Whether everything was as it should be.
    pub passed: bool,
    /// Point that was restored.
    pub recovery_point: RecoveryPointId,
    /// Slot of its schedule.
    pub slot: Timestamp,
}

/// A restore or drill that ended well, timed: what estimates of the next one start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRestore {
    /// When it ended.
    pub at: Timestamp,
    /// Stored bytes that were read.
    pub bytes: ByteCount,
    /// Method of the point.
    pub method: MethodName,
    /// Wall time of the whole.
    pub milliseconds: u64,
    /// Tier that was read.
    pub tier: TierName,
}

/// Vectors grow to room for four; a million points with one copy each would waste more than they hold.
fn without_spare_room<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Copy>, D::Error> {
    let mut copies = Vec::deserialize(d)?;
    copies.shrink_to_fit();
    Ok(copies)
}

/// Whether a recovery point can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointState {
    /// Data and manifest are there.
    Complete,
    /// Being made, or left behind by a crash: never counted, never offered for restore.
    Incomplete,
}

/// One recovery point on one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Stored size.
    #[serde(default)]
    pub bytes: ByteCount,
    /// A person ordered not to delete it.
    #[serde(default)]
    pub held: bool,
    /// The storage refuses deletion until then.
    #[serde(default)]
    pub locked_until: Option<Timestamp>,
    /// What was last seen of it.
    pub state: CopyState,
    /// When it was completed on this tier.
    pub stored_at: Timestamp,
    /// Tier it is on.
    pub tier: TierName,
    /// Strongest verification that it passed, and when; `None`: never.
    #[serde(default)]
    pub verified: Option<Verified>,
}

/// State of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyState {
    /// There, as far as was looked.
    Present,
    /// The catalog knows it, the tier (which could be read) has it no more.
    Missing,
    /// There, but its size or its content is wrong.
    Damaged,
    /// On the tier with a valid manifest, but unknown to the catalog: to be adopted.
    Foreign,
}

/// A verification that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When.
    pub at: Timestamp,
    /// How thoroughly.
    pub level: VerifyLevel,
}

impl RecoveryPoint {
    /// The copy on `tier`, whatever its state.
    pub fn copy_on(&self, tier: &TierName) -> Option<&Copy> {
        self.copies.iter().find(|copy| &copy.tier == tier)
    }
}

impl Copy {
    /// Whether it can be read as far as is known.
    pub fn is_present(&self) -> bool {
        self.state == CopyState::Present
    }

    /// Whether it is present and has passed a verification.
    pub fn is_good(&self) -> bool {
        self.is_present() && self.verified.is_some()
    }
}
