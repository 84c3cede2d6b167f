//! The emergency scripts that lie beside the copies on every tier: how to bring them back without this program.
//!
//! Written create-only, before the first copy that a run stores on a tier. A kit that an older version wrote stays: it reads
//! what that version wrote, and nothing is ever overwritten. Its files are no recovery points and never strangers.

use crate::{steps::error::StepError, stored};
use bytes::Bytes;
use model::{Disposition, TierName};
use providers::api::{NewObject, ObjectKey, ProviderError, Tier};
use std::collections::BTreeSet;
use tokio::sync::Mutex;

/// Folder of the kit, with its slash.
const FOLDER: &str = "recovery-kit/";

/// Keys and contents.
pub(crate) const FILES: &[(&str, &str)] = &[
    (
        "recovery-kit/README.md",
        include_str!("../recovery-kit/README.md"),
    ),
    (
        "recovery-kit/recover.py",
        include_str!("../recovery-kit/recover.py"),
    ),
    (
        "recovery-kit/recover.sh",
        include_str!("../recovery-kit/recover.sh"),
    ),
];

/// Whether an object of a tier is one of the kit's.
pub(crate) fn is_part(key: &ObjectKey) -> bool {
    FILES.iter().any(|(name, _)| *name == key.as_str())
}

/// Tiers on which this run has seen the kit.
#[derive(Debug, Default)]
pub(crate) struct KitsSeen(Mutex<BTreeSet<TierName>>);

impl KitsSeen {
    /// Puts the kit on a tier that is about to get a copy; asks each tier once.
    pub(crate) async fn ensure_there(&self, tier: &dyn Tier) -> Result<(), StepError> {
        let mut seen = self.0.lock().await;
        if !seen.contains(tier.name()) {
            ensure_there(tier).await?;
            seen.insert(tier.name().clone());
        }
        Ok(())
    }
}

/// Writes those files of the kit that are not there.
pub(crate) async fn ensure_there(tier: &dyn Tier) -> Result<(), StepError> {
    let there = tier.list(FOLDER).await?;
    for (name, content) in FILES {
        if !there.iter().any(|info| info.key.as_str() == *name) {
            write(tier, name, content).await?;
        }
    }
    Ok(())
}

async fn write(tier: &dyn Tier, name: &str, content: &'static str) -> Result<(), ProviderError> {
    let key = ObjectKey::new(name).ok_or_else(|| {
        ProviderError::new(
            "mainstay::run::unsafe-key",
            Disposition::Permanent,
            format!("`{name}` is not a safe name on a tier"),
        )
    })?;
    let written = async {
        let mut writer = tier.create(&key, NewObject::index(content.len())).await?;
        writer.write(Bytes::from_static(content.as_bytes())).await?;
        writer.finish().await
    };
    match written.await {
        // Somebody was faster; the text is the same.
        Err(error) if error.code == stored::EXISTS => Ok(()),
        other => other.map(drop),
    }
}
