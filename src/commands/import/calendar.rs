//! systemd's `OnCalendar=` as cron, where cron can say the same.

use policy_schema::Schedule;

/// systemd's calendar expression as cron; `None` where cron cannot say it.
pub(crate) fn from_calendar(text: &str) -> Option<String> {
    let simple = match text.trim().to_ascii_lowercase().as_str() {
        "minutely" => "* * * * *",
        "hourly" => "0 * * * *",
        "daily" => "0 0 * * *",
        "weekly" => "0 0 * * mon",
        "monthly" => "0 0 1 * *",
        "quarterly" => "0 0 1 1,4,7,10 *",
        "semiannually" => "0 0 1 1,7 *",
        "yearly" | "annually" => "0 0 1 1 *",
        _ => "",
    };
    if !simple.is_empty() {
        return Some(simple.to_owned());
    }
    let (mut days, mut date, mut time) = ("*".to_owned(), None, None);
    for part in text.split_whitespace() {
        if part.contains(':') {
            time = Some(part);
        } else if part.contains('-') && !part.starts_with(|c: char| c.is_ascii_alphabetic()) {
            date = Some(part);
        } else {
            days = days_of_week(part)?;
        }
    }
    let (hour, minute) = match time {
        None => ("0".to_owned(), "0".to_owned()),
        Some(time) => {
            let parts: Vec<&str> = time.split(':').collect();
            let [hour, minute, seconds @ ..] = parts.as_slice() else {
                return None;
            };
            if !matches!(seconds, [] | ["0" | "00"]) {
                return None;
            }
            (field(hour, 23)?, field(minute, 59)?)
        }
    };
    let (month, day) = match date {
        None => ("*".to_owned(), "*".to_owned()),
        Some(date) => {
            let parts: Vec<&str> = date.split('-').collect();
            match parts.as_slice() {
                ["*", month, day] | [month, day] => (field(month, 12)?, field(day, 31)?),
                _ => return None,
            }
        }
    };
    let cron = format!("{minute} {hour} {day} {month} {days}");
    // Both days restricted are OR-ed by cron and AND-ed by systemd.
    let same = day == "*" || days == "*";
    (same && Schedule::cron(&cron).is_ok()).then_some(cron)
}

/// `Mon..Fri`, `sat,sun`.
fn days_of_week(text: &str) -> Option<String> {
    let days = text.to_ascii_lowercase().replace("..", "-");
    let named = |day: &str| day.len() >= 3 && day.chars().all(|c| c.is_ascii_alphabetic());
    if !days.split([',', '-']).all(named) {
        return None;
    }
    let short = |day: &str| day.chars().take(3).collect::<String>();
    let lists = days.split(',').map(|range| {
        let range: Vec<String> = range.split('-').map(short).collect();
        range.join("-")
    });
    Some(lists.collect::<Vec<_>>().join(","))
}

/// `02`, `*`, `1,15`, `0/6`, `8..18`.
fn field(text: &str, last: u32) -> Option<String> {
    let mut parts = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, format!("/{}", step.parse::<u32>().ok()?)),
            None => (part, String::new()),
        };
        let range = if range == "*" {
            range.to_owned()
        } else if let Some((from, to)) = range.split_once("..") {
            format!("{}-{}", from.parse::<u32>().ok()?, to.parse::<u32>().ok()?)
        } else {
            let from: u32 = range.parse().ok()?;
            match (step.is_empty(), from) {
                (true, from) => from.to_string(),
                (false, 0) => "*".to_owned(),
                (false, from) => format!("{from}-{last}"),
            }
        };
        parts.push(range + &step);
    }
    Some(parts.join(","))
}
