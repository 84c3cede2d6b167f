//! A simulation for people: which points are there at the end, what lies on each tier over time, what it costs.
//!
//! The calendar is digits, not shades, so that it reads the same without colours: `·` no point, `1`–`9` so many, `+` more.

use super::{color, table::table};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use model::{ByteCount, TierName};
use planner::{
    forecast::Scenario,
    simulation::{Cost, SeriesUse, Simulation, TierUse},
};
use policy_schema::Policy;
use std::{collections::BTreeMap, fmt::Write as _};

/// Databases whose calendars are shown; more are only counted.
const MOST_CALENDARS: usize = 12;
/// Days that stand one by one.
const LAST_DAYS: i32 = 31;
/// Columns of a line over time.
const COLUMNS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Everything.
pub(crate) fn text(result: &Simulation, policy: &Policy, scenario: &Scenario) -> String {
    let zone = &policy.timezone;
    let mut text = String::new();
    let (from, until) = (day(result.from, zone), day(result.until, zone));
    let _ = writeln!(
        text,
        "{} {from} to {until}{}\n",
        color::paint(color::BOLD, "Simulated from"),
        assumptions(scenario)
    );
    calendars(&mut text, result, policy);
    over_time(&mut text, result);
    costs(&mut text, result);
    notes(&mut text, result);
    logs(&mut text, result, policy);
    text
}

fn assumptions(scenario: &Scenario) -> String {
    let mut parts = Vec::new();
    if scenario.failed_runs > 0 {
        parts.push(format!(
            "{} of {} runs fail",
            scenario.failed_runs,
            scenario.failed_runs + 1
        ));
    }
    for outage in &scenario.outages {
        let what = outage
            .tier
            .as_ref()
            .map_or("nothing runs".to_owned(), |tier| format!("{tier} is away"));
        let unseen = unseen(outage.from, outage.until, scenario);
        parts.push(format!(
            "{what} from {} to {}{unseen}",
            outage.from, outage.until
        ));
    }
    for lost in &scenario.lost_tiers {
        // In the first instant nothing new is there yet, but what exists is.
        let unseen = unseen(lost.at, lost.at.max(scenario.from), scenario);
        let unseen = if lost.at < scenario.from {
            BEFORE
        } else {
            unseen
        };
        parts.push(format!(
            "{} loses everything at {}{unseen}",
            lost.tier, lost.at
        ));
    }
    if scenario.growth_percent.abs() > f64::EPSILON {
        parts.push(format!(
            "points grow by {} % a year",
            scenario.growth_percent
        ));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("; {}", parts.join("; "))
    }
}

const BEFORE: &str = " (before the simulation begins: it changes nothing)";

/// Says so where something is assumed of another time than the one that is simulated.
fn unseen(from: Timestamp, until: Timestamp, scenario: &Scenario) -> &'static str {
    if until < scenario.from {
        BEFORE
    } else if from >= scenario.until {
        " (after the simulation ends: it changes nothing)"
    } else {
        ""
    }
}

fn calendars(text: &mut String, result: &Simulation, policy: &Policy) {
    let zone = &policy.timezone;
    let end = zone.to_datetime(result.until).date();
    let _ = writeln!(
        text,
        "Recovery points that are there on {end}: · none, 1-9, + more; of each year month by month, then the last {LAST_DAYS} days\n"
    );
    for (database, usage) in result.databases.iter().take(MOST_CALENDARS) {
        for (series, tiers) in &usage.series {
            let name = format!("{database}/{series}");
            let _ = writeln!(text, "{}", color::paint(color::BOLD, &name));
            let declared = policy
                .databases
                .get(database)
                .and_then(|one| one.series.get(series));
            let order = declared.into_iter().flat_map(|series| &series.keep);
            for (tier, keep) in order {
                if let Some(usage) = tiers.get(tier) {
                    tier_calendar(text, tier, &keep.to_string(), usage, end, zone);
                }
            }
        }
        if usage.missed_slots > 0 {
            let words = format!("  {} slots get no point", usage.missed_slots);
            let _ = writeln!(text, "{}", color::paint(color::WARN, words));
        }
        text.push('\n');
    }
    if let Some(more) = result
        .databases
        .len()
        .checked_sub(MOST_CALENDARS)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(
            text,
            "… and {more} more databases; name one to see it, or use --json\n"
        );
    }
}

fn tier_calendar(
    text: &mut String,
    tier: &TierName,
    keep: &str,
    usage: &SeriesUse,
    end: Date,
    zone: &TimeZone,
) {
    let days: Vec<Date> = usage
        .at_end
        .iter()
        .map(|slot| zone.to_datetime(*slot).date())
        .collect();
    let count = days.len();
    let plural = if count == 1 { "" } else { "s" };
    let oldest = days
        .first()
        .map_or(String::new(), |oldest| format!(", the oldest of {oldest}"));
    let lost = if usage.lost > 0 {
        format!(", {} lost", usage.lost)
    } else {
        String::new()
    };
    let _ = writeln!(
        text,
        "  {}  `{keep}`: {count} point{plural}{oldest}; {} made, {} pruned{lost}",
        color::paint(color::BOLD, tier),
        usage.made,
        usage.pruned
    );
    if days.is_empty() {
        return;
    }
    let mut years: BTreeMap<i16, [usize; 12]> = BTreeMap::new();
    for day in &days {
        let month = usize::try_from(day.month() - 1).unwrap_or(0);
        years.entry(day.year()).or_default()[month] += 1;
    }
    let _ = writeln!(text, "          J F M A M J J A S O N D");
    for (year, months) in years {
        let row: Vec<String> = months.iter().map(|count| cell(*count)).collect();
        let _ = writeln!(text, "    {year}  {}", row.join(" "));
    }
    let mut days_one_by_one = String::new();
    for back in (0..LAST_DAYS).rev() {
        let date = end.checked_sub(jiff::Span::new().days(back)).unwrap_or(end);
        days_one_by_one.push_str(&cell(days.iter().filter(|day| **day == date).count()));
    }
    let first = end
        .checked_sub(jiff::Span::new().days(LAST_DAYS - 1))
        .unwrap_or(end);
    let _ = writeln!(
        text,
        "    {}  {days_one_by_one}  {}",
        first.strftime("%m-%d"),
        end.strftime("%m-%d")
    );
}

fn cell(count: usize) -> String {
    match count {
        0 => color::paint(color::DIM, "·"),
        1..=9 => color::paint(color::ADD, count),
        _ => color::paint(color::ADD, "+"),
    }
}

fn over_time(text: &mut String, result: &Simulation) {
    let width = result
        .tiers
        .keys()
        .map(|tier| tier.as_str().len())
        .max()
        .unwrap_or(0);
    let _ = writeln!(text, "{}", color::paint(color::BOLD, "Over time"));
    for (name, tier) in &result.tiers {
        let points: Vec<u64> = tier
            .points
            .iter()
            .map(|points| u64::from(*points))
            .collect();
        let last = points.last().copied().unwrap_or(0);
        let most = points.iter().copied().max().unwrap_or(0);
        let _ = writeln!(
            text,
            "  {name:width$}  {}  {last} points at the end, at most {most}",
            line(&points)
        );
        if tier.bytes.iter().any(|bytes| *bytes > 0) {
            let _ = writeln!(
                text,
                "  {:width$}  {}  {}",
                "",
                line(&tier.bytes),
                stored(tier)
            );
        }
    }
    text.push('\n');
}

fn stored(tier: &TierUse) -> String {
    let last = ByteCount(tier.bytes.last().copied().unwrap_or(0));
    let most = ByteCount(tier.bytes.iter().copied().max().unwrap_or(0));
    format!("{last} at the end, at most {most}")
}

/// Columns between nothing and the largest; each is the largest of its time.
fn line(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let columns = COLUMNS.min(values.len()).max(1);
    let column = |number: usize| {
        let range = number * values.len() / columns..(number + 1) * values.len() / columns;
        let value = values[range].iter().copied().max().unwrap_or(0);
        let step = u128::from(value) * 7 / u128::from(most);
        if value == 0 {
            ' '
        } else {
            BARS[usize::try_from(step).unwrap_or(7)]
        }
    };
    (0..columns).map(column).collect()
}

fn costs(text: &mut String, result: &Simulation) {
    let currency = &result.prices.currency;
    let mut years: BTreeMap<&str, BTreeMap<&TierName, Cost>> = BTreeMap::new();
    for month in &result.months {
        let year = years
            .entry(month.month.get(..4).unwrap_or(&month.month))
            .or_default();
        for (tier, cost) in &month.tiers {
            *year.entry(tier).or_default() += *cost;
        }
    }
    let mut rows = Vec::new();
    let mut whole = Cost::default();
    for (year, tiers) in &years {
        for (tier, cost) in tiers {
            whole += *cost;
            // A disk that has no price is no line of zeros.
            if cost.total() > 0.0 {
                rows.push(row(year, tier.as_str(), cost));
            }
        }
    }
    if rows.is_empty()
        || result
            .tiers
            .values()
            .all(|tier| tier.bytes.iter().all(|bytes| *bytes == 0))
    {
        let _ = writeln!(
            text,
            "Cost: not known, because no size or no price is known\n"
        );
        return;
    }
    rows.push(row("all", "", &whole));
    let _ = writeln!(
        text,
        "{} in {currency} ({}, as of {}: list prices, an assumption)",
        color::paint(color::BOLD, "Cost"),
        result.prices.source,
        result.prices.date
    );
    let headings = [
        "year",
        "tier",
        "storage",
        "early deletion",
        "requests",
        "verification",
        "together",
    ];
    for line in table(&headings, &rows).lines() {
        let _ = writeln!(text, "  {line}");
    }
    for (name, tier) in &result.tiers {
        if let Some(cost) = tier.restore_once.filter(|cost| *cost > 0.0) {
            let _ = writeln!(
                text,
                "  Restoring the largest point once from {name}: {}",
                money(cost)
            );
        }
    }
    text.push('\n');
}

fn row(year: &str, tier: &str, cost: &Cost) -> Vec<String> {
    let parts = [
        cost.storage,
        cost.early_deletion,
        cost.requests,
        cost.verification,
        cost.total(),
    ];
    let mut row = vec![year.to_owned(), tier.to_owned()];
    row.extend(parts.map(money));
    row
}

fn money(amount: f64) -> String {
    format!("{amount:.2}")
}

fn notes(text: &mut String, result: &Simulation) {
    if !result.tiers_without_price.is_empty() {
        let names: Vec<&str> = result
            .tiers_without_price
            .iter()
            .map(TierName::as_str)
            .collect();
        let _ = writeln!(text, "Without a price, and in no sum: {}", names.join(", "));
    }
    if let Some(first) = result.series_without_size.first() {
        let more = result.series_without_size.len() - 1;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        let database = first.split('/').next().unwrap_or(first);
        let _ = writeln!(
            text,
            "Without a size, and in no sum: {first}{more}; give one with --size {database}=40GiB"
        );
    }
}

/// What is stored besides, which may be more than everything above.
fn logs(text: &mut String, result: &Simulation, policy: &Policy) {
    let databases = policy.databases.values();
    let mut names = databases
        .filter(|database| database.wal.is_some() && result.databases.contains_key(&database.name))
        .map(|database| database.name.as_str());
    let Some(first) = names.next() else { return };
    let more = match names.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let _ = writeln!(
        text,
        "Not in it: the archived log of {first}{more}; `mainstay inventory --json` has its size today"
    );
}

fn day(at: Timestamp, zone: &TimeZone) -> Date {
    zone.to_datetime(at).date()
}
