//! Points that lie on a tier with a valid manifest but are unknown to the catalog are recorded and verified.
//!
//! They count for retention only in the next plan, when they have been proved.

use crate::{
    draft::{Draft, Subject},
    facts::SeriesFacts,
    rules::verify::level_on,
    world::World,
};
use model::{Action, CopyState, Reason, ReasonCode, Step};

pub(super) fn points_found_on_a_tier_are_recorded(
    _: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for (tier_index, tier) in facts.tiers.iter().enumerate() {
        if !tier.reachable {
            continue;
        }
        for (index, copy) in tier.copies.iter().enumerate() {
            let Some(copy) = copy.filter(|copy| copy.state == CopyState::Foreign) else {
                continue;
            };
            let subject = Subject::new(facts, tier.name, &facts.points[index].point.id);
            let adopt = Step {
                bytes: Some(copy.bytes),
                requires: vec![subject.absent()],
                ..subject.step(
                    Action::Adopt,
                    Reason::new(
                        ReasonCode::FoundOnTier,
                        format!(
                            "found on {} with a valid manifest, unknown to the catalog",
                            tier.name
                        ),
                    ),
                )
            };
            let verify = subject.verify(
                level_on(facts, draft, index, tier_index),
                Some(copy.bytes),
                Reason::new(ReasonCode::NeverVerified, "adopted in this plan"),
                Some(adopt.id.clone()),
            );
            draft.output.steps.extend([adopt, verify]);
            draft.tiers[tier_index].verified_now.insert(index);
        }
    }
}
