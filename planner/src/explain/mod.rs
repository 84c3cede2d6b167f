//! Why one recovery point is kept on each tier, until when, and what depends on it.
//!
//! Read off a plan of its database and the same ends that `diff` compares; nothing is decided here. Not here: where a rule stands
//! in the policy's files (`policy_schema`), what became of a point that is gone (the catalog's audit), words on a screen.

mod expected;

use crate::{
    Options, draft_plan,
    facts::{SeriesFacts, by_series},
    fate::{Fate, Fates, Gone, gone},
    lifetime::{self, Stay, Until},
    log::Log,
    retention::Why,
    world::World,
};
use jiff::Timestamp;
use model::{
    Action, ByteCount, Copy, CopyState, Inventory, Keep, Reason, RecoveryPoint, RecoveryPointId,
    TierName, Verified,
    retention::{Each, KeepCount, KeepRule},
    tier_facts::TierCapabilities,
};
use policy_schema::Policy;
use serde::Serialize;

/// Value of [`PointExplanation::format`].
pub const FORMAT: &str = "mainstay.explain-point.v1";

/// Everything that decides how long a point stays. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointExplanation {
    /// Points that are incremental to it; it stays as long as they do.
    pub children: Vec<RecoveryPointId>,
    /// What it is incremental to, the parent first.
    pub chain: Vec<RecoveryPointId>,
    /// `now` of the explanation.
    pub evaluated_at: Timestamp,
    /// [`FORMAT`].
    pub format: String,
    /// Whether a person holds it.
    pub held: bool,
    /// Point.
    pub recovery_point: RecoveryPointId,
    /// Its nominal time.
    pub slot: Timestamp,
    /// Each copy.
    pub tiers: Vec<OnTier>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnTier {
    /// What else keeps it: a chain, a window of log, that it is the newest.
    pub also: Vec<String>,
    /// Stored size.
    pub bytes: ByteCount,
    /// When it goes, if every slot succeeds and every plan is applied at once; `None`: not within the years looked at.
    pub expected_end: Option<Timestamp>,
    /// Until when the storage refuses its deletion.
    pub locked_until: Option<Timestamp>,
    /// What is gone from the policy, so that no rule speaks of it and nothing deletes it.
    pub not_named: Option<Gone>,
    /// What the next plan does with it.
    pub planned: Vec<Planned>,
    /// The rules that keep it.
    pub reasons: Vec<KeptBy>,
    /// What is known of it.
    pub state: CopyState,
    /// Tier.
    pub tier: TierName,
    /// Until when it stays.
    pub until: Until,
    /// Its strongest verification.
    pub verified: Option<Verified>,
    /// Why it is not deleted yet although nothing keeps it.
    pub waits: Option<Reason>,
}

/// One rule that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBy {
    /// What lets it go.
    pub ends: String,
    /// Path of the rule in the policy; `None`: a hold.
    pub key: Option<String>,
    /// Which of the rule's points it is, the newest being 1.
    pub ordinal: Option<u32>,
    /// The rule and the ordinal in words: `daily 3 of 7`.
    pub text: String,
    /// Until when this rule keeps it.
    pub until: Until,
}

/// Something that the next plan does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// What.
    pub action: Action,
    /// Whether it needs approval.
    pub needs_approval: bool,
    /// Why.
    pub reason: Reason,
}

/// Explains a point that `inventory` has; `None`: it has none of this id.
pub fn explain(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: Timestamp,
    id: &RecoveryPointId,
) -> Option<PointExplanation> {
    let point = inventory
        .recovery_points
        .iter()
        .find(|point| &point.id == id)?;
    let (policy, inventory) = its_database(policy, inventory, point);
    let options = Options::default();
    let plan = draft_plan(&policy, &inventory, capabilities, now, &options);
    let fates = Fates::new(&policy, &plan);
    let world = World::new(&policy, &inventory, capabilities, now, &options);
    let ends = ends(&world, &inventory, point);
    let certain = ends
        .iter()
        .map(|(tier, _, stay)| (tier, stay.until))
        .collect();
    let expected = expected::expected_ends(&policy, &inventory, capabilities, now, point, &certain);
    let mut copies: Vec<&Copy> = point.copies.iter().collect();
    copies.sort_by(|a, b| a.tier.cmp(&b.tier));
    let tiers = copies
        .into_iter()
        .map(|copy| {
            let end = ends.iter().find(|(tier, ..)| *tier == copy.tier);
            let mut on_tier = on_tier(&policy, &fates, point, copy, end);
            on_tier.expected_end = expected.get(&copy.tier).copied();
            on_tier.planned = plan
                .steps
                .iter()
                .filter(|step| step.recovery_point == point.id && step.tier == copy.tier)
                .map(|step| Planned {
                    action: step.action,
                    needs_approval: step.needs_approval,
                    reason: step.reason.clone(),
                })
                .collect();
            on_tier
        })
        .collect();
    Some(PointExplanation {
        children: children(&inventory, point),
        chain: chain(&inventory, point),
        evaluated_at: now,
        format: FORMAT.to_owned(),
        held: point.copies.iter().any(|copy| copy.held),
        recovery_point: point.id.clone(),
        slot: point.slot,
        tiers,
    })
}

/// What concerns other databases decides nothing here; what was known of the clock stays known.
fn its_database(
    policy: &Policy,
    inventory: &Inventory,
    point: &RecoveryPoint,
) -> (Policy, Inventory) {
    let mut policy = policy.clone();
    policy.databases.retain(|name, _| *name == point.database);
    let all = inventory.recovery_points.iter();
    let newest = all.clone().map(|point| point.captured_at).max();
    let mine = all.filter(|other| other.database == point.database);
    let inventory = Inventory {
        approval_in_force: inventory.approval_in_force.clone(),
        recovery_points: mine.cloned().collect(),
        last_activity: inventory.last_activity.max(newest),
        drills: inventory.drills.clone(),
        format: inventory.format.clone(),
        observed_at: inventory.observed_at,
        restores: inventory.restores.clone(),
        retention_in_force: inventory.retention_in_force.clone(),
        space: inventory.space.clone(),
        unreachable_tiers: inventory.unreachable_tiers.clone(),
        unreachable_why: inventory.unreachable_why.clone(),
        wal: inventory.wal.clone(),
    };
    (policy, inventory)
}

type End = (TierName, Keep, Stay);

/// How long it stays on each tier that its series names.
fn ends(world: &World<'_>, inventory: &Inventory, point: &RecoveryPoint) -> Vec<End> {
    let declared = world.policy.databases.get(&point.database);
    let Some((database, series)) =
        declared.and_then(|database| Some((database, database.series.get(&point.series)?)))
    else {
        return Vec::new();
    };
    let groups = by_series(&inventory.recovery_points);
    let points = groups.get(&(&point.database, &point.series)).cloned();
    let mut facts = SeriesFacts::new(world, database, series, points.unwrap_or_default());
    facts.log = Log::new(world, database).needs_of(&facts);
    let mut all = facts.points.iter();
    let Some(index) = all.position(|facts| facts.point.id == point.id) else {
        return Vec::new();
    };
    let tiers = facts.tiers.iter().enumerate();
    tiers
        .map(|(tier, here)| {
            let mut stays = lifetime::stays(world, &facts, tier, here.keep);
            (
                here.name.clone(),
                here.keep.clone(),
                stays.swap_remove(index),
            )
        })
        .collect()
}

fn on_tier(
    policy: &Policy,
    fates: &Fates<'_>,
    point: &RecoveryPoint,
    copy: &Copy,
    end: Option<&End>,
) -> OnTier {
    let stay = end.map(|(_, _, stay)| stay);
    let reasons: Vec<KeptBy> = end
        .map(|(tier, _, stay)| {
            let reasons = stay.reasons.iter();
            reasons
                .map(|reason| kept_by(point, tier, *reason))
                .collect()
        })
        .unwrap_or_default();
    let fate = fates.of(point, &copy.tier);
    let also = match fate {
        Fate::Kept(words) => words
            .iter()
            .map(ToString::to_string)
            .filter(|words| !reasons.iter().any(|reason| reason.text == *words))
            .collect(),
        Fate::Unnamed | Fate::NotKept => Vec::new(),
    };
    let goes = matches!(fate, Fate::NotKept) && copy.is_present();
    OnTier {
        also,
        bytes: copy.bytes,
        expected_end: None,
        locked_until: copy.locked_until,
        not_named: gone(policy, &point.database, &point.series, &copy.tier),
        planned: Vec::new(),
        reasons,
        state: copy.state,
        tier: copy.tier.clone(),
        until: stay.map(|stay| stay.until).unwrap_or_default(),
        verified: copy.verified,
        waits: if goes && fates.step(point, &copy.tier).is_none() {
            fates.obstacle(point, &copy.tier)
        } else {
            None
        },
    }
}

fn kept_by(point: &RecoveryPoint, tier: &TierName, reason: lifetime::Reason) -> KeptBy {
    let keep = format!(
        "database.{}.series.{}.keep.{tier}",
        point.database, point.series
    );
    let (key, ordinal, ends) = match reason.why {
        Why::Held => (None, None, "until a person releases it".to_owned()),
        Why::Forever => (
            Some("forever".to_owned()),
            None,
            "and nothing lets it go".to_owned(),
        ),
        Why::Rule {
            rule,
            ordinal,
            oldest,
        } => {
            let ordinal = (ordinal > 0).then_some(ordinal);
            (
                Some(rule_key(rule)),
                ordinal,
                ends_by(rule, ordinal, oldest),
            )
        }
    };
    KeptBy {
        ends,
        key: key.map(|key| format!("{keep}.{key}")),
        ordinal,
        text: reason.why.to_string(),
        until: reason.until,
    }
}

/// The key of the policy language under which a rule is written.
fn rule_key(rule: KeepRule) -> String {
    let key = rule.each.count_key();
    match (rule.each, rule.count) {
        (Each::Point, KeepCount::Window(_)) => "within".to_owned(),
        // A window can be written as `daily = "14d"` too; then `explain` of the whole keep finds it.
        (_, KeepCount::Window(_)) => format!("within-{key}"),
        (_, KeepCount::Count(_) | KeepCount::All) => key.to_owned(),
    }
}

fn ends_by(rule: KeepRule, ordinal: Option<u32>, oldest: bool) -> String {
    if oldest {
        return "when the rule has no room for the oldest any more".to_owned();
    }
    let unit = match rule.each {
        Each::Point => "point",
        Each::Hour => "hour",
        Each::Day => "day",
        Each::Week => "week",
        Each::Month => "month",
        Each::Quarter => "quarter",
        Each::Year => "year",
    };
    match (rule.count, ordinal) {
        (KeepCount::All, _) => "and nothing lets it go".to_owned(),
        (KeepCount::Window(period), _) => format!("when a point is more than {period} newer"),
        (KeepCount::Count(_), None) => "when a verified point takes its place".to_owned(),
        (KeepCount::Count(n), Some(ordinal)) => {
            let more = n.saturating_sub(ordinal) + 1;
            let plural = if more == 1 { "" } else { "s" };
            match rule.each {
                Each::Point => format!("when {more} more {unit}{plural} arrived"),
                _ => format!("when {more} more {unit}{plural} got a point"),
            }
        }
    }
}

fn children(inventory: &Inventory, point: &RecoveryPoint) -> Vec<RecoveryPointId> {
    let points = inventory.recovery_points.iter();
    let mut children: Vec<_> = points
        .filter(|other| other.parent.as_ref() == Some(&point.id))
        .map(|child| child.id.clone())
        .collect();
    children.sort();
    children
}

fn chain(inventory: &Inventory, point: &RecoveryPoint) -> Vec<RecoveryPointId> {
    let mut chain: Vec<RecoveryPointId> = Vec::new();
    let mut next = point.parent.clone();
    while let Some(parent) = next.filter(|parent| !chain.contains(parent)) {
        let points = &inventory.recovery_points;
        let found = points.iter().find(|other| other.id == parent);
        next = found.and_then(|found| found.parent.clone());
        chain.push(parent);
    }
    chain
}
