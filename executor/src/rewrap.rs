//! Makes one copy's key ring open for the wanted recipients, without touching its data.
//!
//! Why nothing can be lost: the new ring is put together from data keys that the old one really gave; every wanted key that can
//! open anything here must open its new entry to the same data key before a byte is written, and an entry that cannot be tried
//! here (a certificate without its private key) is wrapped anew from that data key. The ring is replaced as a whole, only if
//! it is still the one that was read, and read back. A crash leaves the old ring or the new one; both open. Where keys may only be
//! taken away with signatures, a ring that nobody signed for keeps every entry byte for byte and only gets more.

use crate::{
    keys::{KeyChain, Tried, is_same_key},
    steps::error::{StepError, chain as words},
    stored::{self, KeysThere},
    wal,
};
use bytes::Bytes;
use catalog::{Catalog, Lease};
use jiff::Timestamp;
use model::{
    Digest, Disposition, KeyRing, LockMode, LockOrder, Manifest, RecoveryPointId, WrappedKey,
    approval::RingChange, canonical, key_ring::SealedObject, wal::WalFolder,
};
use providers::{
    api::{
        Expected, KeyContext, KeyFacts, KeyProvider, ObjectKey, Protection, ProviderError, Tier,
    },
    seal::DataKey,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Nobody signed for what a ring would lose.
pub(crate) const NEEDS_APPROVAL: &str = "mainstay::key::needs-approval";
/// Somebody has replaced the ring since it was read.
const CHANGED: &str = "mainstay::tier::changed";

/// A recipient that every object shall have.
pub(crate) type Wanted = (Arc<dyn KeyProvider>, KeyFacts);

/// What a rewrap needs besides the copy.
#[derive(Debug)]
pub(crate) struct Rewrapping<'a> {
    pub(crate) chain: &'a KeyChain,
    pub(crate) wanted: &'a [Wanted],
    /// Recipients that are not wanted stay.
    pub(crate) keep_old: bool,
    pub(crate) may_lose: &'a MayLose,
    pub(crate) catalog: &'a Catalog,
    pub(crate) lease: &'a Lease,
    pub(crate) now: Timestamp,
}

/// Which rings may lose entries.
#[derive(Debug, Default)]
pub(crate) enum MayLose {
    #[default]
    Any,
    /// Those with these digests; the others keep all their entries.
    Only(BTreeSet<Digest>),
}

impl MayLose {
    fn allows(&self, ring: &KeyRing) -> serde_json::Result<bool> {
        Ok(match self {
            Self::Any => true,
            Self::Only(digests) => digests.contains(&canonical::digest(ring)?),
        })
    }
}

/// What became of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrapped {
    /// It has other recipients now.
    Done,
    /// It had the wanted ones, and every key that is here opens its entry.
    AlreadyFine,
}

/// Whose ring it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A copy's.
    Point(&'a Manifest),
    /// That of a folder of archived log.
    Log(&'a WalFolder),
}

impl Place<'_> {
    fn id(&self) -> Result<RecoveryPointId, StepError> {
        Ok(match self {
            Self::Point(manifest) => manifest.id.clone(),
            Self::Log(folder) => wal::keys::ring_id(folder)?,
        })
    }

    fn key(&self) -> Result<ObjectKey, StepError> {
        Ok(match self {
            Self::Point(manifest) => stored::keys_key(&manifest.id)?,
            Self::Log(folder) => wal::keys::ring_key(folder)?,
        })
    }
}

/// Gives a copy, or a folder of log, the wanted recipients, unless it has them.
pub(crate) async fn ensure_recipients(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    place: Place<'_>,
) -> Result<Rewrapped, StepError> {
    let key = place.key()?;
    let mut tries = 0;
    loop {
        let (ring, tag) = read(tier, place).await?;
        if !needs_change(order, &ring) && wrong_entries(order, tier, &ring).await?.is_empty() {
            protect_like_manifest(order, tier, place).await?;
            return Ok(Rewrapped::AlreadyFine);
        }
        let unwritable = |error: serde_json::Error| StepError::ReadBack {
            point: ring.recovery_point.clone(),
            tier: tier.name().clone(),
            why: error.to_string(),
        };
        let only_adds = !order.may_lose.allows(&ring).map_err(unwritable)?;
        if only_adds {
            refuse_loss(order, tier, &ring).await?;
        }
        let new = rewrap(order, &ring, only_adds).await?;
        let bytes = new.to_bytes().map_err(unwritable)?;
        let protection = tier.protection(&key).await?;
        order.catalog.ensure_current(order.lease).await?;
        let written = tier
            .write_control(
                &key,
                Bytes::from(bytes),
                Expected::Unchanged(tag),
                lock_order(order, tier, &protection),
            )
            .await;
        match written {
            Ok(_) => {}
            Err(error) if error.code == CHANGED && tries == 0 => {
                tries += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if protection.legal_hold {
            tier.set_legal_hold(&key, true).await?;
        }
        protect_like_manifest(order, tier, place).await?;
        let (there, _) = read(tier, place).await?;
        if there != new {
            return Err(StepError::ReadBack {
                point: place.id()?,
                tier: tier.name().clone(),
                why: "`keys.json` differs".to_owned(),
            });
        }
        return Ok(Rewrapped::Done);
    }
}

/// What a ring would lose; `None`: nothing, so that nobody has to agree.
pub(crate) async fn loss(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    place: Place<'_>,
) -> Result<Option<RingChange>, StepError> {
    let (ring, _) = read(tier, place).await?;
    let lost = lost(order, tier, &ring).await?;
    if lost.is_empty() {
        return Ok(None);
    }
    let wanted = order
        .wanted
        .iter()
        .map(|(key, facts)| words_of(key.kind(), &facts.key_id));
    let kept = ring
        .objects
        .values()
        .flat_map(|object| &object.recipients)
        .filter(|known| order.keep_old && !is_wanted(order, known))
        .map(|known| words_of(&known.kind, &known.key_id));
    let before = canonical::digest(&ring).map_err(|error| StepError::ReadBack {
        point: ring.recovery_point.clone(),
        tier: tier.name().clone(),
        why: error.to_string(),
    })?;
    Ok(Some(RingChange {
        after: wanted.chain(kept).collect(),
        before,
        lost,
    }))
}

fn words_of(kind: &str, key_id: &str) -> String {
    format!("{kind} {key_id}")
}

/// Keys whose entries a rewrap would drop, or replace because the key that claims to be theirs does not open them: whoever may write the
/// policy may also declare a key that only claims it.
async fn lost(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    ring: &KeyRing,
) -> Result<BTreeSet<String>, StepError> {
    let wrong = wrong_entries(order, tier, ring).await?;
    let mut lost = BTreeSet::new();
    for known in ring.objects.values().flat_map(|object| &object.recipients) {
        let words = words_of(&known.kind, &known.key_id);
        let goes = if is_wanted(order, known) {
            wrong.contains(&words)
        } else {
            !order.keep_old
        };
        if goes {
            lost.insert(words);
        }
    }
    Ok(lost)
}

async fn refuse_loss(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    ring: &KeyRing,
) -> Result<(), StepError> {
    let lost: Vec<String> = lost(order, tier, ring).await?.into_iter().collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(ProviderError::new(
        NEEDS_APPROVAL,
        Disposition::NeedsOperator,
        format!(
            "the key ring of `{}` on tier `{}` would lose `{}`, and nobody signed for the ring as it is now",
            ring.recovery_point,
            tier.name(),
            lost.join("`, `")
        ),
    )
    .help("run `mainstay key rotate` again: it says what is to be signed")
    .into())
}

async fn read(
    tier: &dyn Tier,
    place: Place<'_>,
) -> Result<(KeyRing, providers::api::ControlTag), StepError> {
    let manifest = match place {
        Place::Point(manifest) => manifest,
        Place::Log(folder) => return Ok(wal::keys::ring(tier, folder).await?),
    };
    let (point, name) = (manifest.id.clone(), tier.name().clone());
    match stored::read_keys(tier, manifest).await? {
        KeysThere::Valid { ring, tag, .. } => Ok((*ring, tag)),
        KeysThere::Unreadable { why, .. } => Err(StepError::Damaged {
            point,
            tier: name,
            why,
        }),
        KeysThere::Absent | KeysThere::NotNeeded => Err(StepError::Missing {
            point,
            tier: name,
            why: stored::NO_KEYS.to_owned(),
        }),
    }
}

fn needs_change(order: &Rewrapping<'_>, ring: &KeyRing) -> bool {
    let is =
        |(key, facts): &Wanted, known: &WrappedKey| is_same_key(known, key.kind(), &facts.key_id);
    ring.objects.values().any(|object| {
        let known = &object.recipients;
        let lacks = order
            .wanted
            .iter()
            .any(|wanted| !known.iter().any(|known| is(wanted, known)));
        // The present name is what people look for in an emergency.
        let is_named = |known: &WrappedKey| {
            order
                .wanted
                .iter()
                .any(|wanted| is(wanted, known) && *wanted.0.name() == known.name)
        };
        let old = |known: &WrappedKey| !is_wanted(order, known);
        lacks
            || known.iter().any(|known| {
                if old(known) {
                    !order.keep_old
                } else {
                    !is_named(known)
                }
            })
    })
}

/// Keys that are here and do not open their entry although the entry names them: a ring whose recipients only look right must
/// not be called fine, because somebody will put away the key that still opens it.
///
/// Errors: entries that open different keys; which of them is right cannot be told here.
async fn wrong_entries(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    ring: &KeyRing,
) -> Result<BTreeSet<String>, StepError> {
    let point = &ring.recovery_point;
    let mut wrong = BTreeSet::new();
    for (file, object) in &ring.objects {
        let mut known: Option<DataKey> = None;
        for recipient in &object.recipients {
            match order.chain.try_recipient(point, file, recipient).await {
                Tried::Opened(key) if known.as_ref().is_some_and(|known| *known != key) => {
                    return Err(StepError::Damaged {
                        point: point.clone(),
                        tier: tier.name().clone(),
                        why: format!("in `keys.json` the entries for `{file}` open different keys"),
                    });
                }
                Tried::Opened(key) => known = Some(key),
                Tried::Refused {
                    wrong_entry: true, ..
                } => {
                    wrong.insert(words_of(&recipient.kind, &recipient.key_id));
                }
                Tried::Refused { .. } | Tried::Untested(_) => {}
            }
        }
    }
    Ok(wrong)
}

fn is_wanted(order: &Rewrapping<'_>, known: &WrappedKey) -> bool {
    order
        .wanted
        .iter()
        .any(|(key, facts)| is_same_key(known, key.kind(), &facts.key_id))
}

/// The ring with the wanted recipients, each shown to open what the old ring opens.
async fn rewrap(
    order: &Rewrapping<'_>,
    ring: &KeyRing,
    only_adds: bool,
) -> Result<KeyRing, StepError> {
    let point = &ring.recovery_point;
    let mut objects = BTreeMap::new();
    for (file, object) in &ring.objects {
        let data_key = order.chain.open_object(point, file, object).await?;
        let mut recipients: Vec<WrappedKey> = Vec::new();
        for (key, facts) in order.wanted {
            if recipients
                .iter()
                .any(|known| is_same_key(known, key.kind(), &facts.key_id))
            {
                continue;
            }
            let known = object
                .recipients
                .iter()
                .find(|known| only_adds && is_same_key(known, key.kind(), &facts.key_id));
            recipients.push(match known {
                Some(known) => named(known, &**key),
                None => entry_for(point, file, object, &data_key, &**key, facts).await?,
            });
        }
        if order.keep_old {
            let old = object
                .recipients
                .iter()
                .filter(|known| !is_wanted(order, known));
            recipients.extend(old.cloned());
        }
        objects.insert(
            file.clone(),
            SealedObject {
                recipients,
                ..object.clone()
            },
        );
    }
    Ok(crate::keys::ring_of(point, objects))
}

/// An entry under the present name of its key.
fn named(known: &WrappedKey, key: &dyn KeyProvider) -> WrappedKey {
    WrappedKey {
        name: key.name().clone(),
        ..known.clone()
    }
}

/// The entry of one wanted key: the one that is there if it is proved, else a new one.
async fn entry_for(
    point: &RecoveryPointId,
    file: &str,
    object: &SealedObject,
    data_key: &DataKey,
    key: &dyn KeyProvider,
    facts: &KeyFacts,
) -> Result<WrappedKey, StepError> {
    let context = KeyContext::new(point, file);
    let known = object
        .recipients
        .iter()
        .find(|known| is_same_key(known, key.kind(), &facts.key_id));
    if let Some(known) = known
        && facts.opens
        && key
            .unwrap(known, &context)
            .await
            .is_ok_and(|opened| opened == *data_key)
    {
        return Ok(named(known, key));
    }
    let new = key.wrap(data_key, &context).await?;
    let unproved = |why: String| {
        ProviderError::new(
            "mainstay::key::unproved",
            Disposition::NeedsOperator,
            format!(
                "key `{}` was not shown to open `{file}` of `{point}`: {why}",
                key.name()
            ),
        )
        .help("nothing was written; `mainstay key list` shows the state of the key, and whether it may decrypt")
    };
    if !is_same_key(&new, key.kind(), &facts.key_id) {
        return Err(unproved(format!(
            "it is `{}` and wraps as `{}`",
            facts.key_id, new.key_id
        ))
        .into());
    }
    if facts.opens {
        match key.unwrap(&new, &context).await {
            Ok(opened) if opened == *data_key => {}
            Ok(_) => return Err(unproved("it gave another data key".to_owned()).into()),
            Err(error) if error.disposition == Disposition::Retry => return Err(error.into()),
            Err(error) => return Err(unproved(words(&error)).into()),
        }
    }
    Ok(new)
}

/// The lock that a new version of a ring gets: that of the old one.
fn lock_order(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    protection: &Protection,
) -> Option<LockOrder> {
    let rule = tier.capabilities().lock;
    protection
        .locked_until
        .filter(|until| *until > order.now)
        .map(|until| LockOrder {
            mode: rule.map_or(LockMode::Governance, |rule| rule.mode),
            until,
        })
}

/// Brings lock and legal hold of a ring up to those of its manifest: a run that died between a write and this left them off.
async fn protect_like_manifest(
    order: &Rewrapping<'_>,
    tier: &dyn Tier,
    place: Place<'_>,
) -> Result<(), StepError> {
    // The log is never locked.
    let Place::Point(Manifest { id: point, .. }) = place else {
        return Ok(());
    };
    if !tier.capabilities().locks_objects() {
        return Ok(());
    }
    let key = stored::keys_key(point)?;
    let wanted = tier.protection(&stored::manifest_key(point)?).await?;
    let found = tier.protection(&key).await?;
    if wanted.legal_hold && !found.legal_hold {
        tier.set_legal_hold(&key, true).await?;
    }
    if wanted.locked_until > found.locked_until
        && let Some(lock) = lock_order(order, tier, &wanted)
    {
        tier.extend_lock(&key, &lock).await?;
    }
    Ok(())
}
