//! A tool and a policy side by side, backup after backup, for years.
//!
//! At every slot of the schedule the tool makes a backup and tidies up; the policy's points are those of its `forecast`. Whatever only one of the two still has is a
//! difference of that run. Differences are told apart by side and by the rule that keeps the point, each with its first occurrence.
//!
//! Assumed: both make their points at the same times, and tidy up after each one.

use super::{Backup, Kind, Rules};
use crate::{
    forecast::{Life, SeriesLives},
    retention::{Occupy, Point, Why, evaluate},
};
use jiff::{SignedDuration, Timestamp};
use model::{Keep, SeriesName, TierName};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Series},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// One of its databases.
    pub database: &'a DatabaseDeclaration,
    /// What becomes of its points.
    pub lives: &'a SeriesLives,
    /// One of its tiers.
    pub tier: &'a TierName,
    /// Which series stands for which of the tool's backups.
    pub streams: &'a [(SeriesName, Kind)],
    /// The tool's retention.
    pub rules: &'a Rules,
    /// Where the forecast begins.
    pub from: Timestamp,
    /// Where it ends.
    pub until: Timestamp,
}

/// How a tool and a policy compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Backups that were made, and comparisons of everything that was there after one.
    pub runs: u64,
    /// Points of either side that were looked at, over all runs.
    pub points_compared: u64,
    /// Most points that the tool had at once.
    pub most_points: usize,
    /// What only the tool still had: the policy keeps fewer points.
    pub fewer: Side,
    /// What only the policy still had.
    pub more: Side,
}

/// What only one side had.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Side {
    /// Runs after which it had something that the other had not.
    pub runs: u64,
    /// Different points.
    pub points: usize,
    /// Most of them at once.
    pub most_at_once: usize,
    /// For how long one point was there on this side alone, from run to run, at most; 0: after one run only.
    pub longest_seconds: i64,
    /// By the rule that keeps them, those with the most points first.
    pub groups: Vec<Group>,
}

/// Differences with the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The rule that keeps the point on the one side; on the other none does.
    pub kept_by: String,
    /// Different points.
    pub points: usize,
    /// First run after which it was so.
    pub first_run: Timestamp,
    /// The point, by its slot.
    pub first_point: Timestamp,
}

impl Comparison {
    /// Whether both always had the same.
    pub fn is_same(&self) -> bool {
        self.fewer.runs == 0 && self.more.runs == 0
    }

    /// Whether the policy always had at least what the tool had.
    pub fn never_fewer(&self) -> bool {
        self.fewer.runs == 0
    }
}

/// Lets both run, and tells where they differ.
pub fn compare(question: &Question<'_>) -> Comparison {
    let mut ours = Ours::new(question);
    let mut theirs: Vec<Backup> = Vec::new();
    let (mut fewer, mut more) = (Tally::default(), Tally::default());
    let mut result = Comparison {
        runs: 0,
        points_compared: 0,
        most_points: 0,
        fewer: Side::default(),
        more: Side::default(),
    };
    for (now, made) in runs(question) {
        theirs.extend(made);
        let verdicts = question
            .rules
            .judge(&theirs, now, &question.policy.timezone);
        let kept: BTreeMap<Backup, &str> = theirs
            .iter()
            .zip(verdicts)
            .filter_map(|(backup, why)| Some((*backup, why?)))
            .collect();
        theirs.retain(|backup| kept.contains_key(backup));
        ours.go_on(now);

        result.runs += 1;
        result.most_points = result.most_points.max(theirs.len());
        result.points_compared += (ours.there.len().max(theirs.len())) as u64;
        let only_theirs = kept
            .iter()
            .filter(|(backup, _)| !ours.there.contains(backup))
            .map(|(one, why)| (*one, (*why).to_owned()));
        fewer.add(now, only_theirs.collect());
        let only_ours: Vec<Backup> = ours
            .there
            .iter()
            .filter(|backup| !kept.contains_key(backup))
            .copied()
            .collect();
        more.add(now, ours.with_reasons(question, &only_ours));
    }
    result.fewer = fewer.finish();
    result.more = more.finish();
    result
}

/// What the tool makes, by the time at which it does. What is due at the beginning is made at once, on both sides.
fn runs(question: &Question<'_>) -> BTreeMap<Timestamp, Vec<Backup>> {
    let mut all: BTreeMap<Timestamp, Vec<Backup>> = BTreeMap::new();
    for (name, kind) in question.streams {
        let Some(series) = question.database.series.get(name) else {
            continue;
        };
        let mut slot = first_slot(series, question);
        while let Some(at) = slot.filter(|at| *at <= question.until) {
            let made = all.entry(at.max(question.from)).or_default();
            made.push(Backup { at, kind: *kind });
            made.sort_unstable();
            slot = series.schedule.next_after(at, &question.policy.timezone);
        }
    }
    all
}

fn first_slot(series: &Series, question: &Question<'_>) -> Option<Timestamp> {
    let (schedule, zone) = (&series.schedule, &question.policy.timezone);
    let due = schedule.last_at_or_before(question.from, zone);
    due.or_else(|| schedule.next_after(question.from, zone))
}

/// The points of the policy, as time goes on.
struct Ours {
    /// Newest first, so that the next one is at the end.
    arriving: Vec<(Timestamp, Backup)>,
    leaving: Vec<(Timestamp, Backup)>,
    there: BTreeSet<Backup>,
}

impl Ours {
    fn new(question: &Question<'_>) -> Self {
        let (mut arriving, mut leaving) = (Vec::new(), Vec::new());
        for (name, kind) in question.streams {
            for life in lives(question, name) {
                let at = life.slot;
                let backup = Backup { at, kind: *kind };
                arriving.push((life.from.max(at), backup));
                leaving.extend(life.until.map(|until| (until, backup)));
            }
        }
        arriving.sort_unstable_by(|a, b| b.cmp(a));
        leaving.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            arriving,
            leaving,
            there: BTreeSet::new(),
        }
    }

    fn go_on(&mut self, now: Timestamp) {
        while let Some((_, backup)) = self.arriving.pop_if(|(from, _)| *from <= now) {
            self.there.insert(backup);
        }
        while let Some((_, backup)) = self.leaving.pop_if(|(until, _)| *until <= now) {
            self.there.remove(&backup);
        }
    }

    /// Why the policy keeps each of these.
    fn with_reasons(&self, question: &Question<'_>, what: &[Backup]) -> Vec<(Backup, String)> {
        let mut all = Vec::with_capacity(what.len());
        for (name, kind) in question.streams {
            if !what.iter().any(|backup| backup.kind == *kind) {
                continue;
            }
            let points: Vec<Point> = self
                .there
                .iter()
                .filter(|backup| backup.kind == *kind)
                .map(|backup| Point {
                    at: backup.at,
                    held: false,
                    verified: true,
                })
                .collect();
            let verdicts = keep(question, name).map(|keep| {
                let zone = &question.policy.timezone;
                evaluate(keep, &points, zone, Occupy::Complete)
            });
            for (index, point) in points.iter().enumerate() {
                let backup = Backup {
                    at: point.at,
                    kind: *kind,
                };
                if what.contains(&backup) {
                    let reasons = verdicts.as_ref().map(|all| all[index].reasons.as_slice());
                    all.push((backup, words(reasons.unwrap_or_default())));
                }
            }
        }
        all
    }
}

fn lives<'a>(question: &Question<'a>, series: &SeriesName) -> &'a [Life] {
    let tiers = question.lives.get(series);
    tiers
        .and_then(|tiers| tiers.get(question.tier))
        .map_or(&[], Vec::as_slice)
}

fn keep<'a>(question: &Question<'a>, series: &SeriesName) -> Option<&'a Keep> {
    let mut tiers = question.database.series.get(series)?.keep.iter();
    let (_, keep) = tiers.find(|(tier, _)| tier == question.tier)?;
    Some(keep)
}

/// The first rule alone: ordinals would make every run a reason of its own.
fn words(reasons: &[Why]) -> String {
    match reasons.first() {
        Some(Why::Rule { rule, oldest, .. }) => {
            let oldest = if *oldest { "oldest, " } else { "" };
            format!("{oldest}{rule}")
        }
        Some(why) => why.to_string(),
        None => "needed by the log or by a later point".to_owned(),
    }
}

/// Differences of one side, as they are found.
#[derive(Default)]
struct Tally {
    side: Side,
    /// Of each point the first and the last run, and the reason at the first.
    points: BTreeMap<Backup, (Timestamp, Timestamp, String)>,
}

impl Tally {
    fn add(&mut self, run: Timestamp, found: Vec<(Backup, String)>) {
        self.side.runs += u64::from(!found.is_empty());
        self.side.most_at_once = self.side.most_at_once.max(found.len());
        for (backup, why) in found {
            let entry = self.points.entry(backup);
            entry.or_insert_with(|| (run, run, why)).1 = run;
        }
    }

    fn finish(mut self) -> Side {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        let mut longest = SignedDuration::ZERO;
        for (backup, (first, last, why)) in &self.points {
            longest = longest.max(last.duration_since(*first));
            let group = groups.entry(why).or_insert_with(|| Group {
                kept_by: why.clone(),
                points: 0,
                first_run: *first,
                first_point: backup.at,
            });
            group.points += 1;
            if (*first, backup.at) < (group.first_run, group.first_point) {
                (group.first_run, group.first_point) = (*first, backup.at);
            }
        }
        self.side.groups = groups.into_values().collect();
        self.side
            .groups
            .sort_by_key(|group| (std::cmp::Reverse(group.points), group.first_run));
        self.side.points = self.points.len();
        self.side.longest_seconds = longest.as_secs();
        self.side
    }
}
