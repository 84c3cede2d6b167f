//! `mode = "stream"`: we bring the log ourselves. The engine receives it into a folder through a replication slot; every finished
//! segment goes to the archive, and on a quiet server the beginning of the one under way, often enough for the promised RPO.
//!
//! Invariants:
//! - A received file is removed only when the archive has it on every tier (or it waits in the spool), and never the newest one:
//!   the receiver goes on from what it finds there.
//! - Each beginning has a name of its own; a shorter one goes when a longer one, or the whole segment, is on that tier.
//! - One stream for a folder at a time. Killed at any moment, the next one goes on without a gap: the slot and the folder know where.
//!
//! `ship`: what is done with the files of the folder. Not here: receiving (`Engine::receive_wal`), how a file lies on a tier (`archive`), what may wait (`push`).

mod ship;

use super::{
    archive::{WalStore, blocking},
    file::WalFile,
};
use crate::{cancel::Cancel, wiring::DatabaseWiring};
use model::{Disposition, WalFileName};
use providers::api::{Engine, ProviderError, Result, WalReceive};
use ship::Shipped;
use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Pause between two looks into the folder.
const LOOK: Duration = Duration::from_millis(250);
/// Beginnings are not sent more often, whatever the RPO: each is a file on every tier.
const OFTEN: Duration = Duration::from_secs(5);
/// How often without a promise.
const UNPROMISED: Duration = Duration::from_mins(1);
/// Pauses before the receiver is started again.
const PAUSES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(30);
/// A receiver that ran so long had no trouble with starting.
const RAN_WELL: Duration = Duration::from_mins(1);
/// No other try can help: log is missing.
const GAPS: [&str; 2] = [
    "mainstay::postgres::slot-lost",
    "mainstay::postgres::slot-behind",
];

/// Whoever is told what happens, in words for people.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// The stream of one database.
#[derive(Debug)]
pub struct WalStream {
    store: Arc<WalStore>,
    engine: Arc<dyn Engine>,
    slot: String,
    folder: PathBuf,
    every: Duration,
    /// Held while the stream lives; the system lets go of it however we end.
    _alone: File,
}

/// What lies in the folder.
#[derive(Debug, Default)]
struct Folder {
    whole: BTreeSet<WalFileName>,
    under_way: BTreeSet<WalFileName>,
    histories: BTreeSet<WalFileName>,
}

impl WalStream {
    /// The stream of a database, if it has one; `folder` outlives restarts and is this stream's own.
    ///
    /// Errors: `mainstay::wal::stream-runs`, `mainstay::wal::unwritable`.
    pub fn open(
        store: Arc<WalStore>,
        declared: &DatabaseWiring,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let Some(slot) = declared
            .wal
            .as_ref()
            .and_then(|wal| wal.stream_slot.clone())
        else {
            return Ok(None);
        };
        let unwritable = |error: std::io::Error| {
            ProviderError::new(
                "mainstay::wal::unwritable",
                Disposition::NeedsOperator,
                format!(
                    "the folder `{}` of the stream cannot be used",
                    folder.display()
                ),
            )
            .help("make it writable for the user that runs mainstay")
            .source(error)
        };
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let folder = folder.canonicalize().map_err(unwritable)?;
        let alone = File::create(folder.join(".lock")).map_err(unwritable)?;
        match alone.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(unwritable(error)),
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(ProviderError::new(
                    "mainstay::wal::stream-runs",
                    Disposition::NeedsOperator,
                    format!("another process streams the log of `{}`", store.database()),
                )
                .help("there can be one `mainstay wal run` for each database; stop the other one first"));
            }
        }
        let every = declared.rpo.map_or(UNPROMISED, |promise| {
            OFTEN.max(Duration::from_secs(promise.maximum_seconds) / 3)
        });
        Ok(Some(Self {
            store,
            engine: Arc::clone(&declared.engine),
            slot,
            folder,
            every,
            _alone: alone,
        }))
    }

    /// Receives and archives until it is cancelled. Trouble that may pass is told and tried again.
    ///
    /// Errors: when log is missing for good, after everything that came before it was archived.
    pub async fn serve(&self, cancel: &Cancel, tell: Tell) -> Result<()> {
        let mut shipped = Shipped::default();
        let shipping = async {
            self.clean(&tell).await;
            loop {
                self.ship(&mut shipped, &tell, false).await;
                sleep(LOOK).await;
            }
        };
        let ended = tokio::select! {
            error = self.receive(&tell) => Err(error),
            () = shipping => Ok(()),
            () = cancel.cancelled() => Ok(()),
        };
        self.ship(&mut shipped, &tell, true).await;
        ended
    }

    /// Keeps the receiver running; gives the error that no other try can mend.
    async fn receive(&self, tell: &Tell) -> ProviderError {
        let mut pause = *PAUSES.start();
        let mut told = String::new();
        loop {
            self.say_if_slot_is_gone(tell).await;
            let began = Instant::now();
            let request = WalReceive {
                folder: self.folder.clone(),
                slot: self.slot.clone(),
            };
            let words = match self.engine.receive_wal(request).await {
                Err(error) if GAPS.contains(&error.code) => return error,
                Err(error) => format!("the log is not received: {error}"),
                Ok(()) => "the receiver of the log ended".to_owned(),
            };
            if began.elapsed() > RAN_WELL {
                pause = *PAUSES.start();
                told.clear();
            }
            if words != told {
                tell(&format!("{words}; it is tried again"));
                told = words;
            }
            sleep(pause).await;
            pause = (pause * 2).min(*PAUSES.end());
        }
    }

    /// The slot is made anew when it is gone; whether the server still has what it held back shows when the receiver asks for it.
    async fn say_if_slot_is_gone(&self, tell: &Tell) {
        let received = self
            .look()
            .is_ok_and(|found| !found.whole.is_empty() || !found.under_way.is_empty());
        if !received {
            return;
        }
        if let Ok(state) = self.engine.wal_state().await
            && state.slots.iter().all(|slot| slot.name != self.slot)
        {
            tell(&format!(
                "warning: the replication slot `{}` is gone; it is made anew. If the server has removed log meanwhile, that is a hole, and it will be said",
                self.slot
            ));
        }
    }

    fn look(&self) -> std::io::Result<Folder> {
        let mut found = Folder::default();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Ok(name) = WalFileName::parse(&name.to_string_lossy()) else {
                continue;
            };
            match (name, name.segment()) {
                (WalFileName::Segment { .. }, _) => found.whole.insert(name),
                (WalFileName::Partial { .. }, Some(segment)) => found.under_way.insert(segment),
                (WalFileName::History { .. }, _) => found.histories.insert(name),
                _ => false,
            };
        }
        Ok(found)
    }

    /// The cluster, as some file with pages in the folder says.
    async fn cluster(&self, found: &Folder) -> Result<Option<u64>> {
        if let Some(name) = found.whole.last() {
            let file = self.read(*name, None).await?;
            return Ok(Some(file.system_identifier()));
        }
        let state = self.engine.wal_state().await?;
        Ok(Some(state.source.system_identifier))
    }

    async fn read(&self, name: WalFileName, cluster: Option<u64>) -> Result<WalFile> {
        let path = self.folder.join(name.to_string());
        let bytes = blocking(move || Ok(std::fs::read(path))).await?;
        WalFile::new(
            name,
            bytes.map_err(|error| self.unreadable(error))?,
            cluster,
        )
    }

    fn unreadable(&self, error: std::io::Error) -> ProviderError {
        ProviderError::new(
            "mainstay::wal::unreadable",
            Disposition::NeedsOperator,
            format!(
                "the folder `{}` of the stream cannot be read",
                self.folder.display()
            ),
        )
        .help("look at its disk and its permissions; the replication slot keeps the log meanwhile")
        .source(error)
    }
}
