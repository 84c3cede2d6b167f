//! What keeps the newest base from being rolled forward to now, or a wanted moment from being reached: a hole, another timeline,
//! another cluster.
//!
//! One definition, for `wal status` and for the audit ([`record_breaks`]). The words of a break are the same as long as it is the
//! same break, so that it is recorded once. Not here: the answer, a base backup out of turn (the planner).

use super::{observe::WalLook, status::Gravity};
use catalog::{AuditDetails, AuditEntry, AuditKind, Catalog, CatalogError};
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, TierName,
    wal::{
        WalTier,
        coverage::{Base, Hole, Renewal, coverage, renewal},
    },
};
use std::collections::BTreeMap;

/// Files that are sent at the same time may come in another order.
const UNDER_WAY: SignedDuration = SignedDuration::from_mins(5);

/// One break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// How bad it is now.
    pub gravity: Gravity,
    /// What it means now.
    pub now: String,
    /// What it is; the same words as long as it is the same break.
    pub text: String,
    /// Where; `None`: it is the server's.
    pub tier: Option<TierName>,
    /// Stable word: `hole`, `timeline-switch`, `other-cluster`, `went-back`.
    pub what: &'static str,
}

/// Every break, with the bases of each tier (the oldest first) and since when every moment must be recoverable there.
pub fn breaks(
    look: &WalLook,
    bases: &BTreeMap<TierName, Vec<Base>>,
    wanted_since: &BTreeMap<TierName, Timestamp>,
    now: Timestamp,
) -> Vec<Break> {
    let mut found: Vec<Break> = of_source(look, bases, now).into_iter().collect();
    for (tier, log) in &look.archive.tiers {
        let bases = bases.get(tier).map_or(&[][..], Vec::as_slice);
        let since = wanted_since.get(tier).copied();
        let holes = coverage(log, bases).holes;
        let wanted = holes.iter().filter(|hole| matters(hole, since));
        found.extend(wanted.map(|hole| of_hole(tier, hole, may_come(look, hole, now))));
    }
    found
}

/// Writes those that are for good into the audit, each once.
pub async fn record_breaks(
    catalog: &Catalog,
    who: &str,
    database: &DatabaseName,
    breaks: &[Break],
    now: Timestamp,
) -> Result<(), CatalogError> {
    for one in breaks.iter().filter(|one| !one.is_under_way()) {
        let what = match &one.tier {
            Some(tier) => format!("{database}@{tier}"),
            None => database.to_string(),
        };
        let entry = AuditEntry {
            at: now,
            who: who.to_owned(),
            kind: AuditKind::LogBreak,
            what,
            why: format!("{}: {}", one.what, one.text),
            details: Some(AuditDetails::LogBreak {
                break_kind: one.what.to_owned(),
                database: database.clone(),
                tier: one.tier.clone(),
            }),
        };
        catalog.audit_once(&entry).await?;
    }
    Ok(())
}

impl Break {
    fn is_under_way(&self) -> bool {
        self.what == "hole" && self.gravity == Gravity::Warning
    }
}

/// Whether the server still is what the newest base was made of.
fn of_source(
    look: &WalLook,
    bases: &BTreeMap<TierName, Vec<Base>>,
    now: Timestamp,
) -> Option<Break> {
    let newest = bases
        .values()
        .filter_map(|of_tier| of_tier.last())
        .max_by_key(|base| (base.captured_at, &base.id))?;
    let source = look.archive.source.as_ref();
    // What the server said before the base was made says nothing of what came after.
    let source = source.filter(|source| source.at > newest.captured_at);
    let nothing = WalTier::default();
    let (what, gravity, text, meaning) = match renewal(
        &nothing,
        std::slice::from_ref(newest),
        source,
        now,
    )? {
        Renewal::OtherCluster { was, is } => (
            "other-cluster",
            Gravity::Violated,
            format!(
                "the server is another cluster ({is}) than the one that the newest base was made of ({was})"
            ),
            "nothing of it can be recovered, there is no base of it",
        ),
        Renewal::OtherTimeline { was, is } => (
            "timeline-switch",
            Gravity::Warning,
            format!(
                "the server went from timeline {was} to {is}: a standby was promoted, or it was restored"
            ),
            "recovery has to cross the switch until there is a base behind it",
        ),
        Renewal::WentBack { was, is } => (
            "went-back",
            Gravity::Violated,
            format!(
                "the server writes at {is}, before the end of the newest base ({was}): it was restored"
            ),
            "what it writes now cannot be rolled over that base",
        ),
        Renewal::NoBase | Renewal::Hole { .. } => return None,
    };
    Some(Break {
        gravity,
        now: meaning.to_owned(),
        text,
        tier: None,
        what,
    })
}

/// Log that aged out between old bases is no fault: only moments that are still promised count.
fn matters(hole: &Hole, since: Option<Timestamp>) -> bool {
    let cuts = !hole.cuts.is_empty() || !hole.keeps_unusable.is_empty();
    let behind = hole.next_base.as_ref().map(|(_, at)| *at);
    cuts && since.is_none_or(|since| behind.is_none_or(|behind| behind > since))
}

/// Whether the missing piece may still be on its way: it is new, and the server does not say that nothing waits.
fn may_come(look: &WalLook, hole: &Hole, now: Timestamp) -> bool {
    // Of what we bring ourselves the server says nothing.
    let nothing_waits = look.state.as_ref().is_ok_and(|state| {
        state.archive_command_set
            && state.archive_mode != "off"
            && matches!(state.waiting, Some((0, _)))
    });
    let settled = hole
        .resumed_at
        .is_none_or(|at| at.saturating_add(UNDER_WAY).is_ok_and(|at| at <= now));
    !settled && !nothing_waits
}

fn of_hole(tier: &TierName, hole: &Hole, may_come: bool) -> Break {
    let missing: Vec<String> = hole.missing.iter().map(ToString::to_string).collect();
    let meaning = if may_come {
        "it may still be on its way".to_owned()
    } else {
        hole.next_base.as_ref().map_or_else(
            || "no base backup lies behind it, so nothing after it can be recovered".to_owned(),
            |(base, at)| format!("later moments are recoverable from {at} on (`{base}`)"),
        )
    };
    Break {
        gravity: if may_come {
            Gravity::Warning
        } else {
            Gravity::Violated
        },
        now: meaning,
        text: format!(
            "tier `{tier}` lacks {} between {} and {}",
            missing.join(", "),
            hole.after,
            hole.before
        ),
        tier: Some(tier.clone()),
        what: "hole",
    }
}
