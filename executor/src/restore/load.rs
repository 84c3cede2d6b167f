//! Gives a copy's plain objects to the engine, those of its chain, and the way to the archived log.
//!
//! Invariant: when a stream failed, its own copy is blamed, whatever the engine made of it: so the next try leaves out the
//! right copy of the right link.

use super::{milliseconds, order::RestoreOrder, replay, search::blames_the_copy};
use crate::{
    chain::{self, Avoided},
    clock::Clock,
    keys::KeyChain,
    meter::Meter,
    scratch::Scratch,
    steps::{self, error::StepError},
    thawing::{self, NotThawed},
    verification,
    wiring::{DatabaseWiring, Wiring},
};
use catalog::Catalog;
use model::{ByteCount, Manifest, RecoveryPointId, TierName};
use providers::{
    api::{RestoreRequest, Restored, Tier},
    seal::Sealing,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Everything that a try to load a copy needs.
pub(super) struct Load<'a> {
    pub(super) order: &'a RestoreOrder,
    pub(super) wiring: &'a Wiring,
    pub(super) catalog: Option<&'a Catalog>,
    pub(super) database: &'a DatabaseWiring,
    pub(super) scratch: &'a Scratch,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// Set when the engine would not begin: it read nothing, because the target or the machine is the trouble.
    pub(super) refused: &'a AtomicBool,
}

/// A copy that was loaded.
pub(super) struct Loaded {
    pub(super) restored: Restored,
    pub(super) keys_ms: Option<u64>,
    /// The links, the full point first, and where each was read.
    pub(super) chain: Vec<(RecoveryPointId, TierName)>,
    /// Stored bytes of the point and its chain.
    pub(super) bytes: ByteCount,
    /// Bytes of the log that were read, as the server gets them.
    pub(super) log_bytes: ByteCount,
    /// How long each stage of the streams was busy.
    pub(super) busy: Vec<(String, u64)>,
}

/// A copy of the chain whose stream failed.
struct BadLink {
    point: RecoveryPointId,
    tier: TierName,
}

impl Load<'_> {
    /// Loads a copy. Links of its chain that turn out bad are read from another tier; without one, that is an error.
    pub(super) async fn load(
        &self,
        name: &TierName,
        manifest: &Manifest,
    ) -> Result<Loaded, NotThawed> {
        let mut avoid = Avoided::new();
        loop {
            match self.once(name, manifest, &avoid).await? {
                Ok(loaded) => return Ok(loaded),
                // Each round leaves out one more copy, so it ends.
                Err(bad) => avoid.insert((bad.point, bad.tier)),
            };
        }
    }

    async fn once(
        &self,
        name: &TierName,
        manifest: &Manifest,
        avoid: &Avoided,
    ) -> Result<Result<Loaded, BadLink>, NotThawed> {
        let (order, wiring) = (self.order, self.wiring);
        let tier = &**steps::tier(wiring, name)?;
        let opening = Instant::now();
        let openings = open_keys(wiring, tier, manifest).await?;
        let keys_ms = manifest.is_encrypted().then(|| milliseconds(opening));
        let links = chain::ancestors(
            manifest,
            name,
            avoid,
            wiring,
            self.catalog,
            self.clock.now(),
        )
        .await?;
        let folder = self.scratch.fresh().map_err(StepError::Scratch)?;
        let meter = Meter::new(Arc::clone(&order.progress));
        for link in &links {
            self.thaw(&**steps::tier(wiring, &link.tier)?, &link.manifest)
                .await?;
        }
        let mut links = chain::open(links, wiring, &meter).await?;
        let (objects, own) =
            verification::plain_objects(&manifest.id, tier, manifest, &openings, &meter).await?;
        let replay = replay::prepare(order, manifest, wiring, self.clock)?;
        let restored = self
            .database
            .engine
            .restore(RestoreRequest {
                chain: std::mem::take(&mut links.for_engine),
                recovery: replay.recovery,
                manifest: manifest.clone(),
                objects,
                target: order.target.clone(),
                replace: order.replace,
                selection: order.selection.clone(),
                // A person's checks are about the whole.
                asserts: if order.selection.is_all() {
                    [self.database.asserts.clone(), order.asserts.clone()].concat()
                } else {
                    Vec::new()
                },
                scratch: folder.clone(),
            })
            .await;
        self.scratch.discard(&folder);
        let own_failed = own.iter().any(|fate| fate.has_failed());
        let restored = match restored {
            Ok(restored) => restored,
            Err(error) => {
                let begun = links.has_begun() || own.iter().any(|fate| fate.has_begun());
                self.refused.store(!begun, Ordering::Release);
                return match links.bad() {
                    Some((point, tier)) => Ok(Err(BadLink { point, tier })),
                    // Engines have words of their own for a stream that broke off.
                    None if own_failed && !blames_the_copy(&error) => {
                        Err(NotThawed::Failed(StepError::Damaged {
                            point: manifest.id.clone(),
                            tier: name.clone(),
                            why: steps::error::chain(&error),
                        }))
                    }
                    None => Err(NotThawed::Failed(error.into())),
                };
            }
        };
        let bytes = links.links.iter().fold(manifest.bytes(), |sum, l| {
            sum.saturating_add(l.manifest.bytes())
        });
        Ok(Ok(Loaded {
            restored,
            keys_ms,
            chain: links
                .links
                .into_iter()
                .map(|l| (l.manifest.id, l.tier))
                .collect(),
            bytes,
            log_bytes: replay.read.total(),
            busy: meter.busy(),
        }))
    }

    /// Links of a chain that lies in an archive are asked for as the point itself is.
    async fn thaw(&self, tier: &dyn Tier, manifest: &Manifest) -> Result<(), NotThawed> {
        if thawing::is_readable(tier, manifest).await? {
            return Ok(());
        }
        thawing::for_restore(tier, manifest, &self.order.thaw, self.clock).await
    }
}

/// What opens each encrypted object of a copy.
pub(super) async fn open_keys(
    wiring: &Wiring,
    tier: &dyn Tier,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Sealing>, StepError> {
    match verification::ring_of(&manifest.id, tier, manifest).await? {
        Some(ring) => Ok(KeyChain::new(&wiring.keys).open(&ring).await?),
        None => Ok(BTreeMap::new()),
    }
}
