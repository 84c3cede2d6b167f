//! What can go wrong with a sealed stream. No variant can hold key material or plain bytes.

use crate::api::ProviderError;
use model::Disposition;

/// Why a stream cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// More segments than the format can number.
    #[error("a sealed object cannot have more than 2^32 segments of 1 MiB (4 PiB)")]
    TooLong,
    /// The system's random numbers failed.
    #[error("the system gave no random bytes for a sealed object")]
    NoRandomness,
    /// The first bytes are not a header.
    #[error("it does not begin with the header of a sealed object")]
    Header,
    /// It ends inside its header or inside a tag.
    #[error("it is too short for segment {0}, which it should end with")]
    Short(u32),
    /// A segment is not what was sealed under this key, at this place, in this object.
    #[error("segment {0} does not authenticate")]
    Segment(u32),
}

impl SealError {
    /// The error of one who seals.
    pub(crate) fn while_sealing(self) -> ProviderError {
        let (code, disposition) = match self {
            Self::NoRandomness => ("mainstay::seal::no-randomness", Disposition::NeedsOperator),
            _ => ("mainstay::seal::too-long", Disposition::Permanent),
        };
        ProviderError::new(code, disposition, self.to_string())
    }

    /// The error of one who opens: the copy is to blame.
    pub(crate) fn while_opening(self, object: &str) -> ProviderError {
        ProviderError::new(
            "mainstay::copy::damaged",
            Disposition::Permanent,
            format!("the stored object `{object}` is damaged: {self}"),
        )
        .help("run `mainstay plan`: a damaged copy is made again from a good copy on another tier, if there is one")
    }
}

/// The stored bytes are right, and still the first segment does not authenticate.
pub(crate) fn wrong_key(object: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::seal::wrong-key",
        Disposition::NeedsOperator,
        format!(
            "the stored object `{object}` has the SHA-256 of its manifest, but its data key or its associated data does not open it"
        ),
    )
    .help("the `keys.json` beside it belongs to another object or was changed: restore it from the copy on another tier")
}
