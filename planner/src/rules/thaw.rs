//! An archived copy that must be read is thawed first.
//!
//! One step for each copy, however many read it. It stands in every plan until what needs it is done: an archive takes hours,
//! so one apply orders the thaw and ends, and a later one finds the copy readable and goes on.
//! Not here: that nothing is thawed only to be looked at (`verify.rs`).

use crate::{
    draft::{Draft, Subject},
    facts::SeriesFacts,
};
use jiff::SignedDuration;
use model::{Action, Reason, ReasonCode, Step, StepId, TierName, tier_facts::ThawOrder};

/// The step that makes the copy at `source` readable; `None` where it can be read at once.
pub(super) fn source(
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
    source: usize,
    index: usize,
) -> Option<StepId> {
    let tier = &facts.tiers[source];
    let order = tier.thaw?;
    let id = &facts.points[index].point.id;
    let thaw = StepId::new(Action::Thaw, id, tier.name);
    if !draft.tiers[source].thawed_now.insert(index) {
        return Some(thaw);
    }
    // Not after a proof: a store that cannot attest would never thaw. The thaw itself asks the store first whether the copy is bad.
    let step = step(facts, tier.name, index, order, "the only copy left");
    draft.output.steps.push(step);
    Some(thaw)
}

/// Makes the copy of a point readable; `what` says which copy it is and why it is read.
pub(crate) fn step(
    facts: &SeriesFacts<'_>,
    tier: &TierName,
    index: usize,
    order: ThawOrder,
    what: &str,
) -> Step {
    let point = facts.points[index].point;
    let subject = Subject::new(facts, tier, &point.id);
    Step {
        bytes: point.copy_on(tier).map(|copy| copy.bytes),
        requires: vec![subject.present()],
        thaw: Some(order),
        ..subject.step(
            Action::Thaw,
            Reason::new(
                ReasonCode::ThawNeeded,
                format!(
                    "{what} is archived on {tier}: thawing typically takes {}; `{}`",
                    typical(order),
                    order.speed
                ),
            ),
        )
    }
}

/// `12 h`, `5 min`.
fn typical(order: ThawOrder) -> String {
    let time = SignedDuration::from_secs(order.typical_seconds.cast_signed());
    if time.as_hours() > 0 {
        format!("{} h", time.as_hours())
    } else {
        format!("{} min", time.as_mins().max(1))
    }
}
