//! Public keys of SSH and what they have signed: the wire format of RFC 4251 as far as keys and signatures need it.
//!
//! Known are Ed25519, ECDSA on the NIST curves and RSA with SHA-2 (RFC 8709, 5656, 8332), and the first two in a hardware key
//! (`PROTOCOL.u2f` of OpenSSH), which must have been touched. Nothing else is a key. Not here: what is signed (`sshsig`).

use super::ApprovalError;
use aws_lc_rs::{
    digest::{self, SHA256},
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64ct::{Base64, Base64Unpadded, Encoding as _};

/// Flag of a hardware key: somebody touched it.
const TOUCHED: u8 = 1;

const ED25519_BYTES: usize = 32;

/// 2048 bits, as the check of signatures asks for.
const LEAST_RSA_BYTES: usize = 256;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `ssh-ed25519` …
    algorithm: String,
    /// As it goes over the wire; two keys are one key if these are equal.
    blob: Vec<u8>,
}

impl PublicKey {
    /// The key of a line such as `ssh-ed25519 AAAA… alice@example.com`; the comment is dropped.
    pub fn from_line(line: &str) -> Result<Self, ApprovalError> {
        let mut words = line.split_whitespace();
        let (Some(algorithm), Some(text)) = (words.next(), words.next()) else {
            return Err(ApprovalError::Key("it is no line of a public key"));
        };
        let blob =
            Base64::decode_vec(text).map_err(|_| ApprovalError::Key("it is not in base 64"))?;
        let key = Self::from_blob(blob)?;
        if key.algorithm != algorithm {
            return Err(ApprovalError::Key("its first word names another algorithm"));
        }
        Ok(key)
    }

    /// The key that stands in a signature.
    pub(super) fn from_blob(blob: Vec<u8>) -> Result<Self, ApprovalError> {
        let material = Material::of(&blob)?;
        material.check_size()?;
        let algorithm = material.algorithm().to_owned();
        Ok(Self { algorithm, blob })
    }

    /// The line of the key, without a comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.algorithm, Base64::encode_string(&self.blob))
    }

    /// What `ssh-keygen -l` shows: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        let digest = digest::digest(&SHA256, &self.blob);
        format!("SHA256:{}", Base64Unpadded::encode_string(digest.as_ref()))
    }

    /// Whether this key made a signature (as it goes over the wire) of some bytes.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), ApprovalError> {
        let key = Material::of(&self.blob)?;
        let mut reader = Reader(signature);
        let algorithm = reader.text()?;
        let proof = reader.string()?;
        let hardware = match &key {
            Material::Ed25519 { application, .. } | Material::Ecdsa { application, .. } => {
                *application
            }
            Material::Rsa { .. } => None,
        };
        let mut signed = bytes.to_vec();
        if let Some(application) = hardware {
            let flags = reader.byte()?;
            let counter = reader.take(4)?;
            if flags & TOUCHED == 0 {
                return Err(ApprovalError::Untouched);
            }
            signed = digest::digest(&SHA256, application).as_ref().to_vec();
            signed.push(flags);
            signed.extend_from_slice(counter);
            signed.extend_from_slice(digest::digest(&SHA256, bytes).as_ref());
        }
        reader.end()?;
        key.verify(algorithm, &signed, proof)
    }
}

/// A key in its parts.
enum Material<'a> {
    Ed25519 {
        key: &'a [u8],
        application: Option<&'a [u8]>,
    },
    Ecdsa {
        algorithm: &'a str,
        curve: &'static Curve,
        point: &'a [u8],
        application: Option<&'a [u8]>,
    },
    Rsa {
        e: &'a [u8],
        n: &'a [u8],
    },
}

struct Curve {
    name: &'static str,
    bytes: usize,
    algorithm: &'static dyn VerificationAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve {
        name: "nistp256",
        bytes: 32,
        algorithm: &ECDSA_P256_SHA256_FIXED,
    },
    Curve {
        name: "nistp384",
        bytes: 48,
        algorithm: &ECDSA_P384_SHA384_FIXED,
    },
    Curve {
        name: "nistp521",
        bytes: 66,
        algorithm: &ECDSA_P521_SHA512_FIXED,
    },
];

const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

impl<'a> Material<'a> {
    fn of(blob: &'a [u8]) -> Result<Self, ApprovalError> {
        let mut reader = Reader(blob);
        let algorithm = reader.text()?;
        let material = match algorithm {
            "ssh-ed25519" | SK_ED25519 => Self::Ed25519 {
                key: reader.string()?,
                application: application(algorithm, &mut reader)?,
            },
            "ssh-rsa" => Self::Rsa {
                e: reader.number()?,
                n: reader.number()?,
            },
            other if !other.starts_with("ecdsa-sha2-") && other != SK_ECDSA => {
                return Err(ApprovalError::Algorithm);
            }
            _ => {
                let curve = reader.text().map_err(|_| ApprovalError::Algorithm)?;
                let curve = CURVES.iter().find(|known| {
                    known.name == curve
                        && (algorithm.strip_prefix("ecdsa-sha2-") == Some(curve)
                            || (algorithm == SK_ECDSA && curve == "nistp256"))
                });
                Self::Ecdsa {
                    algorithm,
                    curve: curve.ok_or(ApprovalError::Algorithm)?,
                    point: reader.string()?,
                    application: application(algorithm, &mut reader)?,
                }
            }
        };
        reader.end()?;
        Ok(material)
    }

    /// A key that no signature could be checked with is refused where it is written, not when somebody signs.
    fn check_size(&self) -> Result<(), ApprovalError> {
        match self {
            Self::Ed25519 { key, .. } if key.len() != ED25519_BYTES => {
                Err(ApprovalError::Malformed)
            }
            Self::Ecdsa { curve, point, .. } if point.len() != 1 + 2 * curve.bytes => {
                Err(ApprovalError::Malformed)
            }
            Self::Rsa { n, .. } if n.len() < LEAST_RSA_BYTES => Err(ApprovalError::Key(
                "its RSA key has fewer than 2048 bits; make one with `ssh-keygen -t ed25519`",
            )),
            // Anybody can sign for such a key.
            Self::Rsa { e: [] | [1], .. } => Err(ApprovalError::Key("its RSA exponent is none")),
            _ => Ok(()),
        }
    }

    fn algorithm(&self) -> &str {
        match self {
            Self::Ed25519 {
                application: None, ..
            } => "ssh-ed25519",
            Self::Ed25519 { .. } => SK_ED25519,
            Self::Ecdsa { algorithm, .. } => algorithm,
            Self::Rsa { .. } => "ssh-rsa",
        }
    }

    fn verify(&self, algorithm: &str, bytes: &[u8], proof: &[u8]) -> Result<(), ApprovalError> {
        let wrong = |_| ApprovalError::Forged;
        match self {
            Self::Rsa { e, n } => {
                let hash = match algorithm {
                    "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                    "rsa-sha2-512" => &RSA_PKCS1_2048_8192_SHA512,
                    // `ssh-rsa` as a signature is SHA-1.
                    _ => return Err(ApprovalError::Algorithm),
                };
                PublicKeyComponents { e, n }
                    .verify(hash, bytes, proof)
                    .map_err(wrong)
            }
            _ if algorithm != self.algorithm() => Err(ApprovalError::Algorithm),
            Self::Ed25519 { key, .. } => UnparsedPublicKey::new(&ED25519, key)
                .verify(bytes, proof)
                .map_err(wrong),
            Self::Ecdsa { curve, point, .. } => {
                let mut reader = Reader(proof);
                let mut fixed = padded(reader.number()?, curve.bytes)?;
                fixed.extend(padded(reader.number()?, curve.bytes)?);
                reader.end()?;
                UnparsedPublicKey::new(curve.algorithm, point)
                    .verify(bytes, &fixed)
                    .map_err(wrong)
            }
        }
    }
}

/// What a hardware key is bound to.
fn application<'a>(
    algorithm: &str,
    reader: &mut Reader<'a>,
) -> Result<Option<&'a [u8]>, ApprovalError> {
    if algorithm.starts_with("sk-") {
        return reader.string().map(Some);
    }
    Ok(None)
}

fn padded(number: &[u8], width: usize) -> Result<Vec<u8>, ApprovalError> {
    let missing = width
        .checked_sub(number.len())
        .ok_or(ApprovalError::Forged)?;
    let mut padded = vec![0; missing];
    padded.extend_from_slice(number);
    Ok(padded)
}

/// Reads what RFC 4251, section 5, describes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], ApprovalError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ApprovalError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ApprovalError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn natural(&mut self) -> Result<u32, ApprovalError> {
        let bytes = self.take(4)?.try_into();
        Ok(u32::from_be_bytes(
            bytes.map_err(|_| ApprovalError::Malformed)?,
        ))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], ApprovalError> {
        let length = self.natural()?;
        self.take(usize::try_from(length).map_err(|_| ApprovalError::Malformed)?)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, ApprovalError> {
        std::str::from_utf8(self.string()?).map_err(|_| ApprovalError::Malformed)
    }

    /// A positive number without the zeros before it.
    fn number(&mut self) -> Result<&'a [u8], ApprovalError> {
        let bytes = self.string()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(bytes.get(zeros..).unwrap_or_default())
    }

    pub(super) fn end(&self) -> Result<(), ApprovalError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ApprovalError::Malformed)
    }
}
