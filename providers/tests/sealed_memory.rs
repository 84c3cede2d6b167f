//! Sealing takes no more memory for a long stream than for a short one. Alone in its program, which it measures.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "support/sealed.rs"]
mod sealed;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_providers as providers;
use model::{ByteCount, Timestamp, manifest::Compression};
use providers::{
    api::{ObjectInfo, ObjectWriter},
    seal::sealed_bytes,
    stream::store,
};
use sealed::{Place, quiet, sealing};
use std::{
    fs,
    io::{self, Read},
};

const FILE: &str = "data.bin.enc";

/// Counts what it is given.
struct Counting(u64);

#[async_trait]
impl ObjectWriter for Counting {
    async fn write(&mut self, chunk: Bytes) -> providers::api::Result<()> {
        self.0 += chunk.len() as u64;
        Ok(())
    }
    async fn finish(self: Box<Self>) -> providers::api::Result<ObjectInfo> {
        Ok(ObjectInfo {
            key: Place::key(FILE),
            bytes: ByteCount(self.0),
            stored_at: Timestamp::UNIX_EPOCH,
        })
    }
    async fn abort(self: Box<Self>) -> providers::api::Result<()> {
        Ok(())
    }
}

/// Bytes that do not compress.
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for eight in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            eight.copy_from_slice(&self.0.to_le_bytes()[..eight.len()]);
        }
        Ok(buffer.len())
    }
}

/// Resident memory now, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    let pages = status.split(' ').nth(1).unwrap();
    pages.parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_long_stream_takes_no_more_memory_than_a_short_one() {
    let len = 300 << 20;
    for compression in [Compression::None, Compression::Zstd] {
        let before = resident();
        let (sender, peak) = std::sync::mpsc::channel();
        let watch = std::thread::spawn(move || {
            let mut most = 0;
            while peak.try_recv().is_err() {
                most = most.max(resident());
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            most
        });
        let source = Box::new(Noise(1).take(len));
        let (stored, writer) = store(
            source,
            Box::new(Counting(0)),
            compression,
            None,
            Some(sealing(FILE)),
            quiet(),
        )
        .await
        .unwrap();
        sender.send(()).unwrap();
        let most = watch.join().unwrap();
        if compression == Compression::None {
            assert_eq!(Some(stored.bytes.0), sealed_bytes(len));
        }
        assert_eq!(writer.finish().await.unwrap().bytes, stored.bytes);
        let grown = most.saturating_sub(before);
        assert!(grown < 64 << 20, "{compression:?} grew by {grown} bytes");
    }
}
