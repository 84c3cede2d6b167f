//! One file of a server's log into the archive: success only when it is where the policy wants it.
//!
//! Not here: how a file lies on a tier (`archive`).

use super::{
    archive::{Put, WalStore},
    server,
};
use model::{TierName, WalFileName};
use providers::api::{ProviderError, Result};
use std::{path::Path, sync::Arc};

/// What became of a file that a server wanted archived.
#[derive(Debug)]
pub struct Pushed {
    /// Its name.
    pub name: WalFileName,
    /// By tier, the primary first.
    pub tiers: Vec<(TierName, Put)>,
}

/// Archives the file at `path` (`%p`) on every tier.
///
/// Errors: that of the first tier on which it is not durable; the server keeps the file and asks again.
pub async fn push(
    store: &Arc<WalStore>,
    path: &Path,
    system_identifier: Option<u64>,
) -> Result<Pushed> {
    let own = path.to_owned();
    let file = super::archive::blocking(move || server::read_file(&own, system_identifier)).await?;
    let mut tiers = Vec::new();
    let mut failed: Option<(TierName, ProviderError)> = None;
    for (tier, result) in store.put(&file).await {
        match result {
            Ok(put) => tiers.push((tier, put)),
            Err(error) => {
                failed.get_or_insert((tier, error));
            }
        }
    }
    match failed {
        None => Ok(Pushed {
            name: file.name(),
            tiers,
        }),
        Some((tier, error)) => Err(ProviderError {
            message: format!(
                "`{}` is not archived on tier `{tier}`: {error}",
                file.name()
            ),
            ..error
        }),
    }
}
