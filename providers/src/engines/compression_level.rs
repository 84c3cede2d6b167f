//! Whether a `compression-level` fits its `compression`: the same keys in the series of every engine.

use crate::stream;
use model::{Severity, TableFinding, manifest::Compression};
use serde::Deserialize;
use serde_json::Value;

/// The finding, if there is one, under the engine's own code.
pub(crate) fn check(code: &'static str, table: &Value) -> Option<TableFinding> {
    let level = table.get("compression-level")?.as_i64()?;
    let compression = match table.get("compression") {
        Some(word) => Compression::deserialize(word).ok()?,
        None => Compression::Zstd,
    };
    let range = stream::levels(compression);
    if i32::try_from(level).is_ok_and(|level| range.contains(&level))
        && compression != Compression::None
    {
        return None;
    }
    let (message, help) = if compression == Compression::None {
        (
            "a `compression-level` without compression has no meaning".to_owned(),
            "leave it out, or choose `compression = \"zstd\"`".to_owned(),
        )
    } else {
        (
            format!("level {level} does not exist for this compression"),
            format!("choose {} to {}", range.start(), range.end()),
        )
    };
    Some(TableFinding {
        code,
        severity: Severity::Error,
        path: vec!["compression-level".to_owned()],
        message,
        help: Some(help),
    })
}
