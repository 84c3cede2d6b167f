//! What Mainstay seals, Google's Tink opens, and the reverse, byte for byte.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "support/sealed.rs"]
mod sealed;

use mainstay_providers as providers;
use model::manifest::{Compression, Encryption};
use providers::seal::{Sealing, sealed_bytes};
use sealed::{Place, hex, noise, sealing};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const FILE: &str = "data.bin.enc";
const FULL: usize = (1 << 20) - 16;
/// Around the ends of segments, and several of them.
const SIZES: [usize; 8] = [
    0,
    1,
    FULL - 40,
    FULL - 39,
    2 * FULL - 40,
    2 * FULL - 41,
    3 * FULL,
    (9 << 20) + 12_345,
];

fn python() -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "which Python has the peers is said by ./check"
    )]
    let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    #[expect(
        clippy::disallowed_methods,
        reason = "the peer is a program of its own"
    )]
    Command::new(python)
}

fn tink(what: &str, sealing: &Sealing, from: &Path, to: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tink_stream.py");
    python()
        .arg(script)
        .args([what, &hex(sealing.key.expose()), &sealing.associated_data])
        .args([from, to])
        .output()
        .unwrap()
}

#[track_caller]
fn fine(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn tink_opens_what_mainstay_sealed() {
    for size in SIZES {
        let place = Place::new().await;
        let (sealing, bytes) = (sealing(FILE), noise(size));
        let object = place
            .put(FILE, bytes.clone(), Compression::None, Some(&sealing))
            .await;
        assert_eq!(Some(object.bytes.0), sealed_bytes(size as u64));
        let back = place.folder.path().join("back");
        fine(&tink("open", &sealing, &place.path(FILE), &back));
        assert!(fs::read(back).unwrap() == bytes, "{size}");
    }
}

#[tokio::test]
async fn mainstay_opens_what_tink_sealed() {
    for size in SIZES {
        let place = Place::new().await;
        let (sealing, bytes) = (sealing(FILE), noise(size));
        let mut object = place
            .put(FILE, bytes.clone(), Compression::None, Some(&sealing))
            .await;
        let source = place.folder.path().join("plain");
        fs::write(&source, &bytes).unwrap();
        let theirs = place.folder.path().join("theirs");
        fine(&tink("seal", &sealing, &source, &theirs));
        let theirs = fs::read(theirs).unwrap();
        object.sha256 = model::Digest::sha256_of(&theirs);
        object.encryption = Some(Encryption::Aes256GcmHkdf1Mb);
        place.damage(FILE, &theirs);
        let (back, end) = place.read(&object, Some(&sealing)).await;
        end.unwrap();
        assert!(back == bytes, "{size}");
    }
}

#[tokio::test]
async fn tink_refuses_what_belongs_to_another_object() {
    let place = Place::new().await;
    let sealing = sealing(FILE);
    place
        .put(FILE, noise(100), Compression::None, Some(&sealing))
        .await;
    let other = Sealing {
        associated_data: sealing.associated_data.replace("orders", "payroll"),
        ..sealing
    };
    let back = place.folder.path().join("back");
    let output = tink("open", &other, &place.path(FILE), &back);
    assert!(!output.status.success());
}
