//! Work on slices by all processors, with results in the order of the slice: parallelism never reaches an output.

use std::{num::NonZero, thread};

/// Fewer items than this are not worth a thread.
const SMALLEST_CHUNK: usize = 64;

/// Applies `work` to consecutive chunks of `items`; the results stand in the order of the chunks.
pub(crate) fn map_chunks<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    map_chunks_of(SMALLEST_CHUNK, items, work)
}

/// The same for items of which already `smallest` are worth a thread.
pub(crate) fn map_chunks_of<T: Sync, R: Send>(
    smallest: usize,
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let size = items.len().div_ceil(threads).max(smallest);
    if items.len() <= size {
        return vec![work(items)];
    }
    thread::scope(|scope| {
        let running: Vec<_> = items
            .chunks(size)
            .map(|chunk| scope.spawn(|| work(chunk)))
            .collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
