//! How far states of an age are apart when only some of the ways to them are used.
//!
//! Failed runs: after `k` failures in a row two neighbours of a series are at most `k` of its largest times between slots further apart, because
//! the first run that succeeds takes the place of those that failed in every rule. All series may fail at once, so each is counted alone then, and
//! the best one is what one has.
//! Not here: lives (`shape`), times of restores (`sources`).

use super::{
    profile::Profile,
    proof::{Part, PartKind, Source},
    shape::Shape,
    sources::{Known, Route, pairs},
};
use jiff::tz::TimeZone;
use std::{collections::BTreeMap, rc::Rc};

/// What is not known counts as bad as it can be, or as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Nothing that is not known helps.
    Strict,
    /// Everything that is not known turns out well.
    Kind,
}

/// States that are counted together.
struct Row {
    profile: Rc<Profile>,
    failures: i64,
    run: Part,
}

/// How far states are apart over a set of ways.
pub(crate) struct Gaps {
    rows: Vec<Row>,
    /// How far each log goes back, in seconds.
    windows: Vec<i64>,
    lag: Option<Part>,
}

/// What decides at an age.
pub(crate) struct Found {
    pub(crate) seconds: i64,
    pub(crate) parts: Vec<Part>,
    /// The profile that it was found in; `None`: the log.
    pub(crate) profile: Option<Rc<Profile>>,
    /// What failures and the run add to that.
    pub(crate) added: i64,
}

impl Gaps {
    pub(crate) fn of<'w>(
        known: &Known<'_>,
        shape: &Shape,
        ways: impl Iterator<Item = &'w Route>,
        zone: &TimeZone,
    ) -> Self {
        let mut sources = Vec::new();
        let mut windows = Vec::new();
        for way in ways {
            match way.index {
                Some(index) => sources.push(index),
                None => windows.push(way.window_seconds),
            }
        }
        let declared = pairs(known.database);
        let mut by_series: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let names: Vec<_> = known.database.series.values().collect();
        for index in &sources {
            let of = names
                .iter()
                .position(|one| one.name == declared[*index].0.name);
            by_series.entry(of.unwrap_or(0)).or_default().push(*index);
        }
        let failures = i64::from(known.database.objective.failures);
        let mut rows: Vec<Row> = by_series
            .into_iter()
            .map(|(of, sources)| {
                let slots = names[of].schedule.largest_gap(known.now, zone).as_secs();
                Row {
                    profile: shape.profile(sources),
                    failures: failures.saturating_mul(slots),
                    run: known.run(names[of]),
                }
            })
            .collect();
        if failures == 0 && rows.len() > 1 {
            let most = |part: &Part| match part.source {
                Source::Unknown { at_most_seconds } => at_most_seconds,
                _ => part.seconds,
            };
            let slowest = rows.iter().map(|row| row.run.clone()).max_by_key(most);
            rows.extend(slowest.map(|run| Row {
                profile: shape.profile(sources),
                failures: 0,
                run,
            }));
        }
        let lag = (!windows.is_empty()).then(|| known.lag());
        Self { rows, windows, lag }
    }

    /// How far states of some ages are apart at most; `None`: at some time there is none.
    pub(crate) fn at(&self, ages: (i64, Option<i64>), view: View) -> Option<Found> {
        let by_points = self.rows.iter().filter_map(|row| {
            let gap = row.profile.gap_in(ages)?;
            Some(row.found(gap, false, view))
        });
        self.best(ages.0, view, by_points)
    }

    /// What is lost at most when the database is lost now.
    pub(crate) fn now(&self, view: View) -> Option<Found> {
        let by_points = self.rows.iter().filter_map(|row| {
            let gap = row.profile.now?;
            Some(row.found(gap, true, view))
        });
        self.best(0, view, by_points)
    }

    fn best(&self, age: i64, view: View, by_points: impl Iterator<Item = Found>) -> Option<Found> {
        let in_window = self.windows.iter().any(|window| age < *window);
        let lag = self.lag.as_ref().filter(|_| in_window);
        let by_log = lag.and_then(|lag| {
            let seconds = match (view, &lag.source) {
                (View::Strict, Source::Unknown { at_most_seconds }) => (*at_most_seconds)?,
                (View::Strict, _) => lag.seconds?,
                (View::Kind, _) => lag.seconds.unwrap_or(0),
            };
            Some(Found {
                seconds,
                parts: vec![lag.clone()],
                profile: None,
                added: 0,
            })
        });
        by_log
            .into_iter()
            .chain(by_points)
            .min_by_key(|found| found.seconds)
    }

    /// The ages at which something changes.
    pub(crate) fn ages(&self) -> impl Iterator<Item = i64> + '_ {
        let profiles = self.rows.iter().flat_map(|row| row.profile.ages());
        profiles.chain(self.windows.iter().copied())
    }

    /// How old the oldest state is at least; `None`: there is no end.
    pub(crate) fn reach(&self) -> Option<i64> {
        let by_points = self.rows.iter().map(|row| row.profile.reach);
        let longest = by_points.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(0));
        let log = self.windows.iter().copied().max().unwrap_or(0);
        longest.map(|reach| reach.max(log))
    }

    /// The same if as many runs fail as may: the first point of a unit is then made so much later, and is so much younger when the unit goes.
    pub(crate) fn sure_reach(&self) -> Option<i64> {
        let of = |row: &Row| Some(row.profile.reach?.saturating_sub(row.failures).max(0));
        let longest = self.rows.iter().map(of);
        let longest = longest.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(0));
        let log = self.windows.iter().copied().max().unwrap_or(0);
        longest.map(|reach| reach.max(log))
    }

    /// The profile that reaches back furthest.
    pub(crate) fn longest(&self) -> Option<Rc<Profile>> {
        let rows = self.rows.iter();
        let longest = rows.max_by_key(|row| row.profile.reach.unwrap_or(i64::MAX));
        longest.map(|row| Rc::clone(&row.profile))
    }
}

impl Row {
    fn found(&self, gap: i64, now: bool, view: View) -> Found {
        let mut parts = vec![Part {
            seconds: Some(gap),
            source: Source::Policy,
            what: PartKind::Gap,
        }];
        let mut added = self.failures;
        if self.failures > 0 {
            parts.push(Part {
                seconds: Some(self.failures),
                source: Source::Policy,
                what: PartKind::Failures,
            });
        }
        if now {
            let unknown = match (view, &self.run.source) {
                (View::Strict, Source::Unknown { at_most_seconds }) => at_most_seconds.unwrap_or(0),
                _ => 0,
            };
            added = added.saturating_add(self.run.seconds.unwrap_or(unknown));
            parts.push(self.run.clone());
        }
        Found {
            seconds: gap.saturating_add(added),
            parts,
            profile: Some(Rc::clone(&self.profile)),
            added,
        }
    }
}
