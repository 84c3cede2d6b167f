//! How a stream of unknown length is cut into parts: pure arithmetic.
//!
//! A multipart upload has at most 10,000 parts and 5 TiB (Amazon S3 User Guide, "Multipart upload limits"). Parts start small,
//! so that a backup of usual size needs little memory, and grow with their number, so that the largest object is reached.
//! A part stays in memory until it has arrived, because it may have to be sent again.
//!
//! | object up to | part | memory for parts |
//! |---|---|---|
//! | 7.8 GiB | 8 MiB | 32 MiB |
//! | 23 GiB | 16 MiB | 32 MiB |
//! | 54 GiB | 32 MiB | 64 MiB |
//! | 117 GiB | 64 MiB | 128 MiB |
//! | 242 GiB | 128 MiB | 256 MiB |
//! | 492 GiB | 256 MiB | 512 MiB |
//! | 992 GiB | 512 MiB | 1 GiB |
//! | 5 TiB | 1.5 GiB | 3 GiB |

/// Smallest part, and largest object that is sent whole.
pub(super) const SMALLEST: usize = 8 << 20;
/// Parts of one upload.
pub(super) const MOST_PARTS: u32 = 10_000;
/// Memory for parts of one stream, while they are small.
const MEMORY: usize = 32 << 20;

/// Size of the part with this number, counted from 1.
pub(super) fn bytes_of(number: u32) -> usize {
    match number.saturating_sub(1) / 1000 {
        step @ 0..=6 => SMALLEST << step,
        _ => 1536 << 20,
    }
}

/// How many parts of this size may be on their way while another one is filled.
pub(super) fn in_flight(part: usize) -> usize {
    (MEMORY / part).saturating_sub(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_reach_the_largest_object() {
        let total: u64 = (1..=MOST_PARTS).map(|part| bytes_of(part) as u64).sum();
        assert!(total >= 5 << 40, "{total}");
        for part in 1..=MOST_PARTS {
            assert!((5 << 20..=5 << 30).contains(&bytes_of(part)));
            assert!(part == 1 || bytes_of(part) >= bytes_of(part - 1));
        }
    }

    #[test]
    fn usual_streams_hold_no_more_than_their_share_of_memory() {
        for part in 1..=2000 {
            let bytes = bytes_of(part);
            assert!((in_flight(bytes) + 1) * bytes <= 32 << 20);
        }
        assert_eq!(in_flight(bytes_of(1)), 3);
        assert_eq!(in_flight(bytes_of(10_000)), 1);
    }
}
