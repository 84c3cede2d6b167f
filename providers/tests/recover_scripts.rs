//! The scripts of the recovery kit bring back what is encrypted, with every kind of key, and fail loudly where they must.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(
    clippy::disallowed_methods,
    reason = "the scripts are programs, and which Python has `cryptography` is said by ./check"
)]

#[path = "support/sealed.rs"]
mod sealed;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest, pbkdf2,
};
use base64ct::{Base64, Encoding};
use model::{
    DatabaseName, Digest, Expectations, KeyName, KeyRing, Manifest, MethodName, SeriesName,
    Timestamp, WrappedKey,
    key_ring::{self, SealedObject},
    manifest::{Compression, Encryption, FORMAT},
};
use sealed::{Place, hex, noise, point, sealing};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const FILE: &str = "data.sqlite.zst.enc";
const PASSPHRASE: &str = "correct horse $(battery) \"staple\" č";

fn aes_gcm(key: &[u8], associated_data: &str, plain: &[u8]) -> Vec<u8> {
    let nonce = [0x5a; 12];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(associated_data.as_bytes()),
        &mut sealed,
    )
    .unwrap();
    [&nonce[..], &sealed].concat()
}

fn id_of(key: &[u8; 32]) -> String {
    let bytes = [b"mainstay.key.v1", &key[..]].concat();
    hex(&digest::digest(&digest::SHA256, &bytes).as_ref()[..16])
}

/// The text of a key file, as documented in `docs/formats/keys.md`.
fn key_file(key: &[u8; 32], passphrase: Option<&str>) -> String {
    let id = id_of(key);
    let head = format!("# A key of Mainstay.\nformat = \"mainstay.key.v1\"\nid = \"{id}\"\n");
    let Some(passphrase) = passphrase else {
        return format!("{head}key = \"{}\"\n", hex(key));
    };
    let (salt, rounds) = ([7; 16], 600_000);
    let mut under = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        rounds.try_into().unwrap(),
        &salt,
        passphrase.as_bytes(),
        &mut under,
    );
    format!(
        "{head}kdf = \"PBKDF2-HMAC-SHA512\"\niterations = {rounds}\nsalt = \"{}\"\nwrapped-key = \"{}\"\n",
        hex(&salt),
        hex(&aes_gcm(&under, &id, key))
    )
}

/// A recovery point with one encrypted object, its keys, and the bytes that were compressed into it.
struct Kit {
    place: Place,
    data_key: Vec<u8>,
    compressed: Vec<u8>,
}

impl Kit {
    async fn new(plain: Vec<u8>) -> Self {
        let place = Place::new().await;
        let sealing = sealing(FILE);
        let object = place
            .put(FILE, plain.clone(), Compression::Zstd, Some(&sealing))
            .await;
        let compressed = place.put("plain", plain, Compression::Zstd, None).await;
        assert_eq!(
            compressed.bytes.0 + 56 + 16 * (object.bytes.0 / (1 << 20)),
            object.bytes.0
        );
        let compressed = fs::read(place.path("plain")).unwrap();
        let mine = [3; 32];
        let local = |name: &str, key: &[u8; 32]| WrappedKey {
            key_id: id_of(key),
            kind: "local".to_owned(),
            name: KeyName::new(name).unwrap(),
            wrapped: Base64::encode_string(&aes_gcm(
                key,
                &sealing.associated_data,
                sealing.key.expose(),
            )),
        };
        let folder = place.path("");
        let certificate = WrappedKey {
            key_id: "sha256:00".to_owned(),
            kind: "certificate".to_owned(),
            name: KeyName::new("offline").unwrap(),
            wrapped: Base64::encode_string(&cms(&folder, sealing.key.expose())),
        };
        let recipients = vec![local("other", &[4; 32]), certificate, local("prod", &mine)];
        let ring = KeyRing {
            format: key_ring::FORMAT.to_owned(),
            objects: BTreeMap::from([(
                FILE.to_owned(),
                SealedObject {
                    associated_data: sealing.associated_data.clone(),
                    encryption: Encryption::Aes256GcmHkdf1Mb,
                    recipients,
                },
            )]),
            recovery_point: point(),
        };
        fs::write(folder.join("keys.json"), ring.to_bytes().unwrap()).unwrap();
        let manifest = Manifest {
            wal: None,
            format: FORMAT.to_owned(),
            id: point(),
            database: DatabaseName::new("orders").unwrap(),
            series: SeriesName::new("daily").unwrap(),
            slot: "2026-11-21T02:00:00Z".parse().unwrap(),
            engine: "sqlite".to_owned(),
            method: MethodName::new("file").unwrap(),
            parent: None,
            captured_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            source: BTreeMap::new(),
            objects: vec![object],
            expectations: Expectations::default(),
            recipients: vec!["prod".to_owned()],
            policy_digest: Digest::sha256_of(b""),
            mainstay_version: "0".to_owned(),
        };
        fs::write(folder.join("manifest.json"), manifest.to_bytes().unwrap()).unwrap();
        fs::write(folder.join("prod.key"), key_file(&mine, None)).unwrap();
        fs::write(folder.join("locked.key"), key_file(&mine, Some(PASSPHRASE))).unwrap();
        fs::write(folder.join("strange.key"), key_file(&[9; 32], None)).unwrap();
        fs::write(folder.join("data-key"), sealing.key.expose()).unwrap();
        Self {
            place,
            data_key: sealing.key.expose().to_vec(),
            compressed,
        }
    }

    fn folder(&self) -> PathBuf {
        self.place.path("")
    }

    /// Runs a script on the point, in its folder.
    fn run(&self, script: &str, arguments: &[&str], input: &str) -> Output {
        let python = std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let program = if Path::new(script).extension().is_some_and(|end| end == "py") {
            &python
        } else {
            "bash"
        };
        let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../executor/recovery-kit");
        let mut child = Command::new(program)
            .arg(kit.join(script))
            .arg(".")
            .args(arguments)
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn opens(&self, script: &str, arguments: &[&str], input: &str) {
        let output = self.run(script, &[&[FILE], arguments].concat(), input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {arguments:?}: {said}");
        assert!(output.stdout == self.compressed, "{script} {arguments:?}");
    }

    /// Fails with these words and gives out at most what stands before the trouble.
    #[track_caller]
    fn fails(&self, script: &str, arguments: &[&str], input: &str, words: &str) -> Vec<u8> {
        let output = self.run(script, &[&[FILE], arguments].concat(), input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{script} {arguments:?}: {said}"
        );
        assert!(said.contains(words), "{said}");
        assert!(!said.contains(&hex(&self.data_key)), "{said}");
        output.stdout
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// A CMS message of a data key, for a certificate whose private key is `recovery-key.pem`.
fn cms(folder: &Path, data_key: &[u8]) -> Vec<u8> {
    fs::write(folder.join("raw"), data_key).unwrap();
    let subject = ["-subj", "/CN=recovery", "-nodes", "-days", "2"];
    let files = ["-keyout", "recovery-key.pem", "-out", "recovery.pem"];
    openssl(
        folder,
        &[
            &["req", "-x509", "-newkey", "rsa:2048"],
            &subject[..],
            &files,
        ]
        .concat(),
    );
    let what = ["cms", "-encrypt", "-binary", "-aes256", "-outform", "DER"];
    let files = ["-in", "raw", "-out", "raw.der", "recovery.pem"];
    openssl(folder, &[&what[..], &files].concat());
    fs::read(folder.join("raw.der")).unwrap()
}

/// More than two segments once it is compressed.
fn plain() -> Vec<u8> {
    noise(2_300_000)
}

#[tokio::test]
async fn a_key_file_opens_it_with_and_without_passphrase() {
    let kit = Kit::new(plain()).await;
    for script in ["recover.py", "recover.sh"] {
        kit.opens(script, &["--key-file", "prod.key"], "");
    }
    let passphrase = format!("{PASSPHRASE}\n");
    let locked = ["--key-file", "locked.key"];
    let asked = [&locked[..], &["--passphrase-file", "-"]].concat();
    kit.opens("recover.py", &asked, &passphrase);
    kit.opens("recover.sh", &locked, &passphrase);
    for (script, arguments) in [("recover.py", &asked[..]), ("recover.sh", &locked)] {
        let out = kit.fails(script, arguments, "another\n", "passphrase is");
        assert!(out.is_empty());
    }
}

#[tokio::test]
async fn a_data_key_in_any_form_opens_it() {
    let kit = Kit::new(plain()).await;
    let folder = kit.folder();
    fs::write(folder.join("hex"), format!("{}\n", hex(&kit.data_key))).unwrap();
    let base64 = Base64::encode_string(&kit.data_key);
    fs::write(folder.join("base64"), format!("{base64}\n")).unwrap();
    for file in ["data-key", "hex", "base64"] {
        kit.opens("recover.py", &["--data-key", file], "");
    }
    for file in ["data-key", "hex"] {
        kit.opens("recover.sh", &["--data-key", file], "");
    }
}

#[tokio::test]
async fn the_certificate_opens_it_with_openssl() {
    let kit = Kit::new(plain()).await;
    let output = kit.run("recover.py", &[FILE, "--wrapped", "offline"], "");
    assert!(output.status.success());
    fs::write(kit.folder().join("wrapped.der"), output.stdout).unwrap();
    let what = ["cms", "-decrypt", "-inform", "DER", "-in", "wrapped.der"];
    let files = ["-inkey", "recovery-key.pem", "-out", "opened"];
    openssl(&kit.folder(), &[&what[..], &files].concat());
    kit.opens("recover.py", &["--data-key", "opened"], "");
}

#[tokio::test]
async fn small_and_empty_objects_open_too() {
    for plain in [Vec::new(), b"x".to_vec()] {
        let kit = Kit::new(plain).await;
        for script in ["recover.py", "recover.sh"] {
            kit.opens(script, &["--key-file", "prod.key"], "");
        }
    }
}

#[tokio::test]
async fn damage_is_named_and_nothing_of_its_segment_comes_out() {
    let kit = Kit::new(plain()).await;
    let path = kit.place.path(FILE);
    let right = fs::read(&path).unwrap();
    let open = ["--key-file", "prod.key"];
    for (at, number) in [(5, 0), (100, 0), ((1 << 20) + 7, 1), (right.len() - 1, 2)] {
        let mut damaged = right.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let words = format!("segment {number} does not authenticate");
        let out = kit.fails("recover.py", &open, "", &words);
        assert_eq!(
            out.len(),
            (number * ((1 << 20) - 16_usize)).saturating_sub(40)
        );
        assert!(kit.compressed.starts_with(&out));
    }
    fs::write(&path, &right[..2 << 20]).unwrap();
    kit.fails("recover.py", &open, "", "segment 1 does not authenticate");
    fs::write(&path, b"").unwrap();
    for script in ["recover.py", "recover.sh"] {
        let words = "does not begin with the header of an encrypted file";
        assert!(kit.fails(script, &open, "", words).is_empty());
    }
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_told_from_damage() {
    let kit = Kit::new(plain()).await;
    let strange = ["--key-file", "strange.key"];
    for script in ["recover.py", "recover.sh"] {
        let said = kit.fails(script, &strange, "", "does not open this file; these do");
        assert!(said.is_empty());
    }
    // The ring of another point: its keys open nothing here.
    let path = kit.folder().join("keys.json");
    let ring = fs::read_to_string(&path).unwrap();
    fs::write(&path, ring.replace("|orders|daily|", "|payroll|daily|")).unwrap();
    let words = "keys.json belongs to another recovery point";
    kit.fails("recover.py", &["--key-file", "prod.key"], "", words);
}

#[tokio::test]
async fn it_says_what_is_there_and_what_comes_next() {
    let kit = Kit::new(plain()).await;
    let output = kit.run("recover.py", &[], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let own = id_of(&[3; 32]);
    for words in [
        "orders/daily/20261121T020000Z",
        &format!("opened by prod: local {own}"),
        "opened by offline: certificate",
        "zstd -dc",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
