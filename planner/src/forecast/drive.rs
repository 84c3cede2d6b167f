//! Which series are run forward together.
//!
//! Series that the archived log of their database binds together are planned together; all others alone.

use super::{DatabaseForecast, Scenario, group::Group, log::rolls_forward, slots::Calendar};
use jiff::Timestamp;
use model::{Inventory, RecoveryPoint, SeriesName, tier_facts::TierCapabilities};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Series},
};
use std::collections::BTreeSet;

/// Everything that a forecast of one database starts from.
pub(super) struct Setting<'a> {
    pub(super) policy: &'a Policy,
    pub(super) inventory: &'a Inventory,
    pub(super) capabilities: &'a TierCapabilities,
    pub(super) scenario: &'a Scenario,
    pub(super) database: &'a DatabaseDeclaration,
    /// The newest thing that is known to have happened anywhere.
    pub(super) activity: Option<Timestamp>,
}

/// Runs one database forward; `points` are those of its declared series.
pub(super) fn database(
    setting: &Setting<'_>,
    points: &[&RecoveryPoint],
    calendar: &mut Calendar<'_>,
) -> DatabaseForecast {
    let mut forecast = DatabaseForecast::default();
    let mut bound: Vec<&Series> = Vec::new();
    for series in setting.database.series.values() {
        let mine = of_series(points, &series.name);
        if setting.database.wal.is_some() && rolls_forward(series, &mine) {
            bound.push(series);
        } else {
            run_group(setting, &[series], &mine, false, calendar, &mut forecast);
        }
    }
    if !bound.is_empty() {
        let names: BTreeSet<&SeriesName> = bound.iter().map(|series| &series.name).collect();
        let mine = points.iter().filter(|point| names.contains(&point.series));
        let mine: Vec<&RecoveryPoint> = mine.copied().collect();
        run_group(setting, &bound, &mine, true, calendar, &mut forecast);
    }
    forecast
        .missed
        .sort_by(|a, b| (&a.series, a.first).cmp(&(&b.series, b.first)));
    forecast
}

fn of_series<'p>(points: &[&'p RecoveryPoint], series: &SeriesName) -> Vec<&'p RecoveryPoint> {
    let mine = points.iter().filter(|point| &point.series == series);
    mine.copied().collect()
}

/// Runs series that are planned together.
fn run_group<'a>(
    setting: &Setting<'a>,
    series: &[&'a Series],
    points: &[&RecoveryPoint],
    with_log: bool,
    calendar: &mut Calendar<'_>,
    forecast: &mut DatabaseForecast,
) {
    let mut group = Group::new(setting, series, points, with_log, calendar);
    while let Some(now) = group.next_event() {
        group.step(now);
    }
    let (series, missed) = group.finish();
    forecast.series.extend(series);
    forecast.missed.extend(missed);
}

impl Setting<'_> {
    /// The newest thing that happened before a run: something always has, except at the beginning and while nothing ran.
    pub(super) fn quiet_since(&self, now: Timestamp) -> Option<Timestamp> {
        if now == self.scenario.from {
            return self.activity;
        }
        let mut outages = self.scenario.outages.iter();
        let over = outages.find(|outage| outage.tier.is_none() && outage.until == now);
        Some(over.map_or(now, |outage| outage.from))
    }
}
