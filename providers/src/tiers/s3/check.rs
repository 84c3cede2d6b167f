//! Findings about the table of an S3 tier beyond its schema. Asks no store: policies are checked on other machines too.

use super::config::{Class, S3Config, SseKind};
use crate::aws::check_access;
use model::{
    Severity, TableFinding,
    tier_facts::{LockMode, RetrievalSpeed},
};
use serde_json::Value;

/// All findings of one table.
pub(super) fn check(table: &Value) -> Vec<TableFinding> {
    let mut findings = check_access(table);
    // Types are the schema's findings already.
    let Ok(config) = S3Config::read(table) else {
        return findings;
    };
    findings.extend(names(&config));
    findings.extend(retrieval(&config));
    findings.extend(encryption(&config));
    findings.extend(lock(&config));
    findings
}

fn finding(
    code: &'static str,
    severity: Severity,
    path: &[&str],
    message: impl Into<String>,
    help: &str,
) -> TableFinding {
    TableFinding {
        code,
        severity,
        path: path.iter().map(|&key| key.to_owned()).collect(),
        message: message.into(),
        help: Some(help.to_owned()),
    }
}

fn names(config: &S3Config) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !config.bucket.bytes().all(allowed) {
        findings.push(finding(
            "s3::bucket",
            Severity::Error,
            &["bucket"],
            "this is not the name of a bucket",
            "write the bare name, such as \"example-backups\", and what follows it as `prefix`",
        ));
    }
    let prefix = config.prefix.as_deref().unwrap_or_default();
    let inner = prefix.trim_matches('/');
    let bad = |segment: &str| segment.is_empty() || segment.starts_with('.');
    if (!inner.is_empty() && inner.split('/').any(bad)) || inner.len() > 400 {
        findings.push(finding(
            "s3::prefix",
            Severity::Error,
            &["prefix"],
            "the prefix has an empty part, a part with a leading dot, or is too long",
            "write it like \"mainstay/prod\"",
        ));
    }
    findings
}

fn retrieval(config: &S3Config) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    let class = config.storage_class;
    if class == Class::DeepArchive && config.retrieval == Some(RetrievalSpeed::Expedited) {
        findings.push(finding(
            "s3::retrieval",
            Severity::Error,
            &["retrieval"],
            "`deep-archive` cannot be thawed `expedited`",
            "write \"standard\" (about 12 hours) or \"bulk\" (about 48 hours), or use the storage class \"glacier\"",
        ));
    } else if !class.is_archive() {
        let keys = [
            ("retrieval", config.retrieval.is_some()),
            ("retrieval-days", config.retrieval_days.is_some()),
        ];
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            findings.push(finding(
                "s3::retrieval-without-archive",
                Severity::Warning,
                &[key],
                format!(
                    "data of the class `{}` is read at once; `{key}` has no effect",
                    class.name()
                ),
                "remove it, or declare the storage class \"glacier\" or \"deep-archive\"",
            ));
        }
    }
    findings
}

fn encryption(config: &S3Config) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    if let Some(sse) = &config.server_side_encryption
        && sse.kind == SseKind::S3
        && sse.key_id.is_some()
    {
        findings.push(finding(
            "s3::key-id",
            Severity::Error,
            &["server-side-encryption", "key-id"],
            "a key can be chosen with `kind = \"kms\"` only",
            "write { kind = \"kms\", key-id = \"…\" }, or leave `key-id` out",
        ));
    }
    findings
}

fn lock(config: &S3Config) -> Vec<TableFinding> {
    let mut findings = Vec::new();
    let Some(lock) = &config.object_lock else {
        return findings;
    };
    if lock.mode == LockMode::Compliance && !lock.acknowledge_irreversible {
        findings.push(finding(
            "s3::compliance-not-acknowledged",
            Severity::Error,
            &["object-lock"],
            "a `compliance` lock cannot be lifted by anybody, not even by the owner of the account",
            "try with mode = \"governance\" first; when you are sure, add acknowledge-irreversible = true",
        ));
    }
    match lock.rule() {
        Err(why) => findings.push(finding(
            "s3::lock-length",
            Severity::Error,
            &["object-lock", "for"],
            why,
            "write a duration such as \"30d\", or \"retention\": as long as retention keeps it",
        )),
        Ok(rule)
            if rule
                .length
                .is_some_and(|length| length == model::period::Period::default()) =>
        {
            findings.push(finding(
                "s3::lock-length",
                Severity::Error,
                &["object-lock", "for"],
                "a lock of no length protects nothing",
                "write a duration such as \"30d\", or remove `object-lock`",
            ));
        }
        Ok(_) => {}
    }
    findings
}
