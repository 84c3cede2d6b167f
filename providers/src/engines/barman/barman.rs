//! Runs `barman` and reads its JSON.
//!
//! - Started as root, Barman itself becomes its user (`drop_privileges`), so there is no `sudo` in here.
//! - Always in UTC: Barman 3.4 works out which log a target time needs with the machine's zone, whatever zone the target is
//!   given in (`time.mktime` of its wall clock), and would copy too little.
//! - What `show-server` prints holds connection strings: it is never repeated.

use super::{config::BarmanDatabase, errors};
use crate::{api::Result, process::Program};
use serde_json::{Map, Value};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Largest answer that is read.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// One server of one Barman.
#[derive(Debug, Clone)]
pub(super) struct Barman {
    program: PathBuf,
    config: Option<PathBuf>,
    /// Its name there.
    pub(super) server: String,
}

/// One line of `barman list-backups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) status: String,
}

impl Barman {
    pub(super) fn new(table: &BarmanDatabase, base: &Path) -> Self {
        let program = table.program.as_deref().unwrap_or("barman");
        let program = if program.contains('/') {
            base.join(program)
        } else {
            PathBuf::from(program)
        };
        Self {
            program,
            config: table.config.as_ref().map(|path| base.join(path)),
            server: table.server.clone(),
        }
    }

    /// Runs a command with words after the server's name, and gives its JSON.
    pub(super) async fn ask(&self, command: &str, words: &[&str]) -> Result<Map<String, Value>> {
        let mut program = Program::new(&self.program)
            .env("TZ", "UTC")
            // Barman's user may not be able to stand where we do.
            .folder("/");
        if let Some(config) = &self.config {
            program = program.arg("--config").arg(config);
        }
        let program = program
            .args(["--format", "json", command, &self.server])
            .args(words);
        let (running, output) = program.start_reading()?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            output
                .take(ANSWER_BYTES)
                .read_to_end(&mut bytes)
                .map(|_| bytes)
        });
        let ended = running.wait().await;
        let Ok(Ok(bytes)) = reading.await else {
            return Err(errors::unexpected(command, "its output ended early"));
        };
        let answer = serde_json::from_slice::<Value>(&bytes);
        let said = |answer: &Map<String, Value>| {
            ["_ERROR", "_EXCEPTION"]
                .iter()
                .filter_map(|key| answer.get(*key)?.as_array())
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join("; ")
        };
        match (ended, answer) {
            (Ok(()), Ok(Value::Object(answer))) => {
                let words = said(&answer);
                // An exit code of 0 with an error inside is no success.
                if words.is_empty() {
                    Ok(answer)
                } else {
                    Err(errors::failed(command, &words))
                }
            }
            (Ok(()), Ok(_)) => Err(errors::unexpected(command, "it is no JSON object")),
            (Ok(()), Err(_)) => Err(errors::unexpected(command, "it is no JSON")),
            (Err(error), Ok(Value::Object(answer))) if !said(&answer).is_empty() => {
                Err(errors::failed(command, &said(&answer)).source(error))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What a command said about the server.
    async fn about(&self, command: &str, words: &[&str]) -> Result<Value> {
        let mut answer = self.ask(command, words).await?;
        answer
            .remove(&self.server)
            .ok_or_else(|| errors::unexpected(command, "it says nothing of the server"))
    }

    /// All backups, whatever their state.
    pub(super) async fn list(&self) -> Result<Vec<Listed>> {
        let listed = self.about("list-backups", &[]).await?;
        let backups = listed.as_array().cloned().unwrap_or_default();
        let text = |backup: &Value, key: &str| {
            let text = backup.get(key).and_then(Value::as_str);
            text.map(str::to_owned)
                .ok_or_else(|| errors::unexpected("list-backups", &format!("no `{key}`")))
        };
        backups
            .iter()
            .map(|backup| {
                Ok(Listed {
                    id: text(backup, "backup_id")?,
                    status: text(backup, "status")?,
                })
            })
            .collect()
    }

    /// A complete backup; `mainstay::barman::missing` when it is not there.
    pub(super) async fn show_done(&self, id: &str) -> Result<Value> {
        let listed = self.list().await?;
        let Some(found) = listed.iter().find(|listed| listed.id == id) else {
            return Err(errors::missing(&self.server, id));
        };
        if found.status != "DONE" {
            return Err(errors::not_done(&self.server, id, &found.status));
        }
        self.about("show-backup", &[id]).await
    }

    /// Everything that Barman knows of the server; asks the server too.
    pub(super) async fn show_server(&self) -> Result<Value> {
        self.about("show-server", &[]).await
    }

    /// Restores; the words are options, then the backup, then the folder.
    pub(super) async fn recover(&self, words: &[&str]) -> Result<Map<String, Value>> {
        self.ask("recover", words).await
    }

    /// Paths of the log files that belong to a backup, up to the next one.
    pub(super) async fn wal_files(&self, id: &str) -> Result<Vec<PathBuf>> {
        let answer = self.ask("list-files", &[id, "--target", "wal"]).await?;
        let paths = answer.get("_INFO").and_then(Value::as_array);
        let paths = paths.into_iter().flatten().filter_map(Value::as_str);
        Ok(paths.map(PathBuf::from).collect())
    }
}
