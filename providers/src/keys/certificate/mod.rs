//! `kind = "certificate"`: an offline recovery certificate; its private key lies in a safe, and opens everything by `openssl`.
//!
//! How it keeps the contract: a data key is encrypted into a CMS message for the certificate. Such a message cannot bind the
//! object it belongs to; the object itself does that (its ciphertext is bound to its place), so that a data key that was
//! taken elsewhere opens, but fits nothing there.
//! An expired certificate still wraps: its private key opens as before, and a missing recipient would be the worse loss.
//!
//! Files: `config` keys in a policy, `x509` reading certificate and private key, `cms` the message, `key` the calls.

mod cms;
pub mod config;
mod key;
mod x509;

pub use config::CertificateConfig;
pub use key::CertificateKey;

use crate::registry::KeyEntry;
use std::sync::Arc;

/// Value of `kind`.
pub const KIND: &str = "certificate";

/// What the registry knows of this kind.
pub(crate) fn entry() -> KeyEntry {
    KeyEntry {
        kind: KIND,
        schema: schemars::schema_for!(CertificateConfig).to_value(),
        check: config::check,
        place: config::place,
        build: |name, table, base| {
            let config = CertificateConfig::read(table)?;
            Ok(Arc::new(CertificateKey::new(name.clone(), config, base)))
        },
    }
}
