//! The key of one object: 32 random bytes, used once, wiped when dropped.

use crate::api::{ProviderError, Result};
use model::Disposition;
use std::fmt;
use zeroize::Zeroizing;

/// Key material of one stored object. Shows as `***` wherever it is formatted.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A fresh one.
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| {
            ProviderError::new(
                "mainstay::seal::no-randomness",
                Disposition::NeedsOperator,
                "the system gave no random bytes for a data key",
            )
        })?;
        Ok(Self(bytes))
    }

    /// Takes one that was unwrapped; `None` when it is not 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The key itself; only for what encrypts, decrypts or wraps.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// With what an object is sealed, or opened again.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Its key.
    pub key: DataKey,
    /// What is bound to it: `model::key_ring::associated_data`.
    pub associated_data: String,
}
