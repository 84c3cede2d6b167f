//! Drills that are due become steps: which point or moment, from which tier, and what must have been done before.
//!
//! A slot of a drill is satisfied when it was carried out, well or not: a drill that failed is a finding for a person, not a reason to
//! load the machine again every hour. Of missed slots only the newest is made up. A random choice is drawn from a hash of database,
//! drill and slot, so that the same slot draws the same number and anyone can repeat it.
//!
//! Not here: restoring and judging (`executor`); what follows from a drill that failed (`status`).

use crate::{
    draft::{Output, Subject, limits},
    facts::SeriesFacts,
    log::Log,
    rules::thaw_of,
    world::World,
};
use jiff::{SignedDuration, Timestamp};
use model::{
    Action, Period, Reason, ReasonCode, RecoveryPointId, Step, StepId, TierName,
    recovery_record::Promise,
    step::{DrillOrder, Precondition},
    wal::{
        RecoveryTarget,
        coverage::{Base, coverage},
    },
};
use policy_schema::policy::{DatabaseDeclaration, Drill, DrillPick, Target};
use std::collections::BTreeSet;

/// A restore may take long; a drill is no reason to cut it off like a backup.
const LONGEST: u64 = 24 * 3_600;

/// The end of the log is left out of random moments: a moment can be reached only if something was committed after it.
const LAST_MOMENTS: SignedDuration = SignedDuration::from_mins(1);

/// What a drill restores.
struct Choice<'a> {
    facts: &'a SeriesFacts<'a>,
    point: RecoveryPointId,
    /// The point among those that exist; `None`: this plan makes it.
    index: Option<usize>,
    tier: TierName,
    target: Option<RecoveryTarget>,
}

pub(crate) fn due_drills_are_carried_out<'a>(
    world: &World<'a>,
    database: &'a DatabaseDeclaration,
    series: &'a [SeriesFacts<'a>],
    log: &Log<'a>,
    output: &mut Output,
) {
    for drill in &database.drills {
        let Some((slot, reason)) = due(world, database, drill) else {
            continue;
        };
        let what = format!("drill {} of {}", drill.name, database.name);
        if let Some(from) = drill
            .from
            .as_ref()
            .filter(|from| world.unreachable.contains(from))
        {
            let text = format!("{from} could not be observed");
            output.wait(what, ReasonCode::TierUnreachable, text);
            continue;
        }
        let seed = seed(database, drill, slot);
        let view = View {
            world,
            series,
            log,
            output,
        };
        match view.choose(drill, seed) {
            Ok(choice) => add(database, drill, Due { slot, reason, seed }, choice, output),
            Err(text) => output.wait(what, ReasonCode::NothingToRestore, text),
        }
    }
}

/// The slot that has to be carried out now, and why.
fn due(
    world: &World<'_>,
    database: &DatabaseDeclaration,
    drill: &Drill,
) -> Option<(Timestamp, Reason)> {
    if world.options.asks_for_drill(&database.name, &drill.name) {
        let slot = Timestamp::from_second(world.now.as_second()).unwrap_or(world.now);
        let reason = Reason::new(ReasonCode::Requested, "asked for now, outside the schedule");
        return Some((slot, reason));
    }
    let zone = &world.policy.timezone;
    let started = world.now.checked_sub(drill.schedule.start_delay()).ok()?;
    let due = drill.schedule.last_at_or_before(started, zone)?;
    let last = world
        .drills
        .get(&(&database.name, drill.name.as_str()))
        .copied();
    let text = match last {
        Some(last) if last >= due => return None,
        Some(last) => {
            let next = drill.schedule.next_after(last, zone);
            if next.is_some_and(|next| next < due) {
                format!("slot {due} is due: the newest of several missed slots is made up")
            } else {
                format!("slot {due} is due")
            }
        }
        None => format!("slot {due} is due: never carried out before"),
    };
    Some((due, Reason::new(ReasonCode::DrillDue, text)))
}

/// The number that random choices of a slot are drawn from.
fn seed(database: &DatabaseDeclaration, drill: &Drill, slot: Timestamp) -> u64 {
    let text = format!("{}/{}/{slot}", database.name, drill.name);
    let hash = blake3::hash(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    // Readers of JSON that know only floating-point numbers read 53 bits whole.
    u64::from_be_bytes(first) >> 11
}

/// A slot that is to be carried out now.
struct Due {
    slot: Timestamp,
    reason: Reason,
    seed: u64,
}

fn add(
    database: &DatabaseDeclaration,
    drill: &Drill,
    due: Due,
    choice: Choice<'_>,
    output: &mut Output,
) {
    let facts = choice.facts;
    let mut after = BTreeSet::new();
    let verify = StepId::new(Action::Verify, &choice.point, &choice.tier);
    if output.steps.iter().any(|step| step.id == verify) {
        after.insert(verify);
    }
    let tier = facts.tiers.iter().find(|tier| *tier.name == choice.tier);
    if let (Some(index), Some(order)) = (choice.index, tier.and_then(|tier| tier.thaw)) {
        let why = format!("drill {} reads it", drill.name);
        for link in facts.chain(index).unwrap_or_else(|_| vec![index]) {
            let thaw = thaw_of(facts, &choice.tier, link, order, &why);
            after.insert(thaw.id.clone());
            if output.steps.iter().all(|step| step.id != thaw.id) {
                output.steps.push(thaw);
            }
        }
    }
    let random = matches!(
        drill.pick,
        DrillPick::RandomWithin(_) | DrillPick::RandomMoment(_)
    );
    let order = DrillOrder {
        amcheck: drill.amcheck,
        asserts: drill.asserts.clone(),
        name: drill.name.clone(),
        rpo: database.objective.rpo.map(promise),
        rto: database.objective.rto.map(promise),
        seed: random.then_some(due.seed),
        slot: due.slot,
        target: choice.target,
    };
    let subject = Subject {
        database: &database.name,
        series: &facts.series.name,
        point: &choice.point,
        tier: &choice.tier,
        limits: model::step::Limits {
            timeout_seconds: LONGEST,
            ..limits(&facts.series.window)
        },
    };
    let bytes = choice.index.map(|index| facts.points[index].point.bytes);
    let step = Step {
        after: after.into_iter().collect(),
        bytes,
        drill: Some(order),
        id: StepId::of_drill(&choice.point, &choice.tier, &drill.name),
        requires: vec![Precondition::Present {
            recovery_point: choice.point.clone(),
            tier: choice.tier.clone(),
        }],
        ..subject.step(Action::Drill, due.reason)
    };
    output.steps.push(step);
}

fn promise(target: Target) -> Promise {
    let seconds = |duration: SignedDuration| u64::try_from(duration.as_secs()).unwrap_or(0);
    Promise {
        maximum_seconds: seconds(target.maximum),
        target_seconds: seconds(target.target),
    }
}

/// A point that could be restored, on the tier where that is fastest.
#[derive(Clone)]
struct Restorable<'a> {
    facts: &'a SeriesFacts<'a>,
    index: usize,
    tier: &'a TierName,
}

struct View<'v, 'a> {
    world: &'v World<'a>,
    series: &'a [SeriesFacts<'a>],
    log: &'v Log<'a>,
    output: &'v Output,
}

impl<'a> View<'_, 'a> {
    fn choose(&self, drill: &Drill, seed: u64) -> Result<Choice<'a>, String> {
        let points = self.restorable(drill);
        let from_tier = drill
            .from
            .as_ref()
            .map_or_else(String::new, |from| format!(" on {from}"));
        let nothing = || format!("there is no verified recovery point{from_tier} yet");
        let at = |point: &Restorable<'a>| {
            let point = point.facts.points[point.index].point;
            (point.captured_at, point.id.clone())
        };
        let picked = match drill.pick {
            DrillPick::Newest => {
                if let Some(made) = self.made_now(drill) {
                    return Ok(made);
                }
                points.into_iter().max_by_key(at)
            }
            DrillPick::OldestKept => points.into_iter().min_by_key(at),
            DrillPick::RandomWithin(period) => {
                let from = period.before(self.world.now, &self.world.policy.timezone);
                let mut young: Vec<Restorable<'a>> = points
                    .iter()
                    .filter(|point| at(point).0 > from)
                    .cloned()
                    .collect();
                young.sort_by_key(at);
                if young.is_empty() && !points.is_empty() {
                    return Err(format!(
                        "no verified recovery point{from_tier} is of the last {period}"
                    ));
                }
                draw(seed, young.len()).map(|index| young.swap_remove(index))
            }
            DrillPick::RandomMoment(period) => {
                let (point, moment) = self.moment(drill, &points, period, seed)?;
                return Ok(Choice {
                    target: Some(RecoveryTarget::Time(moment)),
                    ..point.choice()
                });
            }
        };
        if let Some(point) = picked {
            return Ok(point.choice());
        }
        // The very first point is made by this plan: prove it at once.
        self.made_now(drill).ok_or_else(nothing)
    }

    /// Every point with its whole chain verified on a tier, on the tier to restore it from.
    fn restorable(&self, drill: &Drill) -> Vec<Restorable<'a>> {
        let going: BTreeSet<(&RecoveryPointId, &TierName)> = self
            .output
            .steps
            .iter()
            .filter(|step| step.action == Action::Prune)
            .map(|step| (&step.recovery_point, &step.tier))
            .collect();
        let mut all = Vec::new();
        for facts in self.series {
            for index in 0..facts.points.len() {
                let Ok(chain) = facts.chain(index) else {
                    continue;
                };
                let whole = |tier: usize| {
                    chain.iter().all(|link| {
                        let id = &facts.points[*link].point.id;
                        facts.tiers[tier].good(*link)
                            && !going.contains(&(id, facts.tiers[tier].name))
                    })
                };
                let tier = (0..facts.tiers.len())
                    .filter(|tier| {
                        let here = &facts.tiers[*tier];
                        here.reachable
                            && drill.from.as_ref().is_none_or(|from| from == here.name)
                            && whole(*tier)
                    })
                    .min_by_key(|tier| (facts.tiers[*tier].thaw.is_some(), *tier));
                all.extend(tier.map(|tier| Restorable {
                    facts,
                    index,
                    tier: facts.tiers[tier].name,
                }));
            }
        }
        all
    }

    /// The newest point that this plan makes and proves where the drill may read it at once.
    fn made_now(&self, drill: &Drill) -> Option<Choice<'a>> {
        let made = self.output.steps.iter().filter(|step| {
            matches!(step.action, Action::Backup | Action::Upload) && step.parent.is_none()
        });
        let mut choices: Vec<(Timestamp, usize, Choice<'a>)> = Vec::new();
        for step in made {
            let Some(facts) = self
                .series
                .iter()
                .find(|facts| facts.series.name == step.series)
            else {
                continue;
            };
            let Some(order) = facts.tiers.iter().position(|tier| {
                *tier.name == step.tier
                    && tier.thaw.is_none()
                    && drill.from.as_ref().is_none_or(|from| from == tier.name)
            }) else {
                continue;
            };
            // Only a point that this plan captures: an upload of an old one makes nothing newer.
            let slot = self.output.steps.iter().find_map(|backup| {
                let same = backup.action == Action::Backup
                    && backup.recovery_point == step.recovery_point
                    && backup.parent.is_none();
                same.then_some(backup.slot)?
            });
            choices.extend(slot.map(|slot| {
                let choice = Choice {
                    facts,
                    point: step.recovery_point.clone(),
                    index: None,
                    tier: step.tier.clone(),
                    target: None,
                };
                (slot, order, choice)
            }));
        }
        let best = choices
            .into_iter()
            .min_by_key(|(slot, order, _)| (std::cmp::Reverse(*slot), *order));
        best.map(|(_, _, choice)| choice)
    }

    /// A random moment of the last `period` that a verified base and the log behind it lead to.
    fn moment(
        &self,
        drill: &Drill,
        points: &[Restorable<'a>],
        period: Period,
        seed: u64,
    ) -> Result<(Restorable<'a>, Timestamp), String> {
        let earliest = period.before(self.world.now, &self.world.policy.timezone);
        let based = |point: &&Restorable<'a>| point.facts.points[point.index].point.wal.is_some();
        let points: Vec<&Restorable<'a>> = points.iter().filter(based).collect();
        let mut pieces: Vec<(Timestamp, i64, &Restorable<'a>)> = Vec::new();
        for (first, last, base) in self.reach(&points) {
            let first = first.max(earliest);
            let seconds = last.duration_since(first).as_secs();
            if seconds > 0 {
                pieces.push((first, seconds, base));
            }
        }
        pieces.sort_by_key(|(first, ..)| *first);
        let total: i64 = pieces.iter().map(|(_, seconds, _)| seconds).sum();
        let Some(drawn) = draw(seed, usize::try_from(total).unwrap_or(0)) else {
            let from = drill.from.as_ref();
            let from = from.map_or_else(String::new, |from| format!(" on {from}"));
            return Err(format!(
                "no verified base backup{from} and log behind it lead to a moment of the last {period} yet"
            ));
        };
        let mut left = i64::try_from(drawn).unwrap_or(0);
        for (first, seconds, point) in pieces {
            if left < seconds {
                let whole = first.as_second() + 1 + left;
                let moment = Timestamp::from_second(whole).unwrap_or(first);
                return Ok((point.clone(), moment));
            }
            left -= seconds;
        }
        Err("no moment can be recovered".to_owned())
    }
}

impl<'a> View<'_, 'a> {
    /// Stretches of moments, each with the newest base before it: no moment is in two of them, as far as clocks agree.
    fn reach<'p>(
        &self,
        points: &[&'p Restorable<'a>],
    ) -> Vec<(Timestamp, Timestamp, &'p Restorable<'a>)> {
        let Some(archive) = self.log.archive else {
            return Vec::new();
        };
        let mut bases: Vec<Base> = points
            .iter()
            .filter_map(|one| {
                let point = one.facts.points[one.index].point;
                Some(Base {
                    captured_at: point.captured_at,
                    id: point.id.clone(),
                    span: *point.wal.as_deref()?,
                })
            })
            .collect();
        bases.sort_by(|a, b| (a.captured_at, &a.id).cmp(&(b.captured_at, &b.id)));
        let windows = coverage(&archive.together(), &bases).windows;
        let newest = |cluster: u64| {
            let same = windows
                .iter()
                .filter(|one| one.system_identifier == cluster);
            same.map(|one| one.timeline).max()
        };
        let mut reach = Vec::new();
        for window in &windows {
            // A timeline that was left has moments of its own that no other one leads to: nobody would ask for them by time.
            if newest(window.system_identifier) != Some(window.timeline) {
                continue;
            }
            let Some(end) = window
                .stored_at
                .and_then(|at| at.checked_sub(LAST_MOMENTS).ok())
            else {
                continue;
            };
            let mut inside: Vec<(Timestamp, &'p Restorable<'a>)> = points
                .iter()
                .map(|one| (one.facts.points[one.index].point, *one))
                .filter(|(point, _)| window.bases.contains(&point.id))
                .map(|(point, one)| (point.captured_at, one))
                .collect();
            inside.sort_by_key(|(at, _)| *at);
            for (index, (first, base)) in inside.iter().enumerate() {
                let last = inside
                    .get(index + 1)
                    .map_or(end, |(next, _)| end.min(*next));
                reach.push((*first, last, *base));
            }
        }
        reach
    }
}

impl<'a> Restorable<'a> {
    fn choice(&self) -> Choice<'a> {
        Choice {
            facts: self.facts,
            point: self.facts.points[self.index].point.id.clone(),
            index: Some(self.index),
            tier: self.tier.clone(),
            target: None,
        }
    }
}

fn draw(seed: u64, count: usize) -> Option<usize> {
    let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
    usize::try_from(seed % count).ok()
}
