//! Objectives, and whether the schedules of a database can keep them at all.
//!
//! A loss can be as large as the largest gap between two slots; the series with the smallest such gap decides. Where the log
//! is archived it is the lag of the archive instead, which only a running archive can show; nobody is asked here then.

use crate::{
    database::readable_items,
    keep::words,
    policy::{AtAge, Objective, Series, Target},
    report::{Draft, Report},
    tree::{Node, Place},
    written::{WrittenAtAge, WrittenObjective, WrittenTarget},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{Period, SeriesName};
use std::collections::{BTreeMap, HashMap};

/// Reads `objective`.
pub(crate) fn read_objective(
    report: &mut Report<'_>,
    database: &Node,
    written: Option<&WrittenObjective>,
) -> Objective {
    let (Some(written), Some(node)) = (written, database.get("objective")) else {
        return Objective::default();
    };
    Objective {
        rpo: read_target(report, node, "rpo", written.rpo.as_ref()),
        rto: read_target(report, node, "rto", written.rto.as_ref()),
        at_age: read_at_age(report, node, written.at_age.as_deref().unwrap_or_default()),
        failures: written.failures.unwrap_or(0),
    }
}

/// Reads `at-age`, youngest first.
fn read_at_age(report: &mut Report<'_>, objective: &Node, written: &[WrittenAtAge]) -> Vec<AtAge> {
    let mut all: Vec<(AtAge, Place)> = Vec::new();
    let items = readable_items(report, objective, "at-age");
    for ((_, item), one) in items.iter().zip(written) {
        let before = report.len();
        let (rpo, rto) = (
            read_target(report, item, "rpo", one.rpo.as_ref()),
            read_target(report, item, "rto", one.rto.as_ref()),
        );
        let Some(from) = one.from else {
            if !item.holds_any(&report.wrong) {
                let draft = Draft::error("policy::missing-key", "an entry of `at-age` lacks `from`")
                    .at(item.place, "`from` is needed here")
                    .help("write the age from which on it is promised, as in `{ from = \"30d\", rpo = \"1d\" }`");
                report.add(draft);
            }
            continue;
        };
        if report.len() == before && (rpo, rto) == (None, None) && !item.holds_any(&report.wrong) {
            let draft = Draft::error(
                "policy::missing-key",
                "an entry of `at-age` promises nothing",
            )
            .at(item.place, "neither `rpo` nor `rto`");
            report.add(draft);
            continue;
        }
        let place = item.get("from").map_or(item.place, |node| node.place);
        if from.is_zero() {
            let draft = Draft::error("policy::zero-duration", "`from` must not be zero")
                .at(place, "zero")
                .help("what holds from the start are `rpo` and `rto` of the objective itself");
            report.add(draft);
            continue;
        }
        let same = |other: &&(AtAge, Place)| other.0.from.approximate() == from.approximate();
        if let Some((_, first)) = all.iter().find(same) {
            let draft = Draft::error(
                "policy::declared-twice",
                format!("`at-age` has two entries from {from} on"),
            )
            .at(place, "declared again here")
            .at(*first, "first declared here");
            report.add(draft);
            continue;
        }
        all.push((AtAge { from, rpo, rto }, place));
    }
    let mut all: Vec<AtAge> = all.into_iter().map(|(one, _)| one).collect();
    all.sort_by_key(|one| one.from.approximate());
    all
}

/// Reads `declared-restore`.
pub(crate) fn read_declared_restore(
    report: &mut Report<'_>,
    database: &Node,
    written: Option<Period>,
) -> Option<SignedDuration> {
    let node = database.get("declared-restore")?;
    length(report, node, "declared-restore", written?)
}

fn read_target(
    report: &mut Report<'_>,
    objective: &Node,
    key: &str,
    written: Option<&WrittenTarget>,
) -> Option<Target> {
    let node = objective.get(key)?;
    let (target, maximum) = match written? {
        WrittenTarget::One(period) => (Some(*period), Some(*period)),
        WrittenTarget::Both(both) => (both.target, both.maximum),
    };
    let Some((first, last)) = target.or(maximum).zip(maximum.or(target)) else {
        if !node.holds_any(&report.wrong) {
            let draft = Draft::error(
                "policy::missing-key",
                format!("`{key}` has neither `target` nor `maximum`"),
            )
            .at(node.place, "empty")
            .help(format!(
                "write `{key} = \"1h\"` or `{key} = {{ target = \"1h\", maximum = \"4h\" }}`"
            ));
            report.add(draft);
        }
        return None;
    };
    let (target, maximum) = (
        length(report, node, key, first)?,
        length(report, node, key, last)?,
    );
    if target > maximum {
        let place = node.get("target").map_or(node.place, |node| node.place);
        let draft = Draft::error(
            "policy::objective-order",
            format!("the target of `{key}` is larger than its maximum"),
        )
        .at(place, format!("larger than {last}"))
        .help("the maximum is what must never be exceeded; the target is where you want to be");
        report.add(draft);
    }
    Some(Target { target, maximum })
}

fn length(
    report: &mut Report<'_>,
    node: &Node,
    key: &str,
    period: Period,
) -> Option<SignedDuration> {
    match period.fixed() {
        None => {
            let draft = Draft::error(
                "policy::month-in-duration",
                format!("`{key}` has no fixed length"),
            )
            .at(node.place, "months and years differ in length")
            .help("use weeks, days, hours, minutes or seconds");
            report.add(draft);
            None
        }
        Some(length) if length.is_zero() => {
            report.add(
                Draft::error("policy::zero-duration", format!("`{key}` must not be zero"))
                    .at(node.place, "zero"),
            );
            None
        }
        some => some,
    }
}

/// Compares the best schedule with the promised largest loss.
pub(crate) fn check_rpo(
    report: &mut Report<'_>,
    database: &Node,
    objective: &Objective,
    series: &BTreeMap<SeriesName, Series>,
    places: &BTreeMap<SeriesName, Place>,
    zone: &TimeZone,
    gaps: &mut HashMap<String, SignedDuration>,
) {
    let (Some(rpo), Some(node)) = (objective.rpo, database.at(&["objective", "rpo"])) else {
        return;
    };
    // A series that could not be read might have been the one that keeps the promise.
    let written = database
        .get("series")
        .and_then(|list| list.list().map(<[_]>::len));
    if written != Some(series.len()) {
        return;
    }
    let best = series
        .values()
        .map(|one| (gap(one, zone, gaps), &one.name))
        .min();
    let Some((gap, name)) = best else { return };
    if gap <= rpo.target {
        return;
    }
    let (place, schedule) = (node.place, places.get(name).copied());
    let draft = if gap > rpo.maximum {
        // A warning: refusing to make the backups that are declared would only make the loss larger.
        Draft::warning(
            "policy::rpo-not-met",
            format!(
                "no series can meet the promised largest loss of {}",
                words(rpo.maximum)
            ),
        )
        .at(place, "promised here")
    } else {
        Draft::warning(
            "policy::rpo-target-not-met",
            format!(
                "no series meets the targeted largest loss of {}",
                words(rpo.target)
            ),
        )
        .at(place, "targeted here")
    };
    let draft = schedule.into_iter().fold(draft, |draft, place| {
        draft.at(
            place,
            format!(
                "series `{name}` leaves up to {} between two points",
                words(gap)
            ),
        )
    });
    // The promise may stand in a profile that many databases share: one finding for each schedule that breaks it.
    let what = schedule.map_or_else(String::new, |place| {
        format!("{}:{}", place.file, place.start)
    });
    report.add_each(
        draft.help("run a series more often, or promise less"),
        &what,
    );
}

/// The largest time between two slots of a series.
pub(crate) fn gap(
    series: &Series,
    zone: &TimeZone,
    gaps: &mut HashMap<String, SignedDuration>,
) -> SignedDuration {
    // 2026-01-01: any year does, and a fixed one makes the findings independent of the clock.
    const FROM: i64 = 1_767_225_600;
    let key = series.schedule.to_string();
    *gaps.entry(key).or_insert_with(|| {
        let from = Timestamp::from_second(FROM).unwrap_or(Timestamp::UNIX_EPOCH);
        series.schedule.largest_gap(from, zone)
    })
}
