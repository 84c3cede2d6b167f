//! What lies in an archive on one tier, and what is removed from it.
//!
//! Not here: whether anything still needs a file; who calls `delete` has decided that.

use super::{
    WalListing, WalObject, WalStore,
    names::{Part, of_key},
};
use crate::wal::cluster;
use model::{TierName, WalFileName};
use providers::api::Result;

impl WalStore {
    /// Everything in the archive on one tier.
    pub async fn list(&self, tier: &TierName) -> Result<WalListing> {
        let tier = self.tier(tier)?;
        let mut listing = WalListing {
            clusters: cluster::read(tier, &self.database)
                .await?
                .map(|(found, _)| found),
            ..WalListing::default()
        };
        let prefix = format!("{}/wal/", self.database);
        for info in tier.list(&prefix).await? {
            let path = info.key.as_str();
            let inner = path.strip_prefix(&prefix).unwrap_or(path);
            match of_key(&self.database, inner) {
                Some(Part::File(system_identifier, name)) => listing.files.push(WalObject {
                    name,
                    system_identifier,
                    bytes: info.bytes,
                    stored_at: info.stored_at,
                    key: info.key,
                }),
                Some(Part::Control) => {}
                None => listing.strangers.push(path.to_owned()),
            }
        }
        listing
            .files
            .sort_by_key(|file| (file.system_identifier, file.name));
        Ok(listing)
    }

    /// Deletes one file of the archive on one tier. `false`: it was not there. The caller has decided that nothing needs it.
    pub async fn delete(&self, tier: &TierName, file: &WalObject) -> Result<bool> {
        self.tier(tier)?.delete(&file.key).await
    }

    /// Deletes the beginnings of a segment on one tier, or only those shorter than `keep`: a longer one, or the whole, is there.
    pub(crate) async fn delete_beginnings(
        &self,
        tier: &TierName,
        system_identifier: u64,
        segment: WalFileName,
        keep: Option<u32>,
    ) -> Result<()> {
        let tier = self.tier(tier)?;
        let folder = self.folder(system_identifier, segment).path();
        for info in tier.list(&format!("{folder}/{segment}.")).await? {
            let inner = info.key.as_str().split_once("/wal/");
            let part = inner.and_then(|(_, inner)| of_key(&self.database, inner));
            let Some(Part::File(_, WalFileName::Beginning { length, .. })) = part else {
                continue;
            };
            if keep.is_none_or(|keep| length < keep) {
                tier.delete(&info.key).await?;
            }
        }
        Ok(())
    }

    /// Whether a file is on a tier, by its name alone.
    pub async fn has(
        &self,
        tier: &TierName,
        system_identifier: u64,
        name: WalFileName,
    ) -> Result<bool> {
        let tier = self.tier(tier)?;
        let first = !self.encrypt_for.is_empty();
        for encrypted in [first, !first] {
            let key = self.key(system_identifier, name, encrypted)?;
            if tier.stat(&key).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
