//! Keys of `[key.<name>]` with `kind = "aws-kms"`.

use crate::{
    api::Result,
    aws::{self, AwsAccess},
    keys::errors,
};
use model::{Severity, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Beginning of what Mainstay itself puts into the encryption context.
pub(super) const OURS: &str = "mainstay:";

/// A symmetric key in AWS KMS. Whoever backs up needs `kms:Encrypt` and `kms:DescribeKey` on it, whoever restores or rotates
/// `kms:Decrypt`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsKmsConfig {
    /// Id, ARN, or alias (`alias/example-prod`) of the key. Recovery points remember the ARN of the key behind an alias.
    #[schemars(length(min = 1))]
    pub key_id: String,
    /// Ids or ARNs of earlier keys, which may still open what they have wrapped; nothing new is wrapped with them. Needed when
    /// another key is declared here or an alias moves to one, not when AWS renews the material of the same key.
    #[serde(default)]
    pub previous: Vec<String>,
    /// Further pairs for the encryption context, for IAM conditions and the audit log; not secret. They are needed again to
    /// open, so do not change them while recovery points are kept: declare another key instead.
    #[serde(default)]
    pub encryption_context: BTreeMap<String, String>,
    /// How the service is reached and who asks.
    #[serde(flatten)]
    pub access: AwsAccess,
}

impl AwsKmsConfig {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| errors::config(super::KIND, error))
    }
}

/// JSON Schema of these keys.
pub(super) fn schema() -> Value {
    schemars::schema_for!(AwsKmsConfig).to_value()
}

/// Checks the table beyond its schema.
pub fn check(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let mut findings = aws::check_access(table);
    let error = |code, path: Vec<String>, message: String, help: &str| TableFinding {
        code,
        severity: Severity::Error,
        path,
        message,
        help: Some(help.to_owned()),
    };
    let bad = |id: &str| id.is_empty() || id.contains(char::is_whitespace);
    if table.get("key-id").and_then(Value::as_str).is_some_and(bad) {
        findings.push(error(
            "key::kms-key-id",
            vec!["key-id".to_owned()],
            "this is no id of a key".to_owned(),
            "write the key's id, its ARN, or an alias such as \"alias/example-prod\"",
        ));
    }
    let previous = table.get("previous").and_then(Value::as_array);
    for id in previous.into_iter().flatten().filter_map(Value::as_str) {
        // Where an alias led when something was wrapped is not remembered.
        if bad(id) || id.starts_with("alias/") || id.contains(":alias/") {
            findings.push(error(
                "key::kms-previous",
                vec!["previous".to_owned()],
                format!("`{id}` is no id of an earlier key"),
                "write the id or the ARN of the key; it stands in `keys.json` of what it has wrapped",
            ));
        }
    }
    let context = table.get("encryption-context").and_then(Value::as_object);
    for name in context.into_iter().flat_map(serde_json::Map::keys) {
        if name.starts_with(OURS) || name.starts_with("aws:") {
            findings.push(error(
                "key::kms-context",
                vec!["encryption-context".to_owned(), name.clone()],
                format!("`{name}` is not yours to set"),
                "choose a name that does not begin with `mainstay:` or `aws:`",
            ));
        }
    }
    findings
}

/// What makes two keys the same: service and id. An alias and the key behind it are told apart only by asking.
pub fn place(table: &Value, _base: &Path) -> Option<String> {
    let config = AwsKmsConfig::read(table).ok()?;
    let or_default = |text: Option<String>| text.unwrap_or_default();
    if config.key_id.starts_with("arn:") {
        return Some(format!(
            "aws-kms:{}:{}",
            or_default(config.access.endpoint),
            config.key_id
        ));
    }
    Some(format!(
        "aws-kms:{}:{}:{}:{}",
        or_default(config.access.endpoint),
        or_default(config.access.region),
        or_default(config.access.profile),
        config.key_id
    ))
}
