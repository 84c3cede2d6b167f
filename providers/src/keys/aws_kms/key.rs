//! The calls of a key in a key service.

use super::{
    config::{AwsKmsConfig, OURS},
    errors,
};
use crate::{
    api::{KeyContext, KeyFacts, KeyProvider, KeyState, Result},
    keys::{
        encoding::{base64, from_base64},
        errors as of_keys,
    },
    seal::DataKey,
};
use async_trait::async_trait;
use aws_sdk_kms::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    primitives::Blob,
    types::{EncryptionAlgorithmSpec, KeyMetadata, KeyState as ServiceState},
};
use jiff::Timestamp;
use model::{KeyName, WrappedKey};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// One try of a call, and all of its tries: these calls are short.
const ONE_TRY: Duration = Duration::from_secs(20);
const ALL_TRIES: Duration = Duration::from_secs(90);

/// A key in AWS KMS.
pub struct AwsKmsKey {
    name: KeyName,
    config: AwsKmsConfig,
    base: PathBuf,
    client: OnceCell<Client>,
}

impl fmt::Debug for AwsKmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKmsKey")
            .field("name", &self.name)
            .field("key_id", &self.config.key_id)
            .finish_non_exhaustive()
    }
}

impl AwsKmsKey {
    /// Asks nobody yet.
    pub fn new(name: KeyName, config: AwsKmsConfig, base: &Path) -> Self {
        Self {
            name,
            config,
            base: base.to_owned(),
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Result<&Client> {
        self.client
            .get_or_try_init(|| async {
                let shared = self.config.access.sdk_config(&self.base).await?;
                let timeouts = shared
                    .timeout_config()
                    .map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder)
                    .operation_attempt_timeout(ONE_TRY)
                    .operation_timeout(ALL_TRIES)
                    .build();
                Ok(Client::from_conf(
                    Builder::from(&shared).timeout_config(timeouts).build(),
                ))
            })
            .await
    }

    /// What the service binds to a wrapped key.
    fn bound(&self, context: &KeyContext) -> HashMap<String, String> {
        let mut pairs: HashMap<_, _> = self
            .config
            .encryption_context
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        pairs.insert(
            format!("{OURS}recovery-point"),
            context.recovery_point.clone(),
        );
        pairs.insert(format!("{OURS}file"), context.file.clone());
        pairs
    }

    /// Whether a recorded id is that of this key, or of a declared earlier one. The ring of an object lies where others may
    /// write; a key that is not declared here must not decide what is restored.
    async fn is_ours(&self, recorded: &str) -> Result<bool> {
        let named = |id: &str| {
            id == recorded
                || recorded
                    .split_once(":key/")
                    .is_some_and(|(_, bare)| bare == id)
        };
        let id = &self.config.key_id;
        if named(id) || self.config.previous.iter().any(|id| named(id)) {
            return Ok(true);
        }
        let alias = id.starts_with("alias/") || id.contains(":alias/");
        if !alias {
            return Ok(false);
        }
        match self.observe().await {
            Ok(facts) => Ok(facts.key_id == recorded),
            // Who may open but not look leaves it to the service, and to whom it lets open.
            Err(error) if error.code == "mainstay::key::denied" => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Refuses to wrap for a key that is switched off or going. Who may not ask goes on: the service itself is asked next.
    async fn check_usable(&self) -> Result<()> {
        let id = &self.config.key_id;
        let facts = match self.observe().await {
            Ok(facts) => facts,
            Err(error) if error.code == "mainstay::key::denied" => return Ok(()),
            Err(error) => return Err(error),
        };
        match facts.state {
            KeyState::Usable => Ok(()),
            KeyState::Disabled => Err(errors::disabled(&self.name, id)),
            KeyState::PendingDeletion(_) => Err(errors::pending_deletion(&self.name, id)),
            KeyState::Missing => Err(errors::missing(&self.name, id)),
            KeyState::Unusable(why) => Err(of_keys::unusable(
                &format!("the key `{}` (`{id}`)", self.name),
                &why,
                format!(
                    "run `aws kms describe-key --key-id {id}`: a symmetric key for `ENCRYPT_DECRYPT` that is `Enabled` is needed"
                ),
            )),
        }
    }
}

#[async_trait]
impl KeyProvider for AwsKmsKey {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        super::KIND
    }

    async fn observe(&self) -> Result<KeyFacts> {
        let id = &self.config.key_id;
        let answer = self.client().await?.describe_key().key_id(id).send().await;
        let missing = || KeyFacts {
            key_id: String::new(),
            state: KeyState::Missing,
            opens: false,
            valid_until: None,
            detail: id.clone(),
        };
        match answer {
            Ok(answer) => Ok(answer
                .key_metadata
                .map_or_else(missing, |key| facts(id, key))),
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_kms::operation::describe_key::DescribeKeyError::is_not_found_exception,
                ) =>
            {
                Ok(missing())
            }
            Err(error) => Err(errors::of(&self.name, id, "look at the state", &error)),
        }
    }

    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey> {
        self.check_usable().await?;
        let id = &self.config.key_id;
        let answer = self
            .client()
            .await?
            .encrypt()
            .key_id(id)
            .plaintext(Blob::new(data_key.expose()))
            .set_encryption_context(Some(self.bound(context)))
            .send()
            .await
            .map_err(|error| errors::of(&self.name, id, "wrap a data key", &error))?;
        let (Some(blob), Some(key_id)) = (answer.ciphertext_blob, answer.key_id) else {
            return Err(of_keys::failed(&self.name));
        };
        Ok(WrappedKey {
            name: self.name.clone(),
            kind: super::KIND.to_owned(),
            key_id,
            wrapped: base64(blob.as_ref()),
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey> {
        let damaged = || {
            of_keys::cannot_open(&self.name, wrapped, "it is damaged")
                .help("take `keys.json` of the same recovery point from another tier")
        };
        if !self.is_ours(&wrapped.key_id).await? {
            return Err(of_keys::cannot_open(
                &self.name,
                wrapped,
                &format!("this key is `{}`", self.config.key_id),
            )
            .help("add the ARN of the earlier key to `previous` of this key in the policy"));
        }
        let blob = from_base64(&wrapped.wrapped).ok_or_else(damaged)?;
        let answer = self
            .client()
            .await?
            .decrypt()
            // The key that has wrapped, not the one that an alias names today.
            .key_id(&wrapped.key_id)
            .ciphertext_blob(Blob::new(blob))
            .set_encryption_context(Some(self.bound(context)))
            .send()
            .await
            .map_err(|error| errors::of(&self.name, &wrapped.key_id, "open a data key", &error))?;
        // Some services decrypt with whatever key fits, and only say afterwards which one that was.
        if answer.key_id().is_some_and(|used| used != wrapped.key_id) {
            return Err(of_keys::cannot_open(
                &self.name,
                wrapped,
                "the service opened it with another key",
            ));
        }
        let plain = Zeroizing::new(answer.plaintext.map(Blob::into_inner).unwrap_or_default());
        DataKey::from_slice(&plain).ok_or_else(damaged)
    }
}

fn facts(asked: &str, key: KeyMetadata) -> KeyFacts {
    let symmetric = key
        .encryption_algorithms()
        .contains(&EncryptionAlgorithmSpec::SymmetricDefault);
    let state = match key.key_state() {
        Some(ServiceState::PendingDeletion | ServiceState::PendingReplicaDeletion) => {
            let date = key
                .deletion_date()
                .and_then(|date| Timestamp::from_second(date.secs()).ok());
            KeyState::PendingDeletion(date)
        }
        Some(ServiceState::Disabled) => KeyState::Disabled,
        Some(ServiceState::Enabled | ServiceState::Updating) | None if symmetric => {
            KeyState::Usable
        }
        Some(ServiceState::Enabled | ServiceState::Updating) | None => {
            KeyState::Unusable("it is not a symmetric key for encryption".to_owned())
        }
        Some(other) => KeyState::Unusable(format!("its state is `{}`", other.as_str())),
    };
    let key_id = key.arn.unwrap_or(key.key_id);
    let mut detail = asked.to_owned();
    if let Some(text) = key.description.filter(|text| !text.is_empty()) {
        detail = format!("{detail}: {text}");
    }
    KeyFacts {
        key_id,
        opens: state == KeyState::Usable,
        state,
        valid_until: None,
        detail,
    }
}
