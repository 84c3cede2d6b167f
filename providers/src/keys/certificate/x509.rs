//! Reads a certificate and its private key, and says what of them can be used.

use aws_lc_rs::{
    digest,
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa::{
        OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey,
    },
};
use cms::cert::IssuerAndSerialNumber;
use der::{Decode as _, Document, Encode as _, SecretDocument, oid::db::rfc5912::RSA_ENCRYPTION};
use jiff::Timestamp;
use model::Secret;
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoOwned};

/// Fewest bits of an RSA key that is still held to be out of reach (NIST SP 800-57, 112 bits of security).
const FEWEST_BITS: usize = 2048;

/// A certificate that data keys can be wrapped for.
pub(super) struct Recipient {
    /// `sha256:<hex>` of the whole certificate, as `openssl x509 -fingerprint -sha256` shows it.
    pub(super) fingerprint: String,
    pub(super) subject: String,
    pub(super) valid_until: Option<Timestamp>,
    pub(super) id: IssuerAndSerialNumber,
    pub(super) public: OaepPublicEncryptingKey,
    public_bits: Vec<u8>,
}

/// Why a certificate or a private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum X509Error {
    #[error("it is not an X.509 certificate in PEM or DER")]
    NoCertificate,
    #[error("its key is not RSA")]
    NotRsa,
    #[error("its RSA key has {0} bits, {FEWEST_BITS} are needed")]
    TooShort(usize),
    #[error("its RSA key is not valid")]
    BadKey,
    #[error("the private key is not in PEM as PKCS #8 (`BEGIN PRIVATE KEY`)")]
    NoPrivateKey,
    #[error("the private key is protected with a passphrase")]
    ProtectedPrivateKey,
    #[error("the private key belongs to another certificate")]
    OtherPrivateKey,
}

impl X509Error {
    /// What to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::NoCertificate | Self::NotRsa | Self::TooShort(_) | Self::BadKey => {
                "make one with `openssl req -x509 -newkey rsa:4096 -keyout recovery-key.pem -out recovery.pem -days 3650 -subj /CN=recovery`"
            }
            Self::NoPrivateKey | Self::ProtectedPrivateKey => {
                "convert it with `openssl pkcs8 -topk8 -nodes -in key.pem`, or let a `command` do that"
            }
            Self::OtherPrivateKey => {
                "compare `openssl x509 -in recovery.pem -noout -pubkey` with `openssl pkey -in key.pem -pubout`"
            }
        }
    }
}

impl Recipient {
    /// Reads a certificate, the first one where there are several.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, X509Error> {
        let der = certificate_der(bytes).ok_or(X509Error::NoCertificate)?;
        let certificate = Certificate::from_der(&der).map_err(|_| X509Error::NoCertificate)?;
        let tbs = certificate.tbs_certificate;
        let key = &tbs.subject_public_key_info;
        if key.algorithm.oid != RSA_ENCRYPTION {
            return Err(X509Error::NotRsa);
        }
        let key_der = key.to_der().map_err(|_| X509Error::BadKey)?;
        let public = PublicEncryptingKey::from_der(&key_der)
            .and_then(|public| Ok(OaepPublicEncryptingKey::new(public)?));
        let public = match public {
            Ok(public) if public.key_size_bits() >= FEWEST_BITS => public,
            Ok(public) => return Err(X509Error::TooShort(public.key_size_bits())),
            Err(_) => return Err(size_of(key).map_or(X509Error::BadKey, X509Error::TooShort)),
        };
        let until = tbs.validity.not_after.to_unix_duration().as_secs();
        Ok(Self {
            fingerprint: format!(
                "sha256:{}",
                &*crate::keys::encoding::hex(digest::digest(&digest::SHA256, &der).as_ref())
            ),
            subject: tbs.subject.to_string(),
            valid_until: i64::try_from(until)
                .ok()
                .and_then(|second| Timestamp::from_second(second).ok()),
            public_bits: key.subject_public_key.raw_bytes().to_vec(),
            id: IssuerAndSerialNumber {
                issuer: tbs.issuer,
                serial_number: tbs.serial_number,
            },
            public,
        })
    }

    /// Reads the private key of this certificate.
    pub(super) fn private_key(&self, text: &Secret) -> Result<OaepPrivateDecryptingKey, X509Error> {
        let text = text.expose();
        let Some(pem) = block(text, "PRIVATE KEY") else {
            return Err(
                if block(text, "ENCRYPTED PRIVATE KEY").is_some()
                    || text.contains("Proc-Type: 4,ENCRYPTED")
                {
                    X509Error::ProtectedPrivateKey
                } else {
                    X509Error::NoPrivateKey
                },
            );
        };
        let (_, document) = SecretDocument::from_pem(pem).map_err(|_| X509Error::NoPrivateKey)?;
        let key =
            PrivateDecryptingKey::from_pkcs8(document.as_bytes()).map_err(|_| X509Error::NotRsa)?;
        let public: PublicKeyX509Der<'_> =
            key.public_key().as_der().map_err(|_| X509Error::NotRsa)?;
        let public =
            SubjectPublicKeyInfoOwned::from_der(public.as_ref()).map_err(|_| X509Error::NotRsa)?;
        if public.subject_public_key.raw_bytes() != self.public_bits {
            return Err(X509Error::OtherPrivateKey);
        }
        OaepPrivateDecryptingKey::new(key).map_err(|_| X509Error::NotRsa)
    }
}

/// The certificate itself, from PEM or DER.
fn certificate_der(bytes: &[u8]) -> Option<Vec<u8>> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(pem) = block(text, "CERTIFICATE")
    {
        return Document::from_pem(pem).ok().map(|(_, der)| der.into_vec());
    }
    Some(bytes.to_vec())
}

/// The first block of a kind in a PEM file, which may hold other blocks and words around it.
fn block<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
    let end = format!("-----END {kind}-----");
    let start = text.find(&format!("-----BEGIN {kind}-----"))?;
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}

/// Bits of a modulus that the cryptographic library does not take.
fn size_of(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    #[derive(der::Sequence)]
    struct RsaPublicKey {
        modulus: der::asn1::Uint,
        exponent: der::asn1::Uint,
    }
    let key = RsaPublicKey::from_der(key.subject_public_key.raw_bytes()).ok()?;
    let bytes = key.modulus.as_bytes();
    let bits = bytes.len() * 8 - bytes.first()?.leading_zeros() as usize;
    (bits < FEWEST_BITS && !key.exponent.as_bytes().is_empty()).then_some(bits)
}
