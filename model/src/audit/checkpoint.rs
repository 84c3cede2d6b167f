//! A signed checkpoint: how far the chain of a catalog went, and with what digest, so that nobody can write that part anew unseen.
//!
//! Ed25519 (RFC 8032) over the canonical JSON of the checkpoint without its signature. Not here: the private key (`executor`).

use crate::{canonical, units::Digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Value of [`Checkpoint::format`].
pub const FORMAT: &str = "mainstay.audit-checkpoint.v1";

/// Algorithm and what stands between it and the digits.
const ALGORITHM: &str = "ed25519:";

/// How far a chain went. Fields in alphabetical order: it is signed (`canonical`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// When it was signed.
    pub at: Timestamp,
    /// Identity of the catalog.
    pub catalog: String,
    /// Digest of its last entry then.
    pub digest: Digest,
    /// Number of the first entry of the object that it closes.
    pub first: u64,
    /// [`FORMAT`].
    pub format: String,
    /// Key that signed it.
    pub public_key: SigningKeyName,
    /// Number of its last entry then.
    pub sequence: u64,
}

impl Checkpoint {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        canonical::to_vec(self)
    }
}

/// A checkpoint and its signature: the last line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// `ed25519:` and the signature in hexadecimal digits.
    pub signature: String,
}

impl SignedCheckpoint {
    /// A checkpoint with the raw signature over [`Checkpoint::bytes`].
    pub fn new(checkpoint: Checkpoint, signature: &[u8]) -> Self {
        Self {
            checkpoint,
            signature: signature_text(signature),
        }
    }

    /// Whether the key that it names has signed it. Whose key that is, is another question.
    pub fn is_signed(&self) -> bool {
        let key = &self.checkpoint.public_key;
        let bytes = self.checkpoint.bytes();
        self.checkpoint.format == FORMAT
            && bytes.is_ok_and(|bytes| key.has_signed(&bytes, &self.signature))
    }
}

/// A public key as text: `ed25519:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningKeyName(String);

impl SigningKeyName {
    /// The text for a raw public key.
    pub fn of(public_key: &[u8]) -> Self {
        Self(format!("{ALGORITHM}{}", hex(public_key)))
    }

    /// Whether the key has signed these bytes; `signature` is text as [`signature_text`] writes it.
    pub fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let holds = || {
            let key = unhex(self.0.strip_prefix(ALGORITHM)?)?;
            let signature = unhex(signature.strip_prefix(ALGORITHM)?)?;
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(bytes, &signature).ok()
        };
        holds().is_some()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..ALGORITHM.len() + 12).unwrap_or(&self.0)
    }

    /// The same as a PEM file of the kind that `openssl` reads (RFC 8410).
    pub fn to_pem(&self) -> Option<String> {
        /// `SubjectPublicKeyInfo` of Ed25519 up to the key itself.
        const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let key = unhex(self.0.strip_prefix(ALGORITHM)?)?;
        let whole: Vec<u8> = HEAD.into_iter().chain(key).collect();
        Some(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64(&whole)
        ))
    }
}

impl std::str::FromStr for SigningKeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(ALGORITHM).unwrap_or(text);
        match unhex(&digits.to_ascii_lowercase()) {
            Some(key) if key.len() == 32 => Ok(Self::of(&key)),
            _ => Err("is no public key: `ed25519:` and 64 hexadecimal digits".to_owned()),
        }
    }
}

impl fmt::Display for SigningKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A raw signature as text: `ed25519:` and its hexadecimal digits.
pub fn signature_text(signature: &[u8]) -> String {
    format!("{ALGORITHM}{}", hex(signature))
}

/// Hexadecimal digits, lower case.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes that hexadecimal digits stand for.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    // One way to write each byte: another would be another text that says the same.
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !text.len().is_multiple_of(2) || !text.bytes().all(digit) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .chain(std::iter::repeat(&0))
            .take(3)
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = number >> (18 - 6 * place) & 63;
            text.push(if place <= three.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    type Edit = fn(&mut SignedCheckpoint);

    fn signed() -> SignedCheckpoint {
        let pair = Ed25519KeyPair::generate().unwrap();
        let checkpoint = Checkpoint {
            at: Timestamp::from_second(1_795_226_400).unwrap(),
            catalog: "00112233445566778899aabbccddeeff".to_owned(),
            digest: Digest::sha256_of(b"x"),
            first: 3,
            format: FORMAT.to_owned(),
            public_key: SigningKeyName::of(pair.public_key().as_ref()),
            sequence: 7,
        };
        let signature = pair.sign(&checkpoint.bytes().unwrap());
        SignedCheckpoint::new(checkpoint, signature.as_ref())
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_nothing_else() {
        let good = signed();
        assert!(good.is_signed());
        assert!(canonical::is_sorted(&good.checkpoint).unwrap());
        let read: SignedCheckpoint =
            serde_json::from_str(&serde_json::to_string(&good).unwrap()).unwrap();
        assert!(read.is_signed());
        let edits: [Edit; 6] = [
            |one| one.checkpoint.sequence += 1,
            |one| one.checkpoint.first -= 1,
            |one| one.checkpoint.digest = Digest::sha256_of(b"y"),
            |one| one.checkpoint.catalog.replace_range(..1, "f"),
            |one| one.checkpoint.public_key = signed().checkpoint.public_key,
            |one| one.signature = signed().signature,
        ];
        for edit in edits {
            let mut bad = good.clone();
            edit(&mut bad);
            assert!(!bad.is_signed(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_read_with_and_without_its_algorithm() {
        let key = signed().checkpoint.public_key;
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        assert_eq!(key.as_str()["ed25519:".len()..].parse(), Ok(key));
        assert!("ed25519:00".parse::<SigningKeyName>().is_err());
        assert!("ed25519:é".parse::<SigningKeyName>().is_err());
    }

    /// The example of RFC 8410, section 10.1.
    #[test]
    fn a_public_key_in_pem_is_what_the_standard_shows() {
        let key: SigningKeyName =
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
                .parse()
                .unwrap();
        assert_eq!(
            key.to_pem().unwrap(),
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
        );
    }
}
