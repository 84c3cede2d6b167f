//! When the series runs next, jitter considered: a slot whose start is still ahead is the next one.

use crate::{draft::Draft, facts::SeriesFacts, rules::slots::started, world::World};
use model::plan::NextSlot;

pub(super) fn the_next_slot_is_announced(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let next = started(world, facts)
        .and_then(|at| facts.series.schedule.next_after(at, &world.policy.timezone));
    draft.output.next_slots.extend(next.map(|at| NextSlot {
        at,
        database: facts.database.name.clone(),
        series: facts.series.name.clone(),
    }));
}
