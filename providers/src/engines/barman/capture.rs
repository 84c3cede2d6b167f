//! Makes a backup in Barman, or takes one that is there, and describes it.
//!
//! Order: Barman finishes first, the pointer is written last. A crash between leaves a backup in Barman that no point names;
//! `mainstay catalog import` finds it.

use super::{
    barman::Barman,
    config::BarmanBackup,
    errors, info,
    pointer::{CONTENT, Pointer, STEM},
};
use crate::api::{Capture, CaptureObject, CaptureSummary, Result};
use async_trait::async_trait;
use model::{ByteCount, Expectations, manifest::Compression};
use serde_json::Value;
use std::{collections::BTreeMap, io::Cursor};

/// A backup that Barman has finished.
#[derive(Debug)]
pub(super) struct BarmanCapture {
    pointer: Pointer,
    source: BTreeMap<String, String>,
    given: bool,
}

/// Runs `barman backup`, or looks at the backup that the series' table names.
pub(super) async fn start(
    barman: &Barman,
    series: &BarmanBackup,
    wait_for_wal_minutes: u32,
) -> Result<BarmanCapture> {
    let id = match &series.existing {
        Some(id) => id.clone(),
        None => make(barman, wait_for_wal_minutes).await?,
    };
    let server = barman.show_server().await?;
    let pointer = look(barman, &server, &id).await?;
    let mut source = BTreeMap::from([
        ("barman_server".to_owned(), barman.server.clone()),
        ("barman_backup".to_owned(), id),
        ("barman_bytes".to_owned(), pointer.bytes.to_string()),
        ("begin_lsn".to_owned(), pointer.begin_lsn.to_string()),
        ("end_lsn".to_owned(), pointer.end_lsn.to_string()),
        ("timeline".to_owned(), pointer.timeline.to_string()),
        (
            "server_version_num".to_owned(),
            pointer.postgresql_version.to_string(),
        ),
    ]);
    let mut add = |key: &str, value: Option<String>| {
        source.extend(value.map(|value| (key.to_owned(), value)));
    };
    add("system_identifier", pointer.system_identifier.clone());
    add("barman_retention_policy", info::retention(&server));
    Ok(BarmanCapture {
        pointer,
        source,
        given: false,
    })
}

async fn make(barman: &Barman, wait_for_wal_minutes: u32) -> Result<String> {
    let seconds = (u64::from(wait_for_wal_minutes) * 60).to_string();
    let words = ["--wait", "--wait-timeout", &seconds];
    let answer = barman.ask("backup", &words).await?;
    let id = answer.get("backup_id").and_then(Value::as_str);
    id.map(str::to_owned)
        .ok_or_else(|| errors::unexpected("backup", "no `backup_id`"))
}

/// A complete backup as it is now.
pub(super) async fn look(barman: &Barman, server: &Value, id: &str) -> Result<Pointer> {
    let shown = barman.show_done(id).await?;
    Pointer::of(&barman.server, &shown, &info::backup_info(server, id))
}

#[async_trait]
impl Capture for BarmanCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        if std::mem::replace(&mut self.given, true) {
            return Ok(None);
        }
        let bytes = self
            .pointer
            .to_bytes()
            .map_err(|error| errors::unexpected("show-backup", &error.to_string()))?;
        let size = ByteCount(bytes.len() as u64);
        let object = CaptureObject::new("data", STEM, CONTENT, Cursor::new(bytes))
            .compressed(Some(Compression::None), None)
            .expecting(Some(size));
        Ok(Some(object))
    }

    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        Ok(CaptureSummary {
            // Earlier than this it is not consistent.
            captured_at: self.pointer.end_time,
            source: self.source,
            expectations: Expectations::default(),
            // The log is Barman's: nothing of it is in our archive, and nothing there must be kept for this point.
            wal: None,
        })
    }
}
