//! Keys of `[key.<name>]` with `kind = "certificate"`.

use crate::{
    api::Result,
    keys::{errors, path},
};
use model::{SecretRef, TableFinding};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// An X.509 certificate with an RSA key of 2048 bits or more. Its private key need not be on this machine: what is wrapped for
/// it opens with `openssl cms -decrypt`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificateConfig {
    /// The certificate, PEM or DER. Relative paths start at the folder of the policy file; `~` is not expanded.
    #[schemars(length(min = 1))]
    pub path: String,
    /// Where its private key is (PEM, PKCS #8, without passphrase), only where it shall open here. Best left out where backups
    /// are made, and given on the machine that restores.
    #[serde(default)]
    pub private_key: Option<SecretRef>,
}

impl CertificateConfig {
    /// Reads a table that has passed its schema.
    pub fn read(table: &Value) -> Result<Self> {
        serde_json::from_value(table.clone()).map_err(|error| errors::config(super::KIND, error))
    }
}

/// Checks the table beyond its schema.
pub fn check(table: &Value, _base: &Path) -> Vec<TableFinding> {
    let path = table
        .get("path")
        .and_then(|path| path::check(path, &["path"], "keys/recovery.pem"));
    let reference = path::check_reference(table, "private-key");
    path.into_iter().chain(reference).collect()
}

/// What makes two keys the same: the file.
pub fn place(table: &Value, base: &Path) -> Option<String> {
    path::place(table.get("path")?.as_str()?, base)
}
