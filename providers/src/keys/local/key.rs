//! The calls of a local key.
//!
//! The file is read at every use, so that a file that was replaced, opened to others or taken away counts at once; only what
//! costs much, deriving a key from a passphrase, is remembered for as long as the file's key has the same id.

use super::{
    aes,
    config::LocalConfig,
    file::{KeyBytes, KeyFile, Material},
    read,
};
use crate::{
    api::{KeyContext, KeyFacts, KeyProvider, KeyState, ProviderError, Result},
    keys::{
        encoding::{base64, from_base64},
        errors,
    },
    seal::DataKey,
    secrets,
};
use async_trait::async_trait;
use aws_lc_rs::error::Unspecified;
use model::{Disposition, KeyName, WrappedKey};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::Mutex;

/// A key file may lie on a mount that hangs; deriving takes a second on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A key in a file, with the earlier ones under the same name.
pub struct LocalKey {
    name: KeyName,
    config: LocalConfig,
    base: PathBuf,
    /// Keys that a passphrase has opened, by id.
    opened: Mutex<BTreeMap<String, KeyBytes>>,
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey")
            .field("name", &self.name)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl LocalKey {
    /// Reads nothing yet.
    pub fn new(name: KeyName, config: LocalConfig, base: &Path) -> Self {
        Self {
            name,
            config,
            base: base.to_owned(),
            opened: Mutex::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.base.join(&self.config.path)
    }

    async fn read(path: PathBuf) -> Result<KeyFile> {
        let at = path.clone();
        blocking(&path, move || read::read(&at)).await
    }

    async fn open(&self, path: &Path, file: KeyFile) -> Result<KeyBytes> {
        if matches!(file.material, Material::Plain(_)) {
            return file.open(None).map_err(|error| read::bad(path, &error));
        }
        // Held while deriving: several objects at once would otherwise derive the same key side by side.
        let mut opened = self.opened.lock().await;
        if let Some(key) = opened.get(&file.id) {
            return Ok(key.clone());
        }
        let passphrase = match &self.config.passphrase {
            Some(reference) => Some(secrets::resolve(reference, &self.base).await?),
            None => None,
        };
        let id = file.id.clone();
        let at = path.to_owned();
        let key = blocking(path, move || {
            file.open(passphrase.as_ref())
                .map_err(|error| read::bad(&at, &error))
        })
        .await?;
        opened.insert(id, key.clone());
        Ok(key)
    }

    /// The key, current or earlier, that has wrapped.
    async fn key_of(&self, wrapped: &WrappedKey) -> Result<KeyBytes> {
        let mut others = Vec::new();
        let mut trouble = None;
        let previous = self.config.previous.iter().map(|path| self.base.join(path));
        for path in std::iter::once(self.path()).chain(previous) {
            match Self::read(path.clone()).await {
                Ok(file) if file.id == wrapped.key_id => return self.open(&path, file).await,
                Ok(file) => others.push(format!("`{}`", file.id)),
                // Another file may still be the right one.
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(match trouble {
            Some(error) => error,
            None => errors::cannot_open(
                &self.name,
                wrapped,
                &format!("the files of this key hold {}", others.join(", ")),
            )
            .help("add the file of the earlier key to `previous` of this key in the policy"),
        })
    }

    async fn detail(&self) -> String {
        let mut detail = self.path().display().to_string();
        for path in &self.config.previous {
            let found = match Self::read(self.base.join(path)).await {
                Ok(file) => format!("also opens what {} has wrapped", file.id),
                Err(error) => error.to_string(),
            };
            detail.push_str("; ");
            detail.push_str(&found);
        }
        detail
    }
}

#[async_trait]
impl KeyProvider for LocalKey {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        super::KIND
    }

    async fn observe(&self) -> Result<KeyFacts> {
        let path = self.path();
        let mut key_id = String::new();
        let looked = match Self::read(path.clone()).await {
            Ok(file) => {
                key_id.clone_from(&file.id);
                self.open(&path, file).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        let state = match looked {
            Ok(()) => KeyState::Usable,
            Err(error) if error.code == "mainstay::key::missing" => KeyState::Missing,
            // A mount that hangs says nothing about the key.
            Err(error) if error.disposition == Disposition::Retry => return Err(error),
            Err(error) => KeyState::Unusable(error.to_string()),
        };
        Ok(KeyFacts {
            key_id,
            opens: state == KeyState::Usable,
            state,
            valid_until: None,
            detail: self.detail().await,
        })
    }

    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey> {
        let path = self.path();
        let file = Self::read(path.clone()).await?;
        let key_id = file.id.clone();
        let key = self.open(&path, file).await?;
        let wrapped = aes::seal(&key, &context.associated_data, data_key.expose())
            .map_err(|Unspecified| errors::failed(&self.name))?;
        Ok(WrappedKey {
            name: self.name.clone(),
            kind: super::KIND.to_owned(),
            key_id,
            wrapped: base64(&wrapped),
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        let key = self.key_of(wrapped).await?;
        let opened = from_base64(&wrapped.wrapped)
            .and_then(|sealed| aes::open(&key, &context.associated_data, &sealed).ok())
            .and_then(|bytes| DataKey::from_slice(&bytes));
        opened.ok_or_else(|| {
            errors::cannot_open(
                &self.name,
                wrapped,
                "it is damaged, or was wrapped for another object",
            )
            .help("take `keys.json` of the same recovery point from another tier")
        })
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(ProviderError::new(
            "mainstay::key::unreachable",
            Disposition::Retry,
            format!("{} was not read in time", read::called(path)),
        )
        .help("check that the disk or mount it lies on answers")),
    }
}
