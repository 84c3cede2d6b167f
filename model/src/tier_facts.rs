//! What is known of a tier: reachability, room, capabilities.

use crate::{names::TierName, period::Period, units::ByteCount};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a kind of tier can promise; declared by its provider, the same for every instance unless probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Capabilities {
    /// An object that exists is never overwritten, even by a second writer at the same moment.
    pub create_only: bool,
    /// How long an object must stay, or is paid for all the same; 0: not at all. As the vendor tells of the storage class.
    #[serde(default)]
    pub minimum_storage_days: u32,
    /// Data cannot be read at once: it must be thawed as this says. Manifests and `keys.json` always can.
    #[serde(default)]
    pub thaw: Option<ThawOrder>,
    /// What locks every object that is stored.
    #[serde(default)]
    pub lock: Option<LockRule>,
    /// Free space can be asked.
    pub reports_space: bool,
}

impl Capabilities {
    /// A place that can do nothing but store.
    pub const PLAIN: Self = Self {
        create_only: true,
        lock: None,
        minimum_storage_days: 0,
        reports_space: false,
        thaw: None,
    };

    /// Whether data must be thawed before it is read.
    pub fn needs_thaw(&self) -> bool {
        self.thaw.is_some()
    }

    /// Whether objects are locked against deletion, and can be held by the storage.
    pub fn locks_objects(&self) -> bool {
        self.lock.is_some()
    }
}

/// How archived data is made readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ThawOrder {
    /// How fast.
    pub speed: RetrievalSpeed,
    /// Days for which it stays readable.
    pub days: u32,
    /// How long it typically takes, in seconds, as the vendor tells: no promise.
    pub typical_seconds: u64,
}

/// Retrieval speeds of an archive.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RetrievalSpeed {
    /// Minutes; dearest, and not offered by the deepest archives.
    Expedited,
    /// Hours.
    Standard,
    /// Half a day to two days; cheapest.
    Bulk,
}

impl std::fmt::Display for RetrievalSpeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        })
    }
}

/// How objects of a tier are locked against deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockRule {
    /// Who can lift it.
    pub mode: LockMode,
    /// For how long after an object was stored; `None`: for as long as retention keeps it.
    pub length: Option<Period>,
}

/// Who can lift a lock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Whoever has a special permission, which Mainstay never uses.
    Governance,
    /// Nobody, not even the owner of the account.
    Compliance,
}

/// A lock to set or to extend; never shortens one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockOrder {
    /// Who can lift it.
    pub mode: LockMode,
    /// Until when; whole seconds.
    pub until: Timestamp,
}

/// Capabilities of every declared tier, as the planner gets them.
pub type TierCapabilities = BTreeMap<TierName, Capabilities>;

/// Room on a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that an ordinary user can still write.
    pub free: ByteCount,
    /// Size of the whole file system or quota.
    pub total: ByteCount,
}
