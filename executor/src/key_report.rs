//! Says of every key, declared or seen beside the data, what it opens and what would be lost with it.
//!
//! Invariants: nothing is changed. What cannot be read is named, never counted as fine. A recipient that is not declared here is
//! not counted on: nobody here can say whether that key still exists.
//! Not here: words for people (the root package).

use crate::{
    key_copies::{self, AT_ONCE},
    observe::{self, Refresh},
    rotate::NotDone,
    steps::error::StepError,
    verification, wal,
    wiring::Wiring,
};
use catalog::{Catalog, CatalogError};
use jiff::Timestamp;
use model::{KeyName, KeyRing, RecoveryPointId, TierName, event::Failure};
use providers::api::{KeyFacts, KeyProvider, KeyState};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinSet;

/// What a look at one declared key gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLook {
    /// Its name in the policy.
    pub name: KeyName,
    /// Its kind.
    pub kind: String,
    /// What was seen; the error when that could not be told.
    pub facts: Result<KeyFacts, Failure>,
}

impl KeyLook {
    /// Whether the key can be used now.
    pub fn is_usable(&self) -> bool {
        self.facts
            .as_ref()
            .is_ok_and(|facts| facts.state == KeyState::Usable)
    }

    /// What is wrong with it, as a fragment; `None`: nothing.
    pub fn trouble(&self) -> Option<String> {
        let facts = match &self.facts {
            Ok(facts) => facts,
            Err(failure) => return Some(format!("its state is not known: {}", failure.message)),
        };
        match &facts.state {
            KeyState::Usable => None,
            KeyState::Disabled => Some("it is disabled".to_owned()),
            KeyState::PendingDeletion(None) => Some("it is about to be destroyed".to_owned()),
            KeyState::PendingDeletion(Some(at)) => Some(format!("it will be destroyed at {at}")),
            KeyState::Missing => Some("it is not there".to_owned()),
            KeyState::Unusable(why) => Some(why.clone()),
        }
    }
}

/// One key and what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Its kind.
    pub kind: String,
    /// Which key it really is; `None` when it is declared and could not say.
    pub key_id: Option<String>,
    /// The names under which it is declared; empty: it is only seen beside the data.
    pub declared: Vec<KeyLook>,
    /// The names under which data keys were wrapped for it.
    pub names: BTreeSet<KeyName>,
    /// Copies that it opens.
    pub copies: u64,
    /// Points of which it opens a copy.
    pub points: BTreeSet<RecoveryPointId>,
    /// Those of them that no other usable declared key opens: they are lost with it.
    pub only: BTreeSet<RecoveryPointId>,
}

impl KeyUse {
    /// Whether it is declared and can be used now.
    pub fn is_usable(&self) -> bool {
        self.declared.iter().any(KeyLook::is_usable)
    }
}

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyReport {
    /// Keys in trouble that points depend on first, then the other declared ones, then those that are only seen.
    pub keys: Vec<KeyUse>,
    /// Encrypted copies whose key ring could not be read, and why.
    pub unread: Vec<(RecoveryPointId, TierName, Failure)>,
    /// Tiers that could not be read, with the copies they hold (encrypted or not).
    pub unreachable: BTreeMap<TierName, NotDone>,
    /// Encrypted copies whose ring was read.
    pub copies: u64,
}

/// Looks at the declared keys only: cheap enough for every run.
pub async fn look_at_keys(keys: &BTreeMap<KeyName, Arc<dyn KeyProvider>>) -> Vec<KeyLook> {
    let mut looking = JoinSet::new();
    for key in keys.values() {
        let key = Arc::clone(key);
        looking.spawn(async move { look_at(&*key).await });
    }
    let mut looks = Vec::with_capacity(keys.len());
    while let Some(joined) = looking.join_next().await {
        match joined.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(look) => looks.push(look),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => {}
        }
    }
    looks.sort_by(|a, b| a.name.cmp(&b.name));
    looks
}

async fn look_at(key: &dyn KeyProvider) -> KeyLook {
    KeyLook {
        name: key.name().clone(),
        kind: key.kind().to_owned(),
        facts: key
            .observe()
            .await
            .map_err(|error| StepError::from(error).to_failure()),
    }
}

/// Reads the key ring of every encrypted copy on every tier that can be read. Without a catalog the tiers are listed.
///
/// Errors: only the catalog's.
pub async fn key_report(
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    now: Timestamp,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<KeyReport, CatalogError> {
    let inventory = match catalog {
        Some(catalog) => catalog.inventory(now).await?,
        None => {
            observe::observe(None, &wiring.tiers, now, Refresh::Full)
                .await?
                .inventory
        }
    };
    let looks = look_at_keys(&wiring.keys).await;
    let copies = key_copies::find(&inventory, wiring, catalog, |_, _| true).await;
    let mut report = KeyReport::default();
    for (tier, (failure, points)) in copies.away {
        report.unreachable.insert(tier, NotDone { failure, points });
    }
    for name in &inventory.unreachable_tiers {
        let why = inventory.unreachable_why.get(name);
        report
            .unreachable
            .entry(name.clone())
            .or_insert_with(|| NotDone {
                failure: Failure {
                    code: "mainstay::tier::unreachable".to_owned(),
                    message: why.cloned().unwrap_or_default(),
                    help: None,
                    disposition: model::Disposition::NeedsOperator,
                },
                points: Vec::new(),
            });
    }
    let mut rings = Vec::new();
    let all = copies.readable.len() as u64;
    let mut done = 0;
    let mut waiting = copies.readable.into_iter();
    let mut reading = JoinSet::new();
    loop {
        while reading.len() < AT_ONCE
            && let Some((tier, point)) = waiting.next()
        {
            let catalog = catalog.cloned();
            reading.spawn(async move {
                let ring = read(catalog.as_ref(), &*tier, &point).await;
                (point, tier.name().clone(), ring)
            });
        }
        let Some(joined) = reading.join_next().await else {
            break;
        };
        match joined.map_err(tokio::task::JoinError::try_into_panic) {
            Ok((_, _, Ok(ring))) => rings.extend(ring),
            Ok((_, _, Err(StepError::Catalog(error)))) => return Err(error),
            Ok((point, tier, Err(error))) => {
                report.unread.push((point, tier, error.to_failure()));
            }
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => {}
        }
        done += 1;
        progress(done, all);
    }
    read_logs(wiring, &mut report, &mut rings).await;
    report
        .unread
        .sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    report.copies = rings.len() as u64;
    report.keys = uses(looks, &rings);
    Ok(report)
}

async fn read(
    catalog: Option<&Catalog>,
    tier: &dyn providers::api::Tier,
    point: &RecoveryPointId,
) -> Result<Option<KeyRing>, StepError> {
    let manifest = key_copies::manifest_of(catalog, tier, point).await?;
    verification::ring_of(point, tier, &manifest).await
}

/// Adds the rings of archived log; each counts as a point under its own id.
async fn read_logs(wiring: &Wiring, report: &mut KeyReport, rings: &mut Vec<KeyRing>) {
    for (name, wired) in &wiring.tiers {
        if report.unreachable.contains_key(name) {
            continue;
        }
        for database in wiring.databases.keys() {
            let folders = match wal::keys::folders_with_rings(&*wired.tier, database).await {
                Ok(folders) => folders,
                Err(error) => {
                    let failure = StepError::from(error).to_failure();
                    let points = Vec::new();
                    let not_done = NotDone { failure, points };
                    report.unreachable.insert(name.clone(), not_done);
                    break;
                }
            };
            for folder in folders {
                match wal::keys::ring(&*wired.tier, &folder).await {
                    Ok((ring, _)) => rings.push(ring),
                    Err(error) => {
                        if let Ok(id) = folder.ring_id() {
                            let failure = StepError::from(error).to_failure();
                            report.unread.push((id, name.clone(), failure));
                        }
                    }
                }
            }
        }
    }
}

/// What every key is, and what it opens.
fn uses(looks: Vec<KeyLook>, rings: &[KeyRing]) -> Vec<KeyUse> {
    let mut keys: Vec<KeyUse> = Vec::new();
    for look in looks {
        let id = look
            .facts
            .as_ref()
            .ok()
            .map(|facts| facts.key_id.clone())
            .filter(|id| !id.is_empty());
        let same = keys
            .iter()
            .position(|key| id.is_some() && key.kind == look.kind && key.key_id == id);
        match same {
            Some(at) => keys[at].declared.push(look),
            None => keys.push(KeyUse {
                kind: look.kind.clone(),
                key_id: id,
                declared: vec![look],
                names: BTreeSet::new(),
                copies: 0,
                points: BTreeSet::new(),
                only: BTreeSet::new(),
            }),
        }
    }
    let mut openers: BTreeMap<&RecoveryPointId, BTreeSet<usize>> = BTreeMap::new();
    for ring in rings {
        let mut of_copy: Option<BTreeSet<usize>> = None;
        for object in ring.objects.values() {
            let of_object: BTreeSet<usize> = object
                .recipients
                .iter()
                .map(|recipient| position(&mut keys, recipient))
                .collect();
            // A key that opens only some of the objects does not open the copy.
            of_copy = Some(match of_copy {
                Some(so_far) => so_far.intersection(&of_object).copied().collect(),
                None => of_object,
            });
        }
        for at in of_copy.unwrap_or_default() {
            keys[at].copies += 1;
            keys[at].points.insert(ring.recovery_point.clone());
            openers.entry(&ring.recovery_point).or_default().insert(at);
        }
    }
    let usable: Vec<bool> = keys.iter().map(KeyUse::is_usable).collect();
    for (point, openers) in openers {
        for at in &openers {
            if !openers.iter().any(|other| other != at && usable[*other]) {
                keys[*at].only.insert(point.clone());
            }
        }
    }
    keys.sort_by_key(|key| {
        let rank = match (key.is_usable(), key.declared.is_empty()) {
            (false, _) if !key.only.is_empty() => 0,
            (false, false) => 1,
            (true, _) => 2,
            (false, true) => 3,
        };
        let first = key.declared.first().map(|look| look.name.clone());
        (rank, first, key.kind.clone(), key.key_id.clone())
    });
    keys
}

/// The key of an entry: by its id, else the declared one of that name that could not say its id, else one that is only seen.
fn position(keys: &mut Vec<KeyUse>, recipient: &model::WrappedKey) -> usize {
    let same_kind = |key: &KeyUse| key.kind == recipient.kind;
    let by_id = keys
        .iter()
        .position(|key| same_kind(key) && key.key_id.as_ref() == Some(&recipient.key_id));
    let by_name = || {
        keys.iter().position(|key| {
            let named = |look: &KeyLook| look.name == recipient.name;
            same_kind(key) && key.key_id.is_none() && key.declared.iter().any(named)
        })
    };
    let at = by_id.or_else(by_name).unwrap_or(keys.len());
    if at == keys.len() {
        keys.push(KeyUse {
            kind: recipient.kind.clone(),
            key_id: Some(recipient.key_id.clone()),
            declared: Vec::new(),
            names: BTreeSet::new(),
            copies: 0,
            points: BTreeSet::new(),
            only: BTreeSet::new(),
        });
    }
    keys[at].names.insert(recipient.name.clone());
    at
}
