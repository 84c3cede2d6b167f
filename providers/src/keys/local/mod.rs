//! `kind = "local"`: 32 random bytes in a file that only its owner can read.
//!
//! How it keeps the contract: a data key is sealed with AES-256-GCM under the file's key, with the object's associated data
//! bound to it, so that neither another key nor another object's place opens it.
//!
//! Files: `config` keys in a policy, `file` the format of the key file, `read` when such a file may be used, `aes` the
//! sealing, `key` the calls, `generate` making and replacing files.

mod aes;
pub mod config;
mod file;
mod generate;
mod key;
mod read;

pub use config::LocalConfig;
pub use generate::{generate, replace};
pub use key::LocalKey;

use crate::registry::KeyEntry;
use std::sync::Arc;

/// Value of `kind`.
pub const KIND: &str = "local";

/// What the registry knows of this kind.
pub(crate) fn entry() -> KeyEntry {
    KeyEntry {
        kind: KIND,
        schema: schemars::schema_for!(LocalConfig).to_value(),
        check: config::check,
        place: config::place,
        build: |name, table, base| {
            let config = LocalConfig::read(table)?;
            Ok(Arc::new(LocalKey::new(name.clone(), config, base)))
        },
    }
}
