//! Sealed objects through the whole stream, on a real tier: damage is blamed on the copy, a wrong key on the key, nothing of a
//! bad segment comes out, and a part can be read alone.

#[path = "support/sealed.rs"]
mod sealed;

use mainstay_providers as providers;
use model::{Disposition, manifest::Compression};
use proptest::prelude::*;
use providers::{
    seal::{DataKey, Sealing, open_range, plain_bytes},
    stream::check_stored,
};
use sealed::{Place, noise, quiet, sealing};
use std::{fs, ops::Range};

const FILE: &str = "data.bin.enc";
const SEGMENT: usize = 1 << 20;
const FULL: usize = SEGMENT - 16;

#[tokio::test]
async fn every_compression_and_size_comes_back() {
    for compression in [Compression::Zstd, Compression::Gzip, Compression::None] {
        for size in [0, 1, FULL - 40, FULL - 39, 3 * FULL - 40, (7 << 20) + 1] {
            let place = Place::new().await;
            let (key, bytes) = (sealing(FILE), noise(size));
            let object = place
                .put(FILE, bytes.clone(), compression, Some(&key))
                .await;
            assert_eq!(object.plain_bytes.0, size as u64);
            assert_eq!(
                object.sha256,
                model::Digest::sha256_of(&fs::read(place.path(FILE)).unwrap())
            );
            let (back, end) = place.read(&object, Some(&key)).await;
            end.unwrap();
            assert!(back == bytes, "{compression:?} {size}");
            let reader = place.tier.open(&Place::key(FILE)).await.unwrap();
            check_stored(reader, &object, quiet()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_crc_is_the_one_that_s3_tells() {
    let place = Place::new().await;
    let plain = place
        .put("digits", b"123456789".to_vec(), Compression::None, None)
        .await;
    // Check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms: ae8b14860a799888.
    assert_eq!(plain.crc64nvme.unwrap(), "rosUhgp5mIg=");
    let sealed = place
        .put(
            FILE,
            noise(5_000_000),
            Compression::None,
            Some(&sealing(FILE)),
        )
        .await;
    let crc = crc_fast::checksum(
        crc_fast::CrcAlgorithm::Crc64Nvme,
        &fs::read(place.path(FILE)).unwrap(),
    );
    let expected = <base64ct::Base64 as base64ct::Encoding>::encode_string(&crc.to_be_bytes());
    assert_eq!(sealed.crc64nvme.unwrap(), expected);
}

#[tokio::test]
async fn damage_is_blamed_on_the_copy_and_nothing_of_the_segment_comes_out() {
    let place = Place::new().await;
    let (key, bytes) = (sealing(FILE), noise(5 * FULL));
    let object = place
        .put(FILE, bytes.clone(), Compression::None, Some(&key))
        .await;
    let stored = fs::read(place.path(FILE)).unwrap();
    let segments = stored.len().div_ceil(SEGMENT);
    for number in 0..segments {
        let (start, end) = (number * SEGMENT, ((number + 1) * SEGMENT).min(stored.len()));
        for at in [start + 1, usize::midpoint(start, end), end - 1] {
            let mut damaged = stored.clone();
            damaged[at] ^= 4;
            place.damage(FILE, &damaged);
            let (out, end) = place.read(&object, Some(&key)).await;
            let error = end.unwrap_err();
            assert_eq!(error.code, "mainstay::copy::damaged", "byte {at}");
            assert_eq!(error.disposition, Disposition::Permanent);
            assert_eq!(
                error.to_string(),
                format!(
                    "the stored object `{FILE}` is damaged: segment {number} does not authenticate"
                )
            );
            assert_eq!(out.len(), (number * FULL).saturating_sub(40));
            assert!(bytes.starts_with(&out));
        }
    }
}

#[tokio::test]
async fn a_cut_reordered_or_exchanged_object_is_damaged() {
    let place = Place::new().await;
    let (key, bytes) = (sealing(FILE), noise(3 * FULL));
    let object = place
        .put(FILE, bytes.clone(), Compression::None, Some(&key))
        .await;
    let stored = fs::read(place.path(FILE)).unwrap();
    let part =
        |number: usize| &stored[number * SEGMENT..((number + 1) * SEGMENT).min(stored.len())];
    let other = sealing("other.bin.enc");
    place
        .put(
            "other.bin.enc",
            bytes.clone(),
            Compression::None,
            Some(&other),
        )
        .await;
    let other = fs::read(place.path("other.bin.enc")).unwrap();
    for (what, damaged) in [
        ("empty", Vec::new()),
        ("cut in the header", stored[..20].to_vec()),
        ("cut behind a segment", stored[..2 * SEGMENT].to_vec()),
        ("cut by a byte", stored[..stored.len() - 1].to_vec()),
        ("longer", [&stored[..], b"x"].concat()),
        ("reordered", [part(0), part(2), part(1), part(3)].concat()),
        ("doubled", [part(0), part(1), part(1), part(3)].concat()),
        (
            "with a foreign segment",
            [part(0), &other[SEGMENT..2 * SEGMENT], part(2), part(3)].concat(),
        ),
        (
            "with a foreign header",
            [&other[..40], &stored[40..]].concat(),
        ),
        ("another object", other.clone()),
        ("no sealed object", bytes[..stored.len() - 120].to_vec()),
    ] {
        place.damage(FILE, &damaged);
        let (out, end) = place.read(&object, Some(&key)).await;
        assert_eq!(end.unwrap_err().code, "mainstay::copy::damaged", "{what}");
        assert!(bytes.starts_with(&out), "{what}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_not_blamed_on_the_copy() {
    for size in [0, 10, 4 * FULL] {
        let place = Place::new().await;
        let key = sealing(FILE);
        let object = place
            .put(FILE, noise(size), Compression::Zstd, Some(&key))
            .await;
        let other_key = Sealing {
            key: DataKey::random().unwrap(),
            ..key.clone()
        };
        let other_object = Sealing {
            associated_data: "mainstay.object.v1|another".to_owned(),
            ..key.clone()
        };
        for wrong in [&other_key, &other_object] {
            let (out, end) = place.read(&object, Some(wrong)).await;
            let error = end.unwrap_err();
            assert_eq!(error.code, "mainstay::seal::wrong-key");
            assert_eq!(error.disposition, Disposition::NeedsOperator);
            assert!(out.is_empty());
        }
        // Both at once: the copy is damaged whatever the key is.
        let mut damaged = fs::read(place.path(FILE)).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        place.damage(FILE, &damaged);
        let (_, end) = place.read(&object, Some(&other_key)).await;
        assert_eq!(end.unwrap_err().code, "mainstay::copy::damaged");
    }
}

#[tokio::test]
async fn a_sealed_object_without_key_and_a_plain_one_with_key_are_refused() {
    let place = Place::new().await;
    let key = sealing(FILE);
    let object = place
        .put(FILE, noise(100), Compression::None, Some(&key))
        .await;
    let (out, end) = place.read(&object, None).await;
    assert_eq!(end.unwrap_err().code, "mainstay::seal::no-key");
    assert!(out.is_empty());
    let plain = place
        .put("plain", noise(100), Compression::None, None)
        .await;
    let (out, end) = place.read(&plain, Some(&key)).await;
    assert_eq!(end.unwrap_err().code, "mainstay::copy::damaged");
    assert!(out.is_empty());
}

#[tokio::test]
async fn a_part_is_read_without_what_stands_before_it() {
    let place = Place::new().await;
    let (key, bytes) = (sealing(FILE), noise(4 * FULL + 1000));
    let object = place
        .put(FILE, bytes.clone(), Compression::None, Some(&key))
        .await;
    let len = bytes.len() as u64;
    assert_eq!(plain_bytes(object.bytes.0), Some(len));
    let read = async |range: Range<u64>| {
        let name = Place::key(FILE);
        let mut reader = open_range(&*place.tier, &name, object.bytes, &key, range).await?;
        let mut out = Vec::new();
        while let Some(chunk) = reader.read().await? {
            out.extend_from_slice(&chunk);
        }
        providers::api::Result::Ok(out)
    };
    let full = FULL as u64;
    for range in [
        0..0,
        0..1,
        0..len,
        full - 41..full - 39,
        full - 40..2 * full - 40,
        3 * full..3 * full + 5,
        len - 1..len,
        len..len + 10,
        len - 5..u64::MAX,
        17..4 * full,
    ] {
        let [from, to] = [range.start, range.end]
            .map(|at| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len())));
        let part = read(range.clone()).await.unwrap();
        assert!(part == bytes[from..to], "{range:?}");
    }
    // Only the damage that stands in the way matters.
    let mut damaged = fs::read(place.path(FILE)).unwrap();
    damaged[2 * SEGMENT + 5] ^= 1;
    place.damage(FILE, &damaged);
    assert!(read(3 * full..4 * full).await.is_ok());
    let error: providers::api::ProviderError = read(full..3 * full).await.unwrap_err();
    assert_eq!(error.code, "mainstay::copy::damaged");
    assert!(
        error
            .to_string()
            .ends_with("segment 2 does not authenticate")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_flip_in_any_object_is_noticed(
        size in 0_usize..2_500_000,
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
        which in 0_usize..3,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            let (key, bytes) = (sealing(FILE), noise(size));
            let compression = [Compression::Zstd, Compression::Gzip, Compression::None][which];
            let object = place.put(FILE, bytes.clone(), compression, Some(&key)).await;
            let (back, end) = place.read(&object, Some(&key)).await;
            end.unwrap();
            assert!(back == bytes);
            let mut stored = fs::read(place.path(FILE)).unwrap();
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            place.damage(FILE, &stored);
            let (out, end) = place.read(&object, Some(&key)).await;
            assert_eq!(end.unwrap_err().code, "mainstay::copy::damaged");
            assert!(bytes.starts_with(&out));
        });
    }
}
