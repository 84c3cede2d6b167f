//! Names of archived files on a tier: the folder of the segment (`model::wal::WalFolder`), its name, `.zst` or `.zst.enc`.

use super::WalStore;
use crate::wal::cluster;
use model::{DatabaseName, Disposition, WalFileName, wal::WalFolder};
use providers::api::{ObjectKey, ProviderError, Result};

const PLAIN: &str = ".zst";
const ENCRYPTED: &str = ".zst.enc";

impl WalStore {
    pub(super) fn folder(&self, system_identifier: u64, name: WalFileName) -> WalFolder {
        WalFolder::of(&self.database, system_identifier, &name)
    }

    pub(super) fn key(
        &self,
        system_identifier: u64,
        name: WalFileName,
        encrypted: bool,
    ) -> Result<ObjectKey> {
        let folder = self.folder(system_identifier, name).path();
        let ending = if encrypted { ENCRYPTED } else { PLAIN };
        let key = format!("{folder}/{name}{ending}");
        ObjectKey::new(key).ok_or_else(|| {
            ProviderError::new(
                "mainstay::run::unsafe-key",
                Disposition::Permanent,
                format!("`{name}` is not a safe name on a tier"),
            )
        })
    }
}

/// What a key below `<database>/wal/` stands for.
pub(super) enum Part {
    File(u64, WalFileName),
    Control,
}

/// What a key stands for; `None`: nothing that belongs there.
pub(super) fn of_key(database: &DatabaseName, inner: &str) -> Option<Part> {
    if inner == cluster::FILE_NAME {
        return Some(Part::Control);
    }
    let (system_identifier, rest) = inner.split_once('/')?;
    let system_identifier: u64 = system_identifier.parse().ok()?;
    let (_, file) = rest.rsplit_once('/')?;
    if file == model::key_ring::FILE_NAME {
        return Some(Part::Control);
    }
    let name = file
        .strip_suffix(ENCRYPTED)
        .or_else(|| file.strip_suffix(PLAIN))?;
    let name = WalFileName::parse(name).ok()?;
    let folder = WalFolder::of(database, system_identifier, &name).path();
    let here = format!("{database}/wal/{inner}");
    (here == format!("{folder}/{file}")).then_some(Part::File(system_identifier, name))
}

/// Whether a key is a part of some database's archive of its log.
pub(crate) fn is_part(key: &ObjectKey) -> bool {
    let Some((database, inner)) = key.as_str().split_once("/wal/") else {
        return false;
    };
    DatabaseName::new(database).is_ok_and(|database| of_key(&database, inner).is_some())
}

pub(super) fn last_part(key: &ObjectKey) -> &str {
    let text = key.as_str();
    text.rsplit_once('/').map_or(text, |(_, last)| last)
}
