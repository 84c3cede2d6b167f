//! What Barman lets go of: `retention_policy` and the settings beside it.

use super::{Engine, Server};
use crate::commands::import::found::{Fate, Reading};
use planner::foreign::barman;

/// The rules of a server; none where everything stays.
pub(super) fn read(
    server: &Server<'_>,
    engine: Engine,
    reading: &mut Reading,
) -> Option<barman::Rules> {
    let minimum = minimum(server, reading);
    others(server, reading);
    let Some((text, entry)) = server
        .get("retention_policy")
        .filter(|(_, entry)| !entry.value.is_empty())
    else {
        reading.note(
            None,
            Fate::Assumed,
            format!("retention_policy of {}", server.name),
            "it is not set: Barman keeps everything, and so does `forever = true`",
        );
        return None;
    };
    let Some(policy) = policy(&entry.value) else {
        reading.problem(text.at(entry.line), format!("`retention_policy = {}`: `REDUNDANCY n` and `RECOVERY WINDOW OF n DAYS|WEEKS|MONTHS` are its values", entry.value));
        return None;
    };
    let (fate, says) = match (policy, engine) {
        (barman::Policy::Redundancy(n), _) => (Fate::Taken, format!("`last = {}`", n.max(minimum))),
        (barman::Policy::WindowDays(days), Engine::Barman) => (
            Fate::Changed,
            format!(
                "`within = \"{days}d\"` of the pointers: Barman also keeps the backup that the window begins with"
            ),
        ),
        (barman::Policy::WindowDays(days), Engine::Postgres) => (
            Fate::Changed,
            format!("any moment of {days} days (`wal`), and as many points as Barman keeps for it"),
        ),
    };
    reading.note(
        Some(text.at(entry.line)),
        fate,
        format!("retention_policy = {}", entry.value),
        says,
    );
    Some(barman::Rules { policy, minimum })
}

fn minimum(server: &Server<'_>, reading: &mut Reading) -> u32 {
    let Some((text, entry)) = server.get("minimum_redundancy") else {
        return 0;
    };
    let place = text.at(entry.line);
    let Ok(minimum) = entry.value.parse::<u32>() else {
        let says = format!("`minimum_redundancy = {}`: this is no number", entry.value);
        reading.problem(place, says);
        return 0;
    };
    if minimum > 0 {
        let setting = format!("minimum_redundancy = {minimum}");
        let says = format!("`last = {minimum}` at least");
        reading.note(Some(place), Fate::Changed, setting, says);
    }
    minimum
}

/// What has to do with retention without saying what stays.
fn others(server: &Server<'_>, reading: &mut Reading) {
    if let Some((text, entry)) = server.get("wal_retention_policy") {
        if entry.value.eq_ignore_ascii_case("main") {
            reading.note(
                Some(text.at(entry.line)),
                Fate::Taken,
                "wal_retention_policy = main",
                "the log stays as long as the base that it belongs to",
            );
        } else {
            reading.problem(
                text.at(entry.line),
                format!(
                    "`wal_retention_policy = {}`: `main` is its only value",
                    entry.value
                ),
            );
        }
    }
    if let Some((text, entry)) = server
        .get("retention_policy_mode")
        .filter(|(_, entry)| !entry.value.eq_ignore_ascii_case("auto"))
    {
        reading.problem(
            text.at(entry.line),
            format!(
                "`retention_policy_mode = {}`: `auto` is its only value",
                entry.value
            ),
        );
    }
    if let Some((text, entry)) = server.get("last_backup_maximum_age") {
        let says = "say it as a promise, with the time that a backup takes: `objective = { rpo = \"25h\" }`";
        reading.note(
            Some(text.at(entry.line)),
            Fate::NotExpressed,
            format!("last_backup_maximum_age = {}", entry.value),
            says,
        );
    }
}

/// `REDUNDANCY n`, `RECOVERY WINDOW OF n DAYS`.
fn policy(text: &str) -> Option<barman::Policy> {
    let words: Vec<String> = text.split_whitespace().map(str::to_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["REDUNDANCY", count] => count.parse().ok().map(barman::Policy::Redundancy),
        ["RECOVERY", "WINDOW", "OF", count, unit] => {
            let days = match *unit {
                "DAY" | "DAYS" => 1,
                "WEEK" | "WEEKS" => 7,
                "MONTH" | "MONTHS" => 31,
                _ => return None,
            };
            count
                .parse::<u32>()
                .ok()?
                .checked_mul(days)
                .map(barman::Policy::WindowDays)
        }
        _ => None,
    }
}
