//! The keys of a `physical` series.

use model::{Bandwidth, ByteCount, Severity, TableFinding, manifest::Compression};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `pg_basebackup --max-rate` takes (manual, `pg_basebackup`).
const SLOWEST: ByteCount = ByteCount(32 << 10);
const FASTEST: ByteCount = ByteCount(1 << 30);

/// Keys of a `physical` series.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(in super::super) struct PhysicalTable {
    /// Whether the server writes its checkpoint at once or spreads it over time; `fast` by default.
    pub(super) checkpoint: Checkpoint,
    /// The most that is read from the server, such as `50MiB/s`; from 32KiB/s to 1GiB/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "rate"))]
    pub(super) max_rate: Option<String>,
    /// Compression of the stored files; `zstd` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compression: Option<Compression>,
    /// Level: zstd 1 to 19 (default 3), gzip 1 to 9 (default 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 19))]
    pub(super) compression_level: Option<i32>,
}

/// How the checkpoint that a base backup begins with is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Checkpoint {
    /// At once: the backup begins now, and the disks are busy for a moment.
    #[default]
    Fast,
    /// As the server writes its own ones, over minutes.
    Spread,
}

impl Checkpoint {
    /// The word of the policy and of `pg_basebackup`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Spread => "spread",
        }
    }
}

impl PhysicalTable {
    /// The limit in KiB per second, as `pg_basebackup` wants it.
    pub(super) fn max_rate_kib(&self) -> Option<u64> {
        let rate = Bandwidth::parse_rate(self.max_rate.as_deref()?).ok()?;
        Some(rate.0 / 1024)
    }
}

/// What the schema of a series table cannot say.
pub(in super::super) fn check_series(table: &Value) -> Vec<TableFinding> {
    let Some(text) = table.get("max-rate").and_then(Value::as_str) else {
        return Vec::new();
    };
    let message = match Bandwidth::parse_rate(text) {
        Ok(rate) if (SLOWEST..=FASTEST).contains(&rate) => return Vec::new(),
        Ok(_) => format!("`{text}` is a rate that pg_basebackup cannot keep"),
        Err(why) => why,
    };
    vec![TableFinding {
        code: "postgres::max-rate",
        severity: Severity::Error,
        path: vec!["max-rate".to_owned()],
        message,
        help: Some("write a rate between 32KiB/s and 1GiB/s, such as 50MiB/s".to_owned()),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rates_that_pg_basebackup_would_refuse_are_findings() {
        for wrong in ["fast", "1KiB/s", "2GiB/s", "50Mbit/s"] {
            let findings = check_series(&json!({ "max-rate": wrong }));
            assert_eq!(findings.len(), 1, "{wrong}");
        }
        assert!(check_series(&json!({ "max-rate": "50MiB/s" })).is_empty());
        let table: PhysicalTable =
            serde_json::from_value(json!({ "max-rate": "50MiB/s" })).unwrap();
        assert_eq!(table.max_rate_kib(), Some(50 * 1024));
    }
}
