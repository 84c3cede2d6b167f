//! Changes that may mend a broken promise, the likely cheapest of each kind first.
//!
//! - A restore is too slow because an archive must be thawed: thaw faster; or keep on a tier that is read at once what only the archive has.
//! - Old states are too far apart, or not kept that long: keep one of each period, where it is read at once and then elsewhere.
//! - Too much is lost now: run a series more often; archive the log (`log`).
//!
//! Not here: whether any of them helps (`suggest`).

use super::{log::with_log, of, toml};
use crate::prove::{
    Question,
    proof::{DatabaseProof, Verdict},
};
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, Keep, Period, SeriesName, TierName,
    retention::{Each, KeepCount, KeepRule},
};
use policy_schema::{
    Policy, Schedule,
    policy::{CheckId, DatabaseDeclaration, Series},
};

/// A change to try.
pub(super) struct Candidate {
    pub(super) mends: CheckId,
    /// Of changes of one kind the first that proves is enough.
    pub(super) kind: String,
    pub(super) what: String,
    pub(super) place: String,
    pub(super) toml: String,
    pub(super) change: Box<dyn Fn(&mut Policy)>,
}

/// Rhythms to try, slowest first. Whoever needs a shorter one needs the log.
const RHYTHMS: [u32; 9] = [720, 480, 360, 240, 180, 120, 60, 30, 15];

/// The changes to try for one broken promise.
pub(super) fn candidates(
    question: &Question<'_>,
    database: &DatabaseDeclaration,
    proof: &DatabaseProof,
    mends: CheckId,
) -> Vec<Candidate> {
    if mends == CheckId::Rto {
        let mut all = faster_thaw(question, database);
        all.extend(also_elsewhere(question, database));
        return all;
    }
    let now = proof.ranges.first();
    let mut all = Vec::new();
    if now.is_some_and(|range| range.rpo.verdict == Verdict::Violated) {
        all.extend(more_often(database));
        all.extend(with_log(question, database));
    }
    all.extend(one_of_each(question, database, proof));
    all
}

pub(super) fn is_cold(question: &Question<'_>, tier: &TierName) -> bool {
    let can = question.capabilities.get(tier);
    can.is_some_and(model::Capabilities::needs_thaw)
}

fn faster_thaw(question: &Question<'_>, database: &DatabaseDeclaration) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (_, tier) in crate::prove::sources::pairs(database) {
        if !is_cold(question, tier) {
            continue;
        }
        for speed in ["standard", "expedited"] {
            let Some(declared) = question.policy.tiers.get(tier) else {
                continue;
            };
            // Amazon takes no such order for its deepest archive.
            let offered = speed != "expedited" || declared.table["storage-class"] != "deep-archive";
            if !offered || declared.table["retrieval"] == speed {
                continue;
            }
            let name = tier.clone();
            all.push(Candidate {
                mends: CheckId::Rto,
                kind: format!("thaw {tier}"),
                what: format!("thaw faster from {tier}; paid for only when something is thawed"),
                place: format!("in [tier.{tier}], in place of `retrieval`"),
                toml: format!("retrieval = \"{speed}\""),
                change: Box::new(move |policy| {
                    if let Some(tier) = policy.tiers.get_mut(&name) {
                        tier.table["retrieval"] = speed.into();
                    }
                }),
            });
        }
    }
    all
}

/// What only an archive keeps long enough, kept on a tier that is read at once too.
fn also_elsewhere(question: &Question<'_>, database: &DatabaseDeclaration) -> Vec<Candidate> {
    let mut all = Vec::new();
    for series in database.series.values() {
        let cold: Vec<&Keep> = series
            .keep
            .iter()
            .filter(|(tier, _)| is_cold(question, tier))
            .map(|(_, keep)| keep)
            .collect();
        if cold.is_empty() {
            continue;
        }
        for tier in question.policy.tiers.keys() {
            if is_cold(question, tier) {
                continue;
            }
            let own = series.keep.iter().find(|(kept, _)| kept == tier);
            let keep = cold.iter().fold(
                own.map(|(_, keep)| keep.clone()).unwrap_or_default(),
                |sum, keep| joined(sum, keep),
            );
            let what =
                format!("keep on {tier}, where it is read at once, what only an archive keeps");
            all.push(keep_on(database, series, tier, keep, what, CheckId::Rto));
        }
    }
    all
}

/// A candidate that gives a series another keep on a tier.
fn keep_on(
    database: &DatabaseDeclaration,
    series: &Series,
    tier: &TierName,
    keep: Keep,
    what: String,
    mends: CheckId,
) -> Candidate {
    let there = series.keep.iter().any(|(kept, _)| kept == tier);
    let how = if there {
        format!("in place of `keep.{tier}`")
    } else {
        "as a further line".to_owned()
    };
    let (name, of_series, on) = (database.name.clone(), series.name.clone(), tier.clone());
    let toml = format!("keep.{tier} = {}", toml::keep(&keep));
    Candidate {
        mends,
        kind: format!("keep {} {tier}", series.name),
        what,
        place: format!(
            "in [[database.{}.series]] named \"{}\", {how}",
            database.name, series.name
        ),
        toml,
        change: Box::new(move |policy| {
            let Some(series) = series_of(policy, &name, &of_series) else {
                return;
            };
            match series.keep.iter_mut().find(|(kept, _)| *kept == on) {
                Some((_, old)) => *old = keep.clone(),
                None => series.keep.push((on.clone(), keep.clone())),
            }
        }),
    }
}

fn series_of<'p>(
    policy: &'p mut Policy,
    database: &DatabaseName,
    series: &SeriesName,
) -> Option<&'p mut Series> {
    of(policy, database)?.series.get_mut(series)
}

/// Both keeps in one: of each rule the longer.
fn joined(mut keep: Keep, other: &Keep) -> Keep {
    keep.forever |= other.forever;
    for rule in &other.rules {
        let same = |own: &&mut KeepRule| {
            own.each == rule.each
                && matches!(own.count, KeepCount::Window(_))
                    == matches!(rule.count, KeepCount::Window(_))
        };
        match keep.rules.iter_mut().find(same) {
            Some(own) => {
                own.count = match (own.count, rule.count) {
                    (KeepCount::Window(a), KeepCount::Window(b))
                        if a.approximate() > b.approximate() =>
                    {
                        own.count
                    }
                    (KeepCount::Count(a), KeepCount::Count(b)) => KeepCount::Count(a.max(b)),
                    (KeepCount::All, _) | (_, KeepCount::All) => KeepCount::All,
                    (_, longer) => longer,
                };
            }
            None => keep.rules.push(*rule),
        }
    }
    keep.rules.sort_unstable();
    keep
}

fn more_often(database: &DatabaseDeclaration) -> Vec<Candidate> {
    let mut all = Vec::new();
    for series in database.series.values() {
        for minutes in RHYTHMS {
            let seconds = u64::from(minutes) * 60;
            let period = Period {
                seconds,
                ..Period::default()
            };
            let interval = SignedDuration::from_mins(i64::from(minutes));
            let (Some(schedule), Some((tier, keep))) = (
                Schedule::every(interval, Timestamp::UNIX_EPOCH),
                series.keep.first(),
            ) else {
                continue;
            };
            // What no rule wants would go as soon as it is made.
            let newest = Keep {
                rules: vec![KeepRule {
                    count: KeepCount::Count(2),
                    each: Each::Point,
                }],
                ..Keep::default()
            };
            let keep = joined(keep.clone(), &newest);
            let (name, of_series) = (database.name.clone(), series.name.clone());
            let toml = format!("every = \"{period}\"\nkeep.{tier} = {}", toml::keep(&keep));
            all.push(Candidate {
                mends: CheckId::Rpo,
                kind: format!("rhythm {}", series.name),
                what: format!("run series {} every {period}", series.name),
                place: format!(
                    "in [[database.{}.series]] named \"{}\", in place of `schedule` and `keep.{tier}`",
                    database.name, series.name
                ),
                toml,
                change: Box::new(move |policy| {
                    if let Some(series) = series_of(policy, &name, &of_series) {
                        series.schedule = schedule.clone();
                        if let Some((_, first)) = series.keep.first_mut() {
                            *first = keep.clone();
                        }
                    }
                }),
            });
        }
    }
    all
}

/// A rule for each period that is no longer than the promised gap, as far back as is promised.
fn one_of_each(
    question: &Question<'_>,
    database: &DatabaseDeclaration,
    proof: &DatabaseProof,
) -> Vec<Candidate> {
    const A_DAY: i64 = 86_400;
    let broken = proof
        .ranges
        .iter()
        .filter(|range| !range.is_now() && range.rpo.verdict == Verdict::Violated);
    let mut rules: Vec<KeepRule> = Vec::new();
    for range in broken {
        let Some(promised) = range.rpo.promised else {
            continue;
        };
        let units = [
            (Each::Month, 31 * A_DAY),
            (Each::Week, 7 * A_DAY),
            (Each::Day, A_DAY + 3600),
            (Each::Hour, 3600),
        ];
        let fits = units
            .into_iter()
            .find(|(_, length)| length.unsigned_abs() <= promised.maximum_seconds);
        let Some((each, length)) = fits else { continue };
        // It holds until the next promise takes over, which may make retention longer than it is.
        let next = database
            .objective
            .at_age
            .iter()
            .filter(|one| one.rpo.is_some())
            .map(|one| one.from.approximate().as_secs())
            .find(|from| *from > range.from_seconds);
        let end = next.or(range.to_seconds).unwrap_or(range.from_seconds);
        // A unit more, because a window is counted back from the newest point.
        let end = end + 2 * length + A_DAY;
        let days = u32::try_from(end / A_DAY).unwrap_or(u32::MAX);
        rules.push(KeepRule {
            each,
            count: KeepCount::Window(Period {
                days,
                ..Period::default()
            }),
        });
    }
    if rules.is_empty() {
        return Vec::new();
    }
    let wanted = Keep {
        rules,
        ..Keep::default()
    };
    let mut all = Vec::new();
    for cold in [false, true] {
        for series in database.series.values() {
            for (tier, keep) in &series.keep {
                if is_cold(question, tier) == cold {
                    let keep = joined(keep.clone(), &wanted);
                    let what = format!("keep more of series {} on {tier}", series.name);
                    all.push(keep_on(database, series, tier, keep, what, CheckId::Rpo));
                }
            }
        }
    }
    all
}
