//! The directory format as one stream: packed into a tar while it is read, unpacked without trusting the tar.
//!
//! The tar is POSIX ustar with GNU sizes, flat (`toc.dat`, `3001.dat`, …), so `tar -xf` and `pg_restore -Fd` read it by hand.

use crate::api::{ProviderError, Result};
use model::Disposition;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

const BLOCK: u64 = 512;

/// Reads a flat folder as a tar stream.
pub(super) struct PackedFolder {
    folder: PathBuf,
    waiting: VecDeque<String>,
    part: Box<dyn Read + Send>,
}

impl PackedFolder {
    /// Starts with the table of contents, then the other files by name.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name().into_string();
            names.push(name.map_err(|_| io::Error::other("a file of the dump has no UTF-8 name"))?);
        }
        names.sort_by_key(|name| (name != "toc.dat", name.clone()));
        Ok(Self {
            folder: folder.to_owned(),
            waiting: names.into(),
            part: Box::new(io::empty()),
        })
    }

    /// Total size of the stream.
    pub(super) fn size(&self) -> io::Result<u64> {
        let mut total = 2 * BLOCK;
        for name in &self.waiting {
            let bytes = std::fs::metadata(self.folder.join(name))?.len();
            total += BLOCK + bytes.next_multiple_of(BLOCK);
        }
        Ok(total)
    }

    /// Header, content and padding of the next file; at last the two empty blocks that end a tar.
    fn open_next(&mut self) -> io::Result<bool> {
        let Some(name) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let file = File::open(self.folder.join(&name))?;
        let bytes = file.metadata()?.len();
        let mut header = tar::Header::new_gnu();
        header.set_path(&name)?;
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_cksum();
        let padding = bytes.next_multiple_of(BLOCK) - bytes;
        // The file was closed by pg_dump; one that grows now would shift everything behind it.
        let content = Exactly { file, left: bytes };
        let end = if self.waiting.is_empty() {
            2 * BLOCK
        } else {
            0
        };
        self.part = Box::new(
            io::Cursor::new(header.as_bytes().to_vec())
                .chain(content)
                .chain(io::repeat(0).take(padding + end)),
        );
        Ok(true)
    }
}

impl Read for PackedFolder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.part.read(buffer)?;
            if count > 0 || buffer.is_empty() || !self.open_next()? {
                return Ok(count);
            }
        }
    }
}

/// Reads exactly as many bytes as the header says, or fails.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.file).take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file of the dump became shorter while it was read",
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes the files of a tar into an empty folder and reads the stream to its end. Anything but flat plain files is refused.
pub(super) fn unpack(stream: &mut dyn Read, folder: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(&mut *stream);
    let entries = archive.entries().map_err(unreadable)?;
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let mut components = path.components();
        let (Some(Component::Normal(name)), None) = (components.next(), components.next()) else {
            return Err(foreign(&path));
        };
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(foreign(&path));
        }
        let target = folder.join(name);
        let mut file = File::create_new(&target).map_err(|error| cannot_stage(&target, error))?;
        copy(&mut entry, &mut file, &target)?;
    }
    // The digest behind the stream is compared at its very end.
    io::copy(stream, &mut io::sink()).map_err(unreadable)?;
    Ok(())
}

fn copy(entry: &mut impl Read, file: &mut File, target: &Path) -> Result<()> {
    let mut chunk = vec![0; 256 * 1024];
    loop {
        let count = entry.read(&mut chunk).map_err(unreadable)?;
        if count == 0 {
            return Ok(());
        }
        io::Write::write_all(file, &chunk[..count]).map_err(|error| cannot_stage(target, error))?;
    }
}

fn foreign(path: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::damaged",
        Disposition::Permanent,
        format!(
            "the stored dump holds `{}`, which no pg_dump writes",
            path.display()
        ),
    )
    .help("restore from another recovery point or another copy, and look into who wrote this one")
}

/// The scratch folder could not take what must be staged there.
pub(super) fn cannot_stage(path: &Path, error: io::Error) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::scratch",
        Disposition::NeedsOperator,
        format!("cannot write `{}`", path.display()),
    )
    .help("make room in the scratch folder: a dump in the directory format is staged there as a whole")
    .source(error)
}

/// Turns an error of a plain stream into the provider error that is inside it, or into `mainstay::postgres::damaged`.
pub(super) fn unreadable(error: io::Error) -> ProviderError {
    // tar wraps errors of its source into text of its own; the cause is somewhere down the chain.
    match error.downcast::<ProviderError>() {
        Ok(error) => error,
        Err(error) => ProviderError::new(
            "mainstay::postgres::damaged",
            Disposition::Permanent,
            "cannot read the stored dump to its end",
        )
        .help("restore from another copy or another recovery point: mainstay list")
        .source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_survives_packing_and_unpacking() {
        let from = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("toc.dat", 700),
            ("1.dat", 0),
            ("2.dat", 512),
            ("blobs.toc", 3),
        ] {
            std::fs::write(from.path().join(name), vec![b'x'; bytes]).unwrap();
        }
        let mut packed = PackedFolder::new(from.path()).unwrap();
        let size = packed.size().unwrap();
        let mut bytes = Vec::new();
        packed.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, size);
        let to = tempfile::tempdir().unwrap();
        unpack(&mut bytes.as_slice(), to.path()).unwrap();
        for name in ["toc.dat", "1.dat", "2.dat", "blobs.toc"] {
            let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
            assert_eq!(read(from.path()), read(to.path()));
        }
    }

    #[test]
    fn a_tar_that_would_leave_its_folder_is_refused() {
        for (path, kind) in [
            ("../evil", tar::EntryType::Regular),
            ("a/b", tar::EntryType::Regular),
            ("/abs", tar::EntryType::Regular),
            ("link", tar::EntryType::Symlink),
        ] {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            bytes.extend([0; 1024]);
            let to = tempfile::tempdir().unwrap();
            let error = unpack(&mut bytes.as_slice(), to.path()).unwrap_err();
            assert_eq!(error.code, "mainstay::postgres::damaged", "{path}");
            assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
        }
    }
}
