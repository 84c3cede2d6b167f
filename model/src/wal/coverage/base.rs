//! Recovery points that log can be replayed over.

use crate::{
    inventory::{PointState, RecoveryPoint},
    names::{DatabaseName, TierName},
    recovery_point_id::RecoveryPointId,
    wal::{Lsn, WalSpan},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A physical recovery point that can be read, with all points that it builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The moment of its end.
    pub captured_at: Timestamp,
    /// The point.
    pub id: RecoveryPointId,
    /// The log that it needs.
    pub span: WalSpan,
}

/// The bases of a database, the oldest first: complete, and readable together with their chains on `tier`, or, without one, on
/// any tier (each link may lie on another one).
pub fn bases(
    points: &[RecoveryPoint],
    database: &DatabaseName,
    tier: Option<&TierName>,
) -> Vec<Base> {
    let readable = |point: &RecoveryPoint| {
        point.state == PointState::Complete
            && point
                .copies
                .iter()
                .any(|copy| copy.is_present() && tier.is_none_or(|tier| &copy.tier == tier))
    };
    let by_id: BTreeMap<&RecoveryPointId, &RecoveryPoint> = points
        .iter()
        .filter(|point| &point.database == database && readable(point))
        .map(|point| (&point.id, point))
        .collect();
    let chain_is_whole = |point: &RecoveryPoint| {
        let mut link = point;
        // A chain cannot be longer than there are points; one that is has a circle.
        for _ in 0..=by_id.len() {
            match &link.parent {
                None => return true,
                Some(parent) => match by_id.get(parent) {
                    Some(parent) => link = parent,
                    None => return false,
                },
            }
        }
        false
    };
    let mut bases: Vec<Base> = by_id
        .values()
        .filter(|point| chain_is_whole(point))
        .filter_map(|point| {
            Some(Base {
                captured_at: point.captured_at,
                id: point.id.clone(),
                span: **point.wal.as_ref()?,
            })
        })
        .collect();
    bases.sort_by(|a, b| (a.captured_at, &a.id).cmp(&(b.captured_at, &b.id)));
    bases
}

impl Base {
    /// The first position that must be archived.
    pub(super) fn needs_from(&self) -> Lsn {
        if self.span.included {
            self.span.end
        } else {
            self.span.start
        }
    }
}
