//! Reads `keep`: the rules for each tier, and whether they can hold anything.
//!
//! Not here: which points a rule keeps (`planner`).

use crate::{
    meaning,
    report::{Draft, Report},
    schedule::Schedule,
    series::SeriesContext,
    shape::At,
    tree::{Node, Place},
    written::{WrittenCount, WrittenKeep},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{
    Keep, Period, TierName,
    retention::{Each, KeepCount, KeepRule},
};
use std::collections::BTreeMap;

/// Reads the keeps of a series, in the order in which the policy names the tiers.
pub(crate) fn read_keeps(
    report: &mut Report<'_>,
    series: &Node,
    at: At<'_>,
    written: Option<&BTreeMap<String, WrittenKeep>>,
    context: &SeriesContext<'_>,
    schedule: Option<&Schedule>,
) -> Vec<(TierName, Keep)> {
    let node = series.get("keep");
    let tiers = node
        .and_then(|node| node.table())
        .map(|table| table.entries.as_slice())
        .unwrap_or_default();
    if !context.partial
        && tiers.is_empty()
        && !node.is_some_and(|node| report.wrong.contains(&node.place))
    {
        empty(report, at, node.map_or(series.place, |node| node.place));
    }
    let spacing = schedule.map(|schedule| smallest_gap(schedule, context.timezone));
    let mut keeps = Vec::new();
    for entry in tiers {
        if !context.sections.tiers.contains_key(&entry.key) {
            let draft = Draft::error(
                "policy::undeclared-tier",
                format!("tier `{}` is not declared", entry.key),
            )
            .at(entry.key_place, "no [tier.…] of this name")
            .help(meaning::declared_help(
                &entry.key,
                &context.sections.tiers,
                "tiers",
            ));
            report.add(draft);
        }
        let Some(keep) = written.and_then(|written| written.get(&entry.key)) else {
            continue;
        };
        let keep = rules(keep);
        let wrong = entry.node.holds_any(&report.wrong);
        if keep.is_empty() && !wrong && !context.partial {
            empty(report, at, entry.node.place);
        }
        check_rules(report, &entry.node, &keep, spacing);
        if let Ok(tier) = TierName::new(&entry.key) {
            keeps.push((tier, keep));
        }
    }
    keeps
}

fn empty(report: &mut Report<'_>, at: At<'_>, place: Place) {
    let draft = Draft::error("policy::empty-keep", format!("`{at}` keeps nothing here"))
        .at(place, "no rule keeps a point")
        .help("name a tier and a rule, as in `keep.nas = { daily = 7 }`");
    report.add_absence(draft, "keep");
}

fn rules(written: &WrittenKeep) -> Keep {
    let counts = [
        (Each::Point, &written.last, written.within),
        (Each::Hour, &written.hourly, written.within_hourly),
        (Each::Day, &written.daily, written.within_daily),
        (Each::Week, &written.weekly, written.within_weekly),
        (Each::Month, &written.monthly, written.within_monthly),
        (Each::Quarter, &written.quarterly, written.within_quarterly),
        (Each::Year, &written.yearly, written.within_yearly),
    ];
    let mut rules = Vec::new();
    for (each, count, within) in counts {
        let count = match count {
            None => None,
            Some(WrittenCount::Number(number)) => Some(KeepCount::Count(*number)),
            Some(WrittenCount::Text(text)) if text == "all" => Some(KeepCount::All),
            Some(WrittenCount::Text(text)) => Period::parse(text).ok().map(KeepCount::Window),
        };
        rules.extend(count.map(|count| KeepRule { each, count }));
        rules.extend(within.map(|period| KeepRule {
            each,
            count: KeepCount::Window(period),
        }));
    }
    Keep {
        forever: written.forever.unwrap_or(false),
        model: written.model.unwrap_or_default(),
        pick: written.pick.unwrap_or_default(),
        rules,
    }
}

/// The keys under which a rule may be written.
pub(crate) fn rule_node<'a>(node: &'a Node, rule: &KeepRule) -> Option<(String, &'a Node)> {
    let key = rule.each.count_key();
    let within = if rule.each == Each::Point {
        "within".to_owned()
    } else {
        format!("within-{key}")
    };
    let counted = node.get(key).filter(|value| match rule.count {
        KeepCount::Window(period) => {
            value.text().and_then(|text| Period::parse(text).ok()) == Some(period)
        }
        _ => true,
    });
    match counted {
        Some(value) => Some((key.to_owned(), value)),
        None => node.get(&within).map(|value| (within, &**value)),
    }
}

fn check_rules(report: &mut Report<'_>, node: &Node, keep: &Keep, spacing: Option<SignedDuration>) {
    for rule in &keep.rules {
        let Some((key, value)) = rule_node(node, rule) else {
            continue;
        };
        let never = match rule.count {
            KeepCount::Count(number) => number == 0,
            KeepCount::Window(period) => period.is_zero(),
            KeepCount::All => false,
        };
        if never {
            let draft = Draft::error(
                "policy::keep-never-holds",
                format!("the rule `{key}` can never hold a point"),
            )
            .at(value.place, "zero")
            .help("remove the rule; in a table that inherits it, give another number");
            report.add(draft);
        } else if let (Some(spacing), Some((longest, unit))) = (spacing, longest_unit(rule.each))
            && spacing > longest
        {
            let draft = Draft::warning(
                "policy::keep-finer-than-schedule",
                format!("`{key}` counts one point {unit}, but the schedule runs less often than that"),
            )
            .at(value.place, format!("points are at least {} apart", words(spacing)))
            .help("each point fills a period of its own, so the rule reaches further back than it seems: use `last`, or a coarser rule");
            report.add(draft);
        }
    }
}

/// Half as long again as the unit, so that clock changes and short months do not count.
fn longest_unit(each: Each) -> Option<(SignedDuration, &'static str)> {
    let (hours, unit) = match each {
        Each::Point => return None,
        Each::Hour => (1, "an hour"),
        Each::Day => (24, "a day"),
        Each::Week => (7 * 24, "a week"),
        Each::Month => (30 * 24, "a month"),
        Each::Quarter => (91 * 24, "a quarter"),
        Each::Year => (365 * 24, "a year"),
    };
    Some((SignedDuration::from_mins(hours * 90), unit))
}

/// The smallest distance among the next slots; enough of them to see a week's rhythm.
fn smallest_gap(schedule: &Schedule, zone: &TimeZone) -> SignedDuration {
    let mut smallest = SignedDuration::MAX;
    // Any ordinary week does; no rhythm depends on the year.
    let mut slot = schedule.next_after(Timestamp::UNIX_EPOCH, zone);
    for _ in 0..10 {
        let Some(this) = slot else { break };
        slot = schedule.next_after(this, zone);
        if let Some(next) = slot {
            smallest = smallest.min(next.duration_since(this));
        }
    }
    smallest
}

/// A length in the largest unit that fits, for people.
pub(crate) fn words(length: SignedDuration) -> String {
    let hours = length.as_hours();
    if hours >= 48 {
        return format!("{} days", hours / 24);
    }
    let period = Period {
        seconds: length.as_secs().unsigned_abs(),
        ..Period::default()
    };
    period.to_string()
}
