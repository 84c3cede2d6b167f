//! restic's own retention tests, all forty, where the file with them is present; tags stand for holds.

use super::support::keep;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use mainstay_planner::{
    foreign::{Backup, Count, Kind, Rules, restic},
    retention::{Occupy, Point, Why, evaluate},
};
use model::{Keep, retention::KeepCount};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

fn time(value: &Value) -> Timestamp {
    let civil: DateTime = value["time"]
        .as_str()
        .unwrap()
        .replace(' ', "T")
        .parse()
        .unwrap();
    civil.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn tags(value: &Value) -> Vec<&str> {
    value["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect()
}

/// restic writes months as `m`, and units in any order.
fn window(text: &str) -> String {
    let mut parts = BTreeMap::new();
    let mut number = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
        } else {
            let (rank, unit) = match letter {
                'y' => (0, "y"),
                'm' => (1, "mo"),
                'd' => (2, "d"),
                _ => (3, "h"),
            };
            parts.insert(rank, format!("{}{unit}", std::mem::take(&mut number)));
        }
    }
    parts.into_values().collect()
}

/// The policy in our words, and the words in which restic gives a rule's reasons and counters.
fn translate(policy: &Value) -> (String, BTreeMap<String, (String, i64)>) {
    let mut text = "pick=last".to_owned();
    let mut words = BTreeMap::new();
    for (key, value) in policy.as_object().unwrap() {
        if key == "tags" {
            continue;
        }
        let key = key.replace('_', "-");
        let (value, theirs, count) = if let Some(count) = value.as_i64() {
            let ours = if count < 0 {
                "all".to_owned()
            } else {
                count.to_string()
            };
            (ours, format!("{key} snapshot"), count)
        } else {
            let ours = window(value.as_str().unwrap());
            let span = ours.replace("mo", "m");
            let theirs = match key.strip_prefix("within-") {
                Some(unit) => format!("{unit} within {span}"),
                None => format!("within {span}"),
            };
            (ours, theirs, 0)
        };
        text = format!("{text} {key}={value}");
        let rule = keep(&format!("{key}={value}")).rules[0];
        words.insert(format!("{rule:?}"), (theirs, count));
    }
    (text, words)
}

#[test]
fn retention_equals_restic_in_all_forty_cases() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles/restic-forget.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let oracle: Value = serde_json::from_str(&text).unwrap();
    let snapshots = oracle["snapshots"].as_array().unwrap();
    let cases = oracle["cases"].as_array().unwrap();
    assert_eq!((snapshots.len(), cases.len()), (103, 40));
    for case in cases {
        one_case(snapshots, case);
    }
}

#[test]
fn the_model_of_restic_keeps_what_restic_keeps_in_all_cases_without_tags() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles/restic-forget.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return;
    };
    let oracle: Value = serde_json::from_str(&text).unwrap();
    let mut times: Vec<Timestamp> = oracle["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(time)
        .collect();
    times.sort_unstable();
    let backups: Vec<Backup> = times
        .iter()
        .map(|at| Backup {
            at: *at,
            kind: Kind::Full,
        })
        .collect();
    let cases = oracle["cases"].as_array().unwrap();
    let cases: Vec<&Value> = cases
        .iter()
        .filter(|case| case["policy"].get("tags").is_none())
        .collect();
    assert!(cases.len() > 25, "{}", cases.len());
    for case in cases {
        let (text, _) = translate(&case["policy"]);
        let rules = foreign_rules(&keep(&text));
        let verdicts = rules.judge(&backups, Timestamp::MAX, &TimeZone::UTC);
        let kept = times.iter().zip(verdicts).rev();
        let kept: Vec<Timestamp> = kept
            .filter(|(_, why)| why.is_some())
            .map(|(at, _)| *at)
            .collect();
        let theirs: Vec<Timestamp> = case["keep"].as_array().unwrap().iter().map(time).collect();
        assert_eq!(kept, theirs, "case {}: {text}", case["id"]);
    }
}

fn foreign_rules(keep: &Keep) -> Rules {
    let mut rules = restic::Rules::default();
    for rule in &keep.rules {
        match rule.count {
            KeepCount::Count(n) => rules.counts.push((rule.each, Count::Of(n))),
            KeepCount::All => rules.counts.push((rule.each, Count::Unlimited)),
            KeepCount::Window(window) => rules.windows.push((rule.each, window)),
        }
    }
    Rules::Restic(rules)
}

fn one_case(snapshots: &[Value], case: &Value) {
    let id = &case["id"];
    let policy = &case["policy"];
    let holds: Vec<Vec<&str>> = policy["tags"].as_array().map_or_else(Vec::new, |lists| {
        lists
            .iter()
            .map(|list| {
                list.as_array()
                    .unwrap()
                    .iter()
                    .map(|tag| tag.as_str().unwrap())
                    .collect()
            })
            .collect()
    });
    let points: Vec<Point> = snapshots
        .iter()
        .map(|snapshot| Point {
            at: time(snapshot),
            held: holds
                .iter()
                .any(|list| list.iter().all(|tag| tags(snapshot).contains(tag))),
            verified: tags(snapshot).is_empty(),
        })
        .collect();
    let (text, words) = translate(policy);
    let verdicts = evaluate(&keep(&text), &points, &TimeZone::UTC, Occupy::Complete);
    let mut kept: Vec<usize> = (0..points.len())
        .filter(|index| verdicts[*index].is_kept())
        .collect();
    kept.sort_by_key(|index| std::cmp::Reverse(points[*index].at));

    let theirs: Vec<(Timestamp, Vec<&str>)> = case["keep"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| (time(kept), tags(kept)))
        .collect();
    let ours: Vec<(Timestamp, Vec<&str>)> = kept
        .iter()
        .map(|index| (points[*index].at, tags(&snapshots[*index])))
        .collect();
    assert_eq!(ours, theirs, "case {id}: {text}");

    // Counters: how much of each count is left after each kept point, as restic prints them.
    let mut left: BTreeMap<&str, i64> = words
        .values()
        .filter(|(_, count)| *count != 0)
        .map(|(theirs, count)| (theirs.strip_suffix(" snapshot").unwrap(), *count))
        .collect();
    for (index, reason) in kept.iter().zip(case["reasons"].as_array().unwrap()) {
        let mut matches = Vec::new();
        for why in &verdicts[*index].reasons {
            let Why::Rule { rule, oldest, .. } = why else {
                continue;
            };
            let (words, count) = &words[&format!("{rule:?}")];
            matches.push(if *oldest {
                format!("oldest {words}")
            } else {
                words.clone()
            });
            if *count > 0 {
                *left
                    .get_mut(words.strip_suffix(" snapshot").unwrap())
                    .unwrap() -= 1;
            }
        }
        matches.sort();
        let mut theirs: Vec<String> = reason["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|words| words.as_str().unwrap().to_owned())
            .filter(|words| !words.starts_with("has tags"))
            .collect();
        theirs.sort();
        assert_eq!(
            matches, theirs,
            "case {id}: reasons of {}",
            points[*index].at
        );
        let held = verdicts[*index].reasons.contains(&Why::Held);
        let tagged = reason["matches"]
            .as_array()
            .unwrap()
            .iter()
            .any(|words| words.as_str().unwrap().starts_with("has tags"));
        assert_eq!(held, tagged, "case {id}: hold of {}", points[*index].at);
        let counters: BTreeMap<&str, i64> = reason["counters"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_i64().unwrap()))
            .collect();
        let ours: BTreeMap<&str, i64> = left
            .iter()
            .filter(|(_, left)| **left != 0)
            .map(|(key, left)| (*key, *left))
            .collect();
        assert_eq!(
            ours, counters,
            "case {id}: counters after {}",
            points[*index].at
        );
    }
}
