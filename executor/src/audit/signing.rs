//! The key that signs checkpoints: a file in the state folder, made when it is first needed.
//!
//! Whoever can read it can sign. It is no secret of the data and need not be kept: without it the next run makes another one and tells
//! so in the audit, and old signatures hold with the public key that stands beside them. The private part is in no log, error or
//! `Debug`.

use super::AuditError;
use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use model::{
    Digest,
    audit::{
        Checkpoint, SignedCheckpoint, SigningKeyName,
        checkpoint::{hex, signature_text, unhex},
    },
    evidence::{Seal, Sealed, seal},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Value of `format` in the file.
const FORMAT: &str = "mainstay.audit-key.v1";

/// The key file. Fields in the order in which people read them.
#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    public_key: SigningKeyName,
    /// The seed of RFC 8032, in hexadecimal digits.
    private_key: String,
}

/// A key pair that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.name()).finish()
    }
}

impl SigningKey {
    /// The key of a file; `None`: there is no such file.
    pub fn open(path: &Path) -> Result<Option<Self>, AuditError> {
        let failed = |source| AuditError::KeyFile {
            path: path.to_owned(),
            source,
        };
        let bad = || AuditError::BadKey {
            path: path.to_owned(),
        };
        let about = match fs::metadata(path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if about.mode() & 0o077 != 0 {
            return Err(AuditError::KeyReadable {
                path: path.to_owned(),
            });
        }
        let text = fs::read(path).map_err(failed)?;
        let file: File = serde_json::from_slice(&text).map_err(|_| bad())?;
        let seed = unhex(&file.private_key).ok_or_else(bad)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| bad())?;
        let key = Self { pair };
        if file.format == FORMAT && key.name() == file.public_key {
            Ok(Some(key))
        } else {
            Err(bad())
        }
    }

    /// The key of a file, which is made if it is not there: readable by its owner only, whole or not at all.
    pub fn open_or_make(path: &Path) -> Result<Self, AuditError> {
        if let Some(key) = Self::open(path)? {
            return Ok(key);
        }
        make(path).map_err(|source| AuditError::KeyFile {
            path: path.to_owned(),
            source,
        })?;
        // Of two programs that make it at once the first one's counts.
        Self::open(path)?.ok_or_else(|| AuditError::BadKey {
            path: path.to_owned(),
        })
    }

    /// Its public part.
    pub fn name(&self) -> SigningKeyName {
        SigningKeyName::of(self.pair.public_key().as_ref())
    }

    /// Signs.
    pub(super) fn sign(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<SignedCheckpoint, serde_json::Error> {
        let signature = self.pair.sign(&checkpoint.bytes()?);
        Ok(SignedCheckpoint::new(checkpoint, signature.as_ref()))
    }

    /// Signs the list of digests of a report's bundle.
    pub fn seal(&self, digests: &[u8]) -> Result<Seal, serde_json::Error> {
        let sealed = Sealed {
            digests: Digest::sha256_of(digests),
            format: seal::FORMAT.to_owned(),
            public_key: self.name(),
        };
        let signature = self.pair.sign(&sealed.bytes()?);
        Ok(Seal {
            sealed,
            signature: signature_text(signature.as_ref()),
        })
    }
}

fn make(path: &Path) -> io::Result<()> {
    let failed = |_| io::Error::other("no key can be made");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let seed = pair.seed().map_err(failed)?;
    let seed = seed.as_be_bytes().map_err(failed)?;
    let file = File {
        format: FORMAT.to_owned(),
        public_key: SigningKeyName::of(pair.public_key().as_ref()),
        private_key: hex(seed.as_ref()),
    };
    let mut text = serde_json::to_vec_pretty(&file)?;
    text.push(b'\n');
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    // What a dead process of the same number left.
    let _ = fs::remove_file(&temporary);
    let mut options = fs::OpenOptions::new();
    let mut written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    written.write_all(&text)?;
    written.sync_all()?;
    // A link does not replace what is there.
    let linked = match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&temporary)?;
    linked?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        assert!(SigningKey::open(&path).unwrap().is_none());
        let made = SigningKey::open_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = SigningKey::open_or_make(&path).unwrap();
        assert_eq!(made.name(), again.name());
        let entries = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(entries, 1, "nothing else is left");
        let shown = format!("{made:?}");
        let text = fs::read_to_string(&path).unwrap();
        let file: File = serde_json::from_str(&text).unwrap();
        assert!(!shown.contains(&file.private_key));
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_signs_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        SigningKey::open_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::open(&path).unwrap_err();
        assert_eq!(error.code(), "mainstay::audit::key-readable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        let error = SigningKey::open(&path).unwrap_err();
        assert_eq!(error.code(), "mainstay::audit::key-file");
    }
}
