//! Large buffers that are used again: for pieces of a log, of which many come one after the other on changing threads.
//!
//! The allocator keeps freed megabytes for each thread that had them; with a pool of threads that is many times what is in use.
//! Here at most [`KEPT`] buffers wait, none larger than [`LARGEST`]: a larger one is given back to the system by itself.

use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// Buffers that wait to be used again.
const KEPT: usize = 8;
/// Largest that waits: a segment of the usual size, with what compression may add.
const LARGEST: usize = (16 << 20) + (128 << 10);

static WAITING: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer on loan; empty, and waiting for the next when it is dropped.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        let found = WAITING.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut found = found.unwrap_or_default();
        if bytes <= LARGEST {
            // All are of one size, so that each serves every purpose.
            found.reserve_exact(LARGEST);
        } else {
            found.reserve_exact(bytes);
        }
        Self(found)
    }

    /// The bytes so far; to be filled.
    pub fn filled(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// What is in it, to share; the buffer waits again when the last share is dropped.
    pub fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if buffer.capacity() > LARGEST {
            return;
        }
        buffer.clear();
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < KEPT {
            waiting.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_only_when_nobody_has_a_share_of_it() {
        let mut first = Buffer::with_room(100);
        first.filled().extend_from_slice(b"secret");
        let shared = first.share();
        let other = shared.clone();
        drop(shared);
        let mut second = Buffer::with_room(100);
        second.filled().extend_from_slice(b"other");
        assert_eq!(&other[..], b"secret");
        drop((second, other));
        assert!(Buffer::with_room(1).as_ref().is_empty());
    }

    #[test]
    fn what_is_larger_than_a_usual_segment_does_not_wait() {
        let mut large = Buffer::with_room(LARGEST + 1);
        assert!(large.filled().capacity() > LARGEST);
        drop(large);
        let waiting = WAITING.lock().unwrap();
        assert!(waiting.iter().all(|buffer| buffer.capacity() <= LARGEST));
    }
}
