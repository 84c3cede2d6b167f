//! The only place that starts a program. (Being written.)

use crate::api::Result;
use std::path::Path;

/// Runs a program to its end and returns what it printed.
pub async fn output_of(_command: &[String], _folder: &Path) -> Result<String> {
    Ok(String::new())
}
