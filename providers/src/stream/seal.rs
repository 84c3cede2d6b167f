//! The stage between compressor and SHA-256: cuts packed chunks into segments and seals them in lanes.

use super::{
    damage,
    lanes::{Exit, lanes},
    store::{Item, Packed},
    thread,
};
use crate::{
    api::Result,
    seal::{PlainSegment, SealError, Sealer, Sealing},
};
use bytes::Bytes;
use std::sync::mpsc::Receiver;

/// Seals what `packed` gives; the sealed chunks come out in order.
pub(super) fn seal(packed: Receiver<Item<Bytes>>, sealing: &Sealing) -> Result<Exit<Item<Bytes>>> {
    let sealer = Sealer::new(sealing).map_err(SealError::while_sealing)?;
    let segments = sealer.segments();
    let (mut entrance, exit) = lanes("seal", move |item| match item {
        Item::Data(segment) => match segments.seal(segment) {
            Ok(bytes) => Item::Data(Bytes::from(bytes)),
            Err(error) => Item::Failed(error.while_sealing()),
        },
        Item::End(plain) => Item::End(plain),
        Item::Failed(error) => Item::Failed(error),
    })
    .map_err(damage::no_thread)?;
    thread("segments", move || {
        // An end without a word, from either side, ends the other.
        let _ = cut(&packed, sealer, |item| entrance.send(item).ok());
    })
    .map_err(damage::no_thread)?;
    Ok(exit)
}

fn cut(
    packed: &Receiver<Item<Bytes>>,
    mut sealer: Sealer,
    mut out: impl FnMut(Item<PlainSegment>) -> Option<()>,
) -> Option<()> {
    loop {
        match packed.recv().ok()? {
            Item::Data(chunk) => {
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    match sealer.take(&mut rest) {
                        Ok(None) => {}
                        Ok(Some(segment)) => out(Item::Data(segment))?,
                        Err(error) => return out(Item::Failed(error.while_sealing())),
                    }
                }
            }
            Item::End(plain) => {
                out(Item::Data(sealer.finish()))?;
                return out(Item::End(plain));
            }
            Item::Failed(error) => return out(Item::Failed(error)),
        }
    }
}

/// What the hashing stage reads: packed chunks as they are, or sealed.
impl Packed for Exit<Item<Bytes>> {
    fn next(&mut self) -> Option<Item<Bytes>> {
        self.recv().ok()
    }
}
