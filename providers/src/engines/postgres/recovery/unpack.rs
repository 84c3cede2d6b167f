//! Unpacks the tar streams of a base backup without trusting them.
//!
//! - The folder is new and empty and no link is made in it while anything is unpacked, so no name can lead out of it.
//! - `global/pg_control` is not written but handed back: written last, it makes a server accept the directory.
//! - The stream is read to its very end, where its digest is compared.
//!
//! Not here: links of tablespaces (`tablespaces`), settings (`settings`).

use super::{
    owner::Owner,
    place::{WorkFolder, cannot_write},
};
use crate::{
    api::{PlainObject, ProviderError, Result},
    engines::postgres::{archive::blocking, directory_tar::unreadable},
};
use model::Disposition;
use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Bytes moved at once.
const CHUNK: usize = 1024 * 1024;
/// The control file, which is written last.
const CONTROL: &str = "global/pg_control";
/// No control file is larger (`PG_CONTROL_FILE_SIZE` is 8192).
const CONTROL_BYTES: u64 = 1024 * 1024;

/// What was unpacked.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// The control file.
    pub(super) control: Option<Vec<u8>>,
    /// Plain bytes of all files.
    pub(super) bytes: u64,
}

/// Unpacks a stream into a folder inside of `work`, on a thread of its own. Dropping the future stops the thread, which holds `work` until then: it
/// is removed only when nobody writes into it any more.
pub(super) async fn unpack(
    object: PlainObject,
    into: PathBuf,
    owner: Owner,
    work: Arc<WorkFolder>,
) -> Result<Unpacked> {
    if !matches!(object.content.as_str(), "pg-base-tar" | "pg-tablespace-tar") {
        return Err(foreign(&object.content, "content"));
    }
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop.0);
    blocking(move || {
        let _work = work;
        let stream: Box<dyn Read + Send> = Box::new(Stoppable {
            stream: object.stream,
            stopped,
        });
        unpack_here(stream, &into, owner)
    })
    .await
}

/// Tells the thread that nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Stoppable {
    stream: Box<dyn Read + Send>,
    stopped: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the recovery was stopped"));
        }
        self.stream.read(buffer)
    }
}

fn unpack_here(stream: Box<dyn Read + Send>, into: &Path, owner: Owner) -> Result<Unpacked> {
    let mut unpacked = Unpacked::default();
    let mut archive = tar::Archive::new(stream);
    let mut chunk = vec![0; CHUNK];
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let Some(relative) = safe(&path) else {
            return Err(foreign(&path.display().to_string(), "file"));
        };
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                if relative == Path::new(CONTROL) {
                    let mut control = Vec::new();
                    (&mut entry)
                        .take(CONTROL_BYTES)
                        .read_to_end(&mut control)
                        .map_err(unreadable)?;
                    unpacked.bytes += control.len() as u64;
                    folders_for(into, &relative, owner)?;
                    unpacked.control = Some(control);
                    continue;
                }
                folders_for(into, &relative, owner)?;
                unpacked.bytes += write(&mut entry, &into.join(&relative), owner, &mut chunk)?;
            }
            tar::EntryType::Directory => folder(&into.join(&relative), owner)?,
            // Tablespaces' links lead to where they are at the source; ours are made when everything is there.
            tar::EntryType::Symlink if relative.starts_with("pg_tblspc") => {}
            _ => return Err(foreign(&path.display().to_string(), "entry")),
        }
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(unreadable)?;
    Ok(unpacked)
}

/// Writes the control file, after everything else.
pub(super) fn write_control(data: &Path, control: &[u8], owner: Owner) -> Result<()> {
    super::place::write_file(&data.join(CONTROL), control, &owner)
}

/// The path without `./`; `None` when it would lead out of the folder.
fn safe(path: &Path) -> Option<PathBuf> {
    let mut safe = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => safe.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(safe)
}

fn folders_for(into: &Path, relative: &Path, owner: Owner) -> Result<()> {
    let Some(parent) = relative.parent() else {
        return Ok(());
    };
    let mut path = into.to_owned();
    for part in parent.components() {
        path.push(part);
        if !path.is_dir() {
            folder(&path, owner)?;
        }
    }
    Ok(())
}

fn folder(path: &Path, owner: Owner) -> Result<()> {
    match owner.folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(|error| cannot_write(path, error)),
    }
}

fn write(entry: &mut impl Read, path: &Path, owner: Owner, chunk: &mut [u8]) -> Result<u64> {
    let failed = |error| cannot_write(path, error);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    owner.own_file(&file).map_err(failed)?;
    let mut bytes = 0;
    loop {
        let count = entry.read(chunk).map_err(unreadable)?;
        if count == 0 {
            return Ok(bytes);
        }
        file.write_all(&chunk[..count]).map_err(failed)?;
        bytes += count as u64;
    }
}

fn foreign(what: &str, kind: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::damaged",
        Disposition::Permanent,
        format!("the stored base backup holds the {kind} `{what}`, which no pg_basebackup writes"),
    )
    .help("restore from another recovery point or another copy, and look into who wrote this one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend([0; 1024]);
        bytes
    }

    #[test]
    fn a_tar_that_would_leave_its_folder_is_refused() {
        use tar::EntryType::{Char, Link, Regular, Symlink};
        for (path, kind) in [
            ("../evil", Regular),
            ("base/../../evil", Regular),
            ("/abs", Regular),
            ("base", Symlink),
            ("hard", Link),
            ("device", Char),
        ] {
            let to = tempfile::tempdir().unwrap();
            let stream = Box::new(io::Cursor::new(tar_of(&[(path, kind, b"")])));
            let error = unpack_here(stream, to.path(), Owner::ourselves()).unwrap_err();
            assert_eq!(error.code, "mainstay::postgres::damaged", "{path}");
            assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0, "{path}");
        }
    }

    #[test]
    fn the_control_file_is_handed_back_and_a_name_is_written_once() {
        use tar::EntryType::{Directory, Regular, Symlink};
        let to = tempfile::tempdir().unwrap();
        let entries: [(&str, _, &[u8]); 5] = [
            ("./base/", Directory, b""),
            ("global/pg_control", Regular, b"control"),
            ("base/1/PG_VERSION", Regular, b"15\n"),
            ("pg_tblspc/16385", Symlink, b""),
            ("backup_label", Regular, b"x"),
        ];
        let stream = Box::new(io::Cursor::new(tar_of(&entries)));
        let unpacked = unpack_here(stream, to.path(), Owner::ourselves()).unwrap();
        assert_eq!(unpacked.control.as_deref(), Some(&b"control"[..]));
        assert_eq!(unpacked.bytes, 11);
        assert!(to.path().join("base/1/PG_VERSION").is_file());
        assert!(!to.path().join("global/pg_control").exists());
        assert!(!to.path().join("pg_tblspc/16385").exists());
        let twice = tar_of(&[("a", Regular, b"1"), ("a", Regular, b"2")]);
        let to = tempfile::tempdir().unwrap();
        let result = unpack_here(
            Box::new(io::Cursor::new(twice)),
            to.path(),
            Owner::ourselves(),
        );
        assert!(result.is_err());
    }

    /// A stream whose digest does not agree.
    struct Wrong;

    impl Read for Wrong {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other(ProviderError::new(
                "mainstay::copy::damaged",
                Disposition::Permanent,
                "digest",
            )))
        }
    }

    #[test]
    fn a_cut_stream_and_a_wrong_digest_at_the_end_are_errors() {
        use tar::EntryType::Regular;
        let whole = tar_of(&[("a", Regular, &[7; 4000])]);
        let to = tempfile::tempdir().unwrap();
        let cut = Box::new(io::Cursor::new(whole[..1000].to_vec()));
        assert!(unpack_here(cut, to.path(), Owner::ourselves()).is_err());
        let to = tempfile::tempdir().unwrap();
        let stream = Box::new(io::Cursor::new(whole).chain(Wrong));
        let error = unpack_here(stream, to.path(), Owner::ourselves()).unwrap_err();
        assert_eq!(error.code, "mainstay::copy::damaged");
    }
}
