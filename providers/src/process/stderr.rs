//! The last words of a program: the end of its standard error, bounded, without secrets.
//!
//! Not here: starting and ending programs (`process`).

use model::Secret;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::ChildStderr, task::JoinHandle};

/// How much of the end is kept.
const KEPT_BYTES: usize = 64 * 1024;
/// How many lines an error quotes, and how long they may be together.
const QUOTED_LINES: usize = 6;
const QUOTED_CHARACTERS: usize = 1500;
/// A grandchild may hold the pipe open after the program has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows a program's standard error in the background.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Arc<Mutex<Kept>>,
    task: Option<JoinHandle<()>>,
    secrets: Vec<Secret>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    /// Begins to follow.
    pub(super) fn follow(stream: Option<ChildStderr>, secrets: Vec<Secret>) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        let task = stream.map(|mut stream| {
            tokio::spawn(async move {
                let mut chunk = vec![0; 8192];
                while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                    let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.bytes.extend(&chunk[..count]);
                    let surplus = kept.bytes.len().saturating_sub(KEPT_BYTES);
                    kept.cut |= surplus > 0;
                    kept.bytes.drain(..surplus);
                }
            })
        });
        Self {
            kept,
            task,
            secrets,
        }
    }

    /// What was said up to the end, scrubbed. Call when the program has ended.
    pub(super) async fn text(&mut self) -> String {
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(PATIENCE, task).await;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.bytes.iter().copied().collect();
        scrubbed(&String::from_utf8_lossy(&bytes), kept.cut, &self.secrets)
    }
}

/// The text without secrets. Of a text that was cut at its front the first line goes, because it may begin inside a secret.
pub(super) fn scrubbed(text: &str, cut: bool, secrets: &[Secret]) -> String {
    let mut text = if cut {
        text.split_once('\n')
            .map_or("", |(_, rest)| rest)
            .to_owned()
    } else {
        text.to_owned()
    };
    let mut secrets: Vec<&str> = secrets
        .iter()
        .map(Secret::expose)
        .filter(|secret| !secret.is_empty())
        .collect();
    // The longer first: one secret may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets {
        text = text.replace(secret, "***");
    }
    text
}

/// The last lines, joined into one, for an error's message.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let quoted = lines[lines.len().saturating_sub(QUOTED_LINES)..].join(" | ");
    let surplus = quoted.chars().count().saturating_sub(QUOTED_CHARACTERS);
    if surplus == 0 {
        return quoted;
    }
    format!("…{}", quoted.chars().skip(surplus).collect::<String>())
}
