//! What a key promises: to wrap a data key so that only its holder can open it again.
//!
//! - `wrap` and `unwrap` bind the context: a wrapped key does not open under another one, where the kind can bind it.
//! - No key material ever stands in an error, a log or a program's arguments.
//! - `observe` never changes anything.

use super::error::Result;
use crate::seal::DataKey;
use async_trait::async_trait;
use jiff::Timestamp;
use model::{KeyName, WrappedKey};
use std::fmt;

/// What a wrapped key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyContext {
    /// `model::key_ring::associated_data` of the object.
    pub associated_data: String,
    /// Id of the recovery point.
    pub recovery_point: String,
    /// Its database.
    pub database: String,
    /// Its series.
    pub series: String,
    /// File name of the object.
    pub file: String,
}

impl KeyContext {
    /// The context of one object.
    pub fn new(point: &model::RecoveryPointId, file: &str) -> Self {
        Self {
            associated_data: model::key_ring::associated_data(point, file),
            recovery_point: point.to_string(),
            database: point.database().to_owned(),
            series: point.series().to_owned(),
            file: file.to_owned(),
        }
    }
}

/// What a look at a key gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Which key it really is; compared with [`WrappedKey::key_id`]. Empty when that cannot be told (a missing key).
    pub key_id: String,
    /// Whether it can be used.
    pub state: KeyState,
    /// Whether it can open what it wraps here (a recovery certificate without its private key cannot).
    pub opens: bool,
    /// Until when it says of itself that it may be used: the end of a certificate. After it, what it wraps can still be opened.
    pub valid_until: Option<Timestamp>,
    /// More, for people: path, alias, subject, end of validity. Never a secret.
    pub detail: String,
}

/// Whether a key can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It can.
    Usable,
    /// Somebody has switched it off.
    Disabled,
    /// It will be destroyed, and everything that only it opens with it.
    PendingDeletion(Option<Timestamp>),
    /// It is not there.
    Missing,
    /// It is there, but must not or cannot be used, and why (readable by others, wrong passphrase, expired …).
    Unusable(String),
}

/// A declared key.
#[async_trait]
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// Its name in the policy.
    fn name(&self) -> &KeyName;

    /// `kind = "…"`.
    fn kind(&self) -> &'static str;

    /// Looks whether it is there and can be used. An error only when that cannot be told (network).
    async fn observe(&self) -> Result<KeyFacts>;

    /// Wraps a data key. Errors `mainstay::key::…`.
    async fn wrap(&self, data_key: &DataKey, context: &KeyContext) -> Result<WrappedKey>;

    /// Opens a data key that this key, or an earlier one under the same declaration, has wrapped. `mainstay::key::cannot-open`
    /// when it is not this key's, or its context is another.
    async fn unwrap(&self, wrapped: &WrappedKey, context: &KeyContext) -> Result<DataKey>;
}
