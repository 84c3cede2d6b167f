//! Writes the tar while it is stored, and beside it the readable copy for review.
//!
//! A thread writes the tar into a pipe, so no archive is ever staged. Files up to [`SMALL`] are read as a whole, and again when
//! they changed meanwhile; larger ones stream, and fail the capture when they change.

use super::{
    CONTENT,
    config::{FilesArchive, FilesDatabase},
    errors,
    redact::Redactor,
    select::{self, Found, Kind},
};
use crate::api::{Capture, CaptureObject, CaptureRequest, CaptureSummary, ProviderError, Result};
use async_trait::async_trait;
use model::{ByteCount, Expectations, Timestamp, manifest::TableExpectation};
use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, PipeReader, PipeWriter, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

/// Files up to this size are held in memory while they are read.
const SMALL: u64 = 8 << 20;
/// Looks at a file that goes on changing.
const LOOKS: usize = 5;

/// What has been written.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    files: u64,
    folders: u64,
    links: u64,
    readable: u64,
    hidden: u64,
}

/// A tar that is being written.
pub(super) struct FilesCapture {
    series: FilesArchive,
    captured_at: Timestamp,
    expected: u64,
    skipped: u64,
    stream: Option<PipeReader>,
    writer: Option<JoinHandle<Result<Counts>>>,
    counts: Option<Counts>,
    review: Option<PathBuf>,
}

/// Looks for the files and starts to write them.
pub(super) fn start(
    config: &FilesDatabase,
    base: &Path,
    request: &CaptureRequest,
) -> Result<FilesCapture> {
    let series = FilesArchive::read(&request.options)?;
    let selected = select::select(config, base)?;
    let (reader, pipe) =
        io::pipe().map_err(|error| errors::file("make a pipe for the archive", error))?;
    let review = (!config.encrypt_fields.is_empty()).then(|| request.scratch.join("review.tar"));
    let redactor = review
        .as_ref()
        .map(|path| Review::new(path, &config.encrypt_fields))
        .transpose()?;
    let found = selected.found;
    let writer = std::thread::Builder::new()
        .name("mainstay-files".to_owned())
        .spawn(move || write(found, pipe, redactor))
        .map_err(|error| errors::file("start a thread for the archive", error))?;
    Ok(FilesCapture {
        series,
        captured_at: request.now,
        expected: selected.bytes,
        skipped: selected.skipped,
        stream: Some(reader),
        writer: Some(writer),
        counts: None,
        review,
    })
}

impl FilesCapture {
    /// Waits until everything has been written.
    fn written(&mut self) -> Result<Counts> {
        // A reader that nobody took would keep the writer waiting for ever.
        drop(self.stream.take());
        if let Some(writer) = self.writer.take() {
            let counts = writer.join().unwrap_or_else(|_| Err(errors::stopped()))?;
            self.counts = Some(counts);
        }
        self.counts.ok_or_else(errors::stopped)
    }
}

#[async_trait]
impl Capture for FilesCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        let (compression, level) = (self.series.compression, self.series.compression_level);
        if let Some(stream) = self.stream.take() {
            let object = CaptureObject::new("data", "data.tar", CONTENT, stream)
                .compressed(compression, level)
                .expecting(Some(ByteCount(self.expected)));
            return Ok(Some(object));
        }
        let Some(review) = self.review.take() else {
            return Ok(None);
        };
        if self.written()?.readable == 0 {
            return Ok(None);
        }
        let file =
            File::open(&review).map_err(|error| errors::file("read the copy for review", error))?;
        Ok(Some(CaptureObject {
            readable: true,
            ..CaptureObject::new("review", "review.tar", CONTENT, file)
                .compressed(compression, level)
        }))
    }

    async fn finish(mut self: Box<Self>) -> Result<CaptureSummary> {
        let counts = self.written()?;
        let mut source = BTreeMap::from([("entries".to_owned(), total(counts).to_string())]);
        if self.skipped > 0 {
            let skipped = format!("{} sockets, pipes or devices", self.skipped);
            source.insert("skipped".to_owned(), skipped);
        }
        if counts.hidden > 0 {
            let hidden = format!("{} files that cannot be shown safely", counts.hidden);
            source.insert("not_in_review".to_owned(), hidden);
        }
        let rows = [
            ("files", counts.files),
            ("folders", counts.folders),
            ("links", counts.links),
        ];
        let tables = rows.map(|(name, rows)| {
            let expected = TableExpectation {
                rows: Some(rows),
                exact: true,
            };
            (name.to_owned(), expected)
        });
        Ok(CaptureSummary {
            wal: None,
            captured_at: self.captured_at,
            source,
            expectations: Expectations {
                tables: tables.into(),
            },
        })
    }
}

fn total(counts: Counts) -> u64 {
    counts.files + counts.folders + counts.links
}

/// The readable copy under way.
struct Review {
    tar: tar::Builder<File>,
    redactor: Redactor,
}

impl Review {
    fn new(path: &Path, fields: &[String]) -> Result<Self> {
        let file = File::create_new(path)
            .map_err(|error| errors::file("make the copy for review", error))?;
        Ok(Self {
            tar: tar::Builder::new(file),
            redactor: Redactor::new(fields)?,
        })
    }

    /// Adds a file, if it can be shown safely.
    fn add(&mut self, name: &Path, metadata: &Metadata, content: &[u8]) -> Result<bool> {
        let Some(shown) = self.redactor.redact(name, content) else {
            return Ok(false);
        };
        let mut header = header(metadata);
        header.set_size(shown.len() as u64);
        self.tar
            .append_data(&mut header, name, shown.as_bytes())
            .map_err(|error| errors::file("write the copy for review", error))?;
        Ok(true)
    }
}

fn write(
    found: BTreeMap<PathBuf, Found>,
    pipe: PipeWriter,
    mut review: Option<Review>,
) -> Result<Counts> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, pipe));
    let mut counts = Counts::default();
    for (name, found) in found {
        let fail = |error| archive(&found.path, error);
        match found.kind {
            Kind::Folder => {
                let metadata = std::fs::metadata(&found.path).map_err(fail)?;
                let mut header = header(&metadata);
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, &name, io::empty())
                    .map_err(fail)?;
                counts.folders += 1;
            }
            Kind::Link => {
                let metadata = std::fs::symlink_metadata(&found.path).map_err(fail)?;
                let target = std::fs::read_link(&found.path).map_err(fail)?;
                let mut header = header(&metadata);
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, &name, target).map_err(fail)?;
                counts.links += 1;
            }
            Kind::File => {
                let shown = write_file(&mut tar, &name, &found.path, review.as_mut())?;
                counts.files += 1;
                match shown {
                    Some(true) => counts.readable += 1,
                    Some(false) => counts.hidden += 1,
                    None => {}
                }
            }
        }
    }
    let finish = |mut buffer: io::BufWriter<PipeWriter>| io::Write::flush(&mut buffer);
    tar.into_inner()
        .and_then(finish)
        .map_err(|error| errors::file("write the end of the archive", error))?;
    if let Some(review) = review {
        review
            .tar
            .into_inner()
            .map_err(|error| errors::file("write the copy for review", error))?;
    }
    Ok(counts)
}

/// Reads and writes one file; tells whether it is in the copy for review, if one is made.
fn write_file<W: io::Write>(
    tar: &mut tar::Builder<W>,
    name: &Path,
    path: &Path,
    review: Option<&mut Review>,
) -> Result<Option<bool>> {
    let fail = |error| archive(path, error);
    for _ in 0..LOOKS {
        let mut file = open(path)?;
        let before = file.metadata().map_err(fail)?;
        if !before.is_file() {
            return Err(errors::changed(path));
        }
        let mut header = header(&before);
        header.set_size(before.len());
        if before.len() > SMALL {
            // What was written cannot be taken back, so there is one look only.
            let content = Exactly {
                file: &mut file,
                left: before.len(),
            };
            let written = tar.append_data(&mut header, name, content);
            written.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => errors::changed(path),
                _ => fail(error),
            })?;
            return if same(&before, &file.metadata().map_err(fail)?) {
                Ok(review.map(|_| false))
            } else {
                Err(errors::changed(path))
            };
        }
        let mut content = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
        (&mut file)
            .take(SMALL + 1)
            .read_to_end(&mut content)
            .map_err(fail)?;
        let after = file.metadata().map_err(fail)?;
        if content.len() as u64 != before.len() || !same(&before, &after) {
            continue;
        }
        tar.append_data(&mut header, name, content.as_slice())
            .map_err(fail)?;
        return review
            .map(|review| review.add(name, &before, &content))
            .transpose();
    }
    Err(errors::changed(path))
}

fn archive(path: &Path, error: io::Error) -> ProviderError {
    errors::file(&format!("read `{}`", path.display()), error)
}

/// Opens what was a file when it was selected. A link that has taken its place since might lead to what nobody wants in this
/// archive, and a pipe would keep the capture waiting for ever.
fn open(path: &Path) -> Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => errors::changed(path),
            _ => archive(path, error),
        })
}

/// Size, time and identity: what changes when somebody writes.
fn same(before: &Metadata, after: &Metadata) -> bool {
    let of = |metadata: &Metadata| {
        (
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ino(),
        )
    };
    of(before) == of(after)
}

/// Owner, mode and time; nothing of this machine but numbers.
fn header(metadata: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(u64::from(metadata.uid()));
    header.set_gid(u64::from(metadata.gid()));
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header
}

/// Reads exactly as many bytes as the header says, or fails.
struct Exactly<'a> {
    file: &'a mut File,
    left: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut *self.file).take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_taken_the_place_of_a_file_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        for path in [link, pipe] {
            let mut tar = tar::Builder::new(Vec::new());
            let error = write_file(&mut tar, Path::new("x"), &path, None).unwrap_err();
            assert_eq!(error.code, "mainstay::files::changed", "{}", path.display());
            assert_eq!(tar.get_ref().len(), 0);
        }
    }
}
