//! Copies that are to stay but were never verified are verified; the newest point also when it was verified less
//! thoroughly than the policy asks.
//!
//! The policy's level applies to the first tier that holds the point and can be read at once. Further copies need at most
//! `full-read`: restoring proves the data, and their bytes are proved to be the same. An archived copy is attested: reading
//! it back would take a thaw and money, for every point and only to look.

use crate::{
    draft::{Draft, Subject},
    facts::SeriesFacts,
    world::World,
};
use model::{CopyState, Reason, ReasonCode, VerifyLevel};

pub(super) fn kept_copies_are_proved(
    _: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for tier in 0..facts.tiers.len() {
        let here = &facts.tiers[tier];
        if !here.reachable {
            continue;
        }
        for index in (0..facts.points.len()).rev() {
            let Some(copy) = here.copies[index].filter(|copy| copy.is_present()) else {
                continue;
            };
            if !draft.tiers[tier].keeps(index) || draft.tiers[tier].verified_now.contains(&index) {
                continue;
            }
            let level = level_on(facts, draft, index, tier);
            let reason = match copy.verified {
                None => Reason::new(ReasonCode::NeverVerified, "never verified"),
                Some(last) if index == 0 && last.level < level => Reason::new(
                    ReasonCode::VerifiedTooWeakly,
                    format!(
                        "verified by {} only; the policy asks for {level}",
                        last.level
                    ),
                ),
                Some(_) => continue,
            };
            let subject = Subject::new(facts, here.name, &facts.points[index].point.id);
            draft
                .output
                .steps
                .push(subject.verify(level, Some(copy.bytes), reason, None));
            draft.tiers[tier].verified_now.insert(index);
        }
    }
}

/// The level that the copy of a point on a tier must reach.
pub(super) fn level_on(
    facts: &SeriesFacts<'_>,
    draft: &Draft<'_>,
    index: usize,
    tier: usize,
) -> VerifyLevel {
    if facts.tiers[tier].thaw.is_some() {
        return VerifyLevel::Attested;
    }
    let holds = |at: usize| {
        if facts.tiers[at].thaw.is_some() {
            return false;
        }
        let state = facts.tiers[at].copies[index].map(|copy| copy.state);
        matches!(state, Some(CopyState::Present | CopyState::Foreign))
            || draft.tiers[at].made.contains(&index)
    };
    if (0..tier).any(holds) {
        weaker_elsewhere(facts.series.verify)
    } else {
        facts.series.verify
    }
}

/// How the proof of a copy that was just made is explained.
pub(super) fn new_copy(level: VerifyLevel) -> Reason {
    let text = if level == VerifyLevel::Attested {
        "a new copy in an archive is attested by the store's own checksum; nothing is read back"
    } else {
        "a new copy is proved by reading it back"
    };
    Reason::new(ReasonCode::NeverVerified, text)
}

/// The level of a copy that this plan makes; `first` is the one that the others are filled from.
pub(super) fn level_of_new(facts: &SeriesFacts<'_>, tier: usize, first: bool) -> VerifyLevel {
    if facts.tiers[tier].thaw.is_some() {
        VerifyLevel::Attested
    } else if first {
        facts.series.verify
    } else {
        weaker_elsewhere(facts.series.verify)
    }
}

/// The level of a copy that is not the first.
fn weaker_elsewhere(level: VerifyLevel) -> VerifyLevel {
    level.min(VerifyLevel::FullRead)
}
