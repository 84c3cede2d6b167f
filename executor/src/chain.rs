//! The points that an incremental one builds on: where each can be read, and what is wrong when one cannot.
//!
//! Invariants: a chain is whole only when every link has a copy that looks whole and is not known to be damaged; a link is read
//! from whichever tier has it, whatever tier the point itself is read from; no link is ever left out.
//! Not here: putting the links together (the engine).

use crate::{
    copies,
    keys::KeyChain,
    meter::Meter,
    steps::{
        self,
        error::{StepError, chain as with_causes},
    },
    verification::{self, Fate},
    wiring::Wiring,
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{CopyState, Manifest, RecoveryPointId, TierName};
use providers::api::{ChainLink, Check};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// More links than any policy makes; a longer chain is a circle.
const LONGEST: usize = 1_000;

/// Copies that turned out bad while they were read.
pub(crate) type Avoided = BTreeSet<(RecoveryPointId, TierName)>;

/// One ancestor and the tier that it is read from.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) manifest: Manifest,
    pub(crate) tier: TierName,
}

/// The ancestors of a point, the full one first, its parent last, each with a copy that looks whole; `prefer` is asked first.
pub(crate) async fn ancestors(
    manifest: &Manifest,
    prefer: &TierName,
    avoid: &Avoided,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Result<Vec<Link>, StepError> {
    let mut links: Vec<Link> = Vec::new();
    let mut next = manifest.parent.clone();
    while let Some(parent) = next.take() {
        let is_circle = parent == manifest.id || links.iter().any(|l| l.manifest.id == parent);
        if is_circle || links.len() >= LONGEST {
            return Err(broken(manifest, &parent, "the chain leads back to itself"));
        }
        let link = find(manifest, &parent, prefer, avoid, wiring, catalog, now).await?;
        next.clone_from(&link.manifest.parent);
        links.push(link);
    }
    links.reverse();
    Ok(links)
}

async fn find(
    manifest: &Manifest,
    parent: &RecoveryPointId,
    prefer: &TierName,
    avoid: &Avoided,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Result<Link, StepError> {
    let mut tiers = copies::candidates(parent, wiring, catalog, now).await;
    // A copy that a verification found damaged keeps its place at the end, whatever is preferred.
    let bad = known_bad(parent, catalog, now).await;
    tiers.sort_by_key(|tier| (bad.contains(tier), tier != prefer));
    let mut troubles = Vec::new();
    for tier in tiers {
        if avoid.contains(&(parent.clone(), tier.clone())) {
            troubles.push(format!("the copy on `{tier}` was read and is bad"));
            continue;
        }
        if bad.contains(&tier) {
            troubles.push(format!(
                "the copy on `{tier}` is known to be damaged or gone"
            ));
            continue;
        }
        match copies::look(parent, wiring, catalog, &tier).await {
            Ok(found) => {
                return Ok(Link {
                    manifest: found,
                    tier,
                });
            }
            Err(error) => troubles.push(with_causes(&error)),
        }
    }
    Err(broken(manifest, parent, &troubles.join("; ")))
}

async fn known_bad(
    point: &RecoveryPointId,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> BTreeSet<TierName> {
    let known = match catalog {
        Some(catalog) => catalog.point(point, now).await.ok().flatten(),
        None => None,
    };
    let copies = known.map(|known| known.copies).unwrap_or_default();
    copies
        .into_iter()
        .filter(|copy| matches!(copy.state, CopyState::Damaged | CopyState::Missing))
        .map(|copy| copy.tier)
        .collect()
}

/// Links whose objects are being read.
pub(crate) struct OpenLinks {
    pub(crate) links: Vec<Link>,
    /// What the engine gets, in the same order.
    pub(crate) for_engine: Vec<ChainLink>,
    fates: Vec<Vec<Arc<Fate>>>,
}

/// Opens every object of every link.
pub(crate) async fn open(
    links: Vec<Link>,
    wiring: &Wiring,
    meter: &Meter,
) -> Result<OpenLinks, StepError> {
    let mut for_engine = Vec::with_capacity(links.len());
    let mut fates = Vec::with_capacity(links.len());
    for link in &links {
        let (manifest, tier) = (&link.manifest, &**steps::tier(wiring, &link.tier)?);
        let sealings = match verification::ring_of(&manifest.id, tier, manifest).await? {
            Some(ring) => KeyChain::new(&wiring.keys).open(&ring).await?,
            None => BTreeMap::new(),
        };
        let (objects, fate) =
            verification::plain_objects(&manifest.id, tier, manifest, &sealings, meter).await?;
        for_engine.push(ChainLink {
            manifest: manifest.clone(),
            objects,
        });
        fates.push(fate);
    }
    Ok(OpenLinks {
        links,
        for_engine,
        fates,
    })
}

impl OpenLinks {
    /// Whether anything of them was read.
    pub(crate) fn has_begun(&self) -> bool {
        self.fates.iter().flatten().any(|fate| fate.has_begun())
    }

    /// The copy whose stream failed first in the order of the chain, so that the next try leaves it out.
    pub(crate) fn bad(&self) -> Option<(RecoveryPointId, TierName)> {
        let failed = |fates: &Vec<Arc<Fate>>| fates.iter().any(|fate| fate.has_failed());
        let mut links = self.links.iter().zip(&self.fates);
        links
            .find(|(_, fates)| failed(fates))
            .map(|(link, _)| (link.manifest.id.clone(), link.tier.clone()))
    }
}

/// What a full read says of the chain of an incremental point: one check for each link, without reading the links' bytes.
pub(crate) async fn check(
    manifest: &Manifest,
    tier: &TierName,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Result<Vec<Check>, StepError> {
    if manifest.parent.is_none() {
        return Ok(Vec::new());
    }
    let found = ancestors(manifest, tier, &Avoided::new(), wiring, catalog, now).await;
    match found {
        Ok(links) => Ok(links
            .iter()
            .map(|link| Check {
                what: format!("the chain has `{}`", link.manifest.id),
                passed: true,
                detail: format!("it is on `{}`", link.tier),
            })
            .collect()),
        Err(StepError::BrokenChain { link, why, .. }) => Ok(vec![Check {
            what: format!("the chain has `{link}`"),
            passed: false,
            detail: format!("no tier has a whole copy: {why}"),
        }]),
        Err(other) => Err(other),
    }
}

fn broken(manifest: &Manifest, link: &RecoveryPointId, why: &str) -> StepError {
    StepError::BrokenChain {
        point: manifest.id.clone(),
        link: link.clone(),
        why: why.to_owned(),
    }
}
