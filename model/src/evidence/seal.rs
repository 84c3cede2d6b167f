//! Who made a bundle: a signature over the list of digests of its files, with the key that signs the audit's checkpoints.
//!
//! Ed25519 over the canonical JSON of [`Sealed`]; its `format` keeps such a signature from being taken for one of another kind. Not
//! here: the private key (`executor`), and whose key it is: that only who has noted it elsewhere can tell.

use crate::{audit::SigningKeyName, canonical, units::Digest};
use serde::{Deserialize, Serialize};

/// Value of [`Sealed::format`].
pub const FORMAT: &str = "mainstay.bundle-signature.v1";

/// What is signed. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// SHA-256 of the list of digests, byte by byte.
    pub digests: Digest,
    /// [`FORMAT`].
    pub format: String,
    /// Key that signed it.
    pub public_key: SigningKeyName,
}

impl Sealed {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        canonical::to_vec(self)
    }
}

/// The signature as it lies in a bundle. Fields in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// What is signed.
    pub sealed: Sealed,
    /// `ed25519:` and the signature in hexadecimal digits.
    pub signature: String,
}

impl Seal {
    /// Whether the key that it names has signed this list of digests.
    pub fn holds_for(&self, digests: &[u8]) -> bool {
        self.sealed.format == FORMAT
            && self.sealed.digests == Digest::sha256_of(digests)
            && self
                .sealed
                .bytes()
                .is_ok_and(|bytes| self.sealed.public_key.has_signed(&bytes, &self.signature))
    }
}
