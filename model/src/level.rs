//! How thoroughly a copy was, or must be, verified.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Verification levels, weakest first; a stronger level implies the weaker ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyLevel {
    /// The store itself says that it holds the bytes of the manifest: its own checksum over the whole object, made when it was
    /// stored. Nothing was read back. What an archive gives that cannot be read at once; no policy asks for it.
    #[schemars(skip)]
    Attested,
    /// The stored bytes are read back and their SHA-256 compared with the manifest.
    Checksum,
    /// Decompressed and read to the end by the format's own reader, BLAKE3 of the plain bytes compared.
    FullRead,
    /// Restored into a scratch database, expectations and assertions checked there.
    Restore,
}

impl VerifyLevel {
    /// The word used in policies, JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Checksum => "checksum",
            Self::FullRead => "full-read",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for VerifyLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for VerifyLevel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "attested" => Ok(Self::Attested),
            "checksum" => Ok(Self::Checksum),
            "full-read" => Ok(Self::FullRead),
            "restore" => Ok(Self::Restore),
            _ => Err(format!(
                "`{text}` is not a verify level: checksum, full-read or restore"
            )),
        }
    }
}
