//! `kind = "aws-kms"`: a symmetric key that never leaves a key service (AWS KMS, or one that speaks its protocol).
//!
//! How it keeps the contract: the recovery point and the file stand in the encryption context, which the service binds and
//! writes into its audit log; the recorded id is the key's ARN, so that an alias that moves on does not hide it.
//! Before wrapping, the state of the key is asked for: not every such service refuses a disabled key by itself, and what is
//! wrapped with one that is about to be destroyed is lost. Opening is tried whatever the state: a recovery must not be
//! stricter than the service.
//!
//! Files: `config` keys in a policy, `key` the calls, `errors` what the service's answers mean.

pub mod config;
mod errors;
mod key;

pub use config::AwsKmsConfig;
pub use key::AwsKmsKey;

use crate::registry::KeyEntry;
use std::sync::Arc;

/// Value of `kind`.
pub const KIND: &str = "aws-kms";

/// What the registry knows of this kind.
pub(crate) fn entry() -> KeyEntry {
    KeyEntry {
        kind: KIND,
        schema: config::schema(),
        check: config::check,
        place: config::place,
        build: |name, table, base| {
            let config = AwsKmsConfig::read(table)?;
            Ok(Arc::new(AwsKmsKey::new(name.clone(), config, base)))
        },
    }
}
