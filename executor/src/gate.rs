//! Is this the tier that is meant? Asked before a tier is believed or written.
//!
//! A mount that is not mounted is an empty folder: its marker is missing. A tier that was used before and shows no marker, or
//! another one, is unreachable, never empty. Invariant: [`judge`] changes nothing; only [`admit`] may give a tier that
//! nobody has ever used its marker, and only for a run that holds the lease.

use crate::steps::error::StepError;
use catalog::Catalog;
use jiff::Timestamp;
use model::{Digest, TierName};
use providers::api::{Tier, TierState};

/// What an identity says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The tier that was used before.
    Same,
    /// A tier with a marker that this catalog has never used.
    New(String),
    /// Never used by anybody.
    Uninitialised,
    /// Used before, but its marker is not there.
    MarkerMissing { remembered: String },
    /// Another tier than the one that was used before.
    Other { found: String, remembered: String },
}

/// Compares what a tier shows with what is remembered of it.
pub(crate) fn judge(remembered: Option<&str>, found: Option<&str>) -> Identity {
    match (remembered, found) {
        (Some(remembered), Some(found)) if remembered == found => Identity::Same,
        (Some(remembered), Some(found)) => Identity::Other {
            found: found.to_owned(),
            remembered: remembered.to_owned(),
        },
        (Some(remembered), None) => Identity::MarkerMissing {
            remembered: remembered.to_owned(),
        },
        (None, Some(found)) => Identity::New(found.to_owned()),
        (None, None) => Identity::Uninitialised,
    }
}

impl Identity {
    /// Refuses a tier that is not the one that is meant.
    pub(crate) fn refuse_wrong(self, tier: &TierName) -> Result<Self, StepError> {
        match self {
            Self::MarkerMissing { remembered } => Err(StepError::MarkerMissing {
                tier: tier.clone(),
                remembered,
            }),
            Self::Other { found, remembered } => Err(StepError::OtherTier {
                tier: tier.clone(),
                found,
                remembered,
            }),
            fine => Ok(fine),
        }
    }
}

/// Looks at a tier and refuses it when it is not the one that was used before. Changes nothing.
pub(crate) async fn look(
    tier: &dyn Tier,
    catalog: Option<&Catalog>,
) -> Result<(Identity, TierState), StepError> {
    let state = tier.observe().await?;
    let remembered = match catalog {
        Some(catalog) => catalog.tier_identity(tier.name()).await?,
        None => None,
    };
    let identity = judge(remembered.as_deref(), state.identity.as_deref());
    Ok((identity.refuse_wrong(tier.name())?, state))
}

/// Lets a run use a tier: remembers a new one, and gives one that nobody has used its marker.
pub(crate) async fn admit(
    tier: &dyn Tier,
    catalog: &Catalog,
    run: &str,
    who: &str,
    now: Timestamp,
) -> Result<(), StepError> {
    let name = tier.name();
    match look(tier, Some(catalog)).await?.0 {
        Identity::New(found) => catalog.remember_tier(name, &found, who, now).await?,
        Identity::Uninitialised => {
            // Unique because the run's id is; and the tier answers with the identity of whoever was first.
            let wanted = Digest::sha256_of(format!("{run}/{name}").as_bytes());
            let given = tier
                .initialise(wanted.hex().get(..32).unwrap_or_default())
                .await?;
            catalog.remember_tier(name, &given, who, now).await?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_tier_without_its_marker_is_never_taken_for_an_empty_one() {
        assert_eq!(
            judge(Some("a"), None),
            Identity::MarkerMissing {
                remembered: "a".to_owned()
            }
        );
        assert!(matches!(
            judge(Some("a"), Some("b")),
            Identity::Other { .. }
        ));
        assert_eq!(judge(Some("a"), Some("a")), Identity::Same);
        assert_eq!(judge(None, Some("a")), Identity::New("a".to_owned()));
        assert_eq!(judge(None, None), Identity::Uninitialised);
    }
}
