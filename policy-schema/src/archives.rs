//! Tiers that are elsewhere, dear to delete from, locked or slow to read: what goes there, once the policy is known as a whole.
//!
//! Not here: how long points live (`lifetimes`), what a store can do (its provider's `capabilities`).

use crate::{
    keep::{rule_node, words},
    lifetimes::{Life, Lifetimes, days},
    policy::{DatabaseDeclaration, Series, TierDeclaration},
    recipients::{Whole, named},
    report::{Draft, Report},
    tree::{Entry, Node, Place},
    wal::{check_log_tiers, log_entry},
};
use jiff::{SignedDuration, tz::TimeZone};
use model::{
    Capabilities, DatabaseName, Keep, LockMode, Period, TierName,
    retention::{KeepCount, KeepRule},
};
use std::collections::BTreeMap;

type Tiers = BTreeMap<TierName, TierDeclaration>;

/// Checks what goes where in a whole policy.
pub(crate) fn check_archives(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    tiers: &Tiers,
    zone: &TimeZone,
) {
    let mut lifetimes = Lifetimes::new(zone.clone());
    let mut longest: BTreeMap<&TierName, (Life, Place)> = BTreeMap::new();
    for (database, node) in whole.databases() {
        for series in database.series.values() {
            for (tier, keep) in &series.keep {
                let Some(tier) = tiers.get(tier) else {
                    continue;
                };
                let Some(entry) = keep_entry(node, series, &tier.name) else {
                    continue;
                };
                if keep.is_empty() || keep.rules.iter().any(never_holds) {
                    continue;
                }
                early_deletion(report, whole, tier, series, keep, entry, &mut lifetimes);
                if tier.capabilities.lock.is_some()
                    && let Some(life) = lifetimes.longest(&series.schedule, keep)
                {
                    let place = rule_place(entry, keep, life);
                    let known = longest.entry(&tier.name).or_insert((life, place));
                    let longer = match (known.0.length, life.length) {
                        (Some(known), Some(this)) => this > known,
                        (Some(_), None) => true,
                        (None, _) => false,
                    };
                    if longer {
                        *known = (life, place);
                    }
                }
            }
        }
        needs_thaw(report, whole, tiers, database, node);
    }
    for (tier, (life, place)) in longest {
        if let (Some(tier), Some(length)) = (tiers.get(tier), life.length) {
            lock_outlasts(report, whole, tier, length, place);
        }
    }
    plain_off_machine(report, whole, tiers);
    check_log_tiers(report, whole, tiers);
}

fn plain_off_machine(report: &mut Report<'_>, whole: &Whole<'_>, tiers: &Tiers) {
    // By the place of the keep: a profile's stands for many databases.
    let mut plain: BTreeMap<Place, (&TierDeclaration, Vec<&DatabaseName>)> = BTreeMap::new();
    for (database, node) in whole.databases() {
        let keys = node.get("encrypt-with").and_then(|list| list.list());
        if keys.is_some_and(|keys| !keys.is_empty()) {
            continue;
        }
        let points = database.series.values().flat_map(|series| {
            let entry = move |tier| Some((tier, keep_entry(node, series, tier)?));
            series.keep.iter().filter_map(move |(tier, _)| entry(tier))
        });
        let log = database.wal.iter().flat_map(|wal| {
            let entry = move |tier| Some((tier, log_entry(node, tier)?));
            wal.keep.iter().filter_map(move |(tier, _)| entry(tier))
        });
        for (tier, entry) in points.chain(log) {
            let elsewhere = tiers.get(tier).filter(|tier| {
                let kind = whole.kinds.tiers.get(&tier.kind);
                kind.is_some_and(|kind| !kind.on_this_machine)
            });
            let Some(elsewhere) = elsewhere else { continue };
            let (_, databases) = plain
                .entry(entry.key_place)
                .or_insert((elsewhere, Vec::new()));
            if !databases.contains(&&database.name) {
                databases.push(&database.name);
            }
        }
    }
    for (place, (tier, databases)) in plain {
        let draft = Draft::warning(
            "policy::plain-off-machine",
            format!(
                "{} stored unencrypted on tier `{}`, which is not on this machine",
                named(&databases),
                tier.name
            ),
        )
        .at(place, "leaves this machine as plain data")
        .at(tier_place(whole, tier, &["kind"]), format!("tier `{}`", tier.name))
        .help("declare keys (`mainstay key generate` makes one) and name them in the database: `encrypt-with = [\"main\", \"offline\"]`");
        report.add(draft);
    }
}

fn early_deletion(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    tier: &TierDeclaration,
    series: &Series,
    keep: &Keep,
    entry: &Entry,
    lifetimes: &mut Lifetimes,
) {
    let paid = i64::from(tier.capabilities.minimum_storage_days);
    if paid == 0 {
        return;
    }
    let Some(life) = lifetimes.shortest(&series.schedule, keep) else {
        return;
    };
    let Some(stays) = life.length.map(days).filter(|stays| *stays < paid) else {
        return;
    };
    let stays_words = plural(stays, "day");
    let draft = Draft::warning(
        "policy::early-deletion",
        format!(
            "series `{}` deletes points from tier `{}` that are paid for longer: {} for nothing",
            series.name,
            tier.name,
            plural(paid - stays, "day"),
        ),
    )
    .at(
        rule_place(entry, keep, life),
        format!("what only this rule keeps goes after {stays_words}"),
    )
    .at(
        tier_place(whole, tier, &["storage-class"]),
        format!("every object is paid for {paid} days at least"),
    )
    .help(early_help(keep, tier, paid));
    report.add(draft);
}

fn early_help(keep: &Keep, tier: &TierDeclaration, paid: i64) -> String {
    let coarse = if keep.pick == model::retention::Pick::Last {
        ", with `pick = \"first\"`"
    } else {
        ""
    };
    format!(
        "keep on `{}` only what stays there for {paid} days or more{coarse}, and short-lived points on a tier without a minimum",
        tier.name
    )
}

fn lock_outlasts(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    tier: &TierDeclaration,
    longest: SignedDuration,
    kept: Place,
) {
    let Some((lock, locked)) = tier
        .capabilities
        .lock
        .and_then(|lock| Some((lock, lock.length?)))
    else {
        return;
    };
    if at_least(locked) <= days(longest) {
        return;
    }
    let message = format!(
        "objects on tier `{}` stay locked for {locked}, longer than anything is kept there",
        tier.name
    );
    let draft = match lock.mode {
        LockMode::Compliance => Draft::error("policy::lock-outlasts-retention", message)
            .help("shorten `for` to the longest retention, or write `for = \"retention\"`: until a compliance lock ends nobody can delete the object, and it is paid for"),
        LockMode::Governance => Draft::warning("policy::lock-outlasts-retention", message)
            .help("shorten `for` to the longest retention, or write `for = \"retention\"`: a prune is blocked until the lock ends, and the object is paid for"),
    };
    let place = tier_place(whole, tier, &["object-lock", "for"]);
    let longest = plural(days(longest), "day");
    report.add(
        draft
            .at(place, "locked for so long")
            .at(kept, format!("kept for {longest} at most")),
    );
}

/// The fewest days that a period can have, so that a lock is never called too long by a leap day.
fn at_least(period: Period) -> i64 {
    let days = i64::from(period.years) * 365 + i64::from(period.months) * 30;
    let seconds = i64::try_from(period.seconds).unwrap_or(i64::MAX);
    days + i64::from(period.days) + seconds / 86_400
}

fn needs_thaw(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    tiers: &Tiers,
    database: &DatabaseDeclaration,
    node: &Node,
) {
    let slow = |tier: &TierName| {
        let can = tiers.get(tier).map(|tier| tier.capabilities);
        can.filter(Capabilities::needs_thaw)
    };
    let used = || {
        let series = database.series.values();
        series.flat_map(|series| series.keep.iter().map(|(tier, _)| tier))
    };
    if used().next().is_some() && used().all(|tier| slow(tier).is_some()) {
        let fastest = used()
            .filter_map(|tier| slow(tier)?.thaw)
            .map(|thaw| thaw.typical_seconds)
            .min();
        return archive_only(report, whole, database, node, fastest);
    }
    for series in database.series.values() {
        let Some((first, _)) = series.keep.first().filter(|(tier, _)| slow(tier).is_some()) else {
            continue;
        };
        let Some(entry) = keep_entry(node, series, first) else {
            continue;
        };
        let draft = Draft::warning(
            "policy::archive-only",
            format!(
                "the first tier of series `{}` is an archive: its points must be thawed before anything can read them",
                series.name
            ),
        )
        .at(entry.key_place, format!("`{first}` is the first tier"))
        .help("name a tier first that can be read at once; others get their copies from it, and restores begin there");
        report.add(draft);
    }
}

fn archive_only(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    database: &DatabaseDeclaration,
    node: &Node,
    fastest: Option<u64>,
) {
    let thaw = fastest
        .map(|seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)));
    let name = &database.name;
    let item = whole.sections.databases.get(name.as_str());
    let header = item.map_or_else(Place::default, |item| item.key_place);
    let takes = thaw.map_or_else(String::new, |thaw| {
        format!(", which typically takes {}", words(thaw))
    });
    let help = "keep recent points also on a tier that can be read at once";
    let late = database
        .objective
        .rto
        .zip(thaw)
        .filter(|(rto, thaw)| rto.maximum < *thaw);
    let draft = match late {
        Some((rto, thaw)) => {
            let place = node
                .at(&["objective", "rto"])
                .map_or(header, |node| node.place);
            let promise = words(rto.maximum);
            Draft::warning(
                "policy::archive-only",
                format!(
                    "database `{name}` promises a restore within {promise}, but every copy must be thawed first, which typically takes {}",
                    words(thaw)
                ),
            )
            .at(place, "promised here")
            .help(format!("{help}, or promise more than {}", words(thaw)))
        }
        None => Draft::warning(
            "policy::archive-only",
            format!("every copy of database `{name}` must be thawed before it can be read{takes}"),
        )
        .at(header, "only in archives")
        .help(help),
    };
    report.add_each(draft, name.as_str());
}

fn never_holds(rule: &KeepRule) -> bool {
    match rule.count {
        KeepCount::Count(count) => count == 0,
        KeepCount::Window(period) => period.is_zero(),
        KeepCount::All => false,
    }
}

/// `keep.<tier>` of a series.
fn keep_entry<'n>(database: &'n Node, series: &Series, tier: &TierName) -> Option<&'n Entry> {
    let list = database.get("series")?.list()?;
    let item = list.iter().find(|item| {
        item.get("name")
            .is_some_and(|name| name.text() == Some(series.name.as_str()))
    })?;
    item.get("keep")?.table()?.entry(tier.as_str())
}

/// Where the rule stands that gives a life.
fn rule_place(entry: &Entry, keep: &Keep, life: Life) -> Place {
    let rule = keep.rules.get(life.rule);
    rule.and_then(|rule| rule_node(&entry.node, rule))
        .map_or(entry.key_place, |(_, node)| node.place)
}

/// A key of a tier, or its header.
pub(crate) fn tier_place(whole: &Whole<'_>, tier: &TierDeclaration, path: &[&str]) -> Place {
    let Some(item) = whole.sections.tiers.get(tier.name.as_str()) else {
        return Place::default();
    };
    item.node.at(path).map_or(item.key_place, |node| node.place)
}

fn plural(number: i64, unit: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{s}")
}
