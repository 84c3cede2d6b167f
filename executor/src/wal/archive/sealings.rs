//! What opens and seals the files of a folder, remembered for a while.

use super::{LOOK_AGAIN, WalStore};
use crate::wal::keys;
use model::{Disposition, wal::WalFolder};
use providers::{
    api::{ProviderError, Result, Tier},
    seal::Sealing,
};
use std::sync::PoisonError;
use tokio::time::Instant;

impl WalStore {
    pub(super) async fn sealing_for_reading(
        &self,
        tier: &dyn Tier,
        folder: &WalFolder,
    ) -> Result<Sealing> {
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        match keys::for_reading(&self.chain, tier, folder).await? {
            Some(sealing) => Ok(self.remember(tier, folder, sealing)),
            None => Err(ProviderError::new(
                "mainstay::wal::keys-lost",
                Disposition::NeedsOperator,
                format!(
                    "`{}` on tier `{}` holds encrypted files, and its `keys.json` is gone",
                    folder.path(),
                    tier.name()
                ),
            )
            .help("put `keys.json` back from another tier or from an earlier version of it")),
        }
    }

    pub(super) async fn sealing_for_writing(
        &self,
        tier: &dyn Tier,
        folder: &WalFolder,
    ) -> Result<Sealing> {
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        let _alone = self.making_keys.lock().await;
        if let Some(known) = self.known_sealing(tier, folder) {
            return Ok(known);
        }
        let others: Vec<_> = self
            .tiers
            .iter()
            .filter(|other| other.name() != tier.name())
            .cloned()
            .collect();
        let sealing =
            keys::for_writing(&self.chain, &self.encrypt_for, tier, &others, folder).await?;
        self.crash.hit("wal-after-keys");
        Ok(self.remember(tier, folder, sealing))
    }

    fn known_sealing(&self, tier: &dyn Tier, folder: &WalFolder) -> Option<Sealing> {
        let known = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(tier.name().clone(), folder.path()))
            .filter(|(at, _)| at.elapsed() < LOOK_AGAIN)
            .map(|(_, sealing)| sealing.clone())
    }

    fn remember(&self, tier: &dyn Tier, folder: &WalFolder, sealing: Sealing) -> Sealing {
        let mut known = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < LOOK_AGAIN);
        let what = (tier.name().clone(), folder.path());
        known.insert(what, (Instant::now(), sealing.clone()));
        sealing
    }
}
