//! Reads drills: when, which point, and what must hold then.
//!
//! Not here: whether a drill is due, and which point a random choice falls on (`planner`).

use crate::{
    database::{assertions, readable_items},
    meaning,
    policy::{Drill, DrillPick, WalDeclaration},
    report::{Draft, Report},
    sections::Sections,
    series::{Schedules, read_rhythm},
    shape::{self, At},
    tree::Node,
    written::{NamedPick, RandomPick, WrittenDrill, WrittenPick},
};
use model::{Period, TierName};
use std::collections::BTreeMap;

/// Reads the drills of a database, a profile or the defaults.
pub(crate) fn read_drills(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    written: Vec<WrittenDrill>,
    sections: &Sections,
    schedules: &mut Schedules,
) -> Vec<Drill> {
    let items = readable_items(report, node, "drill");
    let mut drills: Vec<Drill> = Vec::new();
    let mut names = BTreeMap::new();
    let list = at.key("drill");
    for ((index, item), drill) in items.iter().zip(written) {
        let here = list.item(*index);
        let place = item.get("name").map_or(item.place, |name| name.place);
        let name = match drill.name {
            Some(name) if !meaning::check_name(report, "drill", &name, place) => continue,
            Some(name) => name,
            None => Drill::default_name(*index),
        };
        if let Some(first) = names.insert(name.clone(), place) {
            let draft = Draft::error(
                "policy::declared-twice",
                format!("drill `{name}` is declared twice in `{at}`"),
            )
            .at(place, "declared again here")
            .at(first, "first declared here")
            .help("what is known of a drill goes by its name: give each its own");
            report.add(draft);
            continue;
        }
        let schedule = read_rhythm(
            report,
            item,
            here,
            drill.schedule.as_deref(),
            drill.every,
            None,
            schedules,
        );
        let asserts = assertions(report, item, here, drill.assert.unwrap_or_default());
        let from = drill
            .from
            .and_then(|from| read_from(report, item, &from, sections));
        let pick = match drill.pick {
            None | Some(WrittenPick::Named(NamedPick::Newest)) => Some(DrillPick::Newest),
            Some(WrittenPick::Named(NamedPick::OldestKept)) => Some(DrillPick::OldestKept),
            Some(WrittenPick::Random(random)) => read_random(report, item, here, &random),
        };
        if let (Some(schedule), Some(pick)) = (schedule, pick) {
            drills.push(Drill {
                name,
                schedule,
                pick,
                asserts,
                from,
                amcheck: drill.amcheck.unwrap_or(false),
            });
        }
    }
    drills
}

fn read_from(
    report: &mut Report<'_>,
    item: &Node,
    from: &str,
    sections: &Sections,
) -> Option<TierName> {
    let place = item.get("from").map_or(item.place, |node| node.place);
    if !sections.tiers.contains_key(from) {
        let draft = Draft::error(
            "policy::undeclared-tier",
            format!("tier `{from}` is not declared"),
        )
        .at(place, "no [tier.…] of this name")
        .help(meaning::declared_help(from, &sections.tiers, "tiers"));
        report.reject(place, draft);
        return None;
    }
    TierName::new(from).ok()
}

fn read_random(
    report: &mut Report<'_>,
    item: &Node,
    at: At<'_>,
    random: &RandomPick,
) -> Option<DrillPick> {
    let table = item.get("pick").map_or(item, |node| &**node);
    let (key, pick): (_, fn(Period) -> DrillPick) =
        match (random.random_within, random.random_moment_within) {
            (Some(_), None) => ("random-within", DrillPick::RandomWithin),
            (None, Some(_)) => ("random-moment-within", DrillPick::RandomMoment),
            (Some(_), Some(_)) => {
                let draft = Draft::error(
                    "policy::two-picks",
                    format!("`{at}.pick` asks for a random point and for a random moment"),
                )
                .at(table.place, "one drill restores one state")
                .help("keep one of `random-within` and `random-moment-within`, or make two drills");
                report.add(draft);
                return None;
            }
            (None, None) => {
                if !table.holds_any(&report.wrong) {
                    shape::missing(report, table, at.key("pick"), "random-within");
                }
                return None;
            }
        };
    let period = random.random_within.or(random.random_moment_within)?;
    if period.is_zero() {
        let place = table.get(key).map_or(table.place, |node| node.place);
        let draft = Draft::error("policy::zero-duration", format!("`{key}` must not be zero"))
            .at(place, "zero");
        report.add(draft);
        return None;
    }
    Some(pick(period))
}

/// Checks drills together with the rest of their database.
pub(crate) fn check_drills(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    drills: &[Drill],
    wal: Option<&WalDeclaration>,
) {
    let without_log = node.get("wal").is_none() && wal.is_none();
    for (index, item) in readable_items(report, node, "drill") {
        let name = item
            .get("name")
            .and_then(|name| name.text())
            .map_or_else(|| Drill::default_name(index), str::to_owned);
        let Some(drill) = drills.iter().find(|drill| drill.name == name) else {
            continue;
        };
        if matches!(drill.pick, DrillPick::RandomMoment(_)) && without_log {
            let place = item.get("pick").map_or(item.place, |pick| pick.place);
            let draft = Draft::error(
                "policy::moment-without-log",
                format!("drill `{name}` recovers to a moment, but no log of `{at}` is archived"),
            )
            .at(place, "between two points only the log leads to a moment")
            .help(format!(
                "declare `[{at}.wal]`, or restore a point: `pick = {{ random-within = \"7d\" }}`"
            ));
            report.add_each(draft, &at.to_string());
        }
    }
}
