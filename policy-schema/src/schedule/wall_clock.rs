//! From civil times to instants of a time zone: what happens to a schedule when clocks are changed.
//!
//! Schedules that name particular hours are wall-clock jobs: each of their civil times happens exactly once, at its
//! instant, at the first instant after the gap that swallowed it, or at the first of two. Schedules that name every hour
//! follow real hours: they fire whenever the clock shows a matching time, so that neither an hour is lost nor doubled.

use super::fields::Fields;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

/// The instant at which a wall-clock job due at `civil` runs.
pub(super) fn instant(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_zoned(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(civil).ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            // With the offset of after the gap, the civil time lies before the change: the next change ends the gap.
            let before = after.to_timestamp(civil).ok()?;
            zone.following(before)
                .next()
                .map(|change| change.timestamp())
        }
    }
}

/// Wall-clock job: first run strictly after `after`.
pub(super) fn next_fixed(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut civil = zone.to_datetime(after);
    loop {
        civil = fields.next_after(civil)?;
        let run = instant(civil, zone)?;
        // Not later only in the second copy of a repeated hour, whose times were already lived through.
        if run > after {
            return Some(run);
        }
    }
}

/// Wall-clock job: newest run at or before `at`.
pub(super) fn last_fixed(fields: &Fields, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut civil = zone.to_datetime(at);
    if let AmbiguousOffset::Fold { after, .. } = zone.to_ambiguous_zoned(civil).offset()
        && zone.to_offset(at) == after
    {
        // In the second copy of a repeated hour: all of its times have passed in the first copy.
        let change = zone
            .preceding(at.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?)
            .next()?
            .timestamp();
        let last_moment = change
            .checked_sub(jiff::SignedDuration::from_nanos(1))
            .ok()?;
        civil = zone.to_datetime(last_moment);
    }
    instant(fields.last_at_or_before(civil)?, zone)
}

/// Real hours: first run strictly after `after`.
pub(super) fn next_real(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut from = after;
    let mut civil = zone.to_datetime(from);
    loop {
        let offset = zone.to_offset(from);
        let run = fields
            .next_after(civil)
            .and_then(|hit| offset.to_timestamp(hit).ok());
        let Some(change) = zone.following(from).next() else {
            return run;
        };
        if let Some(run) = run
            && run < change.timestamp()
        {
            return Some(run);
        }
        run?;
        from = change.timestamp();
        // One nanosecond earlier, so that a run at the very change is found.
        civil = change
            .offset()
            .to_datetime(from)
            .checked_sub(jiff::SignedDuration::from_nanos(1))
            .ok()?;
    }
}

/// Real hours: newest run at or before `at`.
pub(super) fn last_real(fields: &Fields, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let nanosecond = jiff::SignedDuration::from_nanos(1);
    let mut to = at;
    loop {
        let run = fields
            .last_at_or_before(zone.to_datetime(to))
            .and_then(|hit| zone.to_offset(to).to_timestamp(hit).ok())?;
        let Some(change) = zone.preceding(to.checked_add(nanosecond).ok()?).next() else {
            return Some(run);
        };
        if run >= change.timestamp() {
            return Some(run);
        }
        to = change.timestamp().checked_sub(nanosecond).ok()?;
    }
}
