//! Our own reader of `backup_manifest`, PostgreSQL's list of the files of a base backup with their checksums.
//!
//! - Versions 1 and 2 (servers 13 to 18); anything that the format does not have is refused, as is a manifest that its own
//!   checksum does not fit: a flipped byte anywhere is found.
//! - Read as a stream into one text of paths and checksums with an index of 24 bytes a file: a million files take about
//!   60 MB, where the manifest has 150.
//!
//! Source: PostgreSQL manual, "Backup Manifest Format"; `parse_manifest.c`. Not here: the files themselves (`read_through`).

use super::digest::Algorithm;
use model::Lsn;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{
    fmt,
    io::{self, BufReader, Read},
};

/// Its name in the data folder, and the name of the object that holds it.
pub(super) const FILE_NAME: &str = "backup_manifest";
/// The last line is shorter than this; longer ones need not be held back.
const LAST_LINE: usize = 4096;

/// What a backup manifest says.
#[derive(Debug)]
pub(super) struct BackupManifest {
    /// Identifier of the cluster; since version 2.
    pub(super) system_identifier: Option<u64>,
    /// The files.
    pub(super) files: Files,
    /// The log that is needed, one range a timeline.
    pub(super) wal_ranges: Vec<WalRange>,
}

/// A piece of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalRange {
    /// Its timeline.
    #[serde(rename = "Timeline")]
    pub(super) timeline: u32,
    /// Its first position.
    #[serde(rename = "Start-LSN")]
    pub(super) start: Lsn,
    /// Where it ends.
    #[serde(rename = "End-LSN")]
    pub(super) end: Lsn,
}

/// Bytes that are no backup manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    /// It cannot be read from where it is.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is malformed or damaged.
    #[error("{0}")]
    Wrong(String),
}

fn wrong(why: impl Into<String>) -> ManifestError {
    ManifestError::Wrong(why.into())
}

/// What is known of one file; its path and its checksum stand in the common text.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    path_length: u32,
    algorithm: AlgorithmPlace,
    seen: bool,
    size: u64,
}

/// Index into [`Files::algorithms`].
type AlgorithmPlace = u8;

/// The files of a manifest, by path.
#[derive(Debug, Default)]
pub(super) struct Files {
    text: Vec<u8>,
    entries: Vec<Entry>,
    algorithms: Vec<Algorithm>,
}

/// One file of a manifest.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedFile<'a> {
    /// Its size.
    pub(super) size: u64,
    /// How its checksum is made.
    pub(super) algorithm: Algorithm,
    /// Its checksum.
    pub(super) checksum: &'a [u8],
}

impl Files {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Total size.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    fn path(&self, entry: &Entry) -> &[u8] {
        let from = usize::try_from(entry.at).unwrap_or(usize::MAX);
        self.text
            .get(from..from.saturating_add(entry.path_length as usize))
            .unwrap_or_default()
    }

    fn checksum(&self, entry: &Entry) -> &[u8] {
        let from = usize::try_from(entry.at).unwrap_or(usize::MAX);
        let from = from.saturating_add(entry.path_length as usize);
        let length = self.algorithm(entry).length();
        self.text
            .get(from..from.saturating_add(length))
            .unwrap_or_default()
    }

    fn algorithm(&self, entry: &Entry) -> Algorithm {
        let algorithm = self.algorithms.get(usize::from(entry.algorithm));
        algorithm.copied().unwrap_or(Algorithm::None)
    }

    /// The place of a file, by its path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| self.path(entry).cmp(path))
            .ok()
    }

    /// The file at a place.
    pub(super) fn get(&self, place: usize) -> Option<ListedFile<'_>> {
        let entry = self.entries.get(place)?;
        Some(ListedFile {
            size: entry.size,
            algorithm: self.algorithm(entry),
            checksum: self.checksum(entry),
        })
    }

    /// Notes that a file was met; whether it was for the first time.
    pub(super) fn meet(&mut self, place: usize) -> bool {
        let entry = self.entries.get_mut(place);
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.seen, true))
    }

    /// The files that were not met.
    pub(super) fn missing(&self) -> impl Iterator<Item = String> + '_ {
        let unseen = self.entries.iter().filter(|entry| !entry.seen);
        unseen.map(|entry| String::from_utf8_lossy(self.path(entry)).into_owned())
    }

    fn add(&mut self, file: FileLine) -> Result<(), String> {
        let path = match (file.path, file.encoded_path) {
            (Some(path), None) => path.into_bytes(),
            (None, Some(hex)) => {
                bytes_of_hex(&hex).ok_or("an `Encoded-Path` is not hexadecimal")?
            }
            _ => return Err("a file has no path, or two".to_owned()),
        };
        let word = file.algorithm.as_deref().unwrap_or("NONE");
        let algorithm =
            Algorithm::of_word(word).ok_or_else(|| format!("checksum algorithm `{word}`"))?;
        let checksum = match file.checksum {
            Some(hex) => bytes_of_hex(&hex).ok_or("a checksum is not hexadecimal")?,
            None => Vec::new(),
        };
        if checksum.len() != algorithm.length() {
            return Err(format!("a checksum has not the length of {word}"));
        }
        let known = self.algorithms.iter().position(|known| *known == algorithm);
        let place = known.unwrap_or_else(|| {
            self.algorithms.push(algorithm);
            self.algorithms.len() - 1
        });
        let entry = Entry {
            at: self.text.len() as u64,
            path_length: u32::try_from(path.len()).map_err(|_| "a path is too long")?,
            algorithm: AlgorithmPlace::try_from(place).unwrap_or_default(),
            seen: false,
            size: file.size,
        };
        self.text.extend_from_slice(&path);
        self.text.extend_from_slice(&checksum);
        self.entries.push(entry);
        Ok(())
    }

    fn sort(&mut self) -> Result<(), ManifestError> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| self.path(a).cmp(self.path(b)));
        let twice = entries.windows(2).find_map(|pair| match pair {
            [one, next] if self.path(one) == self.path(next) => Some(self.path(one)),
            _ => None,
        });
        if let Some(path) = twice {
            let path = String::from_utf8_lossy(path);
            return Err(wrong(format!("it lists `{path}` twice")));
        }
        self.entries = entries;
        Ok(())
    }
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let [high, low] = *pair else { return None };
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    _last_modified: Option<IgnoredAny>,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

/// The top of the document; the files go into [`Files`] one by one.
#[derive(Default)]
struct Document {
    version: Option<u64>,
    system_identifier: Option<u64>,
    files: Option<Files>,
    wal_ranges: Option<Vec<WalRange>>,
    checksum: Option<String>,
}

impl<'de> Visitor<'de> for Document {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup manifest")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let again = match key.as_str() {
                "PostgreSQL-Backup-Manifest-Version" => {
                    self.version.replace(map.next_value()?).is_some()
                }
                "System-Identifier" => self.system_identifier.replace(map.next_value()?).is_some(),
                "Files" => {
                    let files = map.next_value_seed(FileList::default())?;
                    self.files.replace(files).is_some()
                }
                "WAL-Ranges" => self.wal_ranges.replace(map.next_value()?).is_some(),
                "Manifest-Checksum" => self.checksum.replace(map.next_value()?).is_some(),
                other => return Err(A::Error::custom(format!("`{other}` is not known"))),
            };
            if again {
                return Err(A::Error::custom(format!("`{key}` stands there twice")));
            }
        }
        Ok(self)
    }
}

#[derive(Default)]
struct FileList(Files);

impl<'de> DeserializeSeed<'de> for FileList {
    type Value = Files;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Files, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FileList {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Files, A::Error> {
        while let Some(file) = list.next_element::<FileLine>()? {
            self.0.add(file).map_err(A::Error::custom)?;
        }
        Ok(self.0)
    }
}

/// Reads a manifest to its end, and checks it against its own checksum.
pub(super) fn read(stream: impl Read) -> Result<BackupManifest, ManifestError> {
    let mut summed = Summed::new(stream);
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut summed));
    let document = json.deserialize_map(Document::default());
    let document = document.and_then(|document| json.end().map(|()| document));
    drop(json);
    if let Some(error) = summed.error.take() {
        return Err(ManifestError::Unreadable(error));
    }
    let document = document.map_err(|error| wrong(format!("it is not readable: {error}")))?;
    let (digest, last_line) = summed.finish();
    // Byte for byte: JSON would let spaces and other spellings of the same text pass.
    if last_line != format!("\"Manifest-Checksum\": \"{digest}\"}}\n").as_bytes() {
        return Err(wrong("its own checksum does not fit"));
    }
    let version = document.version.unwrap_or_default();
    if !(1..=2).contains(&version) {
        return Err(wrong(format!(
            "its version is {version}; known are 1 and 2"
        )));
    }
    let (Some(mut files), Some(wal_ranges)) = (document.files, document.wal_ranges) else {
        return Err(wrong("it lists no files, or no log"));
    };
    if (version == 2) != document.system_identifier.is_some() {
        return Err(wrong(
            "its version and its system identifier do not go together",
        ));
    }
    files.sort()?;
    Ok(BackupManifest {
        system_identifier: document.system_identifier,
        files,
        wal_ranges,
    })
}

/// Takes the SHA-256 of all lines but the last, which holds it.
struct Summed<R> {
    inner: R,
    context: aws_lc_rs::digest::Context,
    /// The line that is being read.
    line: Vec<u8>,
    /// What the reader above would turn into words of its own.
    error: Option<io::Error>,
}

impl<R: Read> Summed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            context: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256),
            line: Vec::new(),
            error: None,
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.line.ends_with(b"\n") || self.line.len() > LAST_LINE {
                self.context.update(&self.line);
                self.line.clear();
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            self.line.extend_from_slice(part);
            bytes = rest;
        }
    }

    fn finish(self) -> (String, Vec<u8>) {
        let digest = self.context.finish();
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        (hex.collect(), self.line)
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            io::Error::from(kind)
        })?;
        self.follow(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &str) -> Vec<u8> {
        let mut summed = Summed::new(io::empty());
        summed.follow(body.as_bytes());
        summed.follow(b"{");
        let (hex, _) = summed.finish();
        format!("{body}\"Manifest-Checksum\": \"{hex}\"}}\n").into_bytes()
    }

    #[test]
    fn the_checksum_is_sha_256_of_all_lines_but_the_last() {
        let text = String::from_utf8(sealed("abc\n")).unwrap();
        // printf 'abc\n' | sha256sum
        assert!(text.contains("edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb"));
    }

    const BODY: &str = "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7300000000000000001,\n\"Files\": [\n\
        { \"Path\": \"base/1/2\", \"Size\": 8192, \"Last-Modified\": \"2026-11-21 19:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0a0b0c0d\" },\n\
        { \"Encoded-Path\": \"62ff\", \"Size\": 0, \"Last-Modified\": \"2026-11-21 19:00:00 GMT\" },\n\
        { \"Path\": \"a \\\"b\\\"\", \"Size\": 3, \"Last-Modified\": \"2026-11-21 19:00:00 GMT\", \"Checksum-Algorithm\": \"SHA224\", \"Checksum\": \"9b3e61bf29f17c75572fae2e86e17809a4513d07c8a18152acf34521\" }\n\
        ],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n";

    #[test]
    fn a_manifest_is_read_into_files_and_ranges() {
        let mut manifest = read(&sealed(BODY)[..]).unwrap();
        assert_eq!(manifest.system_identifier, Some(7_300_000_000_000_000_001));
        assert_eq!(manifest.wal_ranges[0].end, Lsn(0x0200_0100));
        assert_eq!((manifest.files.len(), manifest.files.bytes()), (3, 8195));
        let place = manifest.files.find(b"base/1/2").unwrap();
        let file = manifest.files.get(place).unwrap();
        assert_eq!((file.size, file.checksum), (8192, &[10, 11, 12, 13][..]));
        assert!(manifest.files.meet(place));
        assert!(!manifest.files.meet(place), "only once");
        let strange = manifest.files.find(b"b\xff").unwrap();
        assert!(manifest.files.get(strange).unwrap().checksum.is_empty());
        assert!(manifest.files.find(b"base/1").is_none());
        let missing: Vec<_> = manifest.files.missing().collect();
        assert_eq!(missing, ["a \"b\"", "b\u{fffd}"]);
    }

    #[test]
    fn a_flip_of_any_bit_of_any_byte_is_refused() {
        let bytes = sealed(BODY);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                assert!(read(&damaged[..]).is_err(), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_cut_manifest_and_one_with_more_behind_it_are_refused() {
        let bytes = sealed(BODY);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        assert!(read(&[&bytes[..], b"\n"].concat()[..]).is_err());
        assert!(read(&[&bytes[..], &bytes[..]].concat()[..]).is_err());
    }

    #[test]
    fn what_the_format_does_not_have_is_refused_even_with_a_right_checksum() {
        for (from, to) in [
            ("\"Size\": 3", "\"Size\": 3, \"Mode\": 1"),
            ("Version\": 2", "Version\": 3"),
            ("Version\": 2", "Version\": 1"),
            ("SHA224", "MD5"),
            ("0a0b0c0d", "0a0b0c"),
            ("0a0b0c0d", "0a0b0c0x"),
            ("\"a \\\"b\\\"\"", "\"base/1/2\""),
            ("\"WAL-Ranges\"", "\"Other\""),
            ("\"System-Identifier\": 7300000000000000001,\n", ""),
        ] {
            let changed = BODY.replace(from, to);
            assert_ne!(changed, BODY);
            assert!(read(&sealed(&changed)[..]).is_err(), "{to}");
        }
    }
}
