//! What a path in the table of a key must be, and when two paths are the same file.

use model::{Severity, TableFinding};
use serde_json::Value;
use std::path::Path;

/// Finds what is wrong with a path at `place`. Does not look for the file: policies are checked on other machines too.
pub(super) fn check(path: &Value, place: &[&str], example: &str) -> Option<TableFinding> {
    let path = path.as_str()?;
    let finding = |code, message: &str, help: String| TableFinding {
        code,
        severity: Severity::Error,
        path: place.iter().map(|&part| part.to_owned()).collect(),
        message: message.to_owned(),
        help: Some(help),
    };
    if path.trim().is_empty() {
        Some(finding(
            "key::path-empty",
            "the path of this key is empty",
            format!("name a file, such as \"{example}\""),
        ))
    } else if path.starts_with('~') {
        Some(finding(
            "key::path-tilde",
            "`~` is not expanded",
            "write the whole path: a service has another home than you".to_owned(),
        ))
    } else {
        None
    }
}

/// The file that a path names, with links and `..` resolved where it exists.
pub(super) fn place(path: &str, base: &Path) -> Option<String> {
    let path = std::path::absolute(base.join(path)).ok()?;
    let real = path.canonicalize().unwrap_or(path);
    Some(format!("file:{}", real.display()))
}

/// Finds references to secrets that name no place, or two.
pub(super) fn check_reference(table: &Value, key: &str) -> Option<TableFinding> {
    let places = table.get(key)?.as_object()?.len();
    (places != 1).then(|| TableFinding {
        code: "key::secret",
        severity: Severity::Error,
        path: vec![key.to_owned()],
        message: "a secret needs exactly one of `env`, `file` or `command`".to_owned(),
        help: Some(format!(
            "write for example `{key} = {{ env = \"EXAMPLE\" }}`"
        )),
    })
}
