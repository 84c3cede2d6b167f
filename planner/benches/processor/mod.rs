//! The processor's time: what a benchmark costs, however busy the machine is.

use std::time::Duration;

/// Processor time that this process has used (`/proc/self/stat`, proc(5)), which other programs do not stretch; zero where there is no `/proc`.
pub(crate) fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name of the program: utime and stime are fields 14 and 15 of all, in hundredths of a second.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
