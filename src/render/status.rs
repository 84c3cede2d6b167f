//! `status` for people: one block a database, the verdict first.

use super::{color, plan_text::local, progress::duration};
use jiff::{Timestamp, tz::TimeZone};
use planner::status::{DatabaseStatus, LogStatus, RtoVerdict, Verdict};
use std::fmt::Write as _;

/// All databases.
pub(crate) fn status(databases: &[DatabaseStatus], zone: &TimeZone, now: Timestamp) -> String {
    if databases.is_empty() {
        return "The policy declares no database.\n".to_owned();
    }
    let mut text = String::new();
    for database in databases {
        one(&mut text, database, zone, now);
    }
    text
}

fn one(text: &mut String, status: &DatabaseStatus, zone: &TimeZone, now: Timestamp) {
    let (style, words) = match status.verdict {
        Verdict::Met => (color::ADD, "RPO met"),
        Verdict::NoObjective => (color::DIM, "no objective"),
        Verdict::Late => (color::WARN, "RPO target missed, within the maximum"),
        Verdict::Unknown => (color::WARN, "RPO unknown: the server could not be asked"),
        Verdict::Violated => (color::REMOVE, "RPO VIOLATED"),
        Verdict::Unproved => (
            color::REMOVE,
            "UNPROVED: no verified copy on a reachable tier",
        ),
        Verdict::NoKey => (
            color::REMOVE,
            "NO KEY: none of the keys of `encrypt-with` can be used here",
        ),
    };
    let _ = writeln!(
        text,
        "{}  {}",
        color::paint(color::BOLD, &status.database),
        color::paint(style, words)
    );
    match (&status.newest_good, status.age_seconds) {
        (Some(newest), Some(age)) => {
            let promised = status
                .rpo
                .map(|rpo| match (rpo.target_seconds, rpo.maximum_seconds) {
                    (target, maximum) if target == maximum => {
                        format!(", promised {}", span(target))
                    }
                    (target, maximum) => {
                        format!(", promised {}, at most {}", span(target), span(maximum))
                    }
                });
            let _ = writeln!(
                text,
                "  newest good   {} ({} old{})",
                newest.recovery_point,
                span(age),
                promised.unwrap_or_default()
            );
        }
        _ => {
            let _ = writeln!(text, "  newest good   none");
        }
    }
    let copies: Vec<String> = status
        .copies
        .iter()
        .map(|(tier, copies)| {
            let unverified = copies.present - copies.verified.min(copies.present);
            let mut words = format!("{tier}: {} verified", copies.verified);
            if unverified > 0 {
                let _ = write!(words, ", {unverified} not verified");
            }
            if copies.bad > 0 {
                let _ = write!(
                    words,
                    ", {}",
                    color::paint(color::REMOVE, format!("{} damaged or gone", copies.bad))
                );
            }
            if !copies.reachable {
                let _ = write!(
                    words,
                    " {}",
                    color::paint(color::WARN, "(unreachable; last known)")
                );
            }
            words
        })
        .collect();
    if !copies.is_empty() {
        let _ = writeln!(text, "  copies        {}", copies.join("; "));
    }
    match &status.last_verified {
        Some(last) => {
            let _ = writeln!(
                text,
                "  last verified {} ago: {} of {} on {}",
                span(now.as_second() - last.at.as_second()),
                last.level,
                last.recovery_point.stamp(),
                last.tier
            );
        }
        None => {
            let _ = writeln!(text, "  last verified never");
        }
    }
    if let Some(log) = &status.log {
        log_lines(text, log, zone);
    }
    restore_line(text, status, zone);
    if let Some(next) = status.next_run {
        let _ = writeln!(text, "  next run      {}", local(next, zone));
    }
}

/// From when to when one can go back on each tier, and how far it is behind.
fn log_lines(text: &mut String, log: &LogStatus, zone: &TimeZone) {
    for (name, tier) in &log.tiers {
        let lag = match (tier.lag_bytes, tier.lag_seconds) {
            (Some(0), _) => "up to date".to_owned(),
            (Some(_), Some(seconds)) => format!("at most {} behind", span(seconds)),
            (Some(bytes), None) => format!("behind by {}", model::ByteCount(bytes)),
            (None, _) => "lag unknown".to_owned(),
        };
        let windows: Vec<String> = tier
            .windows
            .iter()
            .map(|window| {
                let to = window.to.map_or_else(
                    || format!("position {}", window.to_position),
                    |to| local(to, zone),
                );
                format!("{} to {to}", local(window.from, zone))
            })
            .collect();
        let windows = if windows.is_empty() {
            color::paint(color::WARN, "no moment can be recovered")
        } else {
            windows.join("; ")
        };
        let _ = writeln!(text, "  log           {name}: {windows}; {lag}");
    }
    if let Some(trouble) = &log.server_trouble {
        let _ = writeln!(
            text,
            "  {} the server was not asked: {trouble}",
            color::paint(color::WARN, "!")
        );
    }
}

/// What a restore would take, what was promised, and when that was last proved.
fn restore_line(text: &mut String, status: &DatabaseStatus, zone: &TimeZone) {
    let rto = &status.rto;
    let (style, words) = match rto.verdict {
        RtoVerdict::Met => (color::ADD, "RTO met"),
        RtoVerdict::NoObjective => (color::DIM, "no RTO"),
        RtoVerdict::NotProved => (color::WARN, "RTO not proved yet"),
        RtoVerdict::Late => (color::WARN, "RTO target missed, within the maximum"),
        RtoVerdict::Violated => (color::REMOVE, "RTO VIOLATED"),
        RtoVerdict::DrillFailed => (color::REMOVE, "DRILL FAILED"),
    };
    let promised = match (rto.target_seconds, rto.maximum_seconds) {
        (Some(target), Some(maximum)) if target == maximum => {
            format!(", promised {}", span(target))
        }
        (Some(target), Some(maximum)) => {
            format!(", promised {}, at most {}", span(target), span(maximum))
        }
        _ => String::new(),
    };
    let estimate = match &rto.estimate {
        Some(one) => format!(
            "about {} from {} ({} measured, last {})",
            span(i64::try_from(one.seconds).unwrap_or(i64::MAX)),
            one.tier,
            one.measured,
            local(one.measured_at, zone)
        ),
        None => "never measured".to_owned(),
    };
    let _ = writeln!(
        text,
        "  restore       {}: {estimate}{promised}",
        color::paint(style, words)
    );
    let proof = match &rto.last_proof {
        Some(proof) => {
            let how = proof.drill.as_ref();
            let how = how.map_or_else(|| "a restore".to_owned(), |name| format!("drill {name}"));
            format!(
                "{} by {how} from {} in {}",
                local(proof.at, zone),
                proof.tier,
                duration(proof.milliseconds)
            )
        }
        None => "never; `mainstay drill` does it now".to_owned(),
    };
    let _ = writeln!(text, "  last proved   {proof}");
    for drill in &rto.failed_drills {
        let _ = writeln!(
            text,
            "  {} drill {} failed at {} with {}; `mainstay drill list {}` shows why",
            color::paint(color::REMOVE, "!"),
            drill.name,
            local(drill.at, zone),
            drill.recovery_point,
            status.database
        );
    }
}

/// `45 s`, `12 min`, `3 h 5 min`, `25 h`, `2 d 4 h`. Hours up to two days, because promises are made in them (`25h`).
pub(crate) fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..172_800 if s % 3600 / 60 == 0 => format!("{} h", s / 3600),
        3600..172_800 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ if s % 86_400 / 3600 == 0 => format!("{} d", s / 86_400),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}
