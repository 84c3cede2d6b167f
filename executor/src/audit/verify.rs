//! Whether the audit is what was written: the chain in the catalog, and the signed exports on the tiers against it.
//!
//! Invariants: nothing is changed; memory does not grow with the chain. What could not be checked is said, never passed over.

use super::{
    SigningKey,
    tier_check::{self, Against, TierChecks},
};
use crate::wiring::TierWiring;
use catalog::{AuditDetails, AuditHead, Catalog, CatalogError};
use model::{
    Digest, TierName,
    audit::{ChainWalk, Flaw, SigningKeyName, details::EarlierChain},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Entries that are read from the catalog at once.
const PAGE: u64 = 1024;

/// What to check.
#[derive(Debug)]
pub struct VerifyAudit<'a> {
    /// The catalog; `None`: there is none, the exports are judged by themselves.
    pub catalog: Option<&'a Catalog>,
    /// Tiers whose exports are read.
    pub tiers: &'a BTreeMap<TierName, TierWiring>,
    /// Keys that the auditor has noted elsewhere: then no other counts.
    pub trusted: BTreeSet<SigningKeyName>,
    /// The key of this machine.
    pub own_key: Option<&'a SigningKey>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditCheck {
    /// The chain in the catalog; `None`: there is no catalog.
    pub catalog: Option<CatalogCheck>,
    /// Keys whose signatures counted.
    pub keys: BTreeSet<SigningKeyName>,
    /// Whether they are what the auditor had noted elsewhere.
    pub keys_were_given: bool,
    /// The exports on each tier.
    pub tiers: TierChecks,
}

/// What the chain in the catalog shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogCheck {
    /// Identity of the catalog.
    pub identity: String,
    /// Number of its last entry, as it remembers it.
    pub sequence: u64,
    /// Digest of its last entry.
    pub digest: Digest,
    /// What is wrong, the first few hundred.
    pub flaws: Vec<Flaw>,
    /// How many are wrong.
    pub flawed: u64,
    /// Whether the end that the catalog remembers is another one than that of its entries.
    pub end_differs: bool,
    /// Checkpoints of earlier chains that it names.
    pub earlier: Vec<EarlierChain>,
}

impl AuditCheck {
    /// Whether nothing is wrong, as far as it could be checked.
    pub fn is_sound(&self) -> bool {
        let catalog = self.catalog.as_ref();
        catalog.is_none_or(|check| check.flawed == 0 && !check.end_differs)
            && self.tiers.values().all(super::TierCheck::is_sound)
    }
}

/// Checks. Errors: only the catalog's; a tier that fails is part of the answer.
pub async fn verify_audit(order: VerifyAudit<'_>) -> Result<AuditCheck, CatalogError> {
    let mut check = AuditCheck {
        keys_were_given: !order.trusted.is_empty(),
        keys: order.trusted,
        ..AuditCheck::default()
    };
    let mut head = None;
    let mut stored = BTreeMap::new();
    if let Some(catalog) = order.catalog {
        let (chain, announced) = walk(catalog).await?;
        if !check.keys_were_given {
            check.keys = announced;
        }
        head = Some(AuditHead {
            digest: chain.digest.clone(),
            sequence: chain.sequence,
        });
        stored = catalog.audit_exports().await?;
        check.catalog = Some(chain);
    }
    if let (Some(own), false) = (order.own_key, check.keys_were_given) {
        check.keys.insert(own.name());
    }
    let mut work = JoinSet::new();
    for (name, wired) in order.tiers {
        let tier = Arc::clone(&wired.tier);
        let (catalog, head) = (order.catalog.cloned(), head.clone());
        let chain = check.catalog.as_ref();
        let identity = chain.map(|chain| chain.identity.clone());
        let keys = check.keys.clone();
        let stored = stored.get(name).cloned();
        let earlier = chain.map_or_else(Vec::new, |chain| chain.earlier.clone());
        work.spawn(async move {
            let against = Against {
                catalog: catalog.as_ref().zip(head.as_ref()),
                identity: identity.as_deref(),
                keys: &keys,
                stored: stored.as_ref(),
                earlier: &earlier,
            };
            let found = tier_check::check(&*tier, &against).await;
            (tier.name().clone(), found)
        });
    }
    check.tiers = work.join_all().await.into_iter().collect();
    Ok(check)
}

/// Walks along the chain in the catalog; also the keys that it announces.
async fn walk(catalog: &Catalog) -> Result<(CatalogCheck, BTreeSet<SigningKeyName>), CatalogError> {
    let identity = catalog.identity().await?;
    let head = catalog.audit_head().await?;
    let mut walk = ChainWalk::from_beginning(&identity);
    let mut keys = BTreeSet::new();
    let mut earlier = Vec::new();
    // Also what stands behind the remembered end: it was put there.
    loop {
        let page = catalog.audit_page(walk.last(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for entry in &page {
            walk.take(entry);
            match entry.typed() {
                Some(AuditDetails::SigningKey { public_key }) => {
                    keys.extend(public_key.parse::<SigningKeyName>());
                }
                Some(AuditDetails::CatalogRebuild { earlier: named, .. }) => earlier.extend(named),
                _ => {}
            }
        }
    }
    // Somebody may have appended meanwhile; that is no other end.
    let now = catalog.audit_head().await?;
    let last = walk.last();
    let digest = walk.digest().cloned().unwrap_or_else(tier_check::nothing);
    let (flaws, flawed) = walk.finish(head.sequence);
    let fits = |end: &AuditHead| end.sequence == last && (last == 0 || end.digest == digest);
    let cut = last < head.sequence;
    let grows = now.sequence > last;
    let check = CatalogCheck {
        end_differs: !cut && !grows && !fits(&now),
        identity,
        sequence: head.sequence.max(last),
        digest,
        flaws,
        flawed,
        earlier,
    };
    Ok((check, keys))
}

/// The newest signed checkpoint of every chain on the tiers that is not this catalog's; a tier that cannot be read shows none.
pub(crate) async fn earlier_chains(
    tiers: &BTreeMap<TierName, TierWiring>,
    own: &str,
) -> Vec<EarlierChain> {
    let mut earlier = Vec::new();
    for wired in tiers.values() {
        let Ok(names) = tier_check::names(&*wired.tier).await else {
            continue;
        };
        for (catalog, names) in names {
            if catalog == own {
                continue;
            }
            match tier_check::newest(&*wired.tier, &names).await {
                Ok(found) => earlier.extend(found),
                Err(error) => {
                    tracing::warn!(tier = %wired.tier.name(), code = error.code, "an export of an earlier audit cannot be read");
                }
            }
        }
    }
    earlier.sort();
    earlier
}
