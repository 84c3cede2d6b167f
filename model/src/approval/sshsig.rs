//! Signatures as `ssh-keygen -Y sign` makes them (`PROTOCOL.sshsig` of OpenSSH): a file of one or several armoured blocks.
//!
//! The namespace is part of what is signed, so that a signature for one purpose is none for another.

use super::{
    ApprovalError,
    ssh::{PublicKey, Reader},
};
use aws_lc_rs::digest::{self, SHA256, SHA512};
use base64ct::{Base64, Encoding as _};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// A signature that can be read; whether it is right tells [`SshSignature::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSignature {
    armored: String,
    key: PublicKey,
    namespace: String,
    reserved: Vec<u8>,
    hash: String,
    signature: Vec<u8>,
}

impl SshSignature {
    /// One armoured signature.
    pub fn parse(armored: &str) -> Result<Self, ApprovalError> {
        let inside = armored
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or(ApprovalError::Malformed)?;
        let text: String = inside.split_whitespace().collect();
        let blob = Base64::decode_vec(&text).map_err(|_| ApprovalError::Malformed)?;
        let mut reader = Reader(&blob);
        if reader.take(MAGIC.len())? != MAGIC || reader.natural()? != VERSION {
            return Err(ApprovalError::Malformed);
        }
        let parsed = Self {
            armored: format!("{}\n", armored.trim()),
            key: PublicKey::from_blob(reader.string()?.to_vec())?,
            namespace: reader.text()?.to_owned(),
            reserved: reader.string()?.to_vec(),
            hash: reader.text()?.to_owned(),
            signature: reader.string()?.to_vec(),
        };
        reader.end()?;
        Ok(parsed)
    }

    /// The armoured blocks of a file, as they stand there.
    pub fn blocks(text: &str) -> Vec<String> {
        let blocks = text.split_inclusive(END);
        blocks
            .filter_map(|part| part.get(part.find(BEGIN)?..))
            .filter(|block| block.ends_with(END))
            .map(|block| format!("{block}\n"))
            .collect()
    }

    /// The key that says that it has signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// As it stands in a file.
    pub fn armored(&self) -> &str {
        &self.armored
    }

    /// Whether its key signed this message for this purpose.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), ApprovalError> {
        if self.namespace != namespace {
            return Err(ApprovalError::Namespace(self.namespace.clone()));
        }
        let algorithm = match self.hash.as_str() {
            "sha256" => &SHA256,
            "sha512" => &SHA512,
            _ => return Err(ApprovalError::Algorithm),
        };
        let digest = digest::digest(algorithm, message);
        let mut signed = MAGIC.to_vec();
        for part in [
            self.namespace.as_bytes(),
            &self.reserved,
            self.hash.as_bytes(),
            digest.as_ref(),
        ] {
            let length = u32::try_from(part.len()).map_err(|_| ApprovalError::Malformed)?;
            signed.extend_from_slice(&length.to_be_bytes());
            signed.extend_from_slice(part);
        }
        self.key.verify(&signed, &self.signature)
    }
}
