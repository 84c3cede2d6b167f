//! Whatever lies on a tier or is handed in as a file: reading it may fail, but never panic, and never be believed too easily.

use mainstay_model::{Inventory, Manifest, Period, Plan, RecoveryPointId, manifest};
use proptest::prelude::*;

/// A manifest as Mainstay writes it.
fn valid() -> Vec<u8> {
    br#"{
  "format": "mainstay.manifest.v1", "id": "orders/daily/20261121T020000Z", "database": "orders", "series": "daily",
  "slot": "2026-11-21T02:00:00Z", "engine": "sqlite", "method": "snapshot", "parent": null,
  "captured_at": "2026-11-21T02:00:01Z", "finished_at": "2026-11-21T02:00:02Z", "source": {"file": "orders.db"},
  "objects": [{"role": "data", "file": "data.sqlite.zst", "content": "sqlite", "compression": "zstd", "bytes": 10,
    "sha256": "sha256:00", "plain_bytes": 20, "plain_blake3": "blake3:00"}],
  "expectations": {"tables": {"orders": {"rows": 3, "exact": true}}}, "recipients": [],
  "policy_digest": "sha256:00", "mainstay_version": "0.1.0"
}"#
    .to_vec()
}

#[test]
fn a_manifest_survives_being_written_and_read() {
    let manifest = Manifest::parse(&valid()).unwrap();
    assert_eq!(
        Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(),
        manifest
    );
}

#[test]
fn a_manifest_that_could_reach_outside_its_folder_is_refused() {
    let text = String::from_utf8(valid()).unwrap();
    for name in [
        "../../etc/passwd",
        "a/b",
        ".hidden",
        "",
        "manifest.json",
        "nul\\u0000",
    ] {
        let evil = text.replace("data.sqlite.zst", name);
        assert!(Manifest::parse(evil.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn a_manifest_that_claims_to_be_another_point_is_refused() {
    let text = String::from_utf8(valid()).unwrap();
    for (from, to) in [
        (
            "\"orders/daily/20261121T020000Z\"",
            "\"orders/daily/20261122T020000Z\"",
        ),
        ("\"database\": \"orders\"", "\"database\": \"other\""),
        ("mainstay.manifest.v1", "mainstay.manifest.v2"),
        ("\"role\": \"data\"", "\"role\": \"extra\""),
    ] {
        let wrong = text.replace(from, to);
        assert_ne!(wrong, text);
        assert!(Manifest::parse(wrong.as_bytes()).is_err(), "{to}");
    }
    assert_eq!(manifest::FORMAT, "mainstay.manifest.v1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::parse(&bytes);
        let _ = serde_json::from_slice::<Inventory>(&bytes);
        let _ = serde_json::from_slice::<Plan>(&bytes);
    }

    #[test]
    fn a_manifest_with_one_changed_byte_never_panics(at in 0usize..900, byte in any::<u8>()) {
        let mut bytes = valid();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(manifest) = Manifest::parse(&bytes) {
            prop_assert!(manifest.objects.iter().all(|object| !object.file.contains('/')));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
        let _ = Period::parse(&text);
        let _ = mainstay_model::ByteCount::parse(&text);
        if let Ok(id) = RecoveryPointId::parse(&text) {
            prop_assert!(!id.folder().contains(".."));
            prop_assert_eq!(id.folder().matches('/').count(), 3);
        }
    }
}
