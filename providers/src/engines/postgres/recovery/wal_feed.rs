//! Feeds a server under recovery with archived log, without a program of ours: its `restore_command` is a shell script that asks by making a file.
//!
//! `want/<file>` is the question; `have/<file>` (moved away by the script), `none/<file>` or `error` the answer. The script gives up when `alive` is
//! gone. It ends with 1 only for "not archived", which a server takes for the end of the log, and above 125 for everything else, which stops it.
//! Segments are fetched ahead of the questions.
//!
//! Not here: where the log comes from (`WalFetch`).

use super::{owner::Owner, place::cannot_write, settings};
use crate::{
    api::{ProviderError, Result, WalFetch},
    engines::postgres::{archive::blocking, directory_tar::unreadable},
};
use model::{Disposition, WalFileName};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// How often questions are looked for.
const LOOK: Duration = Duration::from_millis(4);
/// How much is fetched ahead.
const AHEAD_BYTES: u64 = 64 << 20;
/// Segments that are fetched ahead, at most.
const AHEAD: u64 = 4;

/// The question is taken back before the answer is: who finds no answer and then no question knows that it was answered.
const SCRIPT: &str = r#"#!/bin/sh
# Asks Mainstay for one file of the log: fetch.sh FILE DESTINATION
dir=$(dirname "$0")
: > "$dir/want/$1" || exit 201
while :; do
    if [ -e "$dir/have/$1" ]; then
        rm -f "$dir/want/$1"
        mv "$dir/have/$1" "$2" || exit 202
        exit 0
    fi
    if [ -e "$dir/none/$1" ]; then
        rm -f "$dir/want/$1" "$dir/none/$1"
        exit 1
    fi
    [ -e "$dir/error" ] && exit 203
    [ -e "$dir/alive" ] || exit 204
    sleep 0.005
done
"#;

type Fetched = Result<Option<PathBuf>>;

/// The folder that a server and we talk through.
#[derive(Debug)]
pub(super) struct WalFeed {
    folder: PathBuf,
    owner: Owner,
    archive: Option<Arc<dyn WalFetch>>,
    segment_bytes: u64,
    ahead: u64,
    /// Bytes handed over.
    bytes: Arc<AtomicU64>,
    /// Timeline of the last segment that was asked for and handed over.
    timeline: AtomicU32,
}

impl WalFeed {
    /// Makes the folder. Without an archive every question is answered by "not archived".
    pub(super) fn create(
        folder: PathBuf,
        owner: Owner,
        archive: Option<Arc<dyn WalFetch>>,
        segment_bytes: u64,
    ) -> Result<Self> {
        let failed = |error| cannot_write(&folder, error);
        fs::create_dir(&folder).map_err(failed)?;
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&folder, mode(0o755)).map_err(failed)?;
        for part in ["want", "have", "none"] {
            owner.folder(&folder.join(part)).map_err(failed)?;
        }
        for (name, content) in [("fetch.sh", SCRIPT), ("alive", "")] {
            fs::write(folder.join(name), content).map_err(failed)?;
            fs::set_permissions(folder.join(name), mode(0o644)).map_err(failed)?;
        }
        Ok(Self {
            folder,
            owner,
            archive,
            segment_bytes,
            ahead: (AHEAD_BYTES / segment_bytes.max(1)).clamp(1, AHEAD),
            bytes: Arc::default(),
            timeline: AtomicU32::new(0),
        })
    }

    /// For `restore_command`.
    pub(super) fn command(&self) -> String {
        let script = self.folder.join("fetch.sh").display().to_string();
        settings::command(&["/bin/sh".into(), script, "%f".into(), "%p".into()])
    }

    /// The file whose absence makes a waiting script give up.
    pub(super) fn alive(&self) -> PathBuf {
        self.folder.join("alive")
    }

    /// The timeline of the last segment that was asked for; `None`: none was.
    pub(super) fn timeline(&self) -> Option<u32> {
        Some(self.timeline.load(Ordering::Relaxed)).filter(|timeline| *timeline > 0)
    }

    /// Readies the folder for a server that is started again.
    pub(super) fn revive(&self) -> Result<()> {
        let alive = self.alive();
        fs::write(&alive, "").map_err(|error| cannot_write(&alive, error))
    }

    /// Answers until the archive fails; that error is what the recovery ends with.
    pub(super) async fn run(&self) -> ProviderError {
        let mut state = State::default();
        loop {
            if let Err(error) = self.answer(&mut state).await {
                // The script must not wait for what will not come, nor take it for the end of the log.
                let _ = fs::write(self.folder.join("error"), "");
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn answer(&self, state: &mut State) -> Result<()> {
        let want = self.folder.join("want");
        let entries = fs::read_dir(&want).map_err(|error| cannot_write(&want, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| cannot_write(&want, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if self.folder.join("have").join(&name).exists()
                || self.folder.join("none").join(&name).exists()
            {
                continue;
            }
            // Answered between our two looks.
            if !entry.path().exists() {
                continue;
            }
            let file = WalFileName::parse(&name).map_err(|error| odd_question(&error))?;
            self.answer_one(state, file).await?;
        }
        self.collect_done(state).await
    }

    /// Fetched ahead of its question, a file that failed or was not there is asked for again when it is wanted.
    async fn collect_done(&self, state: &mut State) -> Result<()> {
        let done: Vec<_> = state
            .under_way
            .iter()
            .filter(|(_, task)| task.0.is_finished())
            .map(|(file, _)| *file)
            .collect();
        for file in done {
            let Some(mut task) = state.under_way.remove(&file) else {
                continue;
            };
            if let Ok(Ok(Some(part))) = (&mut task.0).await {
                self.hand_over(&file, &part)?;
            }
        }
        Ok(())
    }

    async fn answer_one(&self, state: &mut State, file: WalFileName) -> Result<()> {
        self.fetch_ahead(state, &file);
        let early = match state.under_way.remove(&file) {
            Some(mut task) => match (&mut task.0).await {
                Ok(Ok(Some(part))) => Some(part),
                _ => None,
            },
            None => None,
        };
        let part = match early {
            Some(part) => Some(part),
            None => match &self.archive {
                Some(archive) => {
                    let folder = self.folder.clone();
                    fetch(Arc::clone(archive), file, folder, Arc::clone(&self.bytes)).await?
                }
                None => None,
            },
        };
        if let Some(part) = part {
            if file.is_segment() {
                self.timeline.store(file.timeline(), Ordering::Relaxed);
            }
            return self.hand_over(&file, &part);
        }
        let none = self.folder.join("none").join(file.to_string());
        File::options()
            .write(true)
            .create_new(true)
            .open(&none)
            .and_then(|file| self.owner.own_file(&file))
            .map_err(|error| cannot_write(&none, error))
    }

    fn fetch_ahead(&self, state: &mut State, file: &WalFileName) {
        let Some(archive) = &self.archive else { return };
        let mut next = *file;
        for _ in 0..self.ahead {
            let Some(following) = next.next(self.segment_bytes) else {
                return;
            };
            next = following;
            let here = self.folder.join("have").join(next.to_string());
            if state.under_way.contains_key(&next) || here.exists() {
                continue;
            }
            let (archive, folder) = (Arc::clone(archive), self.folder.clone());
            let bytes = Arc::clone(&self.bytes);
            let task = tokio::spawn(fetch(archive, next, folder, bytes));
            state.under_way.insert(next, Task(task));
        }
    }

    fn hand_over(&self, file: &WalFileName, part: &Path) -> Result<()> {
        let have = self.folder.join("have").join(file.to_string());
        self.owner
            .own(part)
            .and_then(|()| fs::rename(part, &have))
            .map_err(|error| cannot_write(&have, error))
    }
}

#[derive(Debug, Default)]
struct State {
    under_way: BTreeMap<WalFileName, Task>,
}

/// A fetch under way, given up when nobody wants it any more.
#[derive(Debug)]
struct Task(JoinHandle<Fetched>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Fetches a file whole, under a name that no script looks for.
async fn fetch(
    archive: Arc<dyn WalFetch>,
    file: WalFileName,
    folder: PathBuf,
    bytes: Arc<AtomicU64>,
) -> Fetched {
    let Some(stream) = archive.fetch(&file).await? else {
        return Ok(None);
    };
    let part = folder.join(format!("{file}.part"));
    let path = part.clone();
    let count = blocking(move || store(stream, &path)).await?;
    bytes.fetch_add(count, Ordering::Relaxed);
    Ok(Some(part))
}

fn store(mut stream: Box<dyn Read + Send>, path: &Path) -> Result<u64> {
    let failed = |error: io::Error| cannot_write(path, error);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut chunk = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let count = stream.read(&mut chunk).map_err(unreadable)?;
        if count == 0 {
            return Ok(total);
        }
        file.write_all(&chunk[..count]).map_err(failed)?;
        total += count as u64;
    }
}

fn odd_question(error: &model::wal::WalNameError) -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::replay-failed",
        Disposition::Permanent,
        format!("the recovering server asked for a file that no log has: {error}"),
    )
}
