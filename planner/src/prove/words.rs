//! Times in words, as people say them, and what to measure when something is not known.

use super::{
    proof::{Part, PartKind, Source, Way},
    sources::Known,
};
use policy_schema::policy::DrillPick;

/// `45 s`, `12 min`, `25 h`, `12 h 4 min`, `7 d`, `400 d`. Hours up to two days, because promises are made in them.
pub fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    let two = |large: i64, unit: &str, small: i64, part: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {part}")
        }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..172_800 => two(s / 3600, "h", s % 3600 / 60, "min"),
        172_800..8_640_000 => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
        // Of a hundred days nobody counts the hours, and of years not the days.
        8_640_000..63_072_000 => format!("{} d", s / 86_400),
        _ => {
            let tenths = s * 10 / 31_556_952;
            if tenths % 10 == 0 {
                format!("{} y", tenths / 10)
            } else {
                format!("{}.{} y", tenths / 10, tenths % 10)
            }
        }
    }
}

/// What to do so that the loss can be told.
pub(crate) fn measure_loss(known: &Known<'_>, parts: &[Part]) -> Option<String> {
    let name = &known.database.name;
    let unknown = |kind: PartKind| {
        let is = |part: &&Part| part.what == kind && matches!(part.source, Source::Unknown { .. });
        parts.iter().any(|part| is(&part))
    };
    if unknown(PartKind::Lag) {
        return Some(format!(
            "measure how far the log is behind: run `mainstay prove {name}` where its server and its tiers can be reached"
        ));
    }
    unknown(PartKind::Run).then(|| {
        "let it run: until there is a recovery point, a run may take as long as `window.timeout` allows".to_owned()
    })
}

/// What to do so that the time of a restore can be told.
pub(crate) fn measure_restore(known: &Known<'_>, way: &Way, old: bool) -> String {
    let (database, tier) = (known.database, &way.tier);
    let name = &database.name;
    let measured = known.inventory.restores.get(name);
    let same = measured
        .into_iter()
        .flatten()
        .any(|one| one.method == way.method && one.tier == way.tier);
    let why = if same {
        format!("what was restored from {tier} was less than half or more than double as large")
    } else {
        format!("no {} restore from {tier} was measured", way.method)
    };
    let fits = |from: Option<&model::TierName>, pick: DrillPick| {
        from == Some(tier) && (!old || pick == DrillPick::OldestKept)
    };
    let declared = database
        .drills
        .iter()
        .find(|drill| fits(drill.from.as_ref(), drill.pick));
    if let Some(drill) = declared {
        return format!(
            "{why}: run its drill, `mainstay drill {name} {}`",
            drill.name
        );
    }
    let pick = if old { "oldest-kept" } else { "newest" };
    format!(
        "{why}: declare a drill and run it, or say `declared-restore`\n\
         [[database.{name}.drill]]\nname = \"from-{tier}\"\nschedule = \"0 5 1 * *\"\npick = \"{pick}\"\nfrom = \"{tier}\""
    )
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_are_said_as_people_say_them() {
        let all = [
            45,
            90,
            720,
            90_000,
            43_440,
            604_800,
            612_000,
            34_560_000,
            189_302_400,
        ]
        .map(span);
        assert_eq!(
            all,
            [
                "45 s",
                "1 min 30 s",
                "12 min",
                "25 h",
                "12 h 4 min",
                "7 d",
                "7 d 2 h",
                "400 d",
                "5.9 y"
            ]
        );
    }
}
