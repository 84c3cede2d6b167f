//! What is assumed to happen: how far to look, what fails, what is lost, how large points are and how long they take.

use jiff::{SignedDuration, Timestamp};
use model::{ByteCount, DatabaseName, Inventory, PointState, SeriesName, TierName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Newest copies of a series on a tier that durations are measured of.
const MEASURED: usize = 5;

/// What took longer than this was not the making of a copy: it was copied later, or proved again.
const LONGEST: SignedDuration = SignedDuration::from_hours(72);

/// What is assumed to happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// When it begins: what is due then is made at once.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// After each point of a series so many slots in a row fail.
    pub failed_runs: u32,
    /// Slots that fail besides; the next slot of the series is not touched.
    pub failed_slots: BTreeMap<(DatabaseName, SeriesName), BTreeSet<Timestamp>>,
    /// Times in which nothing runs, or a tier is away.
    pub outages: Vec<Outage>,
    /// Tiers that lose everything.
    pub lost_tiers: Vec<LostTier>,
    /// How much larger points are a year later, in percent.
    pub growth_percent: f64,
    /// How large a point is when nothing of the series exists.
    pub sizes: BTreeMap<DatabaseName, ByteCount>,
    /// How long it takes until a point is complete on a tier. What is not named takes no time.
    pub taken: BTreeMap<(DatabaseName, SeriesName, TierName), Taken>,
}

/// A time in which something is away. It ends with a run, so that the newest missed slot is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub until: Timestamp,
    /// The tier that cannot be reached; `None`: nothing runs at all.
    pub tier: Option<TierName>,
}

/// A tier loses everything at once, and is there again, empty, in the same instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostTier {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub tier: TierName,
}

/// How long the making of a copy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taken {
    /// From the captured state until it is complete on the tier.
    pub stored: SignedDuration,
    /// From there until it is verified.
    pub verified: SignedDuration,
}

impl Scenario {
    /// Everything goes well, takes no time, and nothing grows.
    pub fn undisturbed(from: Timestamp, until: Timestamp) -> Self {
        Self {
            from,
            until,
            failed_runs: 0,
            failed_slots: BTreeMap::new(),
            outages: Vec::new(),
            lost_tiers: Vec::new(),
            growth_percent: 0.0,
            sizes: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// With the durations of the newest copies: of each series and tier the longest of the last few.
    #[must_use]
    pub fn with_measured_durations(mut self, inventory: &Inventory) -> Self {
        let mut samples: BTreeMap<_, Vec<(Timestamp, Taken)>> = BTreeMap::new();
        for point in &inventory.recovery_points {
            if point.state != PointState::Complete {
                continue;
            }
            for copy in point.copies.iter().filter(|copy| copy.is_present()) {
                let stored = copy.stored_at.duration_since(point.captured_at);
                let verified = copy.verified.map_or(SignedDuration::ZERO, |verified| {
                    verified.at.duration_since(copy.stored_at)
                });
                let sound = |taken| (SignedDuration::ZERO..=LONGEST).contains(&taken);
                if sound(stored) {
                    let verified = if sound(verified) {
                        verified
                    } else {
                        SignedDuration::ZERO
                    };
                    let key = (&point.database, &point.series, &copy.tier);
                    let taken = Taken { stored, verified };
                    samples.entry(key).or_default().push((point.slot, taken));
                }
            }
        }
        for ((database, series, tier), mut samples) in samples {
            samples.sort_by_key(|(slot, _)| std::cmp::Reverse(*slot));
            let newest = || samples.iter().take(MEASURED).map(|(_, taken)| taken);
            let taken = Taken {
                stored: newest().map(|taken| taken.stored).max().unwrap_or_default(),
                verified: newest()
                    .map(|taken| taken.verified)
                    .max()
                    .unwrap_or_default(),
            };
            let key = (database.clone(), series.clone(), tier.clone());
            self.taken.insert(key, taken);
        }
        self
    }

    /// Whether nothing runs at an instant.
    pub(super) fn is_down(&self, at: Timestamp) -> bool {
        let all = self.outages.iter().filter(|outage| outage.tier.is_none());
        all.into_iter()
            .any(|outage| outage.from <= at && at < outage.until)
    }

    /// Whether a tier cannot be reached at an instant.
    pub(super) fn is_away(&self, tier: &TierName, at: Timestamp) -> bool {
        let mine = self
            .outages
            .iter()
            .filter(|outage| outage.tier.as_ref() == Some(tier));
        mine.into_iter()
            .any(|outage| outage.from <= at && at < outage.until)
    }
}
