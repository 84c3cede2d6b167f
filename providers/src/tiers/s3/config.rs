//! Keys of `[tier.<name>]` with `kind = "s3"`, and what they promise.
//!
//! Invariant: no secret stands in this table, only references. Not here: whether the store keeps these promises (`probe`).

use crate::{
    api::{ProviderError, Result},
    aws::{AwsAccess, AwsCredentials},
};
use aws_sdk_s3::types::StorageClass;
use model::{
    Disposition,
    period::Period,
    tier_facts::{Capabilities, LockMode, LockRule, RetrievalSpeed, ThawOrder},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A bucket of Amazon S3 or of another store that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct S3Config {
    /// Name of the bucket. It must exist; Mainstay makes none.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// What stands before every key, such as `mainstay/prod`. Two tiers may share a bucket with different prefixes. Default: nothing.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Region, such as `eu-central-1`. Default: what the AWS tools find (`AWS_REGION`, the profile, the machine's own region).
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub region: Option<String>,
    /// URL of a store that is not Amazon's, such as `https://storage.example.com`. Default: Amazon S3.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a URL, and not in the host's name. Default: yes when `endpoint` is set.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// Profile in the files of the AWS tools (`~/.aws/config` and `credentials`). Default: `AWS_PROFILE`, else `default`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub profile: Option<String>,
    /// Credentials by reference. Default: found as the AWS tools find them (environment, profile, web identity, container, machine).
    #[serde(default)]
    pub credentials: Option<AwsCredentials>,
    /// Storage class of the data. Manifests and `keys.json` are always stored as `standard`, so that they can be read at once.
    #[serde(default)]
    pub storage_class: Class,
    /// How fast archived data is thawed; counts in the RTO. Only `glacier` and `deep-archive` need it. Default: `standard`.
    #[serde(default)]
    pub retrieval: Option<RetrievalSpeed>,
    /// Days for which thawed data stays readable. Default: 7.
    #[serde(default)]
    #[schemars(range(min = 1, max = 365))]
    pub retrieval_days: Option<u32>,
    /// Encryption by the store, besides Mainstay's own: `{ kind = "s3" }` or `{ kind = "kms", key-id = "…" }`. Default: as the bucket does.
    #[serde(default)]
    pub server_side_encryption: Option<ServerSideEncryption>,
    /// Locks every copy against deletion: `{ mode = "governance", for = "30d" }`, or `for = "retention"`: as long as it is kept.
    #[serde(default)]
    pub object_lock: Option<ObjectLock>,
    /// Your word that nothing but this one Mainstay writes below this prefix. Only then is a store used that has no conditional writes.
    #[serde(default)]
    pub exclusive: bool,
}

/// Storage classes, as Amazon names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Read at once, no minimum.
    #[default]
    Standard,
    /// Read at once for a fee; at least 30 days.
    StandardIa,
    /// The same in one data centre.
    OnezoneIa,
    /// The store moves objects by how often they are read.
    IntelligentTiering,
    /// Read at once for a higher fee; at least 90 days.
    GlacierIr,
    /// Thawed in minutes to hours; at least 90 days.
    Glacier,
    /// Thawed in half a day to two days; at least 180 days.
    DeepArchive,
}

impl Class {
    /// Its name in the protocol.
    pub(super) fn in_protocol(self) -> StorageClass {
        match self {
            Self::Standard => StorageClass::Standard,
            Self::StandardIa => StorageClass::StandardIa,
            Self::OnezoneIa => StorageClass::OnezoneIa,
            Self::IntelligentTiering => StorageClass::IntelligentTiering,
            Self::GlacierIr => StorageClass::GlacierIr,
            Self::Glacier => StorageClass::Glacier,
            Self::DeepArchive => StorageClass::DeepArchive,
        }
    }

    /// Its name in a policy.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::StandardIa => "standard-ia",
            Self::OnezoneIa => "onezone-ia",
            Self::IntelligentTiering => "intelligent-tiering",
            Self::GlacierIr => "glacier-ir",
            Self::Glacier => "glacier",
            Self::DeepArchive => "deep-archive",
        }
    }

    /// Whether what lies there must be thawed.
    pub(super) fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }

    /// Days that are paid for in any case (Amazon S3 User Guide, "Understanding and managing storage classes").
    fn minimum_days(self) -> u32 {
        match self {
            Self::Standard | Self::IntelligentTiering => 0,
            Self::StandardIa | Self::OnezoneIa => 30,
            Self::GlacierIr | Self::Glacier => 90,
            Self::DeepArchive => 180,
        }
    }
}

/// Typical time of a thaw (Amazon S3 User Guide, "Understanding archive retrieval options"): the slow end of what stands there.
pub(super) fn typical_seconds(class: Class, speed: RetrievalSpeed) -> u64 {
    const HOUR: u64 = 3600;
    match (class, speed) {
        (Class::DeepArchive, RetrievalSpeed::Expedited | RetrievalSpeed::Standard) => 12 * HOUR,
        (Class::DeepArchive, RetrievalSpeed::Bulk) => 48 * HOUR,
        (_, RetrievalSpeed::Expedited) => 5 * 60,
        (_, RetrievalSpeed::Standard) => 5 * HOUR,
        (_, RetrievalSpeed::Bulk) => 12 * HOUR,
    }
}

/// Encryption by the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServerSideEncryption {
    /// Whose key.
    pub kind: SseKind,
    /// Id, alias or ARN of the key of the key service; only with `kind = "kms"`. Default there: the account's own key for S3.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub key_id: Option<String>,
}

/// Whose key the store encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SseKind {
    /// The store's own.
    S3,
    /// One of the key service.
    Kms,
}

/// Locks against deletion.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectLock {
    /// Who can lift a lock: in `governance` whoever has a special permission, in `compliance` nobody.
    pub mode: LockMode,
    /// For how long after a copy was stored, such as `30d`, or `retention`: for as long as retention keeps it.
    #[serde(rename = "for")]
    #[schemars(length(min = 1))]
    pub length: String,
    /// Your word that you know: a `compliance` lock cannot be lifted by anybody, and what is locked is paid for until its end.
    #[serde(default)]
    pub acknowledge_irreversible: bool,
}

impl ObjectLock {
    /// The lock as the planner knows it; `Err`: why `for` cannot be read.
    pub(super) fn rule(&self) -> Result<LockRule, String> {
        let length = match self.length.as_str() {
            "retention" => None,
            text => Some(Period::parse(text)?),
        };
        Ok(LockRule {
            mode: self.mode,
            length,
        })
    }
}

impl S3Config {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| {
            ProviderError::new(
                "mainstay::tier::config",
                Disposition::Permanent,
                "the table of an s3 tier cannot be read",
            )
            .source(error)
        })
    }

    /// How the store is reached and who asks.
    pub(super) fn access(&self) -> AwsAccess {
        AwsAccess {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            profile: self.profile.clone(),
            credentials: self.credentials.clone(),
        }
    }

    /// Whether the bucket stands in the path.
    pub(super) fn path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    /// What stands before every key: nothing, or a text that ends with a slash.
    pub(super) fn key_prefix(&self) -> String {
        match self.prefix.as_deref().unwrap_or_default().trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// What a tier with this table can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        let class = self.storage_class;
        let speed = self.retrieval.unwrap_or(RetrievalSpeed::Standard);
        let thaw = class.is_archive().then(|| ThawOrder {
            speed,
            days: self.retrieval_days.unwrap_or(7),
            typical_seconds: typical_seconds(class, speed),
        });
        Capabilities {
            create_only: true,
            minimum_storage_days: class.minimum_days(),
            thaw,
            lock: self.object_lock.as_ref().and_then(|lock| lock.rule().ok()),
            reports_space: false,
        }
    }

    /// Endpoint, region and who asks, as declared: what is the same here is the same there.
    pub(super) fn store_name(&self) -> String {
        let who = self.credentials.as_ref().map(|found| &found.access_key_id);
        let who = serde_json::to_string(&(&self.profile, who)).unwrap_or_default();
        format!(
            "{} {} {who}",
            self.endpoint.as_deref().unwrap_or("aws"),
            self.region.as_deref().unwrap_or("default")
        )
    }
}

/// What makes two tiers the same place: endpoint, bucket and prefix.
pub(super) fn place(table: &Value) -> Option<String> {
    let config = S3Config::read(table).ok()?;
    let endpoint = config.endpoint.as_deref().unwrap_or("aws");
    let endpoint = endpoint.trim_end_matches('/').to_ascii_lowercase();
    Some(format!(
        "s3:{endpoint}/{}/{}",
        config.bucket,
        config.key_prefix()
    ))
}
