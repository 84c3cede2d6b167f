//! Ages of which the same can be said: how far states are apart then, and which way is fast enough for them.
//!
//! A state of an age is restored the fastest way that still leads to *a state of that age*: no further away than the promised gap, or, where
//! none is promised or it is broken anyway, no more than a day further than the nearest one. So ways are added from the fastest to the slowest,
//! until the gap is small enough; the last one added is what a restore takes at most.
//! Not here: verdicts and words (`judge`).

use super::{
    gaps::{Gaps, View},
    shape::Shape,
    sources::{Known, Route},
};
use jiff::{SignedDuration, tz::TimeZone};
use std::collections::BTreeSet;

/// A way that leads to a state so much older is as good: the same night's backup of another series.
const A_DAY: i64 = 86_400;

/// Neighbouring ages are told together while gaps differ by no more than half.
const ALIKE: i64 = 2;

/// From an age to before another; the age zero alone is from 0 to 0.
pub(crate) type Ages = (i64, Option<i64>);

/// What was found of some ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    /// `None`: no end. The age zero has a span of its own, from 0 to 0.
    pub(crate) to: Option<i64>,
    /// The ages among them at which states are furthest apart.
    pub(crate) worst: Ages,
    /// That gap, as it is at most; `None`: there is no state.
    pub(crate) gap: Option<i64>,
    /// Number of the way that a restore may need at most, and of the one that it needs at least.
    pub(crate) slowest: Option<usize>,
    pub(crate) fastest: Option<usize>,
}

impl Span {
    pub(crate) fn is_now(&self) -> bool {
        self.to == Some(0)
    }
}

/// All ways of a database, and the gaps over the first few of them in both orders.
pub(crate) struct Ways {
    pub(crate) all: Vec<Route>,
    pub(crate) full: Gaps,
    /// Numbers of the ways from the fastest to the slowest, by what they take at most, and the gaps over that one and those before it.
    pub(crate) by_most: Vec<(usize, Gaps)>,
    /// The same by what they take at least.
    pub(crate) by_least: Vec<(usize, Gaps)>,
}

impl Ways {
    pub(crate) fn new(known: &Known<'_>, shape: &Shape, zone: &TimeZone) -> Self {
        let ways = known.ways();
        let mut order: Vec<usize> = (0..ways.len()).collect();
        let gaps =
            |chosen: &[usize]| Gaps::of(known, shape, chosen.iter().map(|n| &ways[*n]), zone);
        let prefixes = |order: &[usize]| -> Vec<(usize, Gaps)> {
            let each = order.iter().enumerate();
            each.map(|(count, number)| (*number, gaps(&order[..=count])))
                .collect()
        };
        let full = gaps(&order);
        let sum = |number: &usize| &ways[*number].restore;
        // Of equals the log: it leads to every moment.
        let points = |number: &usize| !ways[*number].way.log;
        order.sort_by_key(|n| (sum(n).most.unwrap_or(i64::MAX), sum(n).least, points(n)));
        let by_most = prefixes(&order);
        order.sort_by_key(|n| (sum(n).least, sum(n).most.unwrap_or(i64::MAX), points(n)));
        let by_least = prefixes(&order);
        Self {
            all: ways,
            full,
            by_most,
            by_least,
        }
    }

    /// What may be lost of a state of an age so that it still is one of that age.
    pub(crate) fn allowed(&self, known: &Known<'_>, ages: Ages, view: View) -> Option<i64> {
        let full = Self::gap(&self.full, ages, view)?;
        let objective = &known.database.objective;
        let promised = objective.at(SignedDuration::from_secs(ages.0)).0;
        let promised = promised.map(|rpo| rpo.maximum.as_secs());
        Some(match promised {
            Some(promised) if full <= promised => promised,
            _ => full.saturating_add(A_DAY),
        })
    }

    fn gap(gaps: &Gaps, ages: Ages, view: View) -> Option<i64> {
        let found = match ages {
            (0, Some(0)) => gaps.now(view),
            _ => gaps.at(ages, view),
        };
        found.map(|found| found.seconds)
    }

    fn needed(&self, known: &Known<'_>, ages: Ages, view: View) -> Option<usize> {
        let allowed = self.allowed(known, ages, view)?;
        let order = match view {
            View::Strict => &self.by_most,
            View::Kind => &self.by_least,
        };
        let enough = |gaps: &Gaps| Self::gap(gaps, ages, view).is_some_and(|gap| gap <= allowed);
        let first = order.iter().find(|(_, gaps)| enough(gaps))?;
        Some(first.0)
    }

    /// All spans, youngest first.
    pub(crate) fn spans(&self, known: &Known<'_>) -> Vec<Span> {
        let promises: Vec<i64> = known
            .database
            .objective
            .at_age
            .iter()
            .map(|one| one.from.approximate().as_secs())
            .collect();
        let reach = self.full.reach();
        let mut ages: BTreeSet<i64> = self.full.ages().chain(promises.iter().copied()).collect();
        for (_, gaps) in self.by_most.iter().chain(&self.by_least) {
            ages.extend(gaps.ages());
        }
        ages.insert(1);
        let ages: Vec<i64> = ages
            .into_iter()
            .filter(|age| *age > 0 && reach.is_none_or(|reach| *age < reach))
            .collect();
        let mut spans = vec![self.span(known, 0, Some(0))];
        let mut younger: Option<Span> = None;
        for (index, age) in ages.iter().enumerate() {
            let to = ages.get(index + 1).copied().or(reach);
            let span = self.span(known, *age, to);
            younger = Some(match younger.take() {
                Some(mut before) if !promises.contains(age) && before.takes(&span) => {
                    before.to = span.to;
                    if before.gap < span.gap {
                        (before.gap, before.worst) = (span.gap, span.worst);
                    }
                    before
                }
                before => {
                    spans.extend(before);
                    span
                }
            });
        }
        spans.extend(younger);
        // What is promised of ages that nothing reaches.
        if let Some(reach) = reach {
            spans.extend(
                promises
                    .iter()
                    .filter(|from| **from >= reach)
                    .map(|from| Span {
                        from: *from,
                        to: None,
                        worst: (*from, None),
                        gap: None,
                        slowest: None,
                        fastest: None,
                    }),
            );
        }
        if let [_, first, ..] = &mut spans[..]
            && first.from == 1
        {
            first.from = 0;
        }
        spans
    }

    fn span(&self, known: &Known<'_>, age: i64, to: Option<i64>) -> Span {
        Span {
            from: age,
            to,
            worst: (age, to),
            gap: Self::gap(&self.full, (age, to), View::Strict),
            slowest: self.needed(known, (age, to), View::Strict),
            fastest: self.needed(known, (age, to), View::Kind),
        }
    }
}

impl Span {
    /// Whether the next older ages are told together with these.
    fn takes(&self, older: &Self) -> bool {
        let alike = match (self.gap, older.gap) {
            (Some(a), Some(b)) => a.max(b) <= a.min(b).saturating_mul(ALIKE) - a.min(b) / 2,
            (a, b) => a == b,
        };
        alike && (self.slowest, self.fastest) == (older.slowest, older.fastest)
    }
}
