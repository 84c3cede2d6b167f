//! Follows a tar as its bytes stream by: tells whoever looks which members there are and what is in them, keeping nothing.
//!
//! Reads what PostgreSQL writes (POSIX ustar, sizes in base 256) and what other tools make of the same files (GNU long names,
//! pax headers). A tar that ends before its end marker, has a header whose sum is wrong, or goes on after its end is refused:
//! a cut at a member's border leaves a stream that `tar -x` would unpack without a word.
//!
//! Source: POSIX `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". Not here: unpacking.

/// Size of a tar's blocks.
pub(super) const BLOCK: usize = 512;
/// Largest long name or pax header that is believed.
const LARGEST_EXTENSION: u64 = 1 << 20;

/// What kind of member it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other(u8),
}

/// One member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path, without a leading `./` and without a folder's closing `/`.
    pub(super) path: Vec<u8>,
    /// Size of its content.
    pub(super) size: u64,
    /// Its kind.
    pub(super) kind: Kind,
}

/// Who looks at the members of a tar.
pub(super) trait Look {
    /// A member begins.
    fn begin(&mut self, member: &Member) -> std::io::Result<()>;
    /// Bytes of its content.
    fn content(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// It ended, with all its content.
    fn end(&mut self) -> std::io::Result<()>;
}

/// A stream that is no whole tar.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarError {
    #[error("the tar ends at byte {0} without its end marker")]
    Cut(u64),
    #[error("the tar has a damaged header at byte {0}")]
    Header(u64),
    #[error("the tar goes on behind its end, at byte {0}")]
    Trailing(u64),
    #[error(transparent)]
    Look(std::io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a header block.
    Header,
    /// In a member's content.
    Content,
    /// In the content of a long name (`L`), a long link (`K`) or a pax header (`x`, `g`).
    Extension(u8),
    /// Between a content and the next block.
    Padding,
    /// Behind the first empty block.
    HalfEnd,
    /// Behind the end marker.
    End,
}

/// How far a tar was followed.
#[derive(Debug)]
pub(super) struct TarScan {
    state: State,
    /// Bytes of the content, the extension or the padding that are still to come.
    left: u64,
    /// Length of the padding behind it.
    padding: u64,
    /// Bytes of the block, or of the extension, that is being collected.
    held: Vec<u8>,
    at: u64,
    long_path: Option<Vec<u8>>,
    long_size: Option<u64>,
}

impl TarScan {
    /// At the beginning of a tar.
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            left: 0,
            padding: 0,
            held: Vec::with_capacity(BLOCK),
            at: 0,
            long_path: None,
            long_size: None,
        }
    }

    /// Follows the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8], look: &mut dyn Look) -> Result<(), TarError> {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Header | State::HalfEnd => self.take_block(bytes, look)?,
                State::Content | State::Extension(_) | State::Padding => {
                    let whole = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let part = &bytes[..whole.min(bytes.len())];
                    match self.state {
                        State::Content => look.content(part).map_err(TarError::Look)?,
                        State::Extension(_) => self.held.extend_from_slice(part),
                        _ => {}
                    }
                    self.left -= part.len() as u64;
                    self.leave_what_is_over(look)?;
                    part.len()
                }
                State::End => {
                    if let Some(place) = bytes.iter().position(|byte| *byte != 0) {
                        return Err(TarError::Trailing(self.at + place as u64));
                    }
                    bytes.len()
                }
            };
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Whether the stream may end here.
    pub(super) fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::End => Ok(()),
            _ => Err(TarError::Cut(self.at)),
        }
    }

    fn take_block(&mut self, bytes: &[u8], look: &mut dyn Look) -> Result<usize, TarError> {
        let count = (BLOCK - self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..count]);
        if self.held.len() < BLOCK {
            return Ok(count);
        }
        let begins = self.at + count as u64 - BLOCK as u64;
        let block = std::mem::take(&mut self.held);
        let is_empty = block.iter().all(|byte| *byte == 0);
        match (self.state, is_empty) {
            (State::Header, true) => self.state = State::HalfEnd,
            (_, true) => self.state = State::End,
            (State::HalfEnd, false) => return Err(TarError::Trailing(begins)),
            (_, false) => {
                let header = Header::read(&block).ok_or(TarError::Header(begins))?;
                self.begin(header, begins, look)?;
            }
        }
        Ok(count)
    }

    fn begin(&mut self, header: Header, begins: u64, look: &mut dyn Look) -> Result<(), TarError> {
        if matches!(header.kind, b'L' | b'K' | b'x' | b'g') {
            if header.size > LARGEST_EXTENSION {
                return Err(TarError::Header(begins));
            }
            self.enter(State::Extension(header.kind), header.size);
            return self.leave_what_is_over(look);
        }
        let kind = match header.kind {
            b'0' | 0 | b'7' => Kind::File,
            b'5' => Kind::Folder,
            b'2' => Kind::Link,
            other => Kind::Other(other),
        };
        let noted = self.long_size.take().unwrap_or(header.size);
        let size = match kind {
            // Some writers note a size for what has no content.
            Kind::Folder | Kind::Link => 0,
            Kind::File | Kind::Other(_) => noted,
        };
        let path = self.long_path.take().unwrap_or(header.path);
        let member = Member {
            path: plain_path(&path).to_vec(),
            size,
            kind,
        };
        look.begin(&member).map_err(TarError::Look)?;
        self.enter(State::Content, size);
        self.leave_what_is_over(look)
    }

    fn enter(&mut self, state: State, size: u64) {
        self.state = state;
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn leave_what_is_over(&mut self, look: &mut dyn Look) -> Result<(), TarError> {
        while self.left == 0 {
            match self.state {
                State::Content => look.end().map_err(TarError::Look)?,
                State::Extension(kind) => {
                    let content = std::mem::take(&mut self.held);
                    self.take_extension(kind, &content);
                }
                State::Padding => {
                    self.state = State::Header;
                    return Ok(());
                }
                State::Header | State::HalfEnd | State::End => return Ok(()),
            }
            self.state = State::Padding;
            self.left = self.padding;
        }
        Ok(())
    }

    fn take_extension(&mut self, kind: u8, content: &[u8]) {
        match kind {
            b'L' => self.long_path = Some(until_zero(content).to_vec()),
            b'x' => {
                for (key, value) in pax_records(content) {
                    match key {
                        b"path" => self.long_path = Some(value.to_vec()),
                        b"size" => self.long_size = decimal(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// What a header block says.
struct Header {
    path: Vec<u8>,
    size: u64,
    kind: u8,
}

impl Header {
    fn read(block: &[u8]) -> Option<Self> {
        let noted = octal(block.get(148..156)?)?;
        // The sum is taken with its own field full of spaces.
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(place, byte)| match place {
                148..156 => u64::from(b' '),
                _ => u64::from(*byte),
            })
            .sum();
        if sum != noted {
            return None;
        }
        let name = until_zero(block.get(..100)?);
        let prefix = match block.get(257..263)? {
            b"ustar\0" => until_zero(block.get(345..500)?),
            _ => &[],
        };
        let path = if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, name].join(&b'/')
        };
        Some(Self {
            path,
            size: number(block.get(124..136)?)?,
            kind: *block.get(156)?,
        })
    }
}

/// Octal digits, or base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    match field.first()? {
        0x80 => field[1..].iter().try_fold(0_u64, |sum, byte| {
            sum.checked_mul(256)?.checked_add(u64::from(*byte))
        }),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_zero(field)).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8).ok()
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn until_zero(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// `<length> <key>=<value>\n`, where the length counts the whole record.
fn pax_records(mut content: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut records = Vec::new();
    while let Some(space) = content.iter().position(|byte| *byte == b' ') {
        let length = decimal(&content[..space]).and_then(|length| usize::try_from(length).ok());
        let Some(record) = length.and_then(|length| content.get(space + 1..length)) else {
            break;
        };
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else {
            break;
        };
        let value = &record[equals + 1..];
        records.push((
            &record[..equals],
            value.strip_suffix(b"\n").unwrap_or(value),
        ));
        content = &content[space + 1 + record.len()..];
    }
    records
}

fn plain_path(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// Writes down what it is shown.
    #[derive(Default)]
    struct Notes {
        text: String,
        bytes: u64,
    }

    impl Look for Notes {
        fn begin(&mut self, member: &Member) -> std::io::Result<()> {
            let path = String::from_utf8_lossy(&member.path);
            let _ = write!(self.text, "{:?} {path} {}:", member.kind, member.size);
            self.bytes = 0;
            Ok(())
        }
        fn content(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            self.bytes += bytes.len() as u64;
            Ok(())
        }
        fn end(&mut self) -> std::io::Result<()> {
            let _ = writeln!(self.text, " {}", self.bytes);
            Ok(())
        }
    }

    fn scan(tar: &[u8], chunk: usize) -> Result<String, TarError> {
        let (mut scan, mut notes) = (TarScan::new(), Notes::default());
        for part in tar.chunks(chunk) {
            scan.push(part, &mut notes)?;
        }
        scan.finish()?;
        Ok(notes.text)
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder
            .append_data(&mut header, "base/", std::io::empty())
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder
            .append_link(&mut header, "pg_tblspc/16385", "/elsewhere")
            .unwrap();
        for (name, size) in [("base/1", 0_u64), ("base/2", 512), ("./base/3", 1000)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(size);
            builder
                .append_data(&mut header, name, std::io::repeat(7).take(size))
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    use std::io::Read as _;

    #[test]
    fn members_are_seen_whatever_the_size_of_the_pieces() {
        let tar = sample();
        let expected = "Folder base 0: 0\nLink pg_tblspc/16385 0: 0\nFile base/1 0: 0\n\
                        File base/2 512: 512\nFile base/3 1000: 1000\n";
        for chunk in [1, 7, 511, 512, 513, 4096, 1 << 20] {
            assert_eq!(scan(&tar, chunk).unwrap(), expected, "{chunk}");
        }
    }

    #[test]
    fn a_tar_that_is_cut_anywhere_is_refused() {
        let tar = sample();
        for end in (0..tar.len() / BLOCK).map(|block| block * BLOCK) {
            assert!(matches!(scan(&tar[..end], 4096), Err(TarError::Cut(at)) if at == end as u64));
        }
        assert!(scan(&tar[..tar.len() - 1], 4096).is_err());
    }

    #[test]
    fn a_header_with_a_flipped_bit_is_refused() {
        let tar = sample();
        for place in 0..BLOCK {
            let mut damaged = tar.clone();
            // The last header's: whatever it says then, it must not pass.
            let header = tar.len() - 2 * BLOCK - 1024 - BLOCK;
            damaged[header + place] ^= 1;
            // Of the sum's own field the closing zero and space say nothing.
            if !(154..156).contains(&place) {
                assert!(scan(&damaged, 4096).is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn something_behind_the_end_is_refused() {
        let mut tar = sample();
        tar.extend_from_slice(&[0; 5000]);
        assert!(scan(&tar, 100).is_ok());
        tar.push(1);
        assert!(matches!(scan(&tar, 100), Err(TarError::Trailing(_))));
        let mut tar = sample();
        let end = tar.len() - BLOCK;
        tar[end] = 1;
        assert!(matches!(scan(&tar, 100), Err(TarError::Trailing(_))));
    }

    #[test]
    fn long_names_are_read_as_gnu_and_as_pax_write_them() {
        let long = format!("base/{}", "x".repeat(300));
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        builder
            .append_data(&mut header, &long, &b"abc"[..])
            .unwrap();
        let value = format!("base/{}", "y".repeat(200));
        builder
            .append_pax_extensions([("path", value.as_bytes()), ("size", b"4")])
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        builder
            .append_data(&mut header, "short", &b"abcd"[..])
            .unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        let nested = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        builder
            .append_data(&mut header, &nested, &b"z"[..])
            .unwrap();
        let tar = builder.into_inner().unwrap();
        let expected = format!("File {long} 3: 3\nFile {value} 4: 4\nFile {nested} 1: 1\n");
        for chunk in [1, 100, 1 << 16] {
            assert_eq!(scan(&tar, chunk).unwrap(), expected);
        }
    }

    #[test]
    fn a_size_beyond_eight_gigabytes_is_read() {
        let mut header = tar::Header::new_gnu();
        header.set_path("base/1/2").unwrap();
        header.set_size(1 << 34);
        header.set_cksum();
        let read = Header::read(header.as_bytes()).unwrap();
        assert_eq!(read.size, 1 << 34);
    }
}
