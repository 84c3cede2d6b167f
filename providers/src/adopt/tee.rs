//! One pass over a file for two readers: what is stored is exactly what the format's own reader has read to its end.
//!
//! Bounded: a few blocks wait. Whoever fails first ends the other: the storing reader by an error, the checking one because a
//! stream that ends without its end mark is an error too.

use super::{
    find::ExistingFile,
    source::{Hashed, changed, facts, open, read_failed, unpacked},
};
use crate::{
    api::{ProviderError, Result},
    stream::{BLOCK, Summing, provider_error_of},
};
use model::{Digest, Disposition};
use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};
use tokio::runtime::Handle;

/// Blocks that wait for the checking reader.
const PLACES: usize = 2;

/// The SHA-256 of the whole file, once all of it was read and found unchanged.
pub(super) type Whole = Arc<Mutex<Option<Digest>>>;

enum Piece {
    Data(Vec<u8>),
    End,
}

/// Opens a file for two readers.
pub(super) async fn open_twice(
    file: &ExistingFile,
    words: &'static str,
) -> Result<(Storing, Checking, Whole)> {
    if facts(file).await? != (file.bytes, file.modified) {
        return Err(changed(&file.name));
    }
    let (source, sum) = Hashed::new(open(file).await?);
    let (out, inbox) = sync_channel(PLACES);
    let whole = Whole::default();
    let storing = Storing {
        state: State::Packed(Box::new(source)),
        file: file.clone(),
        words,
        sum,
        out,
        whole: Arc::clone(&whole),
        runtime: Handle::current(),
    };
    let checking = Checking {
        inbox,
        block: Vec::new(),
        taken: 0,
        ended: false,
    };
    Ok((storing, checking, whole))
}

enum State {
    /// Making a decompressor reads, so it is made on the reading thread.
    Packed(Box<dyn Read + Send>),
    Plain(Box<dyn Read + Send>),
    Ended,
    Failed,
}

/// The plain bytes for the pipeline that stores them.
pub(super) struct Storing {
    state: State,
    file: ExistingFile,
    words: &'static str,
    sum: Arc<Mutex<Summing>>,
    out: SyncSender<Piece>,
    whole: Whole,
    runtime: Handle,
}

impl Storing {
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut plain = match std::mem::replace(&mut self.state, State::Failed) {
            State::Ended => {
                self.state = State::Ended;
                return Ok(0);
            }
            State::Failed => return Err(io::Error::other("reading failed before")),
            State::Packed(source) => unpacked(source).map_err(|error| self.failed(error))?.1,
            State::Plain(plain) => plain,
        };
        let most = buffer.len().min(BLOCK);
        let count = plain
            .read(&mut buffer[..most])
            .map_err(|error| self.failed(error))?;
        if count == 0 {
            self.end()?;
            self.state = State::Ended;
            return Ok(0);
        }
        // What the reader has to say is told by whoever waits for it.
        let sent = self.out.send(Piece::Data(buffer[..count].to_vec()));
        sent.map_err(|_| io::Error::other("the reader of the format has stopped"))?;
        self.state = State::Plain(plain);
        Ok(count)
    }

    /// The file is whole and still what it was; only then the checking reader sees an end.
    fn end(&self) -> io::Result<()> {
        let summing = std::mem::replace(
            &mut *self.sum.lock().unwrap_or_else(PoisonError::into_inner),
            Summing::new(),
        );
        let sum = summing.finish();
        let now = self
            .runtime
            .block_on(facts(&self.file))
            .map_err(io::Error::other)?;
        if sum.bytes != self.file.bytes || now != (self.file.bytes, self.file.modified) {
            return Err(io::Error::other(changed(&self.file.name)));
        }
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner) = Some(sum.sha256);
        let _ = self.out.send(Piece::End);
        Ok(())
    }

    /// An error of the decompressor means damage, any other one that the file cannot be read.
    fn failed(&self, error: io::Error) -> io::Error {
        let system = error.raw_os_error().is_some();
        if system || provider_error_of(&error).is_some() {
            return io::Error::other(read_failed(&self.file.name, error));
        }
        io::Error::other(
            damaged(
                &self.file.name,
                self.words,
                "it cannot be unpacked to its end",
            )
            .source(error),
        )
    }
}

impl Read for Storing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.step(buffer)
    }
}

/// The file is not whole.
pub(super) fn damaged(name: &str, words: &str, how: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::adopt::damaged",
        Disposition::Permanent,
        format!("`{name}` is no whole {words}: {how}"),
    )
    .help("the file was not touched and is no recovery point; look for another one of that day")
}

/// The same bytes for the format's own reader.
pub(super) struct Checking {
    inbox: Receiver<Piece>,
    block: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Read for Checking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            if self.ended {
                return Ok(0);
            }
            match self.inbox.recv() {
                Ok(Piece::Data(block)) => (self.block, self.taken) = (block, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(io::Error::other("the file could not be read to its end")),
            }
        }
        let count = buffer.len().min(self.block.len() - self.taken);
        buffer[..count].copy_from_slice(&self.block[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::files;
    use std::{fs, io::Write as _, path::Path};

    async fn opened(path: &Path) -> (Storing, Checking, Whole) {
        let file = files(path).unwrap().files.remove(0);
        open_twice(&file, "SQLite file").await.unwrap()
    }

    /// Both readers on threads of their own, as in a run; `between` comes after the first bytes.
    async fn read_both(
        mut storing: Storing,
        mut checking: Checking,
        between: impl FnOnce() + Send + 'static,
    ) -> (io::Result<Vec<u8>>, io::Result<Vec<u8>>) {
        let stored = tokio::task::spawn_blocking(move || {
            let mut all = vec![0; 100];
            storing.read_exact(&mut all)?;
            between();
            storing.read_to_end(&mut all)?;
            Ok(all)
        });
        let checked = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            checking.read_to_end(&mut all).map(|_| all)
        });
        (stored.await.unwrap(), checked.await.unwrap())
    }

    fn code(error: &io::Error) -> &'static str {
        provider_error_of(error).map_or("none", |error| error.code)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_readers_get_the_same_and_the_sum_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        for packed in [bytes.clone(), zstd::encode_all(&bytes[..], 1).unwrap()] {
            fs::write(&path, &packed).unwrap();
            let (storing, checking, whole) = opened(&path).await;
            let (stored, checked) = read_both(storing, checking, || ()).await;
            assert!(stored.unwrap() == bytes && checked.unwrap() == bytes);
            let sum = whole.lock().unwrap().clone();
            assert_eq!(sum, Some(Digest::sha256_of(&packed)));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_changes_while_it_is_read_ends_well_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, vec![7; 3_000_000]).unwrap();
        let (storing, checking, whole) = opened(&path).await;
        let grown = path.clone();
        let grow = move || {
            let mut file = fs::OpenOptions::new().append(true).open(&grown).unwrap();
            file.write_all(b"more").unwrap();
        };
        let (stored, checked) = read_both(storing, checking, grow).await;
        assert_eq!(code(&stored.unwrap_err()), "mainstay::adopt::changed");
        assert!(checked.is_err() && whole.lock().unwrap().is_none());
        // Another file under the same name, between the look and the reading.
        let looked = files(&path).unwrap().files.remove(0);
        fs::write(&path, b"other").unwrap();
        let error = open_twice(&looked, "SQLite file").await.err().unwrap();
        assert_eq!(error.code, "mainstay::adopt::changed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_packed_file_that_is_cut_or_flipped_is_damage_at_every_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b"some plain text ".repeat(2000), vec![1; 300]].concat())
            .unwrap();
        let packed = gzip.finish().unwrap();
        for cut in [20, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
            fs::write(&path, &packed[..cut]).unwrap();
            let (storing, checking, _) = opened(&path).await;
            let (stored, checked) = read_both(storing, checking, || ()).await;
            assert_eq!(
                code(&stored.unwrap_err()),
                "mainstay::adopt::damaged",
                "{cut}"
            );
            assert!(checked.is_err());
        }
        let mut flipped = packed.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let (storing, checking, _) = opened(&path).await;
        let (stored, _) = read_both(storing, checking, || ()).await;
        assert_eq!(code(&stored.unwrap_err()), "mainstay::adopt::damaged");
    }
}
