//! The one error that crosses the contracts: a code, a sentence, a way out, and whether another try may help.
//!
//! Each provider keeps small enums of its own and turns them into this at its edge. Never contains a secret.

use model::Disposition;
use std::fmt;

/// Result of every provider call.
pub type Result<T, E = ProviderError> = std::result::Result<T, E>;

/// What went wrong in a provider.
#[derive(Debug)]
pub struct ProviderError {
    /// `mainstay::<area>::<name>`, with a page in `docs/errors/`.
    pub code: &'static str,
    /// Lower-case fragment: what was attempted on what, and what went wrong.
    pub message: String,
    /// One sentence an operator can act on.
    pub help: Option<String>,
    /// Whether another try may help.
    pub disposition: Disposition,
    /// The cause, whose text is not repeated in `message`.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ProviderError {
    /// An error without help and cause.
    pub fn new(code: &'static str, disposition: Disposition, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            disposition,
            source: None,
        }
    }

    /// Adds what an operator can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
