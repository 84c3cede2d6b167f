//! What was there: copies of each series on each tier at the begin and the end of the period, and day by day for pictures.

use super::standing::{Life, Standing};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use model::{
    DatabaseName, TierName,
    evidence::{DayCount, Stock},
};
use std::collections::BTreeMap;

/// Days of a period that are counted at most; in a longer one every second, third … day is.
const MOST_DAYS: i32 = 400;

/// By series and tier.
pub(super) fn stock(standing: &Standing<'_>) -> Vec<Stock> {
    let (from, until) = (standing.facts.from, standing.facts.until);
    let mut all = Vec::new();
    for ((database, series, tier), lives) in &standing.lives {
        let at_end: Vec<&Life<'_>> = lives.iter().filter(|life| life.is_alive(until)).collect();
        let count =
            |which: &dyn Fn(&&&Life<'_>) -> bool| at_end.iter().filter(which).count() as u64;
        all.push(Stock {
            at_begin: lives.iter().filter(|life| life.is_alive(from)).count() as u64,
            at_end: at_end.len() as u64,
            bytes: at_end.iter().filter_map(|life| life.copy.bytes).sum(),
            database: database.clone(),
            deleted: lives
                .iter()
                .filter(|life| life.until.is_some_and(|end| end > from && end <= until))
                .count() as u64,
            held: count(&|life| life.copy.held),
            locked: count(&|life| life.copy.locked_until.is_some_and(|locked| locked > until)),
            made: lives
                .iter()
                .filter(|life| life.from > from && life.from <= until)
                .count() as u64,
            newest: at_end.iter().map(|life| life.copy.slot).max(),
            oldest: at_end.iter().map(|life| life.copy.slot).min(),
            series: series.clone(),
            tier: tier.clone(),
            verified: count(&|life| standing.was_verified(life.copy, until)),
        });
    }
    all
}

/// Copies of each database on each tier at the end of each day.
pub(super) fn days(standing: &Standing<'_>) -> Vec<DayCount> {
    let zone = standing
        .now()
        .map_or(TimeZone::UTC, |demands| demands.zone.clone());
    let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let (first, last) = (date(standing.facts.from), date(standing.facts.until));
    let length = (last - first).get_days().max(0);
    let step = length / MOST_DAYS + 1;
    let slots = usize::try_from(length / step + 1).unwrap_or(1);
    let index = |day: Date| {
        let days = (day - first).get_days().clamp(0, length);
        usize::try_from(days.div_euclid(step)).unwrap_or_default()
    };
    let mut changes: BTreeMap<(&DatabaseName, &TierName), Vec<i64>> = BTreeMap::new();
    for ((database, _, tier), lives) in &standing.lives {
        let row = changes
            .entry((database, tier))
            .or_insert_with(|| vec![0; slots + 1]);
        for life in lives.iter().filter(|life| date(life.from) <= last) {
            row[index(date(life.from))] += 1;
            if let Some(end) = life.until.filter(|end| date(*end) <= last) {
                row[index(date(end))] -= 1;
            }
        }
    }
    let mut days = Vec::new();
    for ((database, tier), row) in changes {
        let mut count = 0_i64;
        for (place, change) in row.iter().take(slots).enumerate() {
            count += change;
            let offset = i64::try_from(place).unwrap_or_default() * i64::from(step);
            let Ok(day) = first.checked_add(Span::new().days(offset)) else {
                break;
            };
            days.push(DayCount {
                count: u64::try_from(count).unwrap_or_default(),
                database: database.clone(),
                day,
                tier: tier.clone(),
            });
        }
    }
    days
}
