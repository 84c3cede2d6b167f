//! The copies as they are at the end of the period: present, verified, encrypted, off site, locked.

use super::{
    asked::{Asked, Source},
    standing::{Standing, place_words},
    verdict::{met, moment, number, subject},
};
use jiff::SignedDuration;
use model::{
    CopyState, DatabaseName, LockMode, RecoveryPointId, VerifyLevel,
    evidence::{
        ControlVerdict, CopyFact, CopyFate, LossFact, RetentionEvidence, SubjectResult, TierFact,
    },
};
use policy_schema::policy::CheckId;
use std::collections::BTreeSet;

/// `retention.no-foreign-deletion`.
pub(super) fn no_foreign_deletion(
    standing: &Standing<'_>,
    _: &RetentionEvidence,
) -> Vec<SubjectResult> {
    let facts = standing.facts;
    facts
        .tiers
        .keys()
        .map(|tier| {
            let known = || facts.copies.iter().filter(|copy| &copy.tier == tier);
            let count = |state| {
                known()
                    .filter(|copy| copy.fate == CopyFate::Exists(state))
                    .count()
            };
            let (missing, damaged) = (count(CopyState::Missing), count(CopyState::Damaged));
            let there = known().filter(|copy| copy.is_present()).count();
            // Also what was repaired since, or what no rule wants any more: it was there to be wanted then.
            let over: Vec<&LossFact> = losses(standing)
                .filter(|loss| &loss.tier == tier)
                .filter(|loss| {
                    !known().any(|copy| {
                        copy.recovery_point == loss.recovery_point
                            && matches!(
                                copy.fate,
                                CopyFate::Exists(CopyState::Missing | CopyState::Damaged)
                            )
                    })
                })
                .collect();
            let numbers = [
                ("present", number(there)),
                ("missing", number(missing)),
                ("damaged", number(damaged)),
                ("lost-before", number(over.len())),
            ];
            if let Some(last) = over.last() {
                let why = format!(
                    "{missing} copies are gone and {damaged} damaged; {} more were found so in the period, the last {} at {}",
                    over.len(),
                    last.recovery_point,
                    moment(last.at)
                );
                return subject(tier, ControlVerdict::NotMet, why, &numbers);
            }
            if missing + damaged > 0 {
                let why = format!("{missing} copies are gone and {damaged} damaged");
                return subject(tier, ControlVerdict::NotMet, why, &numbers);
            }
            if facts.unreachable_tiers.contains(tier) {
                let why = "the tier could not be reached";
                return subject(tier, ControlVerdict::CannotTell, why, &numbers);
            }
            if there == 0 {
                let why = "it holds no copy";
                return subject(tier, ControlVerdict::NotApplicable, why, &numbers);
            }
            let why = format!("all {there} copies are there");
            subject(tier, ControlVerdict::Met, why, &numbers)
        })
        .collect()
}

/// Losses of the period that no run of Mainstay explains.
fn losses<'s>(standing: &'s Standing<'_>) -> impl Iterator<Item = &'s LossFact> {
    let facts = standing.facts;
    facts
        .losses
        .iter()
        .filter(|loss| loss.by_run.is_none() && loss.at >= facts.from && loss.at <= facts.until)
}

/// `verification.level`.
pub(super) fn verified(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .places()
        .map(|(place, asked)| {
            let present: Vec<&CopyFact> = standing
                .lives
                .get(&place)
                .into_iter()
                .flatten()
                .map(|life| life.copy)
                .filter(|copy| copy.is_present())
                .collect();
            // Of what cannot be read at once the store's own word is the most that there is.
            let archive = standing
                .facts
                .tiers
                .get(&place.2)
                .is_some_and(|tier| tier.archive);
            let enough = |copy: &&&CopyFact| {
                copy.verified.is_some_and(|verified| {
                    verified.level >= asked.verify
                        || archive && verified.level == VerifyLevel::Attested
                })
            };
            let verified = present.iter().filter(enough).count();
            let any = present
                .iter()
                .filter(|copy| copy.verified.is_some())
                .count();
            let verdict = match present.len() {
                0 => ControlVerdict::NotApplicable,
                all => met(verified == all),
            };
            let why = format!(
                "{verified} of {} copies passed {}",
                present.len(),
                asked.verify
            );
            subject(
                place_words(&place),
                verdict,
                why,
                &[
                    ("copies", number(present.len())),
                    ("as-demanded", number(verified)),
                    ("verified-at-all", number(any)),
                ],
            )
        })
        .collect()
}

/// `encryption.at-rest`.
pub(super) fn encrypted(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, _, _)| {
            let all = standing.present(name).count();
            let count = |encrypted: Option<bool>| {
                standing
                    .present(name)
                    .filter(|copy| copy.encrypted == encrypted)
                    .count()
            };
            let (sealed, plain, unknown) = (count(Some(true)), count(Some(false)), count(None));
            let (verdict, why) = if all == 0 {
                (ControlVerdict::NotApplicable, "there is no copy".to_owned())
            } else if plain > 0 {
                (
                    ControlVerdict::NotMet,
                    format!("{plain} of {all} copies are not encrypted"),
                )
            } else if unknown > 0 {
                (
                    ControlVerdict::CannotTell,
                    format!("of {unknown} copies the manifest is not known"),
                )
            } else {
                (
                    ControlVerdict::Met,
                    format!("all {all} copies are encrypted"),
                )
            };
            subject(
                name,
                verdict,
                why,
                &[("copies", number(all)), ("encrypted", number(sealed))],
            )
        })
        .collect()
}

/// `encryption.custody`.
pub(super) fn custody(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, declared, _)| {
            let keys = &declared.encrypt_with;
            if keys.is_empty() {
                let why = "it is not encrypted";
                return subject(name, ControlVerdict::NotApplicable, why, &[]);
            }
            let trouble = |key: &model::KeyName| {
                let fact = standing.facts.keys.iter().find(|fact| &fact.name == key)?;
                fact.trouble.as_ref().map(|why| format!("`{key}`: {why}"))
            };
            let seen = keys
                .iter()
                .filter(|key| standing.facts.keys.iter().any(|fact| &fact.name == *key))
                .count();
            let troubled: Vec<String> = keys.iter().filter_map(trouble).collect();
            let numbers = [
                ("keys", number(keys.len())),
                ("in-trouble", number(troubled.len())),
            ];
            if let Some(first) = troubled.first() {
                return subject(name, ControlVerdict::NotMet, first.clone(), &numbers);
            }
            if keys.len() < 2 {
                let why = format!("only `{}` opens it", keys[0]);
                return subject(name, ControlVerdict::NotMet, why, &numbers);
            }
            if seen < keys.len() {
                let why = "nobody looked at its keys";
                return subject(name, ControlVerdict::CannotTell, why, &numbers);
            }
            let why = format!("{} keys open it, and all can be used", keys.len());
            subject(name, ControlVerdict::Met, why, &numbers)
        })
        .collect()
}

/// Judges each database by its good copies.
fn by_good_copies(
    standing: &Standing<'_>,
    judge: impl Fn(&DatabaseName, &[&CopyFact]) -> SubjectResult,
) -> Vec<SubjectResult> {
    standing
        .databases()
        .map(|(name, _, _)| {
            let good: Vec<&CopyFact> = standing.good(name).collect();
            judge(name, &good)
        })
        .collect()
}

fn tier_of<'s>(standing: &'s Standing<'_>, copy: &CopyFact) -> Option<&'s TierFact> {
    standing.facts.tiers.get(&copy.tier)
}

fn is_off_site(standing: &Standing<'_>, copy: &CopyFact) -> bool {
    tier_of(standing, copy).is_some_and(|tier| tier.off_site)
}

fn is_locked(standing: &Standing<'_>, copy: &CopyFact) -> bool {
    copy.locked_until
        .is_some_and(|until| until > standing.facts.until)
}

/// How long after its point was made a copy is locked.
fn locked_for(copy: &CopyFact) -> Option<SignedDuration> {
    let made = copy.captured_at.unwrap_or(copy.slot);
    copy.locked_until.map(|until| until.duration_since(made))
}

/// `copies.off-site`.
pub(super) fn off_site(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    by_good_copies(standing, |name, good| {
        let away = good
            .iter()
            .filter(|copy| is_off_site(standing, copy))
            .count();
        let why = match away {
            0 => "no good copy lies off site".to_owned(),
            away => format!("{away} good copies lie off site"),
        };
        subject(name, met(away > 0), why, &[("off-site", number(away))])
    })
}

/// `copies.separate-places`.
pub(super) fn separate_places(
    standing: &Standing<'_>,
    _: &RetentionEvidence,
) -> Vec<SubjectResult> {
    by_good_copies(standing, |name, good| {
        let places: BTreeSet<&str> = good
            .iter()
            .filter_map(|copy| tier_of(standing, copy))
            .map(|tier| tier.place.as_str())
            .collect();
        let why = match places.len() {
            0 => "it has no good copy".to_owned(),
            1 => "all good copies lie in one place".to_owned(),
            places => format!("good copies lie in {places} places"),
        };
        subject(
            name,
            met(places.len() > 1),
            why,
            &[("places", number(places.len()))],
        )
    })
}

/// `copies.3-2-1-1-0`, of the newest good point.
pub(super) fn three_two_one(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    by_good_copies(standing, |name, good| {
        let Some(newest) = newest(good) else {
            let why = "it has no good copy";
            return subject(name, ControlVerdict::NotMet, why, &[]);
        };
        let of_point: Vec<&CopyFact> = good
            .iter()
            .filter(|copy| copy.recovery_point == *newest)
            .copied()
            .collect();
        // The database itself is one copy, on a medium of its own.
        let copies = of_point.len() + 1;
        let media: BTreeSet<&str> = of_point
            .iter()
            .filter_map(|copy| tier_of(standing, copy))
            .map(|tier| tier.media.as_deref().unwrap_or(&tier.kind))
            .collect();
        let away = of_point
            .iter()
            .filter(|copy| is_off_site(standing, copy))
            .count();
        let locked = of_point
            .iter()
            .filter(|copy| is_locked(standing, copy))
            .count();
        let errors = standing
            .facts
            .copies
            .iter()
            .filter(|copy| copy.recovery_point == *newest)
            .filter(|copy| copy.deletion().is_none() && !copy.is_good())
            .count();
        let media = media.len();
        let fine = copies >= 3 && media >= 2 && away >= 1 && locked >= 1 && errors == 0;
        let why = format!(
            "newest good point: {copies} copies with the original, {media} media, {away} off site, {locked} locked, {errors} with an error or unverified"
        );
        subject(
            name,
            met(fine),
            why,
            &[
                ("copies", number(copies)),
                ("media", number(media)),
                ("off-site", number(away)),
                ("locked", number(locked)),
                ("errors", number(errors)),
            ],
        )
    })
}

/// The newest point among copies.
pub(super) fn newest<'c>(copies: &[&'c CopyFact]) -> Option<&'c RecoveryPointId> {
    copies
        .iter()
        .max_by_key(|copy| (copy.captured_at, &copy.recovery_point))
        .map(|copy| &copy.recovery_point)
}

/// `immutability.lock`.
pub(super) fn locked(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    by_good_copies(standing, |name, good| {
        let asked = Asked::new(&standing.facts.parameters, name, CheckId::MinimumLock);
        let locked: Vec<_> = good
            .iter()
            .filter(|copy| is_locked(standing, copy))
            .collect();
        let enough = locked
            .iter()
            .filter(|copy| locked_for(copy) >= Some(asked.length))
            .count();
        let mut why = match locked.iter().filter_map(|copy| copy.locked_until).max() {
            None => "no good copy is locked".to_owned(),
            Some(until) => format!(
                "{} good copies are locked, one until {}",
                locked.len(),
                moment(until)
            ),
        };
        if asked.source != Source::Default {
            why = format!(
                "{why}; {enough} of them for as long as check {} of the policy asks, {} h from when the point was made",
                CheckId::MinimumLock,
                asked.length.as_hours()
            );
        }
        subject(
            name,
            met(enough > 0),
            why,
            &[
                ("locked", number(locked.len())),
                ("locked-long-enough", number(enough)),
                ("asked-seconds", asked.length.as_secs()),
                asked.by_policy(),
            ],
        )
    })
}

/// `immutability.air-gap`.
pub(super) fn air_gap(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    by_good_copies(standing, |name, good| {
        let behind = good
            .iter()
            .filter(|copy| {
                is_off_site(standing, copy)
                    && is_locked(standing, copy)
                    && copy.encrypted == Some(true)
                    && tier_of(standing, copy)
                        .is_some_and(|tier| tier.lock == Some(LockMode::Compliance))
            })
            .count();
        let why = match behind {
            0 => "no good copy is off site, encrypted and locked for good".to_owned(),
            behind => format!("{behind} good copies are off site, encrypted and locked for good"),
        };
        subject(name, met(behind > 0), why, &[("behind-it", number(behind))])
    })
}
