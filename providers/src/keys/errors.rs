//! What goes wrong with keys of every kind: codes, sentences, ways out.

use crate::api::ProviderError;
use model::{Disposition, KeyName, WrappedKey};

fn operator(code: &'static str, message: String) -> ProviderError {
    ProviderError::new(code, Disposition::NeedsOperator, message)
}

pub(super) fn config(kind: &str, error: serde_json::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::key::config",
        Disposition::Permanent,
        format!("the table of a key of the kind `{kind}` cannot be read"),
    )
    .help("run `mainstay validate`")
    .source(error)
}

/// `what` names the place: "the key file `…`".
pub(super) fn missing(what: &str, help: impl Into<String>) -> ProviderError {
    operator("mainstay::key::missing", format!("{what} is not there")).help(help)
}

pub(super) fn unreadable(what: &str, error: std::io::Error) -> ProviderError {
    operator("mainstay::key::unreadable", format!("cannot read {what}"))
        .help("check that the user who runs mainstay may read it, and that the disk or mount it lies on answers")
        .source(error)
}

pub(super) fn bad_file(what: &str, why: &str) -> ProviderError {
    operator(
        "mainstay::key::bad-file",
        format!("{what} is not usable: {why}"),
    )
    .help("put back the copy of the file that you keep elsewhere; never edit it")
}

pub(super) fn unusable(what: &str, why: &str, help: impl Into<String>) -> ProviderError {
    operator(
        "mainstay::key::unusable",
        format!("{what} cannot be used: {why}"),
    )
    .help(help)
}

/// The key is another one, or what was wrapped is damaged or belongs elsewhere: that does not change by trying again.
pub(super) fn cannot_open(name: &KeyName, wrapped: &WrappedKey, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::key::cannot-open",
        Disposition::Permanent,
        format!(
            "the key `{name}` cannot open what the key `{}` has wrapped: {why}",
            wrapped.key_id
        ),
    )
}

/// The cryptographic library refused to work, which it does only without randomness or with a key of the wrong length.
pub(super) fn failed(name: &KeyName) -> ProviderError {
    operator(
        "mainstay::key::failed",
        format!("cannot wrap a data key for the key `{name}`"),
    )
    .help("check that the system gives random bytes (`head -c 8 /dev/random | wc -c`)")
}
