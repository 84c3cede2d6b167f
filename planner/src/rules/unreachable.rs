//! Declared tiers that could not be observed: no step touches them, and the plan says so once for each.

use crate::{draft::Output, world::World};
use model::ReasonCode;

pub(crate) fn tiers(world: &World<'_>, output: &mut Output) {
    for tier in world.policy.tiers.keys() {
        if !world.unreachable.contains(tier) {
            continue;
        }
        let why = world
            .inventory
            .unreachable_why
            .get(tier)
            .map_or("the reason was not recorded", String::as_str);
        output.wait(
            format!("tier {tier}"),
            ReasonCode::TierUnreachable,
            format!("it could not be observed ({why}); nothing on it is read, written or deleted until it is back"),
        );
    }
}
