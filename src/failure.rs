//! An error as the command line ends with it: code, sentence, way out, exit code. Rendered once, in `main`.

use crate::exit::Exit;
use providers::api::ProviderError;
use std::fmt::Write as _;

/// Result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `mainstay::<area>::<name>`.
    pub(crate) code: String,
    /// The message with its causes.
    pub(crate) message: String,
    /// What an operator can do.
    pub(crate) help: Option<String>,
    /// Exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure with exit 1.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            help: None,
            exit: Exit::Failed,
        }
    }

    /// Adds the way out.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Ends with another exit code than 1.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Takes an error with its chain of causes.
    pub(crate) fn from_error(
        code: &str,
        help: Option<String>,
        error: &dyn std::error::Error,
    ) -> Self {
        Self {
            code: code.to_owned(),
            message: with_causes(error),
            help,
            exit: Exit::Failed,
        }
    }
}

/// The message and its causes, joined by `: `.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::from_error(error.code, error.help.clone(), &error)
    }
}

/// A sentence with its cause, for errors of the standard library that do not say what was attempted.
#[derive(Debug)]
pub(crate) struct Because(
    pub(crate) String,
    pub(crate) Box<dyn std::error::Error + Send + Sync>,
);

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Because {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.1)
    }
}
