//! Reads what `barman show-backup` leaves out: `backup.info`, and how Barman is set up.

use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

/// The keys of a backup's `backup.info`; empty when it cannot be read here.
pub(super) fn backup_info(server: &Value, id: &str) -> BTreeMap<String, String> {
    let folder = |key: &str| server.get(key).and_then(Value::as_str).map(PathBuf::from);
    // Barman 3.15 moved it.
    let old = folder("basebackups_directory").map(|base| base.join(id).join("backup.info"));
    let new =
        folder("backup_directory").map(|home| home.join("meta").join(format!("{id}-backup.info")));
    let text = [new, old]
        .into_iter()
        .flatten()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// What `barman show-server` says of its retention.
pub(super) fn retention(server: &Value) -> Option<String> {
    let policy = server.get("retention_policy")?.as_str()?;
    Some(policy.to_owned())
}
