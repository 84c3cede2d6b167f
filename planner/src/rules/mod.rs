//! The rules of planning, in order. Each looks at one series' facts and adds to its draft.
//!
//! Reading order is deciding order: what to make, where it belongs, what to check, and only then what may go.

mod adopt;
mod backup;
mod chains;
mod copies;
mod leftovers;
mod locks;
mod next;
pub(crate) mod orphans;
mod prune;
mod slots;
mod thaw;
mod unreachable;
mod verdicts;
mod verify;
mod wanted;

use crate::{
    draft::{Draft, Output, Words},
    facts::SeriesFacts,
    world::World,
};

pub(crate) use backup::the_candidate_is_made_on_the_first_tier_that_wants_it as make;
pub(crate) use slots::started;
pub(crate) use thaw::step as thaw_of;
pub(crate) use unreachable::tiers as unreachable_tiers;
pub(crate) use verdicts::{there, verdicts as verdicts_of};
pub(crate) use wanted::each_tier_wants_what_its_retention_keeps as want;

type Rule = fn(&World<'_>, &SeriesFacts<'_>, &mut Draft<'_>);

const RULES: &[Rule] = &[
    leftovers::incomplete_points_never_count,
    adopt::points_found_on_a_tier_are_recorded,
    slots::a_due_slot_without_a_point_is_made_up,
    wanted::each_tier_wants_what_its_retention_keeps,
    chains::the_candidate_continues_a_chain,
    backup::the_candidate_is_made_on_the_first_tier_that_wants_it,
    copies::wanted_copies_are_made_and_repaired,
    backup::an_incremental_candidate_follows_its_chain,
    verdicts::retention_judges_what_is_there,
    verify::kept_copies_are_proved,
    locks::what_is_kept_stays_locked,
    prune::what_nothing_keeps_goes_when_it_is_safe,
    next::the_next_slot_is_announced,
];

/// Plans one series.
pub(crate) fn plan_series(world: &World<'_>, facts: &SeriesFacts<'_>, words: &mut Words) -> Output {
    let mut draft = Draft::new(facts, words);
    for rule in RULES {
        rule(world, facts, &mut draft);
    }
    draft.output
}

/// `1 recovery point`, `3 recovery points`.
pub(crate) fn points(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} recovery point{plural}")
}
