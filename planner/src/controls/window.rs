//! The archived log: whether every moment of the promised window can be recovered.
//!
//! What is promised is the retention of the log on each tier; it begins where the policy first asked for it, plus the time until the
//! first base can be there. Of the stretches that can be recovered only the last counts: a hole before it is a hole in the window.

use super::{
    standing::Standing,
    verdict::{moment, number, subject},
};
use jiff::{SignedDuration, Timestamp};
use model::{
    DatabaseName, TierName,
    evidence::{ControlVerdict, LogFact, RetentionEvidence, SubjectResult},
};
use policy_schema::DatabaseDemands;

/// `recovery.window`.
pub(super) fn window(standing: &Standing<'_>, _: &RetentionEvidence) -> Vec<SubjectResult> {
    let until = standing.facts.until;
    let mut subjects = Vec::new();
    for (name, declared, demands) in standing.databases() {
        for (tier, keep) in &declared.log {
            let keep = keep.approximate();
            let gaps = declared.series.values();
            let first_base = gaps
                .map(|series| series.schedule.largest_gap(until, &demands.zone))
                .max()
                .unwrap_or_default();
            let asked = Asked {
                from: until.checked_sub(keep).unwrap_or(Timestamp::UNIX_EPOCH),
                since: asked_since(standing, name, tier),
                first_base,
            };
            let mut logs = standing.facts.logs.iter();
            let log = logs.find(|log| log.database == *name && log.tier == *tier);
            let (verdict, why) = judge(&asked, log, until);
            subjects.push(subject(
                format!("{name}@{tier}"),
                verdict,
                why,
                &[
                    ("promised-seconds", keep.as_secs()),
                    (
                        "reached-seconds",
                        log.and_then(|log| log.whole_since.last())
                            .map_or(0, |since| standing.age(*since).as_secs()),
                    ),
                    (
                        "stretches",
                        number(log.map_or(0, |log| log.whole_since.len())),
                    ),
                ],
            ));
        }
    }
    subjects
}

/// What is promised of one log on one tier.
struct Asked {
    /// The window begins here, once it has its length.
    from: Timestamp,
    /// Since when the policies have asked for it without a break.
    since: Timestamp,
    /// How long the first base may be away.
    first_base: SignedDuration,
}

fn judge(asked: &Asked, log: Option<&LogFact>, until: Timestamp) -> (ControlVerdict, String) {
    let Some(log) = log else {
        let why = "nobody has looked at what is archived there";
        return (ControlVerdict::CannotTell, why.to_owned());
    };
    let begins = asked
        .since
        .checked_add(asked.first_base)
        .unwrap_or(until)
        .max(asked.from);
    let reached = log.whole_since.last().filter(|_| log.reaches_end);
    match reached {
        Some(since) if *since <= begins => {
            let why = format!("every moment since {} can be recovered", moment(*since));
            (ControlVerdict::Met, why)
        }
        _ if begins >= until => {
            let why = format!(
                "it is asked for since {} only, and its first base may not be there yet",
                moment(asked.since)
            );
            (ControlVerdict::CannotTell, why)
        }
        Some(since) => {
            let hole = if log.whole_since.len() > 1 {
                "; there is a hole before it"
            } else {
                ""
            };
            let why = format!(
                "moments since {} can be recovered, since {} they should{hole}",
                moment(*since),
                moment(begins)
            );
            (ControlVerdict::NotMet, why)
        }
        None => {
            let why = "no base is followed by log up to the end of what is archived";
            (ControlVerdict::NotMet, why.to_owned())
        }
    }
}

fn asked_since(standing: &Standing<'_>, name: &DatabaseName, tier: &TierName) -> Timestamp {
    let asks = |declared: &DatabaseDemands| declared.log.contains_key(tier);
    standing
        .policies
        .iter()
        .rev()
        .skip_while(|policy| policy.fact.since > standing.facts.until)
        .take_while(|policy| {
            let demands = policy.demands.as_ref();
            demands.is_some_and(|demands| demands.databases.get(name).is_some_and(asks))
        })
        .last()
        .map_or(standing.facts.until, |policy| policy.fact.since)
}
