//! Which slot of the schedule, if any, needs a recovery point now.
//!
//! Only the newest missed slot is made up, because a dump shows only now; older ones are recorded as missed.
//! A slot is satisfied by any point that is at least as new, captured since then, and not from the future: neither a clock that
//! once ran ahead nor a point that only claims a later slot may silence the schedule. Out of turn a point is made when somebody
//! asks for it, or when the archived log no longer leads on from the newest base.

use crate::{
    draft::{Candidate, Draft},
    facts::SeriesFacts,
    retention::calendar::Moment,
    world::{TOLERANCE, World},
};
use jiff::Timestamp;
use model::{Reason, ReasonCode, RecoveryPointId, plan::Missed};

/// Enough for three years of a schedule that runs every fifteen minutes; a longer outage is not counted further.
const MOST_MISSED: u32 = 100_000;

pub(super) fn a_due_slot_without_a_point_is_made_up(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    draft: &mut Draft<'_>,
) {
    let series = facts.series;
    let zone = &world.policy.timezone;
    let horizon = world
        .now
        .saturating_add(TOLERANCE)
        .unwrap_or(Timestamp::MAX);
    let newest = facts
        .points
        .iter()
        .find(|facts| {
            facts.available
                && facts.point.slot <= horizon
                && facts
                    .point
                    .captured_at
                    .saturating_add(TOLERANCE)
                    .unwrap_or(Timestamp::MAX)
                    >= facts.point.slot
        })
        .map(|facts| facts.point.slot);
    let due = started(world, facts).and_then(|at| series.schedule.last_at_or_before(at, zone));
    let unsatisfied = due.filter(|due| newest.is_none_or(|newest| newest < *due));
    let requested = world.options.requests(&facts.database.name, &series.name);
    // Before the first backup of its own a series had no slots to miss: files that were adopted are of another one's schedule.
    let began = facts.points.iter().any(|facts| !facts.point.adopted);
    let missed = match (newest, unsatisfied) {
        (Some(newest), Some(due)) if began => missed_between(world, facts, newest, due),
        _ => None,
    };

    if requested {
        let reason = Reason::new(ReasonCode::Requested, "asked for now, outside the schedule");
        draft.candidate = Some(candidate(world, facts, whole_seconds(world.now), reason));
    } else if let Some(due) = unsatisfied {
        if window_has_passed(world, facts, due) {
            draft.output.wait(
                format!(
                    "backup {}",
                    RecoveryPointId::new(&facts.database.name, &series.name, due)
                ),
                ReasonCode::WindowPassed,
                format!(
                    "its window to start has passed; next at {}",
                    next_text(world, facts)
                ),
            );
            // The slot itself is lost too, unless the series has only just been declared.
            let lost = newest.filter(|_| began).map(|_| match missed {
                Some(earlier) => Missed {
                    count: earlier.count + 1,
                    last: due,
                    ..earlier
                },
                None => one_missed(facts, due),
            });
            draft.output.missed.extend(lost);
            return;
        }
        let reason = reason_for(facts, due, newest, missed.as_ref());
        draft.candidate = Some(candidate(world, facts, due, reason));
    } else if let Some(broken) = &facts.log.broken {
        let at = whole_seconds(world.now);
        draft.candidate = Some(candidate(world, facts, at, broken.clone()));
    }
    draft.output.missed.extend(missed);
}

/// The instant up to which slots have started, jitter considered.
pub(crate) fn started(world: &World<'_>, facts: &SeriesFacts<'_>) -> Option<Timestamp> {
    world
        .now
        .checked_sub(facts.series.schedule.start_delay())
        .ok()
}

fn window_has_passed(world: &World<'_>, facts: &SeriesFacts<'_>, due: Timestamp) -> bool {
    let waited = world
        .now
        .duration_since(due)
        .saturating_sub(facts.series.schedule.start_delay());
    facts
        .series
        .window
        .start_within
        .is_some_and(|within| waited > within)
}

fn next_text(world: &World<'_>, facts: &SeriesFacts<'_>) -> String {
    facts
        .series
        .schedule
        .next_after(world.now, &world.policy.timezone)
        .map_or_else(|| "no further slot".to_owned(), |next| next.to_string())
}

fn reason_for(
    facts: &SeriesFacts<'_>,
    due: Timestamp,
    newest: Option<Timestamp>,
    missed: Option<&Missed>,
) -> Reason {
    if let Some(missed) = missed {
        return Reason::new(
            ReasonCode::SlotMissed,
            format!(
                "slot {due} is due: the newest of {} missed slots is made up",
                missed.count + 1
            ),
        );
    }
    let text = match newest {
        Some(_) => format!("slot {due} is due"),
        None if facts.points.is_empty() => {
            format!("slot {due} is due: first recovery point of the series")
        }
        None => format!("slot {due} is due: no recovery point of the series can be read any more"),
    };
    Reason::new(ReasonCode::SlotDue, text)
}

fn candidate(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    slot: Timestamp,
    reason: Reason,
) -> Candidate {
    let id_of = |slot| RecoveryPointId::new(&facts.database.name, &facts.series.name, slot);
    // The slot's own point may exist with all its copies lost. Ids are never used twice: its parts may still lie around.
    let own = id_of(slot);
    let taken = facts.points.iter().any(|known| known.point.id == own);
    let mut reason = reason;
    let slot = if taken {
        reason.text = format!("{}; the slot's own point cannot stand for it", reason.text).into();
        whole_seconds(world.now)
    } else {
        slot
    };
    Candidate {
        id: id_of(slot),
        slot,
        moment: Moment::new(slot, &world.policy.timezone),
        reason,
        bytes: facts
            .points
            .iter()
            .map(|facts| facts.point.bytes)
            .find(|bytes| bytes.0 > 0),
        primary: None,
        chain: Vec::new(),
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn one_missed(facts: &SeriesFacts<'_>, slot: Timestamp) -> Missed {
    Missed {
        count: 1,
        database: facts.database.name.clone(),
        first: slot,
        last: slot,
        series: facts.series.name.clone(),
    }
}

/// Slots after `newest` and before `due`.
fn missed_between(
    world: &World<'_>,
    facts: &SeriesFacts<'_>,
    newest: Timestamp,
    due: Timestamp,
) -> Option<Missed> {
    let next = |after| {
        facts
            .series
            .schedule
            .next_after(after, &world.policy.timezone)
            .filter(|slot| *slot < due)
    };
    let mut missed = one_missed(facts, next(newest)?);
    while let Some(slot) = next(missed.last) {
        missed.last = slot;
        missed.count += 1;
        if missed.count >= MOST_MISSED {
            break;
        }
    }
    Some(missed)
}
