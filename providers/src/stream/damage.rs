//! Errors of streams: what counts as damage, and how a [`ProviderError`] travels through [`std::io::Error`] and back.

use crate::api::ProviderError;
use model::{Disposition, StoredObject};
use std::io;

/// The stored bytes are not what the manifest says.
pub(super) fn damaged(object: &StoredObject, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::copy::damaged",
        Disposition::Permanent,
        format!("the stored object `{}` is damaged: {how}", object.file),
    )
    .help("run `mainstay plan`: a damaged copy is made again from a good copy on another tier, if there is one")
}

/// A stage of the pipeline has gone without a word (it panicked, or the system refused a thread).
pub(super) fn stopped() -> ProviderError {
    ProviderError::new(
        "mainstay::stream::stopped",
        Disposition::Retry,
        "a stage of the stream ended without a result",
    )
}

/// The system refused a thread.
pub(super) fn no_thread(error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::stream::stopped",
        Disposition::Retry,
        "cannot start a thread for the stream",
    )
    .source(error)
}

/// The plain bytes could not be read to their end.
fn source_failed(error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::stream::source",
        Disposition::Retry,
        "the bytes of the source could not be read to their end",
    )
    .source(error)
}

/// Wraps an error for a blocking reader; [`provider_error`] gets it back.
pub(super) fn io_error(error: ProviderError) -> io::Error {
    let kind = match error.code {
        "mainstay::copy::damaged" => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The error of a provider that travelled through a reader, or `mainstay::stream::source` around any other error.
pub fn provider_error(error: io::Error) -> ProviderError {
    match error.downcast::<ProviderError>() {
        Ok(error) => error,
        Err(error) => source_failed(error),
    }
}

/// The error of a provider inside an error of a reader, such as damage found at the end of [`super::plain`]'s stream.
pub fn provider_error_of(error: &io::Error) -> Option<&ProviderError> {
    error.get_ref()?.downcast_ref()
}
