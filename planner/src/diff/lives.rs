//! Keep rules that differ: which copies go earlier or stay longer, and whether the new rules keep less whatever is stored.
//!
//! Ends come from `lifetime`, over what is there. Whether a rule is shorter is asked of a full history besides, so that a review
//! without an inventory, or of a young database, does not let it pass: slots of the old schedule, judged under both rules.

use super::{Approval, ApprovalCode, Expiry, Planned, PolicyDiff, Reach, RetentionChange};
use crate::{
    facts::{BySeries, SeriesFacts, by_series},
    lifetime::{Stay, Until, stays},
    log::Log,
    parallel,
    retention::{Occupy, Point, evaluate},
};
use jiff::Timestamp;
use model::{DatabaseName, Keep, RecoveryPointId, SeriesName, TierName};
use policy_schema::policy::{DatabaseDeclaration, Series};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

/// Slots of a full history that are judged: four years of days, two months of hours.
const FULL_HISTORY: usize = 1_500;

/// What a comparison of rules found; equal rules of many series are compared once.
#[derive(Clone, Copy)]
struct Rules {
    from: Reach,
    to: Reach,
    shorter: bool,
}

type Known = HashMap<String, Rules>;

/// A series as a policy declares it.
type One<'a> = (&'a DatabaseDeclaration, &'a Series);

#[derive(Default)]
struct Found {
    retention: Vec<RetentionChange>,
    earlier: Vec<Expiry>,
    later: Vec<Expiry>,
}

pub(super) fn compare(old: &Planned<'_>, new: &Planned<'_>, diff: &mut PolicyDiff) {
    let groups = by_series(&old.world.inventory.recovery_points);
    let destroyed = destroyed(diff);
    let declared: Vec<One<'_>> = every_series(new).collect();
    let parts = parallel::map_chunks(&declared, |declared| {
        let mut found = Found::default();
        let mut known = Known::new();
        for after in declared {
            let before = same_series(old, *after);
            let moved = before.map_or_else(BTreeMap::new, |before| {
                moved(old, new, before, *after, &groups)
            });
            for (tier, keeps) in tiers(before, *after) {
                let name = (after.0.name.clone(), after.1.name.clone(), tier.clone());
                let expiries = moved.get(tier).map(Vec::as_slice).unwrap_or_default();
                let copies_destroyed = destroyed.get(&name).copied().unwrap_or_default();
                // A rule of something new takes nothing from anybody, unless it deletes what nobody named before.
                let differs = before.is_some() && keeps.0 != keeps.1;
                if differs || copies_destroyed > 0 || !expiries.is_empty() {
                    let schedules = (before.unwrap_or(*after).1, after.1);
                    let rules = rules(old, schedules, keeps, &mut known);
                    found.add(name, keeps, rules, copies_destroyed, expiries);
                }
            }
        }
        found
    });
    for part in parts {
        diff.retention.extend(part.retention);
        diff.expires_earlier.extend(part.earlier);
        diff.expires_later.extend(part.later);
    }
}

fn every_series<'a>(side: &Planned<'a>) -> impl Iterator<Item = One<'a>> {
    let databases = side.world.policy.databases.values();
    databases.flat_map(|database| database.series.values().map(move |one| (database, one)))
}

fn same_series<'a>(side: &Planned<'a>, (database, series): One<'_>) -> Option<One<'a>> {
    let database = side.world.policy.databases.get(&database.name)?;
    Some((database, database.series.get(&series.name)?))
}

type Keeps<'a> = (Option<&'a Keep>, Option<&'a Keep>);

/// Every tier that one of them uses, with both rules.
fn tiers<'a>(before: Option<One<'a>>, after: One<'a>) -> BTreeMap<&'a TierName, Keeps<'a>> {
    let mut tiers: BTreeMap<&TierName, Keeps<'_>> = BTreeMap::new();
    for (tier, keep) in before.into_iter().flat_map(|(_, series)| &series.keep) {
        tiers.entry(tier).or_default().0 = Some(keep);
    }
    for (tier, keep) in &after.1.keep {
        tiers.entry(tier).or_default().1 = Some(keep);
    }
    tiers
}

type OnTier = (DatabaseName, SeriesName, TierName);

/// Copies that go, by series and tier.
fn destroyed(diff: &PolicyDiff) -> HashMap<OnTier, usize> {
    let lists = [&diff.destroyed, &diff.destroyed_later, &diff.copies_lost];
    let mut counts = HashMap::new();
    for point in lists.into_iter().flatten() {
        let id = &point.recovery_point;
        let names = (
            DatabaseName::new(id.database()),
            SeriesName::new(id.series()),
        );
        if let (Ok(database), Ok(series)) = names {
            for copy in &point.copies {
                let name = (database.clone(), series.clone(), copy.tier.clone());
                *counts.entry(name).or_default() += 1;
            }
        }
    }
    counts
}

impl Found {
    fn add(
        &mut self,
        (database, series, tier): OnTier,
        (from, to): Keeps<'_>,
        rules: Rules,
        copies_destroyed: usize,
        expiries: &[Expiry],
    ) {
        let (earlier, later): (Vec<Expiry>, Vec<Expiry>) =
            expiries.iter().cloned().partition(|one| one.to < one.from);
        self.retention.push(RetentionChange {
            copies_destroyed,
            database,
            earlier: earlier.len(),
            from: from.map(words),
            later: later.len(),
            longest_from: rules.from,
            longest_to: rules.to,
            series,
            shorter: rules.shorter,
            tier,
            to: to.map(words),
        });
        self.earlier.extend(earlier);
        self.later.extend(later);
    }
}

/// A keep with what its `Display` leaves out when it is the default.
fn words(keep: &Keep) -> String {
    let mut text = keep.to_string();
    if keep.model != model::retention::RetentionModel::default() {
        text.push_str(", additive");
    }
    if keep.pick != model::retention::Pick::default() {
        text.push_str(", pick last");
    }
    text
}

/// Copies that both policies keep, with another end.
fn moved(
    old: &Planned<'_>,
    new: &Planned<'_>,
    before: One<'_>,
    after: One<'_>,
    groups: &BySeries<'_>,
) -> BTreeMap<TierName, Vec<Expiry>> {
    let same_zone = old.world.policy.timezone_name == new.world.policy.timezone_name;
    let same_times = same_zone && before.1.schedule == after.1.schedule;
    if same_times && before.1.keep == after.1.keep {
        return BTreeMap::new();
    }
    let before = ends(old, before, groups);
    let after = ends(new, after, groups);
    let mut moved: BTreeMap<TierName, Vec<Expiry>> = BTreeMap::new();
    for ((id, tier), from) in before {
        let Some(to) = after.get(&(id.clone(), tier.clone())).copied() else {
            continue;
        };
        // What goes now is destroyed, not expired; what neither keeps is nobody's change.
        if from == to || to == Until::NotKept {
            continue;
        }
        moved.entry(tier.clone()).or_default().push(Expiry {
            from,
            recovery_point: id,
            tier,
            to,
        });
    }
    moved
}

fn ends(
    side: &Planned<'_>,
    (database, series): One<'_>,
    groups: &BySeries<'_>,
) -> BTreeMap<(RecoveryPointId, TierName), Until> {
    let world = &side.world;
    let points = groups.get(&(&database.name, &series.name)).cloned();
    let mut facts = SeriesFacts::new(world, database, series, points.unwrap_or_default());
    facts.log = Log::new(world, database).needs_of(&facts);
    let mut ends = BTreeMap::new();
    for (tier, here) in facts.tiers.iter().enumerate() {
        let stays: Vec<Stay> = stays(world, &facts, tier, here.keep);
        for (index, stay) in stays.iter().enumerate() {
            if here.present(index) {
                let id = facts.points[index].point.id.clone();
                ends.insert((id, here.name.clone()), stay.until);
            }
        }
    }
    ends
}

/// Compares two rules over a full history of the old schedule.
fn rules(
    old: &Planned<'_>,
    (before, after): (&Series, &Series),
    (from, to): Keeps<'_>,
    known: &mut Known,
) -> Rules {
    let zone = &old.world.policy.timezone;
    let key = format!("{} {} {from:?} {to:?}", before.schedule, after.schedule);
    if let Some(rules) = known.get(&key) {
        return *rules;
    }
    let reach = |series: &Series, keep: Option<&Keep>| match keep {
        None => Reach::Seconds(0),
        Some(keep) => match policy_schema::longest_life(&series.schedule, keep, zone) {
            Some(life) => Reach::Seconds(life.as_secs()),
            None => Reach::NoEnd,
        },
    };
    let (reach_from, reach_to) = (reach(before, from), reach(after, to));
    let keeps_less = match (from, to) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(from), Some(to)) => {
            let same_schedule = reach(before, Some(to));
            same_schedule < reach_from || loses_some(old, before, from, to)
        }
    };
    let rules = Rules {
        from: reach_from,
        to: reach_to,
        shorter: from != to && keeps_less,
    };
    known.insert(key, rules);
    rules
}

/// Whether a full history has a point that only the old rule keeps.
fn loses_some(old: &Planned<'_>, series: &Series, from: &Keep, to: &Keep) -> bool {
    let zone = &old.world.policy.timezone;
    let mut history: Vec<Point> = Vec::new();
    let mut at = series.schedule.last_at_or_before(old.world.now, zone);
    while let Some(slot) = at.filter(|_| history.len() < FULL_HISTORY) {
        history.push(Point {
            at: slot,
            held: false,
            verified: true,
        });
        let before = slot.checked_sub(jiff::SignedDuration::from_secs(1)).ok();
        at = before.and_then(|before: Timestamp| series.schedule.last_at_or_before(before, zone));
    }
    let old_verdicts = evaluate(from, &history, zone, Occupy::Complete);
    let new_verdicts = evaluate(to, &history, zone, Occupy::Complete);
    let mut both = old_verdicts.iter().zip(&new_verdicts);
    // The newest stays whatever the rules say.
    both.next();
    both.any(|(old, new)| old.is_kept() && !new.is_kept())
}

/// Whether a person must agree to it, and the words.
pub(super) fn approval(change: &RetentionChange) -> Option<Approval> {
    let code = if change.copies_destroyed > 0 {
        ApprovalCode::Destroys
    } else if change.to.is_none() {
        ApprovalCode::TierLeft
    } else if change.shorter || change.earlier > 0 {
        ApprovalCode::RetentionShortened
    } else {
        return None;
    };
    let mut text = format!(
        "{}/{} on {}: `{}`, now `{}`",
        change.database,
        change.series,
        change.tier,
        change.from.as_deref().unwrap_or("nothing"),
        change.to.as_deref().unwrap_or("nothing"),
    );
    if change.copies_destroyed > 0 {
        let count = change.copies_destroyed;
        let words = if count == 1 { "copy" } else { "copies" };
        let _ = write!(
            text,
            "; {count} {words} that the old policy keeps would be deleted"
        );
    }
    if change.earlier > 0 {
        let words = if change.earlier == 1 { "goes" } else { "go" };
        let _ = write!(text, "; {} {words} earlier", change.earlier);
    }
    Some(Approval {
        code,
        database: change.database.clone(),
        series: Some(change.series.clone()),
        text,
        tier: Some(change.tier.clone()),
    })
}
