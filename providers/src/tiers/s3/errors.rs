//! What a failed call to the store means for a tier: one table from its answer to code, way out and disposition.
//!
//! Of an answer only its code, message and status are kept: the rest may quote the request.

use crate::{
    api::{ProbeResult, ProviderError},
    aws::AwsFault,
};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use model::Disposition;
use std::{error::Error, time::Duration};

/// A failed call, as the SDK tells.
pub(super) type Failed<E> = SdkError<E, HttpResponse>;

/// Code of the store's answer; empty when it gave none (HEAD has no body).
pub(super) fn code_of<E: ProvideErrorMetadata>(error: &Failed<E>) -> &str {
    match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or_default(),
        _ => "",
    }
}

/// Status of the store's answer.
pub(super) fn status_of<E>(error: &Failed<E>) -> u16 {
    error
        .raw_response()
        .map_or(0, |answer| answer.status().as_u16())
}

/// The object (or its version, or the upload) is not there. A missing bucket is something else.
pub(super) fn is_not_found<E: ProvideErrorMetadata>(error: &Failed<E>) -> bool {
    match code_of(error) {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" | "NoSuchUpload" => true,
        "NoSuchBucket" => false,
        _ => status_of(error) == 404,
    }
}

/// The condition of a write does not hold.
pub(super) fn is_precondition<E: ProvideErrorMetadata>(error: &Failed<E>) -> bool {
    status_of(error) == 412 || code_of(error) == "PreconditionFailed"
}

/// Two conditional writes came at once, and the store judged neither: ask again.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &Failed<E>) -> bool {
    matches!(
        code_of(error),
        "ConditionalRequestConflict" | "OperationAborted"
    )
}

/// The store does not know this call.
pub(super) fn is_unknown_call<E: ProvideErrorMetadata>(error: &Failed<E>) -> bool {
    matches!(code_of(error), "NotImplemented" | "MethodNotAllowed")
        || matches!(status_of(error), 405 | 501)
}

/// What the store said, without the rest of its answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct StoreSaid(String);

/// The words of an answer, or of what went wrong before there was one.
pub(super) fn said<E>(error: &Failed<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code(), service.err().message());
            let status = status_of(error);
            match (code, message) {
                (Some(code), Some(message)) => {
                    format!("the store answered {status} {code}: {message}")
                }
                (Some(code), None) => format!("the store answered {status} {code}"),
                _ => format!("the store answered {status}"),
            }
        }
        SdkError::ResponseError(_) => "the store's answer cannot be understood".to_owned(),
        other => {
            let mut words = Vec::new();
            let mut cause = other.source();
            while let Some(found) = cause {
                words.push(found.to_string());
                cause = found.source();
            }
            words.join(": ")
        }
    }
}

/// `what` is the attempted work with its object: "write `a/b`".
pub(super) fn failed<E>(what: &str, error: &Failed<E>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let fault = AwsFault::of(error);
    let message = format!("cannot {what}");
    let found = match &fault {
        AwsFault::Unreachable => {
            ProviderError::new("mainstay::tier::unreachable", fault.disposition(), message)
        }
        AwsFault::NoCredentials | AwsFault::BadCredentials | AwsFault::Denied => {
            ProviderError::new("mainstay::tier::denied", fault.disposition(), message)
        }
        AwsFault::Throttled | AwsFault::Server if is_unknown_call(error) => {
            refused(message).help("this store does not know the call: see `docs/tiers/s3.md`")
        }
        AwsFault::Throttled | AwsFault::Server => {
            ProviderError::new("mainstay::tier::io", fault.disposition(), message)
        }
        AwsFault::Service(code) => match code.as_str() {
            "NoSuchBucket" => unreachable(message)
                .help("make the bucket, or correct `bucket`, `region` or `endpoint` of the tier"),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect" => {
                unreachable(message)
                    .help("the bucket is in another region: correct `region` of the tier")
            }
            "InvalidObjectState" => archived_message(message),
            _ if status_of(error) == 301 => unreachable(message)
                .help("the bucket is in another region: correct `region` of the tier"),
            _ => refused(message),
        },
    };
    let found = match (found.help.is_some(), fault.help()) {
        (false, Some(help)) => found.help(help),
        _ => found,
    };
    found.source(StoreSaid(said(error)))
}

fn refused(message: String) -> ProviderError {
    ProviderError::new("mainstay::tier::refused", Disposition::Permanent, message)
}

fn unreachable(message: String) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::unreachable",
        Disposition::NeedsOperator,
        message,
    )
}

/// Something answered, and it is no object store.
pub(super) fn no_store(key: &str) -> ProviderError {
    unreachable(format!(
        "cannot read `{key}`: what answered is no object store (it gives no `ETag`)"
    ))
    .help("check `endpoint` of the tier, and whether a proxy or a login page answers in the store's place")
}

/// The marker, a few hundred bytes, did not come in time.
pub(super) fn no_answer(place: &str, patience: Duration) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::unreachable",
        Disposition::Retry,
        format!("{place} did not answer within {} s", patience.as_secs()),
    )
    .help("check the network and `endpoint` of the tier, then run it again")
}

/// A look at the tier as such failed: whatever the reason, it is not there for us.
pub(super) fn not_there(error: ProviderError) -> ProviderError {
    ProviderError {
        code: "mainstay::tier::unreachable",
        disposition: Disposition::NeedsOperator,
        ..error
    }
}

pub(super) fn no_marker(place: &str) -> ProviderError {
    unreachable(format!("{place} has no marker of a tier"))
        .help("run `mainstay apply`, which gives a new tier its marker; if this is no new tier, correct `bucket` and `prefix`")
}

pub(super) fn bad_marker(place: &str, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::marker",
        Disposition::NeedsOperator,
        format!("the marker `.mainstay-tier.json` of {place} is not usable: {how}"),
    )
    .help("put the marker back from `mainstay catalog`'s record of the tier's identity, or point the tier to an empty prefix")
}

pub(super) fn exists(key: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::exists",
        Disposition::Permanent,
        format!("`{key}` exists already; nothing is ever overwritten"),
    )
}

/// Code of what is not there.
pub(super) const NOT_FOUND: &str = "mainstay::tier::not-found";

pub(super) fn not_found(key: &str) -> ProviderError {
    ProviderError::new(
        NOT_FOUND,
        Disposition::Permanent,
        format!("`{key}` is not there"),
    )
}

pub(super) fn archived(key: &str) -> ProviderError {
    archived_message(format!("`{key}` is archived and cannot be read at once"))
}

fn archived_message(message: String) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::archived",
        Disposition::NeedsOperator,
        message,
    )
    .help("thaw it first: `mainstay restore` plans the thaw and says how long it takes")
}

pub(super) fn bad_key(key: &str, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::key",
        Disposition::Permanent,
        format!("`{key}` cannot be stored: {why}"),
    )
}

pub(super) fn changed(key: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::changed",
        Disposition::Retry,
        format!("will not replace `{key}`: somebody else has changed it meanwhile"),
    )
}

pub(super) fn no_conditional_writes(key: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::no-conditional-writes",
        Disposition::NeedsOperator,
        format!("will not write `{key}`: this store cannot compare before it replaces"),
    )
    .help("if nothing but this one Mainstay writes below the tier's prefix, declare `exclusive = true`; else use another store")
}

pub(super) fn not_honoured(key: &str, what: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::not-honoured",
        Disposition::NeedsOperator,
        format!("the store did not do what the policy demands for `{key}`: {what}"),
    )
    .help("use a store that can, or change the tier's table in the policy; `mainstay tier probe` shows what this store does")
}

pub(super) fn locked(key: &str, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::tier::locked",
        Disposition::NeedsOperator,
        format!("will not delete `{key}`: {why}"),
    )
    .help("wait until the lock ends, or lift the hold: nothing of it was deleted")
}

/// Names everything that is missing, once.
pub(super) fn unfit(place: &str, missing: &[&ProbeResult]) -> ProviderError {
    let missing: Vec<String> = missing
        .iter()
        .map(|result| format!("{} ({})", result.what, result.detail))
        .collect();
    ProviderError::new(
        "mainstay::tier::unfit",
        Disposition::NeedsOperator,
        format!(
            "{place} cannot be a tier as it is declared; the store lacks: {}",
            missing.join("; ")
        ),
    )
    .help("use another store, or declare less: without conditional writes `exclusive = true`, if nothing else writes there; without a class, lock or encryption leave out its key")
}

pub(super) fn too_large(key: &str) -> ProviderError {
    refused(format!(
        "cannot write `{key}`: an object of this store has at most 5 TiB"
    ))
    .help("back up parts of the database as databases of their own, each with its own `include`")
}

pub(super) fn io(message: impl Into<String>) -> ProviderError {
    ProviderError::new("mainstay::tier::io", Disposition::Retry, message)
}
