//! Making archived copies readable: asking, looking how far it is, and saying so.
//!
//! Invariant: a repeat asks for nothing twice; an object that is readable, or being made so, is only looked at.

use crate::{
    clock::Clock,
    steps::error::{StepError, chain},
    stored,
    wiring::Wiring,
};
use jiff::{SignedDuration, Timestamp};
use model::{Disposition, Manifest, RecoveryPointId, ThawOrder, TierName, event::Failure};
use providers::api::{Readiness, Tier};
use std::{sync::Arc, time::Duration};

/// Every code of this file, for the test that each has its page in `docs/errors/`.
pub(crate) const CODES: &[&str] = &["mainstay::restore::archived", "mainstay::restore::thawing"];

/// Gets a sentence about a wait that goes on.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// What a restore does when only archived copies are left. A thaw is paid for, and takes hours.
#[derive(Clone)]
pub enum ThawPolicy {
    /// Says that one is archived.
    Refuse,
    /// Asks the archive and ends; the same command goes on when the copy is readable.
    Ask,
    /// Asks the archive and waits. Cancellation leaves the thaw under way.
    AskAndWait {
        /// Pause between two looks.
        poll: Duration,
        /// Is told what is being waited for.
        tell: Tell,
    },
}

/// Why an archived copy cannot be restored now.
pub(crate) enum NotThawed {
    /// The copy or its tier is bad.
    Failed(StepError),
    /// It is not readable yet, or nobody may ask for it.
    Waiting(Failure),
}

impl From<StepError> for NotThawed {
    fn from(error: StepError) -> Self {
        Self::Failed(error)
    }
}

/// How long a thaw typically takes on a tier.
pub(crate) fn typical_seconds(wiring: &Wiring, tier: &TierName) -> u64 {
    let wired = wiring.tiers.get(tier);
    wired
        .and_then(|wired| wired.tier.capabilities().thaw)
        .map_or(0, |order| order.typical_seconds)
}

/// Makes a copy readable as far as the policy allows; `Ok` when it is.
pub(crate) async fn for_restore(
    tier: &dyn Tier,
    manifest: &Manifest,
    policy: &ThawPolicy,
    clock: &Arc<dyn Clock>,
) -> Result<(), NotThawed> {
    let (point, name) = (&manifest.id, tier.name());
    let Some(order) = tier.capabilities().thaw else {
        return Ok(());
    };
    if matches!(policy, ThawPolicy::Refuse) {
        return Err(NotThawed::Waiting(Failure {
            code: CODES[0].to_owned(),
            message: format!(
                "the copy of `{point}` on `{name}` is archived, and no tier has one that can be read at once"
            ),
            help: Some(format!(
                "run the same command with `--thaw`: the archive then makes it readable, which typically takes {} and is paid for",
                span(order.typical_seconds)
            )),
            disposition: Disposition::NeedsOperator,
        }));
    }
    let Thaw::Waiting { asked, objects } = ask(tier, manifest, &order).await? else {
        return Ok(());
    };
    let waiting = words(point, name, &order, asked, objects, clock.now());
    let ThawPolicy::AskAndWait { poll, tell } = policy else {
        return Err(NotThawed::Waiting(Failure {
            code: CODES[1].to_owned(),
            message: waiting,
            help: Some("run the same command again then; nothing is asked for twice".to_owned()),
            disposition: Disposition::Retry,
        }));
    };
    tell(&waiting);
    loop {
        tokio::time::sleep(*poll).await;
        match is_readable(tier, manifest).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // A wait of hours must survive a network that is away for a minute.
            Err(error) if error.disposition() == Disposition::Retry => {
                tell(&format!("could not ask `{name}`: {}", chain(&error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thaw {
    /// All of it can be read.
    Ready {
        /// Objects that were asked for now, and are readable at once.
        asked: usize,
    },
    /// Some of it cannot yet.
    Waiting {
        /// Objects that were asked for now; the others were before.
        asked: usize,
        /// Objects that cannot be read yet.
        objects: usize,
    },
}

/// Asks for every object of a copy that is archived and not yet asked for.
pub(crate) async fn ask(
    tier: &dyn Tier,
    manifest: &Manifest,
    order: &ThawOrder,
) -> Result<Thaw, StepError> {
    let (mut asked, mut objects) = (0, 0);
    for object in &manifest.objects {
        let key = stored::key(&manifest.id, &object.file)?;
        let before = tier
            .readiness(&key)
            .await
            .map_err(|error| missing(error, &manifest.id, tier.name(), &object.file))?;
        let now = if before == Readiness::Archived {
            asked += 1;
            tier.thaw(&key, order).await?
        } else {
            before
        };
        if !matches!(now, Readiness::Ready { .. }) {
            objects += 1;
        }
    }
    Ok(if objects == 0 {
        Thaw::Ready { asked }
    } else {
        Thaw::Waiting { asked, objects }
    })
}

/// Whether every object of a copy can be read now. Asks for nothing.
pub(crate) async fn is_readable(tier: &dyn Tier, manifest: &Manifest) -> Result<bool, StepError> {
    if tier.capabilities().thaw.is_none() {
        return Ok(true);
    }
    for object in &manifest.objects {
        let key = stored::key(&manifest.id, &object.file)?;
        let readiness = tier
            .readiness(&key)
            .await
            .map_err(|error| missing(error, &manifest.id, tier.name(), &object.file))?;
        if !matches!(readiness, Readiness::Ready { .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn missing(
    error: providers::api::ProviderError,
    point: &RecoveryPointId,
    tier: &TierName,
    file: &str,
) -> StepError {
    if error.code == stored::NOT_FOUND {
        StepError::Missing {
            point: point.clone(),
            tier: tier.clone(),
            why: format!("`{file}` is not there"),
        }
    } else {
        error.into()
    }
}

/// What is being waited for, and until when about.
pub(crate) fn words(
    point: &RecoveryPointId,
    tier: &TierName,
    order: &ThawOrder,
    asked: usize,
    objects: usize,
    now: Timestamp,
) -> String {
    let typical =
        SignedDuration::from_secs(i64::try_from(order.typical_seconds).unwrap_or(i64::MAX));
    let objects = if objects == 1 {
        "1 object".to_owned()
    } else {
        format!("{objects} objects")
    };
    let when = if asked == 0 {
        format!(
            "asked for by an earlier run; it typically takes {}",
            span(order.typical_seconds)
        )
    } else {
        let about = now.saturating_add(typical).map_or_else(
            |_| String::new(),
            |at| format!(", about {}", at.round(jiff::Unit::Minute).unwrap_or(at)),
        );
        format!(
            "asked for at {now}; typically readable after {}{about}, and then for {} d",
            span(order.typical_seconds),
            order.days
        )
    };
    format!("`{tier}` is making {objects} of `{point}` readable ({when})")
}

/// A length in the largest unit that fits.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::tier_facts::RetrievalSpeed;

    #[test]
    fn words_say_when_it_is_typically_ready() {
        let point = RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap();
        let tier = TierName::new("glacier").unwrap();
        let order = ThawOrder {
            speed: RetrievalSpeed::Bulk,
            days: 7,
            typical_seconds: 48 * 3600,
        };
        let now = "2026-11-21T02:00:10Z".parse().unwrap();
        insta::assert_snapshot!(words(&point, &tier, &order, 2, 2, now), @"`glacier` is making 2 objects of `orders/daily/20261121T020000Z` readable (asked for at 2026-11-21T02:00:10Z; typically readable after 48 h, about 2026-11-23T02:00:00Z, and then for 7 d)");
        insta::assert_snapshot!(words(&point, &tier, &order, 0, 1, now), @"`glacier` is making 1 object of `orders/daily/20261121T020000Z` readable (asked for by an earlier run; it typically takes 48 h)");
    }

    #[test]
    fn spans_are_short() {
        let spans: Vec<_> = [5, 300, 7199, 7200, 172_800]
            .into_iter()
            .map(span)
            .collect();
        assert_eq!(spans, ["5 s", "5 min", "120 min", "2 h", "48 h"]);
    }
}
