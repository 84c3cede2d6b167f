//! The data key of a folder of the archive, wrapped in the folder's own `keys.json`.
//!
//! One key for all files of a folder, so that archiving a segment asks no KMS and rotation rewraps one ring per 4 GiB of log. The
//! format derives a fresh key for every file from its random salt, and binds the file's name (`associated_data`), so files
//! cannot take each other's place.
//!
//! Invariants: the ring is durable before the first file that needs it; a ring is created or adopted from another tier, never
//! replaced here; a folder whose ring is gone while encrypted files lie in it gets no new one (the old one may come back).

use crate::{keys, keys::KeyChain, wal::cluster::CHANGED};
use bytes::Bytes;
use model::{
    DatabaseName, Disposition, KeyName, KeyRing, RecoveryPointId, key_ring, wal::WalFolder,
};
use providers::{
    api::{ControlTag, Expected, ObjectKey, ProviderError, Result, Tier},
    seal::Sealing,
};
use std::{collections::BTreeMap, sync::Arc};

/// Name of the one object in the ring of a folder: it stands for all its files.
pub(crate) const OBJECT: &str = "segments";

/// What seals or opens one file of a folder.
pub(crate) fn of_file(folder: &Sealing, stored_name: &str) -> Sealing {
    Sealing {
        key: folder.key.clone(),
        associated_data: format!("{}|{stored_name}", folder.associated_data),
    }
}

/// Key of the ring of a folder.
pub(crate) fn ring_key(folder: &WalFolder) -> Result<ObjectKey> {
    ObjectKey::new(format!("{}/{}", folder.path(), key_ring::FILE_NAME))
        .ok_or_else(|| trouble(folder, None, "its name is not safe"))
}

pub(crate) fn ring_id(folder: &WalFolder) -> Result<RecoveryPointId> {
    folder
        .ring_id()
        .map_err(|error| trouble(folder, None, &error.to_string()))
}

fn trouble(folder: &WalFolder, tier: Option<&dyn Tier>, how: &str) -> ProviderError {
    let place = tier.map_or_else(String::new, |tier| format!(" on tier `{}`", tier.name()));
    ProviderError::new(
        "mainstay::wal::keys",
        Disposition::NeedsOperator,
        format!("the keys of `{}`{place} cannot be used: {how}", folder.path()),
    )
    .help("put back the `keys.json` of that folder from another tier, or from an earlier version of it")
}

/// The ring of a folder as it lies on a tier.
async fn read(tier: &dyn Tier, folder: &WalFolder) -> Result<Option<(KeyRing, Bytes)>> {
    let Some((bytes, _)) = tier.read_control(&ring_key(folder)?).await? else {
        return Ok(None);
    };
    let ring = KeyRing::parse(&bytes).map_err(|error| trouble(folder, Some(tier), &error.0))?;
    if ring.recovery_point != ring_id(folder)? || !ring.objects.contains_key(OBJECT) {
        return Err(trouble(
            folder,
            Some(tier),
            "it is the key ring of another folder",
        ));
    }
    Ok(Some((ring, bytes)))
}

async fn open(chain: &KeyChain, folder: &WalFolder, ring: &KeyRing) -> Result<Sealing> {
    let object = ring
        .objects
        .get(OBJECT)
        .ok_or_else(|| trouble(folder, None, "it holds no key"))?;
    let key = chain
        .open_object(&ring.recovery_point, OBJECT, object)
        .await?;
    Ok(Sealing {
        key,
        associated_data: object.associated_data.clone(),
    })
}

/// What opens the files of a folder; `None` when no ring lies there.
pub(crate) async fn for_reading(
    chain: &KeyChain,
    tier: &dyn Tier,
    folder: &WalFolder,
) -> Result<Option<Sealing>> {
    match read(tier, folder).await? {
        None => Ok(None),
        Some((ring, _)) => open(chain, folder, &ring).await.map(Some),
    }
}

/// What seals the files of a folder; its ring is on the tier, durable, when this returns: what was written is read back, since
/// nobody could open what is sealed with a key that a store only promised to keep.
pub(crate) async fn for_writing(
    chain: &KeyChain,
    encrypt_for: &[KeyName],
    tier: &dyn Tier,
    others: &[Arc<dyn Tier>],
    folder: &WalFolder,
) -> Result<Sealing> {
    let mut tries = 0;
    let mut written = false;
    loop {
        if let Some((ring, _)) = read(tier, folder).await? {
            return open(chain, folder, &ring).await.map_err(cannot_open);
        }
        if written {
            return Err(trouble(
                folder,
                Some(tier),
                "they were written, and are not there",
            ));
        }
        // The same key on all tiers, so that a file can be copied from one to another by hand.
        let mut adopted = None;
        for other in others {
            if let Ok(Some((ring, bytes))) = read(&**other, folder).await
                && open(chain, folder, &ring).await.is_ok()
            {
                adopted = Some(bytes);
                break;
            }
        }
        let bytes = if let Some(found) = adopted {
            found
        } else {
            if let Err(lost) = refuse_if_lost(tier, folder).await {
                // Another process may have made the ring and its first file since we looked.
                if read(tier, folder).await?.is_some() {
                    continue;
                }
                return Err(lost);
            }
            new_ring(chain, encrypt_for, folder).await?
        };
        match tier
            .write_control(&ring_key(folder)?, bytes, Expected::Absent, None)
            .await
        {
            // Where a store does not compare, somebody else may have written at the same moment: what is there now counts.
            Ok(_) => written = true,
            // Another process was faster: its key counts.
            Err(error) if error.code == CHANGED && tries < 5 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn new_ring(chain: &KeyChain, encrypt_for: &[KeyName], folder: &WalFolder) -> Result<Bytes> {
    let id = ring_id(folder)?;
    let (sealing, object) =
        chain
            .seal(encrypt_for, &id, OBJECT)
            .await
            .map_err(|error| match error {
                crate::steps::error::StepError::Provider(error) => error,
                other => trouble(folder, None, &other.to_string()),
            })?;
    let ring = keys::ring_of(&id, BTreeMap::from([(OBJECT.to_owned(), object)]));
    // The next process has to open it: better refused now than at the next segment.
    let opened = open(chain, folder, &ring).await.map_err(cannot_open)?;
    if opened.key != sealing.key {
        return Err(trouble(folder, None, "a fresh ring gave another data key"));
    }
    let bytes = ring
        .to_bytes()
        .map_err(|error| trouble(folder, None, &error.to_string()))?;
    Ok(Bytes::from(bytes))
}

/// Who archives must be able to compare what comes again with what is there.
fn cannot_open(error: ProviderError) -> ProviderError {
    if error.code != keys::NONE_OPENS || error.disposition == Disposition::Retry {
        return error;
    }
    let help = "one of the keys in `encrypt-with` must also open on the machine that archives the log, for instance a local key beside the recovery certificate";
    ProviderError::new(
        "mainstay::wal::cannot-open",
        Disposition::NeedsOperator,
        "the keys of the log cannot be opened on this machine",
    )
    .help(help)
    .source(error)
}

async fn refuse_if_lost(tier: &dyn Tier, folder: &WalFolder) -> Result<()> {
    let files = tier.list(&format!("{}/", folder.path())).await?;
    let sealed = files
        .iter()
        .filter(|info| {
            info.key
                .as_str()
                .rsplit_once('.')
                .is_some_and(|(_, end)| end == "enc")
        })
        .count();
    if sealed == 0 {
        return Ok(());
    }
    Err(ProviderError::new(
        "mainstay::wal::keys-lost",
        Disposition::NeedsOperator,
        format!(
            "`{}` on tier `{}` holds {sealed} encrypted files, and its `keys.json` is gone",
            folder.path(),
            tier.name()
        ),
    )
    .help("put `keys.json` back from another tier or from an earlier version; if it is lost for good, move the files of that folder away, for nobody can open them, and the archive goes on"))
}

/// The folders of a database's log on a tier that have a key ring, sorted.
pub(crate) async fn folders_with_rings(
    tier: &dyn Tier,
    database: &DatabaseName,
) -> Result<Vec<WalFolder>> {
    let prefix = format!("{database}/wal/");
    let ending = format!("/{}", key_ring::FILE_NAME);
    let objects = tier.list(&prefix).await?;
    let paths = objects
        .iter()
        .filter_map(|info| info.key.as_str().strip_suffix(&ending));
    Ok(paths
        .filter_map(|path| folder_of(database, path, path.strip_prefix(&prefix)?))
        .collect())
}

fn folder_of(database: &DatabaseName, path: &str, inner: &str) -> Option<WalFolder> {
    let (system_identifier, rest) = inner.split_once('/')?;
    let part = match rest.split_once('/') {
        None => None,
        Some((timeline, _)) => {
            let log = rest.get(rest.len().checked_sub(8)?..)?;
            let hex = |text: &str| u32::from_str_radix(text, 16).ok();
            Some((hex(timeline)?, hex(log)?))
        }
    };
    let folder = WalFolder {
        database: database.clone(),
        system_identifier: system_identifier.parse().ok()?,
        part,
    };
    (folder.path() == path).then_some(folder)
}

/// The ring of a folder, with what tells this content of it from the next; `mainstay::wal::keys` when it is not there or not its.
pub(crate) async fn ring(tier: &dyn Tier, folder: &WalFolder) -> Result<(KeyRing, ControlTag)> {
    let Some((bytes, tag)) = tier.read_control(&ring_key(folder)?).await? else {
        return Err(trouble(folder, Some(tier), "it is not there"));
    };
    let ring = KeyRing::parse(&bytes).map_err(|error| trouble(folder, Some(tier), &error.0))?;
    if ring.recovery_point != ring_id(folder)? {
        return Err(trouble(
            folder,
            Some(tier),
            "it is the key ring of another folder",
        ));
    }
    Ok((ring, tag))
}
