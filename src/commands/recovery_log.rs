//! What every command with recovery records shares: finding one, showing it, and writing its log to files.
//!
//! The catalog keeps the record; the files are made of it, and a log that cannot be written is told and nothing more.

use crate::{
    arguments::{Global, LogFormat},
    failure::{Failure, Result},
    render::{color, out, recovery},
    settings,
};
use jiff::tz::TimeZone;
use model::RecoveryRecord;
use reports::{Format, ReportError, recovery_log};
use std::{
    fs,
    path::{Path, PathBuf},
};

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::from_error(
            "mainstay::report::template",
            Some("mend the template at that place (`mainstay report template DIR` writes the built-in one); without an own template this is a mistake in Mainstay: `--format json` shows the data as they are".to_owned()),
            &error,
        )
    }
}

/// Prints a record.
pub(crate) fn show(record: &RecoveryRecord, format: LogFormat, zone: &TimeZone) -> Result<()> {
    match format {
        LogFormat::Text => out::data(&recovery::text(record, zone)),
        LogFormat::Markdown => out::data(&recovery_log(record, zone, Format::Markdown)?),
        LogFormat::Html => out::data(&recovery_log(record, zone, Format::Html)?),
        LogFormat::Json => out::json(record),
    }
}

/// Folder of the logs: the one that was named, else beside the state.
pub(crate) fn folder(named: Option<&Path>, policy: &Path) -> PathBuf {
    named.map_or_else(
        || settings::state_folder(policy).join("recoveries"),
        Path::to_owned,
    )
}

/// Writes the log in both formats and says where it is.
pub(crate) fn write(record: &RecoveryRecord, folder: &Path, zone: &TimeZone, global: &Global) {
    match try_write(record, folder, zone) {
        Ok(path) if !global.json => out::words(&format!("recovery log: {}\n", path.display())),
        Ok(_) => {}
        Err(failure) => out::words(&format!(
            "{} the recovery log could not be written to {} ({}); `mainstay drill show {}` shows it\n",
            color::paint(color::WARN, "!"),
            folder.display(),
            failure.message,
            record.id
        )),
    }
}

fn try_write(record: &RecoveryRecord, folder: &Path, zone: &TimeZone) -> Result<PathBuf> {
    let failed =
        |error: std::io::Error| Failure::from_error("mainstay::report::write", None, &error);
    fs::create_dir_all(folder).map_err(failed)?;
    // Ids come from names and times; a separator in one would lead elsewhere.
    let name: String = record
        .id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let markdown = folder.join(format!("{name}.md"));
    fs::write(&markdown, recovery_log(record, zone, Format::Markdown)?).map_err(failed)?;
    let html = folder.join(format!("{name}.html"));
    fs::write(&html, recovery_log(record, zone, Format::Html)?).map_err(failed)?;
    Ok(html)
}
