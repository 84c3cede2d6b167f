//! The tar file of a bundle, in memory: the same files give the same bytes, and other bytes hold more or less than those files.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

/// Bundles are small; what is larger is none.
const LARGEST: u64 = 1 << 30;

/// What lies in a bundle.
pub(super) struct Unpacked {
    /// Texts by name.
    pub(super) files: BTreeMap<String, String>,
    /// What no bundle holds, in words.
    pub(super) odd: Vec<String>,
}

/// The bytes of a bundle; `at`: when its period ended, so that the same facts give the same bytes whenever it is made.
pub(super) fn pack(files: &BTreeMap<String, String>, at: jiff::Timestamp) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(at.as_second()).unwrap_or(0));
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    tar.into_inner()
}

/// The bytes of a file that is no larger than a bundle can be.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than any bundle"));
    }
    Ok(bytes)
}

/// Reads a bundle. Nothing is written anywhere, whatever its names say.
pub(super) fn unpack(bytes: &[u8]) -> io::Result<Unpacked> {
    let mut unpacked = Unpacked {
        files: BTreeMap::new(),
        odd: Vec::new(),
    };
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let name = name.trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            unpacked.odd.push(format!(
                "{name}: it is no file, and a bundle holds nothing else"
            ));
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text)?;
        if unpacked.files.insert(name.clone(), text).is_some() {
            unpacked.odd.push(format!(
                "{name}: it is there twice, so each reader sees another one"
            ));
        }
    }
    Ok(unpacked)
}
