//! What can go wrong with exports of the audit, and with the key that signs them.

use crate::steps::error::{StepError, chain};
use catalog::CatalogError;
use model::{Disposition, audit::Flaw, event::Failure};
use providers::api::ProviderError;
use std::{io, path::PathBuf};

/// An export that was not made, or a key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The tier cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The tier is not the one that is meant, or cannot be asked.
    #[error("{}", .0.message)]
    Tier(Box<Failure>),
    /// The key file cannot be read or made.
    #[error("cannot use the key that signs the audit, `{path}`")]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key file holds no key.
    #[error("`{path}` is not a key that signs the audit")]
    BadKey {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else may read the key file.
    #[error("the key that signs the audit, `{path}`, can be read by others than its owner")]
    KeyReadable {
        /// Where.
        path: PathBuf,
    },
    /// The entries in the catalog are not as they were written: nothing is signed.
    #[error("the audit in the catalog is not as it was written ({0}), so nothing of it is signed")]
    Broken(Flaw),
    /// The file that the audit is written to cannot be written.
    #[error("cannot write the audit to `{path}`")]
    Output {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tier holds other entries of the same numbers.
    #[error("`{object}` is on the tier already, with other entries than those of this catalog")]
    OtherHistory {
        /// Key of the object.
        object: String,
    },
}

impl AuditError {
    /// Every code, for the test that each has its page in `docs/errors/`.
    pub const CODES: &'static [&'static str] = &[
        "mainstay::audit::broken",
        "mainstay::audit::key-file",
        "mainstay::audit::key-readable",
        "mainstay::audit::other-history",
        "mainstay::audit::output",
    ];

    /// Stable code.
    pub fn code(&self) -> String {
        match self {
            Self::Catalog(error) => error.code().to_owned(),
            Self::Provider(error) => error.code.to_owned(),
            Self::Tier(failure) => failure.code.clone(),
            Self::KeyFile { .. } | Self::BadKey { .. } => "mainstay::audit::key-file".to_owned(),
            Self::KeyReadable { .. } => "mainstay::audit::key-readable".to_owned(),
            Self::Broken(_) => "mainstay::audit::broken".to_owned(),
            Self::OtherHistory { .. } => "mainstay::audit::other-history".to_owned(),
            Self::Output { .. } => "mainstay::audit::output".to_owned(),
        }
    }

    /// One sentence that an operator can act on.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.help(),
            Self::Provider(error) => error.help.clone(),
            Self::Tier(failure) => failure.help.clone(),
            Self::KeyFile { path, .. } => Some(format!(
                "let this user read and write `{}` and its folder",
                path.display()
            )),
            Self::BadKey { path } => Some(format!(
                "put the key back from a copy of the state folder; or move `{}` away, and a new key is made and told in the audit",
                path.display()
            )),
            Self::KeyReadable { path } => Some(format!(
                "`chmod 600 {}`; if somebody may have read it, move it away: a new key is made and told in the audit",
                path.display()
            )),
            Self::Broken(_) => Some(
                "keep the catalog as it is and run `mainstay audit verify`, which names every entry that was tampered with".to_owned(),
            ),
            Self::Output { .. } => Some(
                "name a file that does not exist yet, in a folder that this user may write to".to_owned(),
            ),
            Self::OtherHistory { .. } => Some(
                "an older state of the catalog was brought back, or two catalogs share an identity: run `mainstay audit verify`".to_owned(),
            ),
        }
    }

    /// The same as plain data.
    pub fn to_failure(&self) -> Failure {
        Failure {
            code: self.code(),
            message: chain(self),
            help: self.help(),
            disposition: match self {
                Self::Catalog(error) => error.disposition(),
                Self::Provider(error) => error.disposition,
                Self::Tier(failure) => failure.disposition,
                _ => Disposition::NeedsOperator,
            },
        }
    }
}

impl From<StepError> for AuditError {
    fn from(error: StepError) -> Self {
        Self::Tier(Box::new(error.to_failure()))
    }
}
