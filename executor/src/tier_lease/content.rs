//! The lease as it lies on a tier, and who it says has the tier.

use crate::{holder::Holder, steps::error::StepError};
use bytes::Bytes;
use jiff::Timestamp;
use providers::api::{ObjectKey, ProviderError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Name of the control object in a tier's root.
const FILE_NAME: &str = ".mainstay-lease.json";
/// Value of [`Content::format`].
pub(super) const FORMAT: &str = "mainstay.tier-lease.v1";
/// A declared time to live is believed up to here, so that no content can close a tier for ever.
const LONGEST: Duration = Duration::from_hours(1);

/// The lease as it lies on the tier; described in `docs/formats/tier-lease.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) format: String,
    /// Whether it was given back.
    pub(super) free: bool,
    /// Grows with every change of hands.
    pub(super) token: u64,
    /// Grows with every prolongation; all that others look at is whether the content changes.
    pub(super) beat: u64,
    pub(super) ttl_seconds: u64,
    /// Identity of the catalog that the holder works with, and the token of its lease there.
    pub(super) catalog: String,
    pub(super) catalog_token: u64,
    /// Machine and process, in the words of `holder.rs`.
    pub(super) holder: String,
    pub(super) run: String,
    pub(super) who: String,
    /// By the holder's clock; for people.
    pub(super) taken_at: Timestamp,
}

impl Content {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes)
            .ok()
            .filter(|content| content.format == FORMAT)
    }

    pub(super) fn bytes(&self) -> Result<Bytes, StepError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| {
            ProviderError::new(
                "mainstay::tier::leased",
                model::Disposition::Permanent,
                "cannot write the lease of the tier as text",
            )
            .source(error)
        })?;
        text.push(b'\n');
        Ok(Bytes::from(text))
    }

    /// Whether both were written by the same holder in one go.
    pub(super) fn is_same_tenure(&self, other: &Self) -> bool {
        (&self.catalog, self.catalog_token, self.token)
            == (&other.catalog, other.catalog_token, other.token)
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds).min(LONGEST)
    }
}

pub(super) fn key() -> Result<ObjectKey, StepError> {
    ObjectKey::new(FILE_NAME).ok_or(StepError::Panicked)
}

pub(super) fn describe(content: &Content) -> String {
    let process = Holder::parse(&content.holder)
        .map_or_else(|| content.holder.clone(), |holder| holder.describe());
    format!("run `{}` of {} ({process})", content.run, content.who)
}
