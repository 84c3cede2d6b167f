//! What everything at AWS, or at something that speaks its protocols, has in common: region, endpoint, credentials, patience,
//! and what a failed call means.
//!
//! Invariant: credentials are either those that the AWS tools find by themselves, or references; never texts in a policy.
//! Not here: what is done there (`keys/aws_kms`, `tiers/s3`), and the codes that a failed call gets.

use crate::{
    api::{ProviderError, Result},
    secrets,
};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    config::{Credentials, SharedCredentialsProvider, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
};
use model::{Disposition, SecretRef, Severity, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{path::Path, time::Duration};
use url::{Host, Url};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_mins(1);
/// Tries of one call, the first among them; between them the SDK waits longer each time, with jitter.
const TRIES: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// What signatures name when a store of somebody else's has no regions.
const NO_REGION: &str = "us-east-1";

/// How a service is reached and who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AwsAccess {
    /// Region, such as `eu-central-1`. Default: what the AWS tools find (`AWS_REGION`, the profile, the machine's own region).
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub region: Option<String>,
    /// URL of a service that speaks the protocol of AWS but is elsewhere, such as `https://storage.example.com`. Default: AWS.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub endpoint: Option<String>,
    /// Profile in the files of the AWS tools (`~/.aws/config` and `credentials`). Default: `AWS_PROFILE`, else `default`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub profile: Option<String>,
    /// Credentials by reference. Default: found as the AWS tools find them (environment, profile, web identity, container,
    /// machine), which also renews them during a long run.
    #[serde(default)]
    pub credentials: Option<AwsCredentials>,
}

/// Where the credentials are. They are read once for each run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsCredentials {
    /// Where the id of the access key is.
    pub access_key_id: SecretRef,
    /// Where the secret of the access key is.
    pub secret_access_key: SecretRef,
    /// Where the token of a temporary session is. Left out for a lasting access key.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
}

impl AwsAccess {
    /// Settings for any client of the SDK: region, endpoint, credentials, retries, timeouts. Reads files, the environment
    /// and, on a machine of AWS, its metadata; asks no service.
    ///
    /// No limit is set for a whole call: uploads take long. Who makes short calls sets one.
    pub async fn sdk_config(&self, base: &Path) -> Result<SdkConfig> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .read_timeout(SILENCE)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(TRIES)
                    .with_max_backoff(LONGEST_PAUSE),
            );
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(region) = self.region().or_else(|| self.assumed_region()) {
            loader = loader.region(region);
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.resolve(base).await?);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(ProviderError::new(
                "mainstay::aws::region",
                Disposition::NeedsOperator,
                "no AWS region is declared, and none is found",
            )
            .help("add `region = \"…\"` to the table in the policy, or set `AWS_REGION`"));
        }
        Ok(config)
    }

    fn region(&self) -> Option<Region> {
        self.region.clone().map(Region::new)
    }

    /// Stores elsewhere rarely have regions, and looking for the machine's own one costs seconds where there is none.
    fn assumed_region(&self) -> Option<Region> {
        let elsewhere = self.endpoint.is_some() && self.profile.is_none();
        let set = |name| secrets::environment(name).is_some();
        (elsewhere && !set("AWS_REGION") && !set("AWS_DEFAULT_REGION") && !set("AWS_PROFILE"))
            .then(|| Region::new(NO_REGION))
    }
}

impl AwsCredentials {
    async fn resolve(&self, base: &Path) -> Result<SharedCredentialsProvider> {
        let id = secrets::resolve(&self.access_key_id, base).await?;
        let secret = secrets::resolve(&self.secret_access_key, base).await?;
        let token = match &self.session_token {
            Some(token) => Some(secrets::resolve(token, base).await?),
            None => None,
        };
        Ok(SharedCredentialsProvider::new(Credentials::new(
            id.expose(),
            secret.expose(),
            token.map(|token| token.expose().to_owned()),
            None,
            "policy",
        )))
    }
}

/// Checks the keys of [`AwsAccess`] in a table beyond their schema.
pub fn check_access(table: &Value) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    if let Some(endpoint) = text("endpoint") {
        findings.extend(check_endpoint(endpoint));
    }
    if text("profile").is_some() && table.get("credentials").is_some() {
        findings.push(TableFinding {
            code: "aws::two-credentials",
            severity: Severity::Warning,
            path: vec!["profile".to_owned()],
            message: "`profile` and `credentials` both say who asks; `credentials` is used"
                .to_owned(),
            help: Some("leave one of them out".to_owned()),
        });
    }
    for key in ["access-key-id", "secret-access-key", "session-token"] {
        let Some(reference) = table.get("credentials").and_then(|table| table.get(key)) else {
            continue;
        };
        let places = reference.as_object().map_or(1, serde_json::Map::len);
        if places != 1 {
            findings.push(TableFinding {
                code: "aws::credentials",
                severity: Severity::Error,
                path: vec!["credentials".to_owned(), key.to_owned()],
                message: "a secret needs exactly one of `env`, `file` or `command`".to_owned(),
                help: Some(format!(
                    "write for example `{key} = {{ env = \"EXAMPLE\" }}`"
                )),
            });
        }
    }
    findings
}

fn check_endpoint(endpoint: &str) -> Option<TableFinding> {
    let finding = |code, severity, message: String, help: &str| TableFinding {
        code,
        severity,
        path: vec!["endpoint".to_owned()],
        message,
        help: Some(help.to_owned()),
    };
    let bad = |message: String| {
        finding(
            "aws::endpoint",
            Severity::Error,
            message,
            "write scheme and host, such as \"https://storage.example.com\"",
        )
    };
    let Ok(url) = Url::parse(endpoint) else {
        return Some(bad("the endpoint is not a URL".to_owned()));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(bad("the endpoint contains credentials".to_owned()));
    }
    match url.scheme() {
        _ if url.host().is_none() => Some(bad("the endpoint names no host".to_owned())),
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some(finding(
            "aws::plain-http",
            Severity::Warning,
            "what is exchanged with this endpoint can be read on its way".to_owned(),
            "use https, or name the service by an address of this machine",
        )),
        other => Some(bad(format!("`{other}` is not spoken here"))),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What a failed call says about its cause: the answer's code and words, or what came before an answer. Never a request, which
/// may hold secrets, and never the body of an answer.
pub(crate) fn cause<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let (Some(code), words) = (error.code(), error.message()) {
        return words.map_or_else(|| code.to_owned(), |words| format!("{code}: {words}"));
    }
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// Why a call failed, as far as it matters what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AwsFault {
    /// No connection, or no answer in time.
    Unreachable,
    /// No credentials were found, or they could not be fetched.
    NoCredentials,
    /// The service does not know these credentials, they have expired, or the clock of this machine is wrong.
    BadCredentials,
    /// The credentials are good, but may not do this.
    Denied,
    /// Too many calls.
    Throttled,
    /// A failure on the service's side.
    Server,
    /// Another answer of the service, by its code; empty when it gave none.
    Service(String),
}

impl AwsFault {
    /// Reads a failed call; the SDK has already tried again where that could help.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::DispatchFailure(failure)
                if failure.is_timeout() || failure.is_io() || failure.is_user() =>
            {
                Self::Unreachable
            }
            // What is neither time, network nor a bad request is what was to be done before sending: finding credentials.
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => Self::NoCredentials,
            SdkError::TimeoutError(_) => Self::Unreachable,
            // An answer in another form than the service's own comes from something on the way, or from a lesser service.
            SdkError::ResponseError(answer) => match answer.raw().status().as_u16() {
                200..400 => Self::Server,
                status => Self::of_answer("", Some(status)),
            },
            other => Self::of_answer(
                other.code().unwrap_or_default(),
                other.raw_response().map(|answer| answer.status().as_u16()),
            ),
        }
    }

    fn of_answer(code: &str, status: Option<u16>) -> Self {
        match code {
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" => Self::Denied,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Self::BadCredentials,
            "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException" => Self::Throttled,
            "RequestTimeout" | "RequestTimeoutException" => Self::Unreachable,
            "InternalError" | "InternalFailure" | "ServiceUnavailable" => Self::Server,
            other => match status {
                Some(429) => Self::Throttled,
                Some(500..) => Self::Server,
                Some(401) => Self::BadCredentials,
                // So answer stores and proxies that have no codes.
                Some(403) if other.is_empty() => Self::Denied,
                _ => Self::Service(other.to_owned()),
            },
        }
    }

    /// Whether another try, later, may help.
    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable | Self::Throttled | Self::Server => Disposition::Retry,
            Self::NoCredentials | Self::BadCredentials | Self::Denied => Disposition::NeedsOperator,
            Self::Service(_) => Disposition::Permanent,
        }
    }

    /// What to do about it, where that does not depend on the service.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable => Some(
                "check the network, the name of the endpoint and the region, then run it again",
            ),
            Self::NoCredentials => Some(
                "run `aws sts get-caller-identity` as the same user: Mainstay looks for credentials where the AWS tools do; or declare `credentials`",
            ),
            Self::BadCredentials => {
                Some("renew the credentials, and check this machine's clock (`timedatectl`)")
            }
            Self::Denied => Some(
                "allow it in the IAM policy of whoever asks (`aws sts get-caller-identity` says who that is)",
            ),
            Self::Throttled | Self::Server => {
                Some("wait a little and run it again; nothing was changed")
            }
            Self::Service(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(table: &Value) -> Vec<&'static str> {
        check_access(table).iter().map(|found| found.code).collect()
    }

    #[test]
    fn an_endpoint_is_a_url_without_credentials_and_not_in_the_clear() {
        let endpoint = |text: &str| codes(&json!({ "endpoint": text }));
        for good in [
            "https://s3.example.com",
            "http://127.0.0.1:9000",
            "http://localhost:1",
            "http://[::1]:8080",
        ] {
            assert!(endpoint(good).is_empty(), "{good}");
        }
        for bad in [
            "storage.example.com",
            "ftp://example.com",
            "https://a:b@c.d",
            "",
        ] {
            assert_eq!(endpoint(bad), ["aws::endpoint"], "{bad}");
        }
        assert_eq!(endpoint("http://10.0.0.1:9000"), ["aws::plain-http"]);
    }

    #[test]
    fn credentials_name_one_place_each_and_stand_alone() {
        let table = json!({"profile": "p", "credentials": {
            "access-key-id": {"env": "A"}, "secret-access-key": {"env": "A", "file": "b"}, "session-token": {}}});
        assert_eq!(
            codes(&table),
            [
                "aws::two-credentials",
                "aws::credentials",
                "aws::credentials"
            ]
        );
    }

    #[test]
    fn a_busy_or_broken_service_is_asked_again_and_a_refusal_is_not() {
        let of = |code, status| AwsFault::of_answer(code, Some(status)).disposition();
        assert_eq!(of("SlowDown", 503), Disposition::Retry);
        assert_eq!(of("ThrottlingException", 400), Disposition::Retry);
        assert_eq!(of("", 502), Disposition::Retry);
        assert_eq!(of("AccessDenied", 403), Disposition::NeedsOperator);
        assert_eq!(of("ExpiredToken", 400), Disposition::NeedsOperator);
        assert_eq!(of("NoSuchKey", 404), Disposition::Permanent);
    }
}
