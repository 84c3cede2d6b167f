//! Turns plain blocks into stored chunks: zstd (RFC 8878), gzip (RFC 1952), or as they came.
//!
//! Memory of one zstd stream, from `ZSTDMT` of zstd 1.5: input = (workers + 1) jobs, output = (workers + 2) jobs, and tables of
//! about 1.3 MiB a worker at level 3. Large jobs keep the workers busy on a loaded machine, so a job is as large as
//! [`JOBS_MEMORY`] allows: 2.9 MiB with 4 workers, 4.5 MiB with 2. With up to 18 MiB of blocks on their way (`store`) that is 55 MiB,
//! and what the allocator keeps for its threads still fits into the 64 MiB of a stream.
//! Levels above [`PLAIN_TABLES`] would bring windows and tables of up to 100 MiB a worker, so there the window is 4 MiB, the
//! tables are 12 MiB, and one worker does the work.

use super::BLOCK;
use bytes::Bytes;
use flate2::write::GzEncoder;
use model::manifest::Compression;
use std::{io, io::Write, ops::RangeInclusive};
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation, OutBuffer};

/// Memory of all jobs of a stream.
const JOBS_MEMORY: u32 = 32 << 20;
/// Highest level whose own tables are small.
const PLAIN_TABLES: i32 = 9;
const MOST_WORKERS: usize = 4;

/// Levels that may be asked for.
pub fn levels(compression: Compression) -> RangeInclusive<i32> {
    match compression {
        Compression::Zstd => 1..=19,
        Compression::Gzip => 1..=9,
        Compression::None => 0..=0,
    }
}

/// Level when none is asked for.
fn default_level(compression: Compression) -> i32 {
    match compression {
        Compression::Zstd => 3,
        Compression::Gzip => 6,
        Compression::None => 0,
    }
}

/// Compresses blocks; gives chunks of about [`BLOCK`] bytes to `emit`, which says whether anybody still wants them.
pub(super) enum Compressor {
    Zstd {
        encoder: Box<ZstdEncoder<'static>>,
        out: Vec<u8>,
    },
    Gzip(Box<GzEncoder<Vec<u8>>>),
    None,
}

/// The taker of chunks has gone; not an error of its own.
pub(super) const NOBODY: io::ErrorKind = io::ErrorKind::BrokenPipe;

pub(super) type Emit<'a> = dyn FnMut(Bytes) -> io::Result<()> + 'a;

impl Compressor {
    /// `level` out of range is the nearest in range: policies were checked when they were loaded.
    pub(super) fn new(compression: Compression, level: Option<i32>) -> io::Result<Self> {
        let range = levels(compression);
        let level = level
            .unwrap_or_else(|| default_level(compression))
            .clamp(*range.start(), *range.end());
        Ok(match compression {
            Compression::Zstd => Self::Zstd {
                encoder: Box::new(zstd_encoder(level)?),
                out: Vec::with_capacity(BLOCK),
            },
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(
                Vec::with_capacity(BLOCK),
                flate2::Compression::new(level.unsigned_abs()),
            ))),
            Compression::None => Self::None,
        })
    }

    /// Takes one block; gives it back when its memory can be used again.
    pub(super) fn push(&mut self, block: Vec<u8>, emit: &mut Emit) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Zstd { encoder, out } => {
                let mut input = InBuffer::around(&block);
                while input.pos() < block.len() {
                    run(out, |room| encoder.run(&mut input, room))?;
                    emit_if_full(out, emit)?;
                }
                Ok(Some(block))
            }
            Self::Gzip(encoder) => {
                encoder.write_all(&block)?;
                if encoder.get_ref().len() >= BLOCK / 2 {
                    let full = std::mem::replace(encoder.get_mut(), Vec::with_capacity(BLOCK));
                    emit(Bytes::from(full))?;
                }
                Ok(Some(block))
            }
            Self::None => emit(Bytes::from(block)).map(|()| None),
        }
    }

    /// Ends the frame.
    pub(super) fn finish(self, emit: &mut Emit) -> io::Result<()> {
        match self {
            Self::Zstd {
                mut encoder,
                mut out,
            } => {
                while run(&mut out, |room| encoder.finish(room, true))? > 0 {
                    emit_if_full(&mut out, emit)?;
                }
                emit_rest(out, emit)
            }
            Self::Gzip(encoder) => emit_rest(encoder.finish()?, emit),
            Self::None => Ok(()),
        }
    }
}

fn zstd_encoder(level: i32) -> io::Result<ZstdEncoder<'static>> {
    let mut encoder = ZstdEncoder::new(level)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if level > PLAIN_TABLES {
        encoder.set_parameter(CParameter::WindowLog(22))?;
        encoder.set_parameter(CParameter::HashLog(20))?;
        encoder.set_parameter(CParameter::ChainLog(21))?;
        1
    } else {
        u32::try_from(cores.min(MOST_WORKERS)).unwrap_or(1)
    };
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    encoder.set_parameter(CParameter::NbWorkers(workers))?;
    encoder.set_parameter(CParameter::JobSize(JOBS_MEMORY / (2 * workers + 3)))?;
    Ok(encoder)
}

/// Lets the encoder write behind what is in `out` already, within its capacity.
fn run<T>(
    out: &mut Vec<u8>,
    work: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<T>,
) -> io::Result<T> {
    let filled = out.len();
    let mut room = OutBuffer::around_pos(out, filled);
    work(&mut room)
}

fn emit_if_full(out: &mut Vec<u8>, emit: &mut Emit) -> io::Result<()> {
    if out.len() == out.capacity() {
        emit(Bytes::from(std::mem::replace(
            out,
            Vec::with_capacity(BLOCK),
        )))?;
    }
    Ok(())
}

fn emit_rest(out: Vec<u8>, emit: &mut Emit) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    emit(Bytes::from(out))
}
