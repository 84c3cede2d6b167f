//! The fears: bytes that nobody else can read, damage that is not seen, plain bytes that came before their proof.

use super::{
    DataKey, Opener, SealError, Sealer, Sealing,
    format::{
        HEADER, Header, Layout, SEGMENT, TAG, next, nonce, plain_capacity, plain_start,
        stored_capacity, stored_start,
    },
    plain_bytes, sealed_bytes,
};
use model::Digest;
use proptest::prelude::*;
use std::fmt::Write;

const MIB: u64 = 1 << 20;
const ASSOCIATED: &str =
    "mainstay.object.v1|orders/daily/20261121T020000Z|orders|daily|data.dump.zst";

fn sealing() -> Sealing {
    let key: Vec<u8> = (0..32).collect();
    Sealing {
        key: DataKey::from_slice(&key).unwrap(),
        associated_data: ASSOCIATED.to_owned(),
    }
}

/// The salt and prefix of the vectors.
fn header() -> Header {
    let bytes: Vec<u8> = std::iter::once(40).chain(32..71).collect();
    Header::parse(&bytes).unwrap()
}

/// The plain bytes of the vectors.
fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect()
}

fn seal_with(mut sealer: Sealer, plain: &[u8], chunk: usize) -> Vec<u8> {
    let segments = sealer.segments();
    let mut stored = Vec::new();
    for mut rest in plain.chunks(chunk) {
        while !rest.is_empty() {
            if let Some(segment) = sealer.take(&mut rest).unwrap() {
                stored.extend(segments.seal(segment).unwrap());
            }
        }
    }
    stored.extend(segments.seal(sealer.finish()).unwrap());
    stored
}

fn vector(plain: &[u8]) -> Vec<u8> {
    seal_with(Sealer::with_header(&sealing(), header()), plain, 70_001)
}

fn seal(sealing: &Sealing, plain: &[u8]) -> Vec<u8> {
    seal_with(Sealer::new(sealing).unwrap(), plain, 1 << 20)
}

/// What was given out, and how it ended.
fn open(sealing: &Sealing, stored: &[u8], chunk: usize) -> (Vec<u8>, Result<(), SealError>) {
    let mut out = Vec::new();
    let end = (|| {
        let mut opener = Opener::new(sealing.clone());
        for mut rest in stored.chunks(chunk) {
            while !rest.is_empty() {
                if let Some(segment) = opener.take(&mut rest)? {
                    out.extend(segment.open()?);
                }
            }
        }
        out.extend(opener.finish()?.open()?);
        Ok(())
    })();
    (out, end)
}

#[track_caller]
fn refused(stored: &[u8], whole: &[u8], expected: SealError) {
    let (out, end) = open(&sealing(), stored, 1 << 20);
    assert_eq!(end, Err(expected));
    let good = match expected {
        SealError::Segment(number) | SealError::Short(number) => plain_start(number),
        _ => 0,
    };
    assert_eq!(
        out.len() as u64,
        good,
        "just what stands before the bad segment was given out"
    );
    assert!(whole.starts_with(&out));
}

/// Recomputed with python3-cryptography and read by Google's tink 1.16.
#[test]
fn vectors_of_other_implementations_are_reproduced() {
    for (plain, expected) in [
        (&b""[..], "0ac57042b8023964b2edd4fc57b0ebe3"),
        (
            b"Mainstay",
            "dd385304d9464abdf9c8105bc1bd5727ae882192872fb2e2",
        ),
    ] {
        let stored = vector(plain);
        assert_eq!(stored[..HEADER], header().to_bytes());
        let hex = stored[HEADER..]
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
        assert_eq!(hex, expected);
    }
    for (len, expected) in [
        (
            1_048_520,
            "1933166e7d53d16f8eb2799b2ac61087f01494692b387a4dc9bbf8729d8907cc",
        ),
        (
            1_048_521,
            "217eb138a2dc0d9da05412a55b5647f2f5fd24b1e7e883a82618c1fe3019fcc0",
        ),
        (
            2_097_080,
            "8c08eeee3c255bec214fe8214c7e6f09a46547d17e460287150cb59d63d8f08a",
        ),
        (
            2_621_440,
            "8ac58ea900f12e99a5135e434762aee1bfbcfee16e18e21397e42be7c6265c91",
        ),
    ] {
        let stored = vector(&pattern(len));
        assert_eq!(Digest::sha256_of(&stored).hex(), expected, "{len}");
    }
}

#[test]
fn every_size_around_a_segment_comes_back() {
    let full = SEGMENT - TAG;
    let first = full - HEADER;
    let mut sizes = vec![0, 1, 39, 40, 41, first + full - HEADER];
    for boundary in [first, first + full, first + 2 * full] {
        sizes.extend([boundary - 1, boundary, boundary + 1]);
    }
    for len in sizes {
        let plain = pattern(len);
        for chunk in [999_983, 8 << 20] {
            let stored = seal_with(Sealer::new(&sealing()).unwrap(), &plain, chunk);
            assert_eq!(Some(stored.len() as u64), sealed_bytes(len as u64), "{len}");
            assert_eq!(plain_bytes(stored.len() as u64), Some(len as u64));
            let (back, end) = open(&sealing(), &stored, chunk);
            assert_eq!(end, Ok(()));
            assert!(back == plain, "{len}");
        }
    }
}

#[test]
fn the_same_bytes_are_never_sealed_the_same_way_twice() {
    let (one, two) = (seal(&sealing(), b"x"), seal(&sealing(), b"x"));
    assert_ne!(one[..HEADER], two[..HEADER]);
    assert_ne!(one[HEADER..], two[HEADER..]);
}

#[test]
fn a_flipped_bit_in_header_or_segment_or_end_is_refused_by_number() {
    let plain = pattern(5 << 19);
    let stored = vector(&plain);
    let flip = |at: usize| {
        let mut damaged = stored.clone();
        damaged[at] ^= 1 << (at % 8);
        damaged
    };
    refused(&flip(0), &plain, SealError::Header);
    for at in 1..HEADER {
        refused(&flip(at), &plain, SealError::Segment(0));
    }
    for (number, start, end) in [
        (0, HEADER, SEGMENT),
        (1, SEGMENT, 2 * SEGMENT),
        (2, 2 * SEGMENT, stored.len()),
    ] {
        for at in [
            start,
            start + 1,
            usize::midpoint(start, end),
            end - TAG,
            end - 1,
        ] {
            refused(&flip(at), &plain, SealError::Segment(number));
        }
    }
}

#[test]
fn a_cut_object_is_refused_also_between_two_segments() {
    let plain = pattern(5 << 19);
    let stored = vector(&plain);
    for (len, expected) in [
        (0, SealError::Short(0)),
        (1, SealError::Short(0)),
        (HEADER, SealError::Short(0)),
        (HEADER + TAG - 1, SealError::Short(0)),
        (HEADER + TAG, SealError::Segment(0)),
        (SEGMENT - 1, SealError::Segment(0)),
        // Whole segments, but the last of them is not marked as the last.
        (SEGMENT, SealError::Segment(0)),
        (2 * SEGMENT, SealError::Segment(1)),
        (2 * SEGMENT + TAG - 1, SealError::Short(2)),
        (stored.len() - 1, SealError::Segment(2)),
    ] {
        refused(&stored[..len], &plain, expected);
    }
    for extra in [&[0][..], &[0; 100], &stored[HEADER..]] {
        let longer = [&stored[..], extra].concat();
        refused(&longer, &plain, SealError::Segment(2));
    }
    // A last segment that is full may not be followed by another.
    let full = vector(&plain[..SEGMENT - TAG - HEADER]);
    refused(
        &[&full[..], &[0; TAG]].concat(),
        &plain,
        SealError::Segment(0),
    );
}

#[test]
fn segments_in_another_order_or_from_another_object_are_refused() {
    let plain = pattern(7 << 19);
    let stored = vector(&plain);
    let part =
        |number: usize| &stored[number * SEGMENT..((number + 1) * SEGMENT).min(stored.len())];
    let reordered = [part(0), part(2), part(1), part(3)].concat();
    refused(&reordered, &plain, SealError::Segment(1));
    let doubled = [part(0), part(1), part(1), part(2), part(3)].concat();
    refused(&doubled, &plain, SealError::Segment(2));
    let left_out = [part(0), part(2), part(3)].concat();
    refused(&left_out, &plain, SealError::Segment(1));
    // The same key and the same place, but another stream.
    let other = seal(&sealing(), &plain);
    let mut mixed = stored.clone();
    mixed[SEGMENT..2 * SEGMENT].copy_from_slice(&other[SEGMENT..2 * SEGMENT]);
    refused(&mixed, &plain, SealError::Segment(1));
    let mut mixed = stored.clone();
    mixed[..HEADER].copy_from_slice(&other[..HEADER]);
    refused(&mixed, &plain, SealError::Segment(0));
}

#[test]
fn another_key_or_other_associated_data_open_nothing() {
    let stored = vector(b"secret");
    let other_key = Sealing {
        key: DataKey::random().unwrap(),
        ..sealing()
    };
    let other_object = Sealing {
        associated_data: ASSOCIATED.replace("data.dump", "data.sql"),
        ..sealing()
    };
    let no_associated_data = Sealing {
        associated_data: String::new(),
        ..sealing()
    };
    for wrong in [other_key, other_object, no_associated_data] {
        let (out, end) = open(&wrong, &stored, 100);
        assert_eq!((out, end), (Vec::new(), Err(SealError::Segment(0))));
    }
}

#[test]
fn counters_beyond_4_gib_and_at_the_very_end_do_not_wrap() {
    // 4 GiB of offset is segment 4096; 4 Gi segments is the end of the format.
    assert_eq!(stored_start(4096), 1 << 32);
    assert_eq!(stored_start(u32::MAX), ((1 << 32) - 1) * MIB);
    assert_eq!(plain_start(1), plain_capacity(0) as u64);
    assert_eq!(
        plain_start(5_000_000),
        plain_start(4_999_999) + plain_capacity(4_999_999) as u64
    );
    assert_eq!(stored_capacity(u32::MAX), SEGMENT);
    assert_eq!(
        nonce([9; 7], u32::MAX, true),
        [9, 9, 9, 9, 9, 9, 9, 255, 255, 255, 255, 1]
    );
    assert_eq!(
        nonce([9; 7], 1 << 31, false)[7..],
        [128, 0, 0, 0, 0],
        "big-endian, and no sign"
    );
    assert_eq!(next(u32::MAX - 1), Ok(u32::MAX));
    assert_eq!(next(u32::MAX), Err(SealError::TooLong));

    let longest = (1_u64 << 32) * MIB;
    let layout = Layout::of(longest).unwrap();
    assert_eq!(layout.last, u32::MAX);
    assert_eq!(layout.stored_len(u32::MAX), SEGMENT);
    assert_eq!(sealed_bytes(layout.plain_bytes()), Some(longest));
    assert_eq!(Layout::of(longest + 1), Err(SealError::TooLong));
    assert_eq!(sealed_bytes(layout.plain_bytes() + 1), None);
    assert_eq!(sealed_bytes(u64::MAX), None);
    assert_eq!(plain_bytes(u64::MAX), None);
    for number in [0, 1, 4095, 4096, 1 << 31, u32::MAX - 1, u32::MAX] {
        let start = plain_start(number);
        assert_eq!(layout.segment_of(start), number);
        assert_eq!(
            layout.segment_of(start + plain_capacity(number) as u64 - 1),
            number
        );
    }
    assert_eq!(layout.segment_of(u64::MAX), u32::MAX);
}

#[test]
fn a_stream_that_grows_too_long_is_a_clear_error() {
    let error = next(u32::MAX).unwrap_err().while_sealing();
    assert_eq!(error.code, "mainstay::seal::too-long");
    assert_eq!(
        error.to_string(),
        "a sealed object cannot have more than 2^32 segments of 1 MiB (4 PiB)"
    );
}

#[test]
fn sizes_that_no_sealed_object_has_are_known() {
    for stored in [0, 1, 40, 55] {
        assert_eq!(plain_bytes(stored), None);
    }
    assert_eq!(plain_bytes(56), Some(0));
    assert_eq!(plain_bytes(MIB), Some(MIB - 56));
    for extra in 1..16 {
        assert_eq!(plain_bytes(MIB + extra), None, "a piece of a tag");
    }
    // A last segment without plain bytes stands alone or not at all; the size cannot tell, authentication does.
    assert_eq!(plain_bytes(MIB + 17), Some(MIB - 55));
}

#[test]
fn key_material_shows_nowhere() {
    let sealing = sealing();
    let shown = format!(
        "{sealing:?} {:?}",
        SealError::Segment(3).while_opening("data.bin")
    );
    assert!(shown.contains("***"));
    for form in ["00010203", "0, 1, 2, 3", "000102"] {
        assert!(!shown.contains(form), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_size_in_any_chunks_comes_back(len in 0_usize..3_300_000, into in 1_usize..2_000_000, out in 1_usize..2_000_000) {
        let plain = pattern(len);
        let stored = seal_with(Sealer::new(&sealing()).unwrap(), &plain, into);
        prop_assert_eq!(Some(stored.len() as u64), sealed_bytes(len as u64));
        let (back, end) = open(&sealing(), &stored, out);
        prop_assert_eq!(end, Ok(()));
        prop_assert!(back == plain);
    }

    #[test]
    fn any_flip_is_refused_and_gives_nothing_of_its_segment(len in 0_usize..2_300_000, at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let plain = pattern(len);
        let mut stored = vector(&plain);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let expected = match at {
            0 => SealError::Header,
            _ => SealError::Segment(u32::try_from(at / SEGMENT).unwrap()),
        };
        refused(&stored, &plain, expected);
    }

    #[test]
    fn sizes_agree_both_ways(plain in 0_u64..(1 << 52) - (1 << 40)) {
        let stored = sealed_bytes(plain).unwrap();
        prop_assert_eq!(plain_bytes(stored), Some(plain));
    }
}
