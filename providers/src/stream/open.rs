//! The stage between SHA-256 and decompressor: gathers hashed chunks into segments and opens them in lanes.
//!
//! A first segment that does not authenticate is either damage or a wrong key. If a later one does, the key was right; else
//! only the SHA-256 of the whole object tells, so reading goes on to its end, giving out nothing.

use super::{
    Busy,
    check::agrees,
    damage,
    lanes::{Entrance, Exit, Gone, lanes},
    plain::{Hashed, HashedChunks},
    thread,
};
use crate::{
    api::{ProviderError, Result},
    seal::{Opener, SealError, Sealing, StoredSegment, wrong_key},
};
use bytes::Bytes;
use model::StoredObject;
use std::{
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};

/// What goes through the lanes.
enum Stored {
    Segment(StoredSegment),
    /// What needs no opening.
    Other(Hashed),
    Bad(SealError),
}

/// What comes out of them.
enum Opened {
    Hashed(Hashed),
    Bad(SealError),
}

/// Opened chunks, in order.
pub(super) struct OpenedChunks {
    exit: Exit<Opened>,
    object: StoredObject,
    /// The first segment was bad, and no later one was good.
    suspect: Option<SealError>,
}

/// Opens what `hashed` gives.
pub(super) fn open(
    hashed: Receiver<Hashed>,
    opening: Sealing,
    object: &StoredObject,
    busy: Arc<Busy>,
) -> Result<OpenedChunks> {
    let (mut entrance, exit) = lanes("open", move |stored| match stored {
        Stored::Segment(segment) => {
            let opening = Instant::now();
            let opened = segment.open();
            busy.decrypted(opening);
            match opened {
                Ok(plain) => Opened::Hashed(Hashed::Chunk(Bytes::from(plain))),
                Err(error) => Opened::Bad(error),
            }
        }
        Stored::Other(hashed) => Opened::Hashed(hashed),
        Stored::Bad(error) => Opened::Bad(error),
    })
    .map_err(damage::no_thread)?;
    thread("segments", move || {
        // A taker who has gone wants no more; a hashing stage that has gone closes the lanes.
        let _ = gather(&hashed, Opener::new(opening), &mut entrance);
    })
    .map_err(damage::no_thread)?;
    Ok(OpenedChunks {
        exit,
        object: object.clone(),
        suspect: None,
    })
}

fn gather(
    hashed: &Receiver<Hashed>,
    mut opener: Opener,
    out: &mut Entrance<Stored>,
) -> Result<(), Gone> {
    loop {
        match hashed.recv().map_err(|_| Gone)? {
            Hashed::Chunk(chunk) => {
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    match opener.take(&mut rest) {
                        Ok(None) => {}
                        Ok(Some(segment)) => out.send(Stored::Segment(segment))?,
                        Err(error) => return out.send(Stored::Bad(error)),
                    }
                }
            }
            Hashed::End(sum) => {
                match opener.finish() {
                    Ok(segment) => out.send(Stored::Segment(segment))?,
                    Err(error) => return out.send(Stored::Bad(error)),
                }
                return out.send(Stored::Other(Hashed::End(sum)));
            }
            failed @ Hashed::Failed(_) => return out.send(Stored::Other(failed)),
        }
    }
}

impl OpenedChunks {
    fn damaged(&self, error: SealError) -> Hashed {
        Hashed::Failed(error.while_opening(&self.object.file))
    }

    fn judge(&self, suspect: SealError, end: Hashed) -> ProviderError {
        match end {
            Hashed::End(sum) => match agrees(&sum, &self.object) {
                Ok(()) => wrong_key(&self.object.file),
                Err(_) => suspect.while_opening(&self.object.file),
            },
            Hashed::Failed(error) => error,
            Hashed::Chunk(_) => suspect.while_opening(&self.object.file),
        }
    }
}

impl HashedChunks for OpenedChunks {
    fn next(&mut self) -> Option<Hashed> {
        loop {
            match (self.exit.recv().ok()?, self.suspect) {
                // Segment 0 of an empty object; an empty chunk would look like the end.
                (Opened::Hashed(Hashed::Chunk(chunk)), None) if chunk.is_empty() => {}
                (Opened::Hashed(hashed), None) => return Some(hashed),
                (Opened::Hashed(end), Some(suspect)) => {
                    return Some(Hashed::Failed(self.judge(suspect, end)));
                }
                (Opened::Bad(error @ SealError::Segment(0)), None) => self.suspect = Some(error),
                // With a wrong key none is good.
                (Opened::Bad(SealError::Segment(_)), Some(_)) => {}
                (Opened::Bad(error), suspect) => {
                    return Some(self.damaged(suspect.unwrap_or(error)));
                }
            }
        }
    }
}
