//! What an answer of the key service means.

use crate::{
    api::ProviderError,
    aws::{AwsFault, cause},
};
use aws_sdk_kms::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use model::{Disposition, KeyName};
use std::error::Error;

/// `what` is the attempted work: "wrap a data key".
pub(super) fn of<E>(
    name: &KeyName,
    id: &str,
    what: &str,
    error: &SdkError<E, HttpResponse>,
) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let fault = AwsFault::of(error);
    let message = format!("cannot {what} with the key `{name}` (`{id}`)");
    let make = |code, disposition| ProviderError::new(code, disposition, message.clone());
    let mapped = match &fault {
        AwsFault::Unreachable | AwsFault::Throttled | AwsFault::Server => {
            make("mainstay::key::unreachable", fault.disposition())
        }
        AwsFault::NoCredentials | AwsFault::BadCredentials | AwsFault::Denied => {
            make("mainstay::key::denied", fault.disposition())
        }
        AwsFault::Service(code) => match code.as_str() {
            "NotFoundException" => return missing(name, id).source(cause(error)),
            "DisabledException" => return disabled(name, id).source(cause(error)),
            "InvalidCiphertextException" | "IncorrectKeyException" => {
                make("mainstay::key::cannot-open", Disposition::Permanent)
                    .help("check `encryption-context` in the policy, and take `keys.json` of the same recovery point from another tier")
            }
            "KeyUnavailableException" | "DependencyTimeoutException" | "KMSInternalException" => {
                make("mainstay::key::unreachable", Disposition::Retry)
                    .help("wait a little and run it again; nothing was changed")
            }
            "KMSInvalidStateException" => {
                make("mainstay::key::disabled", Disposition::NeedsOperator)
                    .help(format!("run `aws kms describe-key --key-id {id}`: it must be `Enabled`"))
            }
            _ => make("mainstay::key::refused", Disposition::NeedsOperator).help(format!(
                "read the cause; `aws kms describe-key --key-id {id}` shows the key"
            )),
        },
    };
    let mapped = match (&fault, fault.help()) {
        (AwsFault::Denied, _) => mapped.help(format!(
            "allow `kms:Encrypt`, `kms:Decrypt` and `kms:DescribeKey` on `{id}` in the key's or the IAM policy of whoever asks"
        )),
        (_, Some(help)) => mapped.help(help),
        (_, None) => mapped,
    };
    mapped.source(cause(error))
}

pub(super) fn missing(name: &KeyName, id: &str) -> ProviderError {
    crate::keys::errors::missing(
        &format!("the key `{name}` (`{id}`)"),
        "check id, alias, region and account; a key that KMS has destroyed cannot be brought back",
    )
}

pub(super) fn disabled(name: &KeyName, id: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::key::disabled",
        Disposition::NeedsOperator,
        format!("the key `{name}` (`{id}`) is disabled"),
    )
    .help(format!(
        "run `aws kms enable-key --key-id {id}`, or encrypt with another key"
    ))
}

pub(super) fn pending_deletion(name: &KeyName, id: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::key::pending-deletion",
        Disposition::NeedsOperator,
        format!("the key `{name}` (`{id}`) will be destroyed"),
    )
    .help(format!(
        "run `aws kms cancel-key-deletion --key-id {id}` and `aws kms enable-key --key-id {id}`, or encrypt with another key"
    ))
}
