//! The checks beside the objectives: 3-2-1-1-0, key custody, restores that were tested, encryption.
//!
//! Invariants: what nobody has looked at is unproven, never passed; an exception changes what a failure means, never the verdict.
//! Not here: which check holds for a database with which parameters (`policy_schema`), objectives (`judge`).

use super::{
    minimums,
    proof::{CheckResult, DatabaseProof, Figure, Verdict},
    sources::{Known, pairs},
    words::span as words,
};
use model::{CopyState, KeyName, RecoveryPointId, TierName};
use policy_schema::{
    Policy,
    policy::{CheckId, CheckRule, ExceptionDeclaration, TierDeclaration},
};
use std::collections::{BTreeMap, BTreeSet};

/// More points than this are counted, not named.
const MOST_NAMED: usize = 20;

pub(super) struct Outcome {
    verdict: Verdict,
    why: String,
    points: Vec<RecoveryPointId>,
}

impl Outcome {
    pub(super) fn new(verdict: Verdict, why: impl Into<String>) -> Self {
        Self {
            verdict,
            why: why.into(),
            points: Vec::new(),
        }
    }
}

/// All enabled checks of one database.
pub(crate) fn results(
    policy: &Policy,
    known: &Known<'_>,
    proof: &DatabaseProof,
) -> Vec<CheckResult> {
    // What only sets a control of the report is told where somebody asks for it.
    let asked = CheckId::ALL
        .into_iter()
        .filter(|id| !id.sets_control() || policy.declared_check(*id, known.database).is_some());
    let enabled = asked
        .map(|id| policy.check_of(id, known.database))
        .filter(|check| check.enabled);
    enabled
        .map(|check| {
            let outcome = match check.rule {
                CheckRule::Objective {} => objective(check.id, proof),
                CheckRule::Copies { .. } => copies(policy, known, &check.rule),
                CheckRule::KeyCustody { recipients } => custody(known, recipients),
                CheckRule::RestoreTested { within } => {
                    let since = within.before(known.now, &policy.timezone);
                    tested(proof, since, &within.to_string(), known)
                }
                CheckRule::Encryption { off_site_only } => encryption(policy, known, off_site_only),
                CheckRule::Frequency { every } => minimums::frequency(policy, known, every),
                CheckRule::Retention { keep_for } => minimums::retention(policy, known, keep_for),
                CheckRule::Newest { age } => minimums::newest(known, age),
                CheckRule::Lock { lock_for } => minimums::lock(policy, known, lock_for),
            };
            let in_force = |one: &&ExceptionDeclaration| known.now < one.until;
            let mut exceptions = policy.exceptions_of(check.id, known.database);
            CheckResult {
                database: known.database.name.clone(),
                exception: exceptions.find(in_force).cloned(),
                points: outcome.points,
                id: check.id,
                parameters: check.rule,
                severity: check.severity,
                verdict: outcome.verdict,
                why: outcome.why,
            }
        })
        .collect()
}

fn objective(id: CheckId, proof: &DatabaseProof) -> Outcome {
    let figures = proof.ranges.iter().map(|range| match id {
        CheckId::Rpo => &range.rpo,
        _ => &range.rto,
    });
    // The youngest of the worst.
    let worst = figures.reduce(|a: &Figure, b| if b.verdict > a.verdict { b } else { a });
    worst.map_or_else(
        || Outcome::new(Verdict::NotAsked, "nothing is kept"),
        |figure| Outcome::new(figure.verdict, figure.why.clone()),
    )
}

fn copies(policy: &Policy, known: &Known<'_>, rule: &CheckRule) -> Outcome {
    let CheckRule::Copies {
        copies,
        count_source,
        media,
        off_site,
        immutable,
        errors,
    } = *rule
    else {
        return Outcome::new(Verdict::NotAsked, "");
    };
    let used: BTreeSet<&TierName> = pairs(known.database)
        .into_iter()
        .map(|(_, tier)| tier)
        .collect();
    let tiers: Vec<&TierDeclaration> = used
        .iter()
        .filter_map(|name| policy.tiers.get(*name))
        .collect();
    let source = usize::from(count_source);
    let kinds: BTreeSet<&str> = tiers.iter().map(|tier| tier.media.as_str()).collect();
    let locked = tiers.iter().filter(|tier| {
        let can = known.capabilities.get(&tier.name);
        can.is_some_and(model::Capabilities::locks_objects)
    });
    let counted = [
        ("copies", copies, tiers.len() + source),
        ("media", media, kinds.len() + source),
        (
            "off-site",
            off_site,
            tiers.iter().filter(|tier| tier.off_site).count(),
        ),
        ("immutable", immutable, locked.count()),
    ];
    let with = if count_source {
        ", the database itself counted"
    } else {
        ", the database itself not counted"
    };
    let lacking: Vec<String> = counted
        .iter()
        .filter(|(_, wanted, there)| *there < *wanted as usize)
        .map(|(what, wanted, there)| format!("{there} of {wanted} {what}"))
        .collect();
    if !lacking.is_empty() {
        return Outcome::new(Verdict::Violated, format!("{}{with}", lacking.join(", ")));
    }
    let mut wrong = BTreeSet::new();
    let mut seen = 0_usize;
    let mut faults = 0_usize;
    for point in known.points {
        for copy in point.copies.iter().filter(|copy| used.contains(&copy.tier)) {
            seen += 1;
            let fault = match copy.state {
                CopyState::Damaged | CopyState::Missing => true,
                CopyState::Present => copy.verified.is_none(),
                CopyState::Foreign => false,
            };
            if fault {
                faults += 1;
                wrong.insert(point.id.clone());
            }
        }
    }
    if faults > errors as usize {
        let why =
            format!("{faults} copies are damaged, gone or not verified, {errors} are allowed");
        let points = wrong.into_iter().take(MOST_NAMED).collect();
        return Outcome {
            points,
            ..Outcome::new(Verdict::Violated, why)
        };
    }
    if seen == 0 {
        return Outcome::new(
            Verdict::Unproven,
            "the policy provides for it, but nothing exists yet",
        );
    }
    let counts: Vec<String> = counted
        .iter()
        .map(|(what, _, there)| format!("{there} {what}"))
        .collect();
    Outcome::new(
        Verdict::Proved,
        format!("{}, {faults} errors{with}", counts.join(", ")),
    )
}

fn custody(known: &Known<'_>, recipients: u32) -> Outcome {
    let keys = &known.database.encrypt_with;
    if keys.is_empty() {
        return unencrypted(known);
    }
    let Some(trouble) = &known.facts.keys_in_trouble else {
        let enough = keys.len() >= recipients as usize;
        return if enough {
            let why = format!(
                "{} keys; nobody has looked whether they can be used",
                keys.len()
            );
            Outcome::new(Verdict::Unproven, why)
        } else {
            too_few(keys.len(), recipients)
        };
    };
    let bad: Vec<String> = keys
        .iter()
        .filter_map(|key| Some(format!("key {key}: {}", trouble.get(key)?)))
        .collect();
    let healthy = keys.len() - bad.len();
    let mut outcome = if healthy >= recipients as usize {
        Outcome::new(
            Verdict::Proved,
            format!("{healthy} keys, each of them alone opens the data"),
        )
    } else if bad.is_empty() {
        too_few(healthy, recipients)
    } else {
        let why = format!(
            "{healthy} of {recipients} keys can be relied upon: {}",
            bad.join("; ")
        );
        Outcome::new(Verdict::Violated, why)
    };
    outcome.add_lost(known, trouble);
    outcome
}

/// New points are not encrypted; older ones may be.
fn unencrypted(known: &Known<'_>) -> Outcome {
    let why = "it is not encrypted, so no key can be lost";
    let mut outcome = Outcome::new(Verdict::NotAsked, why);
    if let Some(trouble) = &known.facts.keys_in_trouble {
        outcome.add_lost(known, trouble);
    }
    outcome
}

impl Outcome {
    /// Says which points only keys in trouble open.
    fn add_lost(&mut self, known: &Known<'_>, trouble: &BTreeMap<KeyName, String>) {
        let lost = lost_points(known, trouble);
        if lost.is_empty() {
            return;
        }
        let of = |id| known.facts.recipients.get(id);
        let keys: BTreeSet<&KeyName> = lost.iter().filter_map(of).flatten().collect();
        let why = keys.iter().filter_map(|key| {
            let why = trouble.get(*key)?;
            let told = self.why.contains(&format!("key {key}: "));
            Some(format!("key {key}: {why}")).filter(|_| !told)
        });
        let why: Vec<String> = [self.why.clone()].into_iter().chain(why).collect();
        let words = if lost.len() == 1 {
            "recovery point is"
        } else {
            "recovery points are"
        };
        self.verdict = Verdict::Violated;
        self.why = format!(
            "{}; {} {words} opened by no other key",
            why.join("; "),
            lost.len()
        );
        self.points = lost.into_iter().take(MOST_NAMED).collect();
    }
}

fn too_few(keys: usize, recipients: u32) -> Outcome {
    let why = format!("{keys} of {recipients} keys: who loses it loses the data");
    Outcome::new(Verdict::Violated, why)
}

/// Points that only lost keys open.
fn lost_points(known: &Known<'_>, trouble: &BTreeMap<KeyName, String>) -> Vec<RecoveryPointId> {
    let declared: BTreeSet<KeyName> = known.database.encrypt_with.iter().cloned().collect();
    let points = known.points.iter().map(|point| &point.id);
    points
        .filter(|id| {
            // What is not known of a point is as the policy has it now.
            let keys = known.facts.recipients.get(*id).unwrap_or(&declared);
            !keys.is_empty() && keys.iter().all(|key| trouble.contains_key(key))
        })
        .cloned()
        .collect()
}

fn tested(
    proof: &DatabaseProof,
    since: jiff::Timestamp,
    within: &str,
    known: &Known<'_>,
) -> Outcome {
    if let Some(drill) = proof.failed_drills.first() {
        return Outcome::new(
            Verdict::Violated,
            format!("the newest run of drill {drill} failed"),
        );
    }
    let Some(tested) = &proof.last_tested else {
        return Outcome::new(Verdict::Unproven, "no restore and no drill was ever done");
    };
    let age = words(known.now.duration_since(tested.at).as_secs());
    let how = tested.drill.as_ref();
    let how = how.map_or_else(|| "a restore".to_owned(), |drill| format!("drill {drill}"));
    if tested.at < since {
        let why = format!("{how} ended well {age} ago, at most {within} is allowed");
        return Outcome::new(Verdict::Violated, why);
    }
    Outcome::new(
        Verdict::Proved,
        format!("{how} from {} ended well {age} ago", tested.tier),
    )
}

fn encryption(policy: &Policy, known: &Known<'_>, off_site_only: bool) -> Outcome {
    let off_site = |name: &TierName| policy.tiers.get(name).is_some_and(|tier| tier.off_site);
    let concerned = |name: &TierName| !off_site_only || off_site(name);
    let plain = |id: &RecoveryPointId| {
        known
            .facts
            .recipients
            .get(id)
            .is_some_and(BTreeSet::is_empty)
    };
    let points: Vec<RecoveryPointId> = known
        .points
        .iter()
        .filter(|point| plain(&point.id) && point.copies.iter().any(|copy| concerned(&copy.tier)))
        .map(|point| point.id.clone())
        .collect();
    if !points.is_empty() {
        let why = format!("{} recovery points are stored unencrypted", points.len());
        return Outcome {
            points: points.into_iter().take(MOST_NAMED).collect(),
            ..Outcome::new(Verdict::Violated, why)
        };
    }
    if !known.database.encrypt_with.is_empty() {
        let keys = known.database.encrypt_with.iter().map(KeyName::as_str);
        let keys: Vec<&str> = keys.collect();
        return Outcome::new(Verdict::Proved, format!("for {}", keys.join(" and ")));
    }
    let plain: BTreeSet<&str> = pairs(known.database)
        .into_iter()
        .filter(|(_, tier)| concerned(tier))
        .map(|(_, tier)| tier.as_str())
        .collect();
    if plain.is_empty() {
        return Outcome::new(Verdict::Proved, "nothing of it lies off-site");
    }
    let tiers: Vec<&str> = plain.into_iter().collect();
    Outcome::new(
        Verdict::Violated,
        format!("stored unencrypted on {}", tiers.join(", ")),
    )
}
