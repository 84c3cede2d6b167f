//! Turns stored bytes back into plain bytes. A frame that is cut short and bytes behind the end are errors.

use flate2::bufread::MultiGzDecoder;
use model::manifest::Compression;
use std::io::{self, BufRead, Read};
use zstd::stream::read::Decoder as ZstdDecoder;

/// Largest window that is accepted, as a power of two: ours are at most 2^22; a damaged header must not take memory.
pub(super) const LARGEST_WINDOW_LOG: u32 = 24;

/// The same for what others have packed: as much as zstd's own program takes unasked (`zstd(1)`, `--memory`).
pub(crate) const LARGEST_FOREIGN_WINDOW_LOG: u32 = 27;

/// The decompressor over any buffered source.
pub(crate) enum Decompressor<R: BufRead> {
    Zstd(Box<ZstdDecoder<'static, R>>),
    Gzip(Box<MultiGzDecoder<R>>),
    None(R),
}

impl<R: BufRead> Decompressor<R> {
    pub(super) fn new(compression: Compression, source: R) -> io::Result<Self> {
        Self::with_window(compression, source, LARGEST_WINDOW_LOG)
    }

    /// The same with another largest window.
    pub(crate) fn with_window(
        compression: Compression,
        source: R,
        largest_log: u32,
    ) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(source)?;
                decoder.window_log_max(largest_log)?;
                Self::Zstd(Box::new(decoder))
            }
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::None => Self::None(source),
        })
    }

    /// The source, to look at its state or to drain it.
    pub(super) fn source(&mut self) -> &mut R {
        match self {
            Self::Zstd(decoder) => decoder.get_mut(),
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::None(source) => source,
        }
    }
}

impl<R: BufRead> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::None(source) => source.read(buffer),
        }
    }
}
