//! "That moment cannot be reached", with the moments that can, in the reader's own time.

use super::plan_text::local;
use crate::failure::Failure;
use executor::{ReachableWindow, Unreached};
use jiff::{Timestamp, tz::TimeZone};
use model::{DatabaseName, RecoveryTarget, wal::coverage::MissingSegments};
use std::fmt::Write as _;

/// Windows and holes that are told one by one.
const TOLD: usize = 5;

/// The error with everything that helps to choose another moment.
pub(crate) fn failure(
    unreached: &Unreached,
    target: &RecoveryTarget,
    database: &DatabaseName,
    zone: &TimeZone,
) -> Failure {
    let mut text = format!(
        "{} cannot be reached: {}",
        asked(target, zone),
        unreached.why
    );
    if unreached.windows.is_empty() {
        text.push_str("\n  no moment of it can be reached by rolling forward");
    }
    for window in unreached.windows.iter().rev().take(TOLD) {
        let _ = write!(text, "\n  can be reached: {}", between(window, zone));
    }
    let more = unreached.windows.len().saturating_sub(TOLD);
    if more > 0 {
        let _ = write!(text, "\n  and {more} more");
    }
    for hole in unreached.coverage.holes.iter().rev().take(TOLD) {
        let _ = write!(
            text,
            "\n  hole: {} missing, after {}",
            list(&hole.missing),
            hole.after
        );
        if let Some((base, at)) = &hole.next_base {
            let _ = write!(text, "; from {} on `{base}` takes over", local(*at, zone));
        }
    }
    for lacking in unreached.coverage.unusable.iter().rev().take(TOLD) {
        let _ = write!(
            text,
            "\n  `{}` cannot be used: {} missing",
            lacking.base,
            list(&lacking.missing)
        );
    }
    for (tier, why) in &unreached.unread {
        let _ = write!(
            text,
            "\n  {tier} could not be read, so there may be more: {why}"
        );
    }
    let nearest = nearest(unreached, target);
    let help = match nearest {
        Some(at) => format!(
            "the nearest that can be reached: `mainstay restore {database} --at '{}' --to …`; `--latest` takes all that is archived; `mainstay wal status` shows every hole",
            exact(at, zone)
        ),
        None if unreached.windows.is_empty() => format!(
            "`mainstay list {database}` shows the points, `mainstay wal status` what is archived of the log; a new base is made with `mainstay backup {database}`"
        ),
        None => "`--latest` takes all that is archived; `mainstay wal status` shows every hole"
            .to_owned(),
    };
    Failure::new("mainstay::restore::unreachable", text).help(help)
}

/// The nearest moment of a time that was asked for.
fn nearest(unreached: &Unreached, target: &RecoveryTarget) -> Option<Timestamp> {
    let RecoveryTarget::Time(asked) = target else {
        return None;
    };
    let edges = unreached
        .windows
        .iter()
        .flat_map(|window| [Some(window.from), window.to])
        .flatten();
    edges.min_by_key(|edge| edge.duration_since(*asked).unsigned_abs())
}

fn asked(target: &RecoveryTarget, zone: &TimeZone) -> String {
    match target {
        RecoveryTarget::Time(at) => exact(*at, zone),
        RecoveryTarget::Latest => "the latest that is archived".to_owned(),
        RecoveryTarget::Immediate => "the point as it is".to_owned(),
        other => other.to_string(),
    }
}

fn between(window: &ReachableWindow, zone: &TimeZone) -> String {
    let until = match window.to {
        Some(to) if to > window.from => format!("{}, the last commit", exact(to, zone)),
        _ => format!("position {}", window.position),
    };
    let timeline = match window.timeline {
        1 => String::new(),
        n => format!(" (timeline {n})"),
    };
    format!("{} to {until}{timeline}", exact(window.from, zone))
}

/// To the second, and in a form that `--at` takes back.
pub(crate) fn exact(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    if at.subsec_nanosecond() == 0 {
        zoned.strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
    } else {
        zoned.strftime("%Y-%m-%d %H:%M:%S%.6f%:z").to_string()
    }
}

fn list(missing: &[MissingSegments]) -> String {
    let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
    words.join(", ")
}
