//! Moves a stored dump into a program or a file, to the stream's very end, where its digest is compared.
//!
//! Blocking work on its own threads: dropping the future kills the program, whose pipe then ends the thread.

use super::directory_tar::{cannot_stage, unpack, unreadable};
use crate::{
    api::{PlainObject, ProviderError, Result},
    process::Running,
};
use model::{Disposition, Manifest};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Bytes moved at once; the pipes hold as much.
const CHUNK: usize = 1024 * 1024;

/// What a data object is, by the manifest's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    /// `pg_dump`'s custom format.
    Custom,
    /// SQL.
    Plain,
    /// `pg_dump`'s directory format in a tar.
    DirectoryTar,
}

impl ArchiveKind {
    /// Reads the manifest's word.
    pub(super) fn of(content: &str) -> Result<Self> {
        match content {
            "pg-custom" => Ok(Self::Custom),
            "pg-plain" => Ok(Self::Plain),
            "pg-directory-tar" => Ok(Self::DirectoryTar),
            other => Err(ProviderError::new(
                "mainstay::postgres::damaged",
                Disposition::Permanent,
                format!("the manifest names the content `{other}`, which engine `postgres` does not write"),
            )
            .help("use the version of mainstay that wrote the recovery point (`mainstay_version` in its manifest)")),
        }
    }
}

/// The data object among a point's plain objects, and the others.
pub(super) fn take_data(objects: Vec<PlainObject>) -> Result<(PlainObject, Vec<PlainObject>)> {
    let (mut data, others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object.role == "data");
    let data = data.pop().ok_or_else(|| {
        ProviderError::new(
            "mainstay::postgres::damaged",
            Disposition::Permanent,
            "the recovery point has no data object",
        )
    })?;
    Ok((data, others))
}

/// Major version of the program that made a dump.
pub(super) fn tool_major(manifest: &Manifest) -> u32 {
    let version = manifest.source.get("tool_version");
    let major = version.and_then(|version| super::binaries::major_of(version));
    major.unwrap_or(0)
}

/// Runs blocking work on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(stopped_work(error)),
    }
}

fn stopped_work(error: tokio::task::JoinError) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::interrupted",
        Disposition::Retry,
        "the work on a dump was stopped",
    )
    .source(error)
}

/// Feeds a stream into a program and waits for both. A program that stops reading is no error of the stream; the stream is
/// read to its end all the same, because only there its digest is compared.
pub(super) async fn feed(
    stream: Box<dyn Read + Send>,
    input: File,
    running: Running,
) -> Result<()> {
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop.0);
    let feeding = tokio::task::spawn_blocking(move || pump(stream, input, &stopped));
    match feeding.await {
        Ok(Ok(())) => running.wait().await,
        Ok(Err((error, input))) => {
            // psql would take the end of its input for the end of the data and commit: it must die before the pipe closes.
            drop(running);
            drop(input);
            Err(error)
        }
        Err(error) => Err(stopped_work(error)),
    }
}

/// Tells the feeding thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pump(
    mut stream: Box<dyn Read + Send>,
    input: File,
    stopped: &AtomicBool,
) -> Result<(), (ProviderError, Option<File>)> {
    let mut input = Some(input);
    let mut chunk = vec![0; CHUNK];
    while !stopped.load(Ordering::Relaxed) {
        let count = match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err((unreadable(error), input)),
        };
        if let Some(pipe) = &mut input
            && pipe.write_all(&chunk[..count]).is_err()
        {
            input = None;
        }
    }
    Ok(())
}

/// Writes a stream into a file.
pub(super) fn stage_file(mut stream: Box<dyn Read + Send>, path: &Path) -> Result<()> {
    let mut file = File::create_new(path).map_err(|error| cannot_stage(path, error))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut chunk).map_err(unreadable)?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(&chunk[..count])
            .map_err(|error| cannot_stage(path, error))?;
    }
}

/// Unpacks a directory dump into a new folder below `scratch` and gives the folder.
pub(super) async fn stage_folder(
    mut stream: Box<dyn Read + Send>,
    scratch: &Path,
) -> Result<PathBuf> {
    let folder = scratch.join("unpacked");
    blocking(move || {
        std::fs::create_dir(&folder).map_err(|error| cannot_stage(&folder, error))?;
        unpack(&mut *stream, &folder)?;
        Ok(folder)
    })
    .await
}
