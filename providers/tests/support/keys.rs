//! Keys of every kind for tests: contexts, certificates by openssl, keys in a KMS, and words that must not hold secrets.
#![allow(dead_code, reason = "each test uses its part")]

use base64ct::Encoding as _;
use jiff::Timestamp;
use mainstay_providers::{
    api::{KeyContext, KeyProvider, ProviderError},
    aws::AwsAccess,
    registry,
    seal::DataKey,
};
use model::{KeyName, RecoveryPointId};
use serde_json::{Value, json};
use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_219_200, 0);

/// The context of one object of one point.
pub(crate) fn context(point: &str, file: &str) -> KeyContext {
    let point: RecoveryPointId = point.parse().unwrap();
    KeyContext::new(&point, file)
}

pub(crate) fn orders() -> KeyContext {
    context("orders/daily/20261120T020000Z", "data.dump.zst.enc")
}

/// Builds a key as the program does, from its table.
pub(crate) fn build(name: &str, kind: &str, table: &Value, base: &Path) -> Arc<dyn KeyProvider> {
    registry::key(&KeyName::new(name).unwrap(), kind, table, base).unwrap()
}

/// Everything that an error could show to anybody.
pub(crate) fn all_words(error: &ProviderError) -> String {
    let mut words = format!("{error}\n{error:?}\n{:?}", error.help);
    let mut next: Option<&dyn Error> = error.source();
    while let Some(cause) = next {
        write!(words, "\n{cause}\n{cause:?}").unwrap();
        next = cause.source();
    }
    words
}

/// Whether words show bytes, in any of the usual ways or in part.
pub(crate) fn shows(words: &str, secret: &[u8]) -> bool {
    let mut hex = String::new();
    for byte in secret {
        write!(hex, "{byte:02x}").unwrap();
    }
    let list = format!("{secret:?}");
    let base64 = base64ct::Base64::encode_string(secret);
    let lower = words.to_lowercase();
    lower.contains(&hex[..16])
        || lower.contains(&hex[hex.len() - 16..])
        || words.contains(&list[1..20])
        || words.contains(&base64[..12])
}

pub(crate) fn bytes_of(wrapped: &str) -> Vec<u8> {
    base64ct::Base64::decode_vec(wrapped).unwrap()
}

pub(crate) fn base64_of(bytes: &[u8]) -> String {
    base64ct::Base64::encode_string(bytes)
}

pub(crate) fn data_key() -> DataKey {
    DataKey::random().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the peer is a program of its own"
)]
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn openssl_ok(folder: &Path, arguments: &[&str]) {
    let output = openssl(folder, arguments);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `<name>.pem` and `<name>-key.pem`.
pub(crate) fn certificate(folder: &Path, name: &str, newkey: &[&str]) {
    let (certificate, key) = (format!("{name}.pem"), format!("{name}-key.pem"));
    let subject = format!("/O=Example/CN={name}");
    let mut arguments = vec!["req", "-x509", "-nodes", "-days", "3650", "-subj", &subject];
    arguments.extend(["-keyout", &key, "-out", &certificate]);
    arguments.extend(newkey);
    openssl_ok(folder, &arguments);
}

pub(crate) const RSA: &[&str] = &["-newkey", "rsa:2048"];

/// Writes the credentials that references lead to, and gives the shared keys of a table.
pub(crate) fn access(folder: &Path, endpoint: &str) -> Value {
    fs::write(folder.join("id"), "AKIAEXAMPLE\n").unwrap();
    fs::write(folder.join("secret"), "a secret of the test\n").unwrap();
    json!({
        "endpoint": endpoint,
        "credentials": {"access-key-id": {"file": "id"}, "secret-access-key": {"file": "secret"}},
    })
}

/// The SDK's own client, as an administrator has it.
pub(crate) async fn administrator(folder: &Path, endpoint: &str) -> aws_sdk_kms::Client {
    let access: AwsAccess = serde_json::from_value(access(folder, endpoint)).unwrap();
    aws_sdk_kms::Client::new(&access.sdk_config(folder).await.unwrap())
}

/// The table of a key in the service.
pub(crate) fn kms_table(folder: &Path, endpoint: &str, id: &str) -> Value {
    let mut table = access(folder, endpoint);
    table["key-id"] = json!(id);
    table
}
