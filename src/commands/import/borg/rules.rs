//! The rules of borg, as `borg prune` and borgmatic write them.

use crate::commands::import::{
    found::{Fate, Place, Reading},
    keeps, options,
    schedule::When,
};
use planner::foreign::{Count, Rules, borg};

/// The rules, as `borg prune --keep-X`, `-X` and borgmatic's `keep_X`.
pub(crate) const UNITS: [(&str, &str, borg::Unit); 8] = [
    ("last", "", borg::Unit::Second),
    ("secondly", "", borg::Unit::Second),
    ("minutely", "", borg::Unit::Minute),
    ("hourly", "-H", borg::Unit::Hour),
    ("daily", "-d", borg::Unit::Day),
    ("weekly", "-w", borg::Unit::Week),
    ("monthly", "-m", borg::Unit::Month),
    ("yearly", "-y", borg::Unit::Year),
];

/// The `keep` of a policy for these rules, and what they are proved against; everything stays where none is set.
pub(crate) fn keep(
    rules: &borg::Rules,
    schedule: &str,
    when: &When,
    place: &Place,
    reading: &mut Reading,
) -> (String, Rules) {
    if !is_set(rules) {
        return (keeps::FOREVER.to_owned(), Rules::Everything);
    }
    let (keep, notes) = keeps::of_borg(rules, schedule, &when.zone, when.from, Some(place));
    reading.notes.extend(notes);
    (keep, Rules::Borg(rules.clone()))
}

/// Whether anything is kept by a rule; without one borg refuses to prune.
pub(crate) fn is_set(rules: &borg::Rules) -> bool {
    rules.within_hours.is_some() || rules.counts.iter().any(|(_, count)| count.is_set())
}

/// One rule of a count; -1 is without end.
pub(crate) fn rule(
    rules: &mut borg::Rules,
    unit: borg::Unit,
    setting: &str,
    value: &str,
    place: &Place,
    reading: &mut Reading,
) {
    let key = keeps::key(unit);
    let count = match value.trim().parse::<i64>() {
        Err(_) => {
            let open = value.contains(['$', '`', '{']);
            let why = if open {
                "only running it shows this number; write it out"
            } else {
                "this is no number"
            };
            reading.problem(place.clone(), format!("`{setting}`: {why}"));
            return;
        }
        Ok(number) if number < 0 => Count::Unlimited,
        Ok(number) => u32::try_from(number).map_or(Count::Unlimited, Count::Of),
    };
    let says = match count {
        Count::Of(0) => "the rule is off".to_owned(),
        Count::Of(n) => format!("`{key} = {n}`"),
        Count::Unlimited => format!("`{key} = \"all\"`"),
    };
    reading.note(Some(place.clone()), Fate::Taken, setting, says);
    rules.counts.retain(|(one, _)| *one != unit);
    rules.counts.push((unit, count));
}

/// The problem of an option that looks like a rule; `name` is that of a tool's own way to write one, made of borg's.
pub(crate) fn not_a_rule(
    written: &str,
    unit: &str,
    name: impl Fn(&str) -> String,
    place: Place,
    reading: &mut Reading,
) {
    if matches!(unit, "13weekly" | "3monthly") {
        let says = "of borg 1.4 has nothing like it; `quarterly` counts calendar quarters";
        reading.problem(place, format!("`{written}` {says}"));
        return;
    }
    let known: Vec<String> = UNITS
        .iter()
        .map(|(unit, ..)| name(unit))
        .chain([name("within")])
        .collect();
    let known = known.iter().map(String::as_str);
    reading.problem(place, options::unknown(written, known));
}

/// `10d`, `48H`, `3w`, `6m` (of 31 days), `2y` (of 365).
pub(crate) fn within(
    rules: &mut borg::Rules,
    setting: &str,
    value: &str,
    place: &Place,
    reading: &mut Reading,
) {
    let value = value.trim();
    let hours = value.char_indices().last().and_then(|(at, unit)| {
        let factor = match unit {
            'H' => 1,
            'd' => 24,
            'w' => 24 * 7,
            'm' => 24 * 31,
            'y' => 24 * 365,
            _ => return None,
        };
        value[..at]
            .parse::<u32>()
            .ok()?
            .checked_mul(factor)
            .filter(|hours| *hours > 0)
    });
    let Some(hours) = hours else {
        reading.problem(
            place.clone(),
            format!("`{setting}`: write it as borg does: a number and H, d, w, m or y"),
        );
        return;
    };
    let fate = if value.ends_with('H') {
        Fate::Taken
    } else {
        Fate::Changed
    };
    let says = format!(
        "`within = \"{hours}h\"`: borg counts hours, the calendar's days differ when clocks change"
    );
    reading.note(Some(place.clone()), fate, setting, says);
    rules.within_hours = Some(hours);
}
