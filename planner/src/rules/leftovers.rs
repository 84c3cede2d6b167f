//! Points that were never finished: shown, never counted, cleaned up by the next apply.

use crate::{draft::Draft, facts::SeriesFacts, world::World};
use model::ReasonCode;

pub(super) fn incomplete_points_never_count(
    _: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    for point in facts.incomplete.iter().rev() {
        draft.output.wait(
            format!("recovery point {}", point.id),
            ReasonCode::Incomplete,
            "an interrupted run left it behind; it is never restored or counted, and the next apply cleans it up",
        );
    }
}
