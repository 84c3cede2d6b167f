//! What a stream promises: the same bytes back, every damage noticed, the first error reported, everybody stopped.

use super::{Progress, Stored, check_stored, copy, plain, provider_error, store};
use crate::api::{ObjectInfo, ObjectKey, ObjectReader, ObjectWriter, ProviderError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use model::{ByteCount, Disposition, StoredObject, Timestamp, manifest::Compression};
use proptest::prelude::*;
use std::{
    io::{self, Cursor, Read},
    sync::{Arc, Mutex, mpsc},
};

const ALL: [Compression; 3] = [Compression::Zstd, Compression::Gzip, Compression::None];

/// A tier in memory, of one object.
#[derive(Clone, Default)]
struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    fail_after: Option<usize>,
}

#[async_trait]
impl ObjectWriter for Memory {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        bytes.extend_from_slice(&chunk);
        if self.fail_after.is_some_and(|limit| bytes.len() > limit) {
            return Err(ProviderError::new(
                "mainstay::tier::full",
                Disposition::NeedsOperator,
                "full",
            ));
        }
        Ok(())
    }
    async fn finish(self: Box<Self>) -> Result<ObjectInfo> {
        Ok(ObjectInfo {
            key: ObjectKey::new("x").unwrap(),
            bytes: ByteCount(self.bytes.lock().unwrap().len() as u64),
            stored_at: Timestamp::UNIX_EPOCH,
        })
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Chunks {
    bytes: Bytes,
    size: usize,
    fail_at_end: bool,
}

#[async_trait]
impl ObjectReader for Chunks {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.bytes.is_empty() {
            if self.fail_at_end {
                return Err(ProviderError::new(
                    "mainstay::tier::io",
                    Disposition::Retry,
                    "gone",
                ));
            }
            return Ok(None);
        }
        let size = self.size.min(self.bytes.len());
        Ok(Some(self.bytes.split_to(size)))
    }
}

fn chunks(bytes: &[u8], size: usize) -> Box<dyn ObjectReader> {
    Box::new(Chunks {
        bytes: Bytes::copy_from_slice(bytes),
        size,
        fail_at_end: false,
    })
}

fn quiet() -> Progress {
    Arc::new(|_| {})
}

fn object(stored: &Stored, compression: Compression) -> StoredObject {
    StoredObject {
        encryption: None,
        crc64nvme: None,
        role: "data".to_owned(),
        file: "data.bin".to_owned(),
        content: "sql".to_owned(),
        compression,
        bytes: stored.bytes,
        sha256: stored.sha256.clone(),
        plain_bytes: stored.plain_bytes,
        plain_blake3: stored.plain_blake3.clone(),
    }
}

/// Bytes that compress somewhat, like a dump.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = Vec::with_capacity(len + 32);
    while text.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend_from_slice(format!("{}\tcustomer {}\n", state >> 40, state % 97).as_bytes());
    }
    text.truncate(len);
    text
}

async fn stored(source: &[u8], compression: Compression) -> (StoredObject, Vec<u8>) {
    let memory = Memory::default();
    let bytes = Arc::clone(&memory.bytes);
    let source = Box::new(Cursor::new(source.to_vec()));
    let (stored, _) = store(source, Box::new(memory), compression, None, None, quiet())
        .await
        .unwrap();
    let bytes = bytes.lock().unwrap().clone();
    (object(&stored, compression), bytes)
}

async fn read_back(bytes: &[u8], size: usize, object: &StoredObject) -> io::Result<Vec<u8>> {
    let mut reader = plain(chunks(bytes, size), object, None, quiet());
    tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        reader.read_to_end(&mut out).map(|_| out)
    })
    .await
    .unwrap()
}

async fn damage_is_noticed(bytes: &[u8], object: &StoredObject, what: &str) {
    let error = check_stored(chunks(bytes, 1000), object, quiet())
        .await
        .unwrap_err();
    assert_eq!(
        error.code, "mainstay::copy::damaged",
        "check_stored: {what}"
    );
    let error = read_back(bytes, 1000, object).await.unwrap_err();
    let error = provider_error(error);
    assert_eq!(error.code, "mainstay::copy::damaged", "plain: {what}");
    assert_eq!(error.disposition, Disposition::Permanent);
    let error = copy(
        chunks(bytes, 1000),
        Box::new(Memory::default()),
        object,
        quiet(),
    )
    .await;
    assert_eq!(
        error.err().unwrap().code,
        "mainstay::copy::damaged",
        "copy: {what}"
    );
}

#[tokio::test]
async fn every_size_around_a_block_comes_back() {
    for compression in ALL {
        for len in [
            0,
            1,
            1023,
            1 << 20,
            (1 << 20) - 1,
            (1 << 20) + 1,
            (3 << 20) + 7,
            9 << 20,
        ] {
            let source = sample(len);
            let (object, bytes) = stored(&source, compression).await;
            assert_eq!(object.plain_bytes.0, len as u64);
            assert_eq!(object.bytes.0, bytes.len() as u64);
            assert_eq!(object.sha256, model::Digest::sha256_of(&bytes));
            let back = read_back(&bytes, 70_000, &object).await.unwrap();
            assert!(back == source, "{compression:?} {len}");
            check_stored(chunks(&bytes, 70_000), &object, quiet())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn public_tools_formats_are_written() {
    let source = sample(200_000);
    let (_, bytes) = stored(&source, Compression::Zstd).await;
    assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), source);
    let (_, bytes) = stored(&source, Compression::Gzip).await;
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_end(&mut back)
        .unwrap();
    assert_eq!(back, source);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_noticed() {
    for compression in ALL {
        let (object, bytes) = stored(&sample(60_000), compression).await;
        let step = (bytes.len() / 60).max(1);
        let ends = (0..20).chain(bytes.len() - 20..bytes.len());
        for at in ends.chain((0..bytes.len()).step_by(step)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            damage_is_noticed(
                &damaged,
                &object,
                &format!("{compression:?} bit in byte {at}"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_cut_or_lengthened_object_is_noticed() {
    for compression in ALL {
        let (object, bytes) = stored(&sample(60_000), compression).await;
        for len in [
            0,
            1,
            4,
            10,
            bytes.len() / 2,
            bytes.len() - 4,
            bytes.len() - 1,
        ] {
            damage_is_noticed(
                &bytes[..len],
                &object,
                &format!("{compression:?} cut at {len}"),
            )
            .await;
        }
        for extra in [&[0][..], &[0; 512], b"garbage", &bytes[..]] {
            let longer = [&bytes[..], extra].concat();
            damage_is_noticed(&longer, &object, &format!("{compression:?} longer")).await;
        }
    }
}

#[tokio::test]
async fn wrong_plain_digests_are_noticed_although_the_stored_bytes_are_right() {
    for compression in ALL {
        let (right, bytes) = stored(&sample(60_000), compression).await;
        let mut wrong = right.clone();
        wrong.plain_blake3 = model::Digest::blake3(&[0; 32]);
        let error = provider_error(read_back(&bytes, 999, &wrong).await.unwrap_err());
        assert_eq!(error.code, "mainstay::copy::damaged");
        for difference in [-1, 1] {
            let mut wrong = right.clone();
            wrong.plain_bytes.0 = wrong.plain_bytes.0.wrapping_add_signed(difference);
            let error = provider_error(read_back(&bytes, 999, &wrong).await.unwrap_err());
            assert_eq!(error.code, "mainstay::copy::damaged");
        }
    }
}

#[tokio::test]
async fn a_failed_reader_never_ends_well_later() {
    let (object, mut bytes) = stored(&sample(60_000), Compression::None).await;
    bytes.push(0);
    let mut reader = plain(chunks(&bytes, 1000), &object, None, quiet());
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; 7000];
        let mut failures = 0;
        for _ in 0..100 {
            match reader.read(&mut buffer) {
                Ok(0) => panic!("ended well"),
                Ok(_) => assert_eq!(failures, 0, "bytes after an error"),
                Err(_) => failures += 1,
            }
        }
        assert!(failures > 0);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_error_of_the_tier_comes_through_the_reader_as_it_is() {
    for compression in ALL {
        let (object, bytes) = stored(&sample(60_000), compression).await;
        for len in [0, bytes.len() / 2, bytes.len()] {
            let reader = Box::new(Chunks {
                bytes: Bytes::copy_from_slice(&bytes[..len]),
                size: 1000,
                fail_at_end: true,
            });
            let mut reader = plain(reader, &object, None, quiet());
            let error = tokio::task::spawn_blocking(move || io::copy(&mut reader, &mut io::sink()))
                .await
                .unwrap()
                .unwrap_err();
            let error = provider_error(error);
            assert_eq!(error.code, "mainstay::tier::io", "{compression:?} {len}");
            assert_eq!(error.disposition, Disposition::Retry);
        }
    }
}

/// Gives so many bytes that do not compress, then an error; says when it is dropped.
struct Failing {
    left: usize,
    error: Option<io::Error>,
    _dropped: Option<mpsc::Sender<()>>,
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return self.error.take().map_or(Ok(0), Err);
        }
        let count = self.left.min(buffer.len());
        let mut state = self.left as u64 | 1;
        for eight in buffer[..count].chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
        }
        self.left -= count;
        Ok(count)
    }
}

#[tokio::test]
async fn a_source_that_fails_half_way_is_reported() {
    for compression in ALL {
        for left in [0, 100, 5 << 20] {
            let source = Failing {
                left,
                error: Some(io::Error::other("pipe broke")),
                _dropped: None,
            };
            let result = store(
                Box::new(source),
                Box::new(Memory::default()),
                compression,
                None,
                None,
                quiet(),
            )
            .await;
            assert_eq!(result.err().unwrap().code, "mainstay::stream::source");
            let ours = ProviderError::new("mainstay::postgres::dump", Disposition::Permanent, "x");
            let source = Failing {
                left,
                error: Some(io::Error::other(ours)),
                _dropped: None,
            };
            let result = store(
                Box::new(source),
                Box::new(Memory::default()),
                compression,
                None,
                None,
                quiet(),
            )
            .await;
            assert_eq!(result.err().unwrap().code, "mainstay::postgres::dump");
        }
    }
}

#[tokio::test]
async fn a_writer_that_fails_half_way_is_reported_and_closes_the_source() {
    for compression in ALL {
        let (sender, dropped) = mpsc::channel();
        let source = Failing {
            left: usize::MAX,
            error: None,
            _dropped: Some(sender),
        };
        let writer = Memory {
            fail_after: Some(10_000),
            ..Memory::default()
        };
        let result = store(
            Box::new(source),
            Box::new(writer),
            compression,
            None,
            None,
            quiet(),
        )
        .await;
        assert_eq!(result.err().unwrap().code, "mainstay::tier::full");
        assert_eq!(
            dropped.recv(),
            Err(mpsc::RecvError),
            "the source was closed"
        );
    }
}

#[tokio::test]
async fn dropping_the_future_closes_the_source() {
    let (sender, dropped) = mpsc::channel();
    let source = Failing {
        left: usize::MAX,
        error: None,
        _dropped: Some(sender),
    };
    let work = store(
        Box::new(source),
        Box::new(Memory::default()),
        Compression::Zstd,
        None,
        None,
        quiet(),
    );
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), work).await;
    assert_eq!(dropped.recv(), Err(mpsc::RecvError));
}

#[tokio::test]
async fn progress_counts_plain_bytes_up_to_the_end() {
    let last = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&last);
    let progress: Progress = Arc::new(move |bytes| {
        let mut last = seen.lock().unwrap();
        assert!(bytes >= *last);
        *last = bytes;
    });
    let source = Box::new(Cursor::new(sample(3_000_000)));
    store(
        source,
        Box::new(Memory::default()),
        Compression::Zstd,
        None,
        None,
        progress,
    )
    .await
    .unwrap();
    assert_eq!(*last.lock().unwrap(), 3_000_000);
}

#[tokio::test]
async fn every_level_can_be_read_back() {
    for compression in [Compression::Zstd, Compression::Gzip] {
        for level in super::levels(compression) {
            let memory = Memory::default();
            let bytes = Arc::clone(&memory.bytes);
            let source = sample(300_000);
            let (stored, _) = store(
                Box::new(Cursor::new(source.clone())),
                Box::new(memory),
                compression,
                Some(level),
                None,
                quiet(),
            )
            .await
            .unwrap();
            let bytes = bytes.lock().unwrap().clone();
            let back = read_back(&bytes, 4096, &object(&stored, compression))
                .await
                .unwrap();
            assert!(back == source, "{compression:?} level {level}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_in_any_chunks_come_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..200_000),
        repeat in 1_usize..12,
        size in 1_usize..100_000,
        which in 0_usize..3,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let source = bytes.repeat(repeat);
            let (object, stored) = stored(&source, ALL[which]).await;
            let size = size.max(stored.len() / 200 + 1);
            assert!(read_back(&stored, size, &object).await.unwrap() == source);
        });
    }
}
