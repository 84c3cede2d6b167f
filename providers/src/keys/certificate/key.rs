//! The calls of a recovery certificate.
//!
//! The certificate is read at every use, so that one that was replaced counts at once; the private key is fetched by its
//! reference once, because a command may ask a person.

use super::{
    cms,
    config::CertificateConfig,
    x509::{Recipient, X509Error},
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
use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
use model::{Disposition, KeyName, WrappedKey};
use std::{
    fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::OnceCell;

/// A certificate may lie on a mount that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate, with its private key where that is declared.
pub struct CertificateKey {
    name: KeyName,
    config: CertificateConfig,
    base: PathBuf,
    /// The private key, and the certificate that it was found to belong to.
    private: OnceCell<(String, OaepPrivateDecryptingKey)>,
}

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateKey")
            .field("name", &self.name)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// How reading the certificate ended where it could be tried.
enum Looked {
    Usable(Box<Recipient>),
    Missing,
    Unusable(X509Error),
}

impl CertificateKey {
    /// Reads nothing yet.
    pub fn new(name: KeyName, config: CertificateConfig, base: &Path) -> Self {
        Self {
            name,
            config,
            base: base.to_owned(),
            private: OnceCell::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.base.join(&self.config.path)
    }

    fn called(&self) -> String {
        format!("the certificate `{}`", self.path().display())
    }

    async fn look(&self) -> Result<Looked> {
        let read = tokio::time::timeout(PATIENCE, tokio::fs::read(self.path())).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(Looked::Missing),
            Ok(Err(error)) => return Err(errors::unreadable(&self.called(), error)),
            Err(_) => {
                return Err(ProviderError::new(
                    "mainstay::key::unreachable",
                    Disposition::Retry,
                    format!("{} was not read in time", self.called()),
                )
                .help("check that the disk or mount it lies on answers"));
            }
        };
        Ok(match Recipient::parse(&bytes) {
            Ok(recipient) => Looked::Usable(Box::new(recipient)),
            Err(error) => Looked::Unusable(error),
        })
    }

    async fn recipient(&self) -> Result<Box<Recipient>> {
        match self.look().await? {
            Looked::Usable(recipient) => Ok(recipient),
            Looked::Missing => Err(errors::missing(
                &self.called(),
                "put it back, or correct the `path` of this key in the policy",
            )),
            Looked::Unusable(error) => Err(errors::unusable(
                &self.called(),
                &error.to_string(),
                error.help(),
            )),
        }
    }

    /// The private key, if one is declared.
    async fn private(&self, recipient: &Recipient) -> Result<Option<&OaepPrivateDecryptingKey>> {
        let Some(reference) = &self.config.private_key else {
            return Ok(None);
        };
        let what = format!("the private key of {}", self.called());
        let unusable = |error: X509Error| errors::unusable(&what, &error.to_string(), error.help());
        let (fingerprint, key) = self
            .private
            .get_or_try_init(|| async {
                let text = secrets::resolve(reference, &self.base).await?;
                let key = recipient.private_key(&text).map_err(unusable)?;
                Ok::<_, ProviderError>((recipient.fingerprint.clone(), key))
            })
            .await?;
        if *fingerprint == recipient.fingerprint {
            Ok(Some(key))
        } else {
            Err(unusable(X509Error::OtherPrivateKey))
        }
    }
}

#[async_trait]
impl KeyProvider for CertificateKey {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        super::KIND
    }

    async fn observe(&self) -> Result<KeyFacts> {
        let path = self.path().display().to_string();
        let without = |state| KeyFacts {
            key_id: String::new(),
            state,
            opens: false,
            valid_until: None,
            detail: path.clone(),
        };
        let recipient = match self.look().await {
            Ok(Looked::Usable(recipient)) => recipient,
            Ok(Looked::Missing) => return Ok(without(KeyState::Missing)),
            Ok(Looked::Unusable(error)) => {
                return Ok(without(KeyState::Unusable(error.to_string())));
            }
            Err(error) if error.disposition == Disposition::Retry => return Err(error),
            Err(error) => return Ok(without(KeyState::Unusable(error.to_string()))),
        };
        let (opens, private) = match self.private(&recipient).await {
            Ok(Some(_)) => (true, String::new()),
            Ok(None) => (false, "; its private key is not here".to_owned()),
            Err(error) => (false, format!("; {error}")),
        };
        let until = recipient.valid_until.map_or_else(String::new, |end| {
            format!(", valid until {}", end.strftime("%Y-%m-%d"))
        });
        Ok(KeyFacts {
            key_id: recipient.fingerprint,
            state: KeyState::Usable,
            opens,
            valid_until: recipient.valid_until,
            detail: format!("{path}: {}{until}{private}", recipient.subject),
        })
    }

    async fn wrap(&self, data_key: &DataKey, _context: &KeyContext) -> Result<WrappedKey> {
        let recipient = self.recipient().await?;
        let message = cms::seal(&recipient.id, &recipient.public, data_key.expose())
            .map_err(|error| errors::failed(&self.name).source(error))?;
        Ok(WrappedKey {
            name: self.name.clone(),
            kind: super::KIND.to_owned(),
            key_id: recipient.fingerprint,
            wrapped: base64(&message),
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        let recipient = self.recipient().await?;
        if recipient.fingerprint != wrapped.key_id {
            return Err(errors::cannot_open(
                &self.name,
                wrapped,
                &format!("its certificate is `{}`", recipient.fingerprint),
            )
            .help("declare the earlier certificate, with its private key, as a key of its own"));
        }
        let Some(private) = self.private(&recipient).await? else {
            return Err(errors::cannot_open(
                &self.name,
                wrapped,
                "its private key is not declared here",
            )
            .help(format!(
                "where the private key is: `jq -r '.objects[\"{}\"].recipients[] | select(.name == \"{}\").wrapped' keys.json | base64 -d | openssl cms -decrypt -inform DER -inkey recovery-key.pem -out data.key`; or add `private-key` to this key in the policy",
                context.file, wrapped.name
            )));
        };
        let message = from_base64(&wrapped.wrapped).ok_or(cms::CmsError::Form);
        let opened = message
            .and_then(|message| cms::open(&recipient.id, private, &message))
            .and_then(|plain| DataKey::from_slice(&plain).ok_or(cms::CmsError::Form));
        opened.map_err(|error| {
            errors::cannot_open(&self.name, wrapped, &error.to_string())
                .help("take `keys.json` of the same recovery point from another tier")
        })
    }
}
