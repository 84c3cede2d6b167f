//! Compares one tier's full listing, and every manifest on it, with what the catalog knows of that tier.
//!
//! Looks at names, sizes and manifests; never at the bytes of the data (that is `verify`). A file that cannot be read, on a tier
//! that can, changes nothing about a known copy: trouble of the storage is not yet damage.

use crate::{
    audit,
    drift::Drift,
    recovery_kit,
    steps::error::{StepError, chain},
    stored::{self, ManifestThere, SizeTrouble},
    wal,
};
use catalog::Catalog;
use jiff::Timestamp;
use model::{ByteCount, CopyState, Manifest, RecoveryPointId, TierName, key_ring, manifest};
use providers::api::{ObjectInfo, Tier};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Manifests read at the same time: enough to hide the latency of a network, few enough for a disk.
const AT_ONCE: usize = 16;
/// Names of foreign objects that are shown.
const EXAMPLES: usize = 5;

/// What one tier's listing gave.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) drift: Vec<Drift>,
    pub(super) states: Vec<(RecoveryPointId, State)>,
    pub(super) foreign: Vec<Foreign>,
}

/// A new state of a known copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Damaged,
    Returned,
}

/// A complete point that the catalog does not know on this tier.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) manifest: Manifest,
    pub(super) stored_at: Timestamp,
}

/// Files of one point's folder.
type Folder = BTreeMap<String, ObjectInfo>;

/// What a folder's manifest says.
enum Judged {
    Whole(Box<Manifest>, Timestamp),
    Wrong(Option<SizeTrouble>, String),
    NoManifest,
    Unread(String),
}

pub(super) async fn list(
    tier: &Arc<dyn Tier>,
    catalog: Option<&Catalog>,
    known: BTreeMap<RecoveryPointId, CopyState>,
) -> Result<Listed, StepError> {
    let name = tier.name().clone();
    let mut folders: BTreeMap<RecoveryPointId, Folder> = BTreeMap::new();
    let mut not_ours = Vec::new();
    for info in tier.list("").await? {
        match stored::point_of(&info.key) {
            Some((point, file)) => {
                let file = file.to_owned();
                folders.entry(point).or_default().insert(file, info);
            }
            // The log of a database is looked at by its own observer.
            None if recovery_kit::is_part(&info.key)
                || wal::is_part(&info.key)
                || audit::is_part(&info.key) => {}
            None => not_ours.push(info.key.to_string()),
        }
    }
    let begun: BTreeSet<RecoveryPointId> = match catalog {
        Some(catalog) => catalog
            .unfinished()
            .await?
            .into_iter()
            .filter(|unfinished| unfinished.intent.tier == name)
            .map(|unfinished| unfinished.intent.recovery_point)
            .collect(),
        None => BTreeSet::new(),
    };
    let mut listed = Listed::default();
    for (point, state) in &known {
        if !folders.contains_key(point) && *state != CopyState::Missing {
            listed.missing(point, &name, "its folder is not there");
        }
    }
    let mut waiting = folders.into_iter();
    let mut reading = JoinSet::new();
    loop {
        while reading.len() < AT_ONCE
            && let Some((point, folder)) = waiting.next()
        {
            let (tier, catalog) = (Arc::clone(tier), catalog.cloned());
            let is_known = known.contains_key(&point);
            reading.spawn(async move {
                let judged = judge(&*tier, catalog.filter(|_| is_known), &point, &folder).await;
                (point, folder, judged)
            });
        }
        match reading.join_next().await {
            None => break,
            Some(Ok((point, folder, judged))) => {
                let state = known.get(&point).copied();
                listed.note(&name, point, state, &begun, &folder, judged?);
            }
            Some(Err(error)) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    if !not_ours.is_empty() {
        listed.drift.push(Drift::NotOurs {
            tier: name,
            objects: not_ours.len() as u64,
            examples: not_ours.into_iter().take(EXAMPLES).collect(),
        });
    }
    Ok(listed)
}

/// Reads the manifest of a folder; an error only when the catalog fails.
async fn judge(
    tier: &dyn Tier,
    catalog: Option<Catalog>,
    point: &RecoveryPointId,
    folder: &Folder,
) -> Result<Judged, StepError> {
    let Some(info) = folder.get(manifest::FILE_NAME) else {
        return Ok(Judged::NoManifest);
    };
    let manifest = match stored::read_manifest(tier, point).await {
        Ok(ManifestThere::Valid(manifest, _)) => manifest,
        Ok(ManifestThere::Unreadable(why)) => return Ok(Judged::Wrong(None, why)),
        // Deleted since the listing.
        Ok(ManifestThere::Absent) => return Ok(Judged::NoManifest),
        Err(error) => return Ok(Judged::Unread(chain(&error))),
    };
    let recorded = match catalog {
        Some(catalog) => catalog.manifest(point).await?,
        None => None,
    };
    if recorded.is_some_and(|recorded| recorded != *manifest) {
        return Ok(Judged::Wrong(
            None,
            "its manifest is not the one that the catalog knows".to_owned(),
        ));
    }
    let trouble = manifest
        .objects
        .iter()
        .find_map(|object| stored::judge_size(object, folder.get(&object.file)))
        .or_else(|| {
            let lacks = manifest.is_encrypted() && !folder.contains_key(key_ring::FILE_NAME);
            lacks.then(|| SizeTrouble::Missing(stored::NO_KEYS.to_owned()))
        });
    Ok(match trouble {
        None => Judged::Whole(manifest, info.stored_at),
        Some(trouble) => {
            let why = trouble.text().to_owned();
            Judged::Wrong(Some(trouble), why)
        }
    })
}

impl Listed {
    fn note(
        &mut self,
        tier: &TierName,
        point: RecoveryPointId,
        known: Option<CopyState>,
        begun: &BTreeSet<RecoveryPointId>,
        folder: &Folder,
        judged: Judged,
    ) {
        match (judged, known) {
            (Judged::Whole(manifest, stored_at), None) => {
                self.drift.push(Drift::Foreign {
                    recovery_point: point,
                    tier: tier.clone(),
                    bytes: manifest.bytes(),
                });
                self.foreign.push(Foreign {
                    manifest: *manifest,
                    stored_at,
                });
            }
            (Judged::Whole(..), Some(CopyState::Missing)) => {
                self.states.push((point.clone(), State::Returned));
                self.drift.push(Drift::Returned {
                    recovery_point: point,
                    tier: tier.clone(),
                });
            }
            (Judged::Wrong(Some(SizeTrouble::Missing(why)), _), Some(state)) => {
                if state != CopyState::Missing {
                    self.missing(&point, tier, &why);
                }
            }
            (Judged::Wrong(_, why), Some(state)) => {
                if state != CopyState::Damaged {
                    self.states.push((point.clone(), State::Damaged));
                    self.drift.push(Drift::Damaged {
                        recovery_point: point,
                        tier: tier.clone(),
                        why,
                    });
                }
            }
            (Judged::NoManifest, Some(state)) => {
                if state != CopyState::Missing {
                    self.missing(&point, tier, "its manifest is not there");
                }
            }
            (Judged::NoManifest, None) if begun.contains(&point) => {
                self.drift.push(Drift::Incomplete {
                    recovery_point: point,
                    tier: tier.clone(),
                });
            }
            (Judged::NoManifest, None) => {
                let bytes = folder
                    .values()
                    .fold(ByteCount(0), |sum, info| sum.saturating_add(info.bytes));
                self.unusable(point, tier, format!("{bytes} of data without a manifest"));
            }
            // Size alone does not tell that damage is gone.
            (Judged::Whole(..), Some(_)) => {}
            (Judged::Wrong(_, why), None) => self.unusable(point, tier, why),
            (Judged::Unread(why), _) => {
                self.unusable(point, tier, format!("its manifest cannot be read: {why}"));
            }
        }
    }

    fn missing(&mut self, point: &RecoveryPointId, tier: &TierName, why: &str) {
        self.states.push((point.clone(), State::Missing));
        self.drift.push(Drift::Missing {
            recovery_point: point.clone(),
            tier: tier.clone(),
            why: why.to_owned(),
        });
    }

    fn unusable(&mut self, recovery_point: RecoveryPointId, tier: &TierName, why: String) {
        self.drift.push(Drift::Unusable {
            recovery_point,
            tier: tier.clone(),
            why,
        });
    }
}
