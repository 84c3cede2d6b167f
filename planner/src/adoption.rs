//! Which existing files become recovery points, on which tiers, and what that would let go.
//!
//! All files are judged at once, together with the points that exist, by the same rules as every plan: a copy is planned only
//! where a keep rule keeps the point, because the next plan would prune it elsewhere. The steps are those of an ordinary backup:
//! made on the first tier that wants it, proved, copied on from there. Pure.
//! Not here: what files are and of when (`providers::adopt`), carrying out (`executor`).

use crate::{
    Options,
    draft::{Candidate, Draft, Output, Words},
    draft_plan,
    facts::{SeriesFacts, by_series},
    lifetime::{self, Until},
    log::Log,
    order,
    retention::calendar::Moment,
    rules,
    world::World,
};
use jiff::Timestamp;
use model::{
    ByteCount, Copy, CopyState, Inventory, Plan, PointState, Reason, ReasonCode, RecoveryPoint,
    RecoveryPointId, TierName, Verified, VerifyLevel, plan::Kept, tier_facts::TierCapabilities,
};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Series},
};
use std::collections::{BTreeMap, BTreeSet};

/// A state of a database that lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingState {
    /// Of when it is, in whole seconds: the slot of its point.
    pub slot: Timestamp,
    /// Size of the file.
    pub bytes: ByteCount,
}

/// What adoption would do.
#[derive(Debug)]
pub struct Adoption {
    /// Its steps; without steps there is nothing to adopt.
    pub plan: Plan,
    /// What becomes of each file, in the order given.
    pub verdicts: Vec<AdoptionVerdict>,
    /// Copies that something keeps today and nothing would keep beside the new points.
    pub displaced: Vec<Displaced>,
}

/// What becomes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionVerdict {
    /// The point that it would be.
    pub point: RecoveryPointId,
    /// Tiers that keep it, in the policy's order; none: no rule keeps it.
    pub tiers: Vec<StayOnTier>,
    /// Why it cannot be made now although a rule keeps it.
    pub waits: Option<Reason>,
}

/// How long a tier keeps a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StayOnTier {
    /// Tier.
    pub tier: TierName,
    /// The rules that keep it, in words.
    pub reasons: Vec<String>,
    /// Until when.
    pub until: Until,
}

/// A copy that the next plan would let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    /// Point.
    pub point: RecoveryPointId,
    /// Tier.
    pub tier: TierName,
    /// What keeps it today.
    pub reasons: Vec<String>,
}

/// Judges the files of one series. Slots that are taken by points that exist are not to be among them.
pub fn adoption(
    policy: &Policy,
    inventory: &Inventory,
    capabilities: &TierCapabilities,
    now: Timestamp,
    (database, series): (&DatabaseDeclaration, &Series),
    states: &[ExistingState],
) -> Adoption {
    let mut alone = policy.clone();
    alone.databases.retain(|name, _| *name == database.name);
    let at = Scene {
        policy: &alone,
        capabilities,
        now,
        database,
        series,
    };
    let today = at.kept(inventory);
    let (mut stays, locked_until) = at.stays(inventory, states);
    // Whatever else the rules look at, what the next plan would not keep must not be made.
    let tomorrow = at.kept(&at.with(inventory, states, |index, tier| {
        stays[index].iter().any(|stay| stay.tier == *tier)
    }));
    for (state, stays) in states.iter().zip(&mut stays) {
        let id = at.id(state);
        stays.retain(|stay| tomorrow.contains_key(&(id.clone(), stay.tier.clone())));
    }
    let displaced = today
        .into_iter()
        .filter(|(copy, _)| !tomorrow.contains_key(copy))
        .map(|((point, tier), reasons)| Displaced {
            point,
            tier,
            reasons,
        })
        .collect();
    let (mut plan, waits) = at.steps(inventory, states, &stays, &locked_until);
    plan.policy_digest = policy.digest.clone();
    let verdicts = states
        .iter()
        .zip(stays)
        .zip(waits)
        .map(|((state, tiers), waits)| AdoptionVerdict {
            point: at.id(state),
            tiers,
            waits,
        })
        .collect();
    Adoption {
        plan: plan.clone().seal().unwrap_or(plan),
        verdicts,
        displaced,
    }
}

/// By point and tier.
type KeptCopies = BTreeMap<(RecoveryPointId, TierName), Vec<String>>;
/// By state and tier: until when a copy may be locked.
type Locks = Vec<Vec<Option<Timestamp>>>;

struct Scene<'a> {
    policy: &'a Policy,
    capabilities: &'a TierCapabilities,
    now: Timestamp,
    database: &'a DatabaseDeclaration,
    series: &'a Series,
}

impl Scene<'_> {
    fn id(&self, state: &ExistingState) -> RecoveryPointId {
        RecoveryPointId::new(&self.database.name, &self.series.name, state.slot)
    }

    /// The inventory as it would be with copies of the files on these tiers, made and verified.
    fn with(
        &self,
        inventory: &Inventory,
        states: &[ExistingState],
        on: impl Fn(usize, &TierName) -> bool,
    ) -> Inventory {
        let mut inventory = inventory.clone();
        let taken: BTreeSet<RecoveryPointId> = states.iter().map(|state| self.id(state)).collect();
        inventory
            .recovery_points
            .retain(|point| point.database == self.database.name && !taken.contains(&point.id));
        for (index, state) in states.iter().enumerate() {
            let tiers = self.series.keep.iter().map(|(tier, _)| tier);
            let copies: Vec<Copy> = tiers
                .filter(|tier| on(index, tier))
                .map(|tier| self.copy(state, tier))
                .collect();
            if copies.is_empty() {
                continue;
            }
            inventory.recovery_points.push(RecoveryPoint {
                adopted: true,
                bytes: state.bytes,
                captured_at: state.slot,
                copies,
                database: self.database.name.clone(),
                id: self.id(state),
                method: self.series.method.clone(),
                parent: None,
                series: self.series.name.clone(),
                slot: state.slot,
                state: PointState::Complete,
                wal: None,
            });
        }
        inventory
    }

    fn copy(&self, state: &ExistingState, tier: &TierName) -> Copy {
        Copy {
            bytes: state.bytes,
            held: false,
            locked_until: None,
            state: CopyState::Present,
            stored_at: self.now,
            tier: tier.clone(),
            verified: Some(Verified {
                at: self.now,
                level: VerifyLevel::FullRead,
            }),
        }
    }

    /// What a plan keeps of this series.
    fn kept(&self, inventory: &Inventory) -> KeptCopies {
        let options = Options::default();
        let plan = draft_plan(
            self.policy,
            inventory,
            self.capabilities,
            self.now,
            &options,
        );
        let (database, series) = (self.database.name.as_str(), self.series.name.as_str());
        let mine = |kept: &Kept| {
            let point = &kept.recovery_point;
            point.database() == database && point.series() == series
        };
        plan.kept
            .into_iter()
            .filter(mine)
            .map(|kept| {
                let reasons = kept.reasons.iter().map(ToString::to_string).collect();
                ((kept.recovery_point, kept.tier), reasons)
            })
            .collect()
    }

    /// Which tiers keep each file if every tier had all of them, how long, and for how long copies may be locked.
    fn stays(
        &self,
        inventory: &Inventory,
        states: &[ExistingState],
    ) -> (Vec<Vec<StayOnTier>>, Locks) {
        let everywhere = self.with(inventory, states, |_, _| true);
        let options = Options::default();
        let world = World::new(
            self.policy,
            &everywhere,
            self.capabilities,
            self.now,
            &options,
        );
        let facts = self.facts(&world, &everywhere);
        let mut words = Words::default();
        let mut draft = Draft::new(&facts, &mut words);
        rules::want(&world, &facts, &mut draft);
        let tiers: Vec<Vec<lifetime::Stay>> = facts
            .tiers
            .iter()
            .enumerate()
            .map(|(tier, here)| lifetime::stays(&world, &facts, tier, here.keep))
            .collect();
        let mut stays = Vec::with_capacity(states.len());
        let mut locks = Vec::with_capacity(states.len());
        let places: BTreeMap<&RecoveryPointId, usize> = facts
            .points
            .iter()
            .enumerate()
            .map(|(index, facts)| (&facts.point.id, index))
            .collect();
        for state in states {
            let Some(index) = places.get(&self.id(state)).copied() else {
                stays.push(Vec::new());
                locks.push(vec![None; facts.tiers.len()]);
                continue;
            };
            let here = facts.tiers.iter().zip(&tiers).enumerate();
            let kept = here
                .filter(|(tier, (_, stays))| {
                    draft.tiers[*tier].wanted[index] && !stays[index].reasons.is_empty()
                })
                .map(|(_, (tier, stays))| StayOnTier {
                    tier: tier.name.clone(),
                    reasons: stays[index]
                        .reasons
                        .iter()
                        .map(|reason| reason.why.to_string())
                        .collect(),
                    until: stays[index].until,
                });
            stays.push(kept.collect());
            let until = draft.tiers.iter();
            locks.push(
                until
                    .map(|tier| tier.kept_until.get(index).copied().flatten())
                    .collect(),
            );
        }
        (stays, locks)
    }

    fn facts<'w>(&'w self, world: &World<'w>, inventory: &'w Inventory) -> SeriesFacts<'w> {
        let groups = by_series(&inventory.recovery_points);
        let points = groups.get(&(&self.database.name, &self.series.name));
        let points = points.cloned().unwrap_or_default();
        let mut facts = SeriesFacts::new(world, self.database, self.series, points);
        facts.log = Log::new(world, self.database).needs_of(&facts);
        facts
    }

    /// The plan that makes the copies, and why what is kept cannot be made now.
    fn steps(
        &self,
        inventory: &Inventory,
        states: &[ExistingState],
        stays: &[Vec<StayOnTier>],
        locks: &Locks,
    ) -> (Plan, Vec<Option<Reason>>) {
        let options = Options::default();
        let world = World::new(
            self.policy,
            inventory,
            self.capabilities,
            self.now,
            &options,
        );
        let facts = self.facts(&world, inventory);
        let mut words = Words::default();
        let mut output = Output::default();
        let mut waits = Vec::with_capacity(states.len());
        for ((state, stays), locks) in states.iter().zip(stays).zip(locks) {
            let mut draft = Draft::new(&facts, &mut words);
            for (tier, mine) in draft.tiers.iter_mut().enumerate() {
                let name = facts.tiers[tier].name;
                mine.wants_candidate = stays.iter().any(|stay| stay.tier == *name);
                mine.candidate_kept_until = locks.get(tier).copied().flatten();
            }
            draft.candidate = Some(self.candidate(state));
            waits.push(plan_one(&world, &facts, &mut draft));
            output.append(draft.output);
        }
        let mut plan = draft_plan(
            self.policy,
            inventory,
            self.capabilities,
            self.now,
            &options,
        );
        // An adoption prunes nothing and brings no retention into force; those are the next plan's.
        plan.narrow_to(order::topological(output.steps));
        plan.not_planned = output.not_planned;
        (plan, waits)
    }

    fn candidate(&self, state: &ExistingState) -> Candidate {
        Candidate {
            id: self.id(state),
            slot: state.slot,
            moment: Moment::new(state.slot, &self.policy.timezone),
            reason: Reason::new(
                ReasonCode::FileAdopted,
                "an existing file becomes a recovery point",
            ),
            bytes: Some(state.bytes),
            primary: None,
            chain: Vec::new(),
        }
    }
}

/// Plans one; gives why not, if a tier wants it and none that does can take it.
fn plan_one(world: &World<'_>, facts: &SeriesFacts<'_>, draft: &mut Draft<'_>) -> Option<Reason> {
    let wanting: Vec<usize> = (0..facts.tiers.len())
        .filter(|tier| draft.tiers[*tier].wants_candidate)
        .collect();
    if wanting.is_empty() {
        return None;
    }
    rules::make(world, facts, draft);
    let made = draft.candidate.as_ref().and_then(|made| made.primary);
    if made.is_some_and(|tier| wanting.contains(&tier)) {
        return None;
    }
    draft.output.steps.clear();
    let away = wanting.iter().find(|tier| !facts.tiers[**tier].reachable);
    Some(match (away, draft.output.not_planned.pop()) {
        (Some(tier), _) => Reason::new(
            ReasonCode::TierUnreachable,
            format!("{} could not be observed", facts.tiers[*tier].name),
        ),
        (None, Some(why)) => why.reason,
        (None, None) => Reason::new(ReasonCode::TierFull, "no tier that keeps it can take it"),
    })
}
