//! Looks at a base backup's tar while it streams by: keeps its label and its list of files, and counts.

use super::{
    backup_manifest, label,
    tar_scan::{Kind, Look, Member, TarError, TarScan},
};
use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A label is a few lines.
const LARGEST_LABEL: u64 = 64 << 10;

/// What was seen of a tar.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the stream was read to its end, and that was a tar's end.
    pub(super) whole: bool,
    /// What was wrong with the tar.
    pub(super) wrong: Option<String>,
    /// Why the list of files could not be kept.
    pub(super) cannot_keep: Option<io::Error>,
    /// Files.
    pub(super) files: u64,
    /// Segments of the log among them.
    pub(super) segments: u64,
    /// The label.
    pub(super) label: Vec<u8>,
    /// Whether the list of files was there to its end.
    pub(super) has_manifest: bool,
}

/// A tar that is looked at while somebody else reads it.
pub(super) struct Collecting {
    inner: Box<dyn Read + Send>,
    scan: TarScan,
    keeper: Keeper,
}

impl Collecting {
    /// Begins; the list of files, if one comes, goes to `keep`.
    pub(super) fn new(inner: Box<dyn Read + Send>, keep: PathBuf) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let keeper = Keeper {
            seen: Arc::clone(&seen),
            keep,
            current: Current::Other,
        };
        let collecting = Self {
            inner,
            scan: TarScan::new(),
            keeper,
        };
        (collecting, seen)
    }

    fn note(&self, error: TarError) -> io::Error {
        let mut seen = lock(&self.keeper.seen);
        let kind = match &error {
            TarError::Look(error) => error.kind(),
            TarError::Cut(_) => io::ErrorKind::UnexpectedEof,
            TarError::Header(_) | TarError::Trailing(_) => io::ErrorKind::InvalidData,
        };
        match error {
            TarError::Look(error) => seen.cannot_keep = Some(error),
            other => seen.wrong = Some(other.to_string()),
        }
        kind.into()
    }
}

impl Read for Collecting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let result = if count == 0 && !buffer.is_empty() {
            self.scan.finish()
        } else {
            self.scan.push(&buffer[..count], &mut self.keeper)
        };
        result.map_err(|error| self.note(error))?;
        if count == 0 && !buffer.is_empty() {
            lock(&self.keeper.seen).whole = true;
        }
        Ok(count)
    }
}

pub(super) fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Current {
    Label,
    Manifest(BufWriter<File>),
    Other,
}

struct Keeper {
    seen: Arc<Mutex<Seen>>,
    keep: PathBuf,
    current: Current,
}

impl Look for Keeper {
    fn begin(&mut self, member: &Member) -> io::Result<()> {
        if member.kind != Kind::File {
            return Ok(());
        }
        let mut seen = lock(&self.seen);
        seen.files += 1;
        if is_segment(&member.path) {
            seen.segments += 1;
        }
        if member.path == label::FILE_NAME.as_bytes() && member.size <= LARGEST_LABEL {
            self.current = Current::Label;
        } else if member.path == backup_manifest::FILE_NAME.as_bytes() {
            self.current = Current::Manifest(BufWriter::new(File::create_new(&self.keep)?));
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.current {
            Current::Label => lock(&self.seen).label.extend_from_slice(bytes),
            Current::Manifest(file) => file.write_all(bytes)?,
            Current::Other => {}
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if let Current::Manifest(mut file) = std::mem::replace(&mut self.current, Current::Other) {
            file.flush()?;
            lock(&self.seen).has_manifest = true;
        }
        Ok(())
    }
}

/// Whether a member is a whole segment of the log.
pub(super) fn is_segment(path: &[u8]) -> bool {
    let name = path.strip_prefix(b"pg_wal/");
    name.is_some_and(|name| name.len() == 24 && name.iter().all(u8::is_ascii_hexdigit))
}
