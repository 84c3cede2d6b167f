//! Where states of a database can come from, and what a restore from there takes: a sum of parts, each with its source.
//!
//! `thaw + restore`: the first is what the vendor says that it typically takes, the second the slow end of restores that were really done
//! (`recovery_time`), else what the policy declares, else unknown. A measured restore from an archive that took at least as long as a thaw
//! held one: nothing is counted twice. Not here: what is promised (`judge`), which ages a way serves (`spans`).

use super::{
    Facts,
    proof::{Part, PartKind, Source, Tested, Way},
};
use crate::recovery_time::{
    self,
    measured::{chain_bytes, slow_end},
};
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, Inventory, MethodName, PointState, RecoveryPoint, RecoveryPointId, SeriesName,
    TierName, tier_facts::TierCapabilities,
};
use policy_schema::policy::{DatabaseDeclaration, Series};
use std::collections::BTreeMap;

/// Everything that is known of one database.
pub(crate) struct Known<'a> {
    pub(crate) database: &'a DatabaseDeclaration,
    pub(crate) inventory: &'a Inventory,
    pub(crate) capabilities: &'a TierCapabilities,
    pub(crate) facts: &'a Facts,
    /// Complete points.
    pub(crate) points: &'a [&'a RecoveryPoint],
    /// How long until a state of a series can be relied upon, as far as it was measured.
    pub(crate) runs: &'a Runs,
    pub(crate) now: Timestamp,
}

/// The newest points of a series that runs are measured of.
const MEASURED: usize = 5;

/// What took longer was not made in one run.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(72);

/// The longest of the last few runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Slot of the newest of them.
    at: Timestamp,
    /// How many.
    count: usize,
    seconds: i64,
}

/// Runs by series.
pub(crate) type Runs = BTreeMap<(DatabaseName, SeriesName), Run>;

/// One way to a state.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) way: Way,
    /// Number among the sources of the profiles; `None`: the log.
    pub(crate) index: Option<usize>,
    /// For the log: for how long it goes back.
    pub(crate) window_seconds: i64,
    pub(crate) restore: Sum,
}

/// A sum of times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) parts: Vec<Part>,
    /// Not less than this.
    pub(crate) least: i64,
    /// Not more than this; `None`: something is unknown.
    pub(crate) most: Option<i64>,
}

impl Sum {
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        let known = |part: &Part| part.seconds.unwrap_or(0);
        let most = parts.iter().map(|part| match part.source {
            Source::Unknown { at_most_seconds } => at_most_seconds,
            _ => part.seconds,
        });
        Self {
            least: parts.iter().map(known).sum(),
            most: most.sum(),
            parts,
        }
    }

    /// Whether all of it was really done once.
    pub(crate) fn is_measured(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part.source, Source::Measured { .. } | Source::VendorTypical))
    }
}

/// The pairs of series and tier of a database, in the order of the profiles.
pub(crate) fn pairs(database: &DatabaseDeclaration) -> Vec<(&Series, &TierName)> {
    let all = database.series.values();
    all.flat_map(|series| series.keep.iter().map(move |(tier, _)| (series, tier)))
        .collect()
}

impl Known<'_> {
    /// All ways, those over the log too.
    pub(crate) fn ways(&self) -> Vec<Route> {
        let sizes = sizes(self.points);
        let way = |series: &Series, tier: &TierName, log| Way {
            log,
            method: series.method.clone(),
            series: series.name.clone(),
            tier: tier.clone(),
        };
        let sum = |series: &Series, tier: &TierName| {
            self.restore(&series.method, tier, sizes.get(&series.name).copied())
        };
        let mut ways: Vec<Route> = pairs(self.database)
            .into_iter()
            .enumerate()
            .map(|(index, (series, tier))| Route {
                way: way(series, tier, false),
                index: Some(index),
                window_seconds: 0,
                restore: sum(series, tier),
            })
            .collect();
        for (tier, window) in self.database.wal.iter().flat_map(|wal| &wal.keep) {
            let Some(base) = self.base_on(tier) else {
                continue;
            };
            ways.push(Route {
                way: way(base, tier, true),
                index: None,
                window_seconds: window.approximate().as_secs(),
                restore: sum(base, tier),
            });
        }
        ways
    }

    /// The series whose points the log on a tier is rolled over.
    fn base_on(&self, tier: &TierName) -> Option<&Series> {
        let bases = self.database.wal.iter().flat_map(|wal| &wal.bases);
        bases
            .filter_map(|name| self.database.series.get(name))
            .find(|series| series.keep.iter().any(|(kept, _)| kept == tier))
    }

    fn restore(&self, method: &MethodName, tier: &TierName, bytes: Option<u64>) -> Sum {
        let none = Vec::new();
        let all = self.inventory.restores.get(&self.database.name);
        let mine = all
            .unwrap_or(&none)
            .iter()
            .filter(|one| one.method == *method && one.tier == *tier && one.at <= self.now);
        let can = self.capabilities.get(tier);
        let thaw = can
            .and_then(|can| can.thaw)
            .map(|thaw| i64::try_from(thaw.typical_seconds).unwrap_or(i64::MAX));
        let measured = slow_end(mine, bytes);
        let mut parts = Vec::new();
        if let Some(thaw) = thaw
            && measured.is_none_or(|slow| slow.seconds < thaw)
        {
            parts.push(Part {
                seconds: Some(thaw),
                source: Source::VendorTypical,
                what: PartKind::Thaw,
            });
        }
        let (seconds, source) = match (measured, self.database.declared_restore) {
            (Some(slow), _) => (
                Some(slow.seconds),
                Source::Measured {
                    at: slow.at,
                    bytes: slow.bytes,
                    count: slow.count,
                },
            ),
            (None, Some(declared)) => (Some(declared.as_secs()), Source::Declared),
            (None, None) => (
                None,
                Source::Unknown {
                    at_most_seconds: None,
                },
            ),
        };
        parts.push(Part {
            seconds,
            source,
            what: PartKind::Restore,
        });
        Sum::of(parts)
    }

    /// How long a run takes until its state can be relied upon: measured, or at most the time that it is given.
    pub(crate) fn run(&self, series: &Series) -> Part {
        let key = (self.database.name.clone(), series.name.clone());
        match self.runs.get(&key) {
            Some(run) => Part {
                seconds: Some(run.seconds),
                source: Source::Measured {
                    at: run.at,
                    bytes: 0,
                    count: run.count,
                },
                what: PartKind::Run,
            },
            None => Part {
                seconds: None,
                source: Source::Unknown {
                    at_most_seconds: Some(series.window.timeout.as_secs()),
                },
                what: PartKind::Run,
            },
        }
    }

    /// Drills whose newest run failed.
    pub(crate) fn failed_drills(&self) -> Vec<String> {
        let failed = recovery_time::failed_drills(self.inventory, self.database);
        failed.into_iter().map(|drill| drill.name).collect()
    }

    /// The last restore or drill that ended well.
    pub(crate) fn last_tested(&self) -> Option<Tested> {
        let name = &self.database.name;
        // What a clock that was wrong has dated into the future proves nothing.
        let mut measured = self.inventory.restores.get(name)?.clone();
        measured.retain(|one| one.at <= self.now);
        let proof = recovery_time::last_proof(self.inventory, name, &measured)?;
        Some(Tested {
            at: proof.at,
            drill: proof.drill,
            tier: proof.tier,
        })
    }

    /// The newest state that exists and can be relied upon, where no log goes on from it.
    pub(crate) fn newest_state(&self) -> Option<Timestamp> {
        let good = |point: &&&RecoveryPoint| {
            let mut copies = point.copies.iter();
            point.captured_at <= self.now && copies.any(|copy| self.is_good(point, &copy.tier))
        };
        let all = self.points.iter().filter(good);
        let newest = all.map(|point| point.captured_at).max();
        newest.filter(|_| self.database.wal.is_none())
    }

    /// Whether a point can be restored as far as is known.
    pub(crate) fn is_good(&self, point: &RecoveryPoint, tier: &TierName) -> bool {
        point.state == PointState::Complete
            && point.copy_on(tier).is_some_and(model::Copy::is_good)
            && !self.inventory.unreachable_tiers.contains(tier)
    }
}

/// Stored bytes of the newest point of each series, with all that it is incremental to.
fn sizes(points: &[&RecoveryPoint]) -> BTreeMap<SeriesName, u64> {
    let by_id: BTreeMap<&RecoveryPointId, &RecoveryPoint> =
        points.iter().map(|point| (&point.id, *point)).collect();
    let mut newest: BTreeMap<&SeriesName, &RecoveryPoint> = BTreeMap::new();
    for point in points {
        let known = newest.entry(&point.series).or_insert(point);
        if (known.captured_at, &known.id) < (point.captured_at, &point.id) {
            *known = point;
        }
    }
    newest
        .into_iter()
        .map(|(series, point)| (series.clone(), chain_bytes(&by_id, point)))
        .filter(|(_, bytes)| *bytes > 0)
        .collect()
}

/// The same of one database.
pub(crate) fn chain_sizes(
    inventory: &Inventory,
    database: &DatabaseName,
) -> BTreeMap<SeriesName, u64> {
    let points: Vec<&RecoveryPoint> = inventory
        .recovery_points
        .iter()
        .filter(|point| point.database == *database && point.state == PointState::Complete)
        .collect();
    sizes(&points)
}

/// How long states of each series take until a first copy can be relied upon: the longest of the newest few.
pub(crate) fn runs(inventory: &Inventory) -> Runs {
    let mut samples: BTreeMap<(&DatabaseName, &SeriesName), Vec<(Timestamp, i64)>> =
        BTreeMap::new();
    for point in &inventory.recovery_points {
        let first = point.copies.iter().filter_map(|copy| run_of(point, copy));
        if let (PointState::Complete, Some(first)) = (point.state, first.min()) {
            let key = (&point.database, &point.series);
            let sample = (point.slot, first);
            samples.entry(key).or_default().push(sample);
        }
    }
    let longest = |mut samples: Vec<(Timestamp, i64)>| {
        samples.sort_unstable_by_key(|(slot, _)| std::cmp::Reverse(*slot));
        samples.truncate(MEASURED);
        let longest = samples.iter().map(|(_, taken)| *taken).max();
        longest.zip(samples.first().map(|(at, _)| (*at, samples.len())))
    };
    samples
        .into_iter()
        .filter_map(|((database, series), samples)| {
            let (seconds, (at, count)) = longest(samples)?;
            let run = Run { at, count, seconds };
            Some(((database.clone(), series.clone()), run))
        })
        .collect()
}

/// From the captured state until a copy was verified; what was verified again later counts as it was stored.
fn run_of(point: &RecoveryPoint, copy: &model::Copy) -> Option<i64> {
    let sound = |taken: &SignedDuration| (SignedDuration::ZERO..=LONGEST_RUN).contains(taken);
    let verified = copy.verified.filter(|_| copy.is_present())?;
    let stored = copy.stored_at.duration_since(point.captured_at);
    let whole = verified.at.duration_since(point.captured_at);
    let stored = Some(stored).filter(sound)?;
    Some(Some(whole).filter(sound).unwrap_or(stored).as_secs())
}
