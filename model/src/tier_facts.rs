//! What is known of a tier: reachability, room, capabilities.

use crate::{names::TierName, units::ByteCount};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a kind of tier can promise; declared by its provider, the same for every instance unless probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Capabilities {
    /// An object that exists is never overwritten, even by a second writer at the same moment.
    pub create_only: bool,
    /// Reading may need a thaw first.
    pub needs_thaw: bool,
    /// Objects can be locked against deletion.
    pub object_lock: bool,
    /// Free space can be asked.
    pub reports_space: bool,
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
