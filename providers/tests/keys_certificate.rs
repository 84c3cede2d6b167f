//! Recovery certificates against OpenSSL: it opens what Mainstay wraps, and the reverse.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
#[path = "support/keys.rs"]
mod keys;

use keys::{
    RSA, all_words, base64_of, build, bytes_of, certificate, data_key, openssl, openssl_ok, orders,
};
use model::WrappedKey;
use providers::{
    api::{KeyProvider, KeyState},
    seal::DataKey,
};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, path::Path, sync::Arc};

const EC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
/// As RFC 8017 recommends OAEP: one hash throughout.
const OAEP: &[&str] = &[
    "-keyopt",
    "rsa_padding_mode:oaep",
    "-keyopt",
    "rsa_oaep_md:sha256",
    "-keyopt",
    "rsa_mgf1_md:sha256",
];

fn key(folder: &Path, table: &Value) -> Arc<dyn KeyProvider> {
    build("offline", "certificate", table, folder)
}

fn wrapped_as(key_id: &str, message: &[u8]) -> WrappedKey {
    WrappedKey {
        name: model::KeyName::new("offline").unwrap(),
        kind: "certificate".to_owned(),
        key_id: key_id.to_owned(),
        wrapped: base64_of(message),
    }
}

/// What OpenSSL makes of a data key for `recovery.pem`.
fn by_openssl(folder: &Path, data_key: &DataKey, cipher: &str, options: &[&str]) -> Vec<u8> {
    fs::write(folder.join("plain"), data_key.expose()).unwrap();
    let mut arguments = vec![
        "cms", "-encrypt", "-binary", "-in", "plain", "-outform", "DER", "-out", "cms", cipher,
    ];
    arguments.extend(["-recip", "recovery.pem"]);
    arguments.extend(options);
    openssl_ok(folder, &arguments);
    fs::read(folder.join("cms")).unwrap()
}

#[tokio::test]
async fn openssl_opens_what_was_wrapped_with_the_private_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, sign) in [
        ("rsa:2048", "-sha256"),
        ("rsa:3072", "-sha384"),
        ("rsa:4096", "-sha512"),
    ] {
        certificate(folder.path(), "recovery", &["-newkey", bits, sign]);
        let key = key(folder.path(), &json!({"path": "recovery.pem"}));
        let secret = data_key();
        let wrapped = key.wrap(&secret, &orders()).await.unwrap();
        fs::write(folder.path().join("wrapped"), bytes_of(&wrapped.wrapped)).unwrap();
        openssl_ok(
            folder.path(),
            &[
                "cms",
                "-decrypt",
                "-inform",
                "DER",
                "-in",
                "wrapped",
                "-inkey",
                "recovery-key.pem",
                "-out",
                "data.key",
            ],
        );
        assert_eq!(
            fs::read(folder.path().join("data.key")).unwrap(),
            secret.expose(),
            "{bits}"
        );
    }
}

#[tokio::test]
async fn openssl_refuses_a_changed_bit_of_what_was_wrapped() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    let key = key(folder.path(), &json!({"path": "recovery.pem"}));
    let wrapped = key.wrap(&data_key(), &orders()).await.unwrap();
    let mut bytes = bytes_of(&wrapped.wrapped);
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(folder.path().join("wrapped"), bytes).unwrap();
    let output = openssl(
        folder.path(),
        &[
            "cms",
            "-decrypt",
            "-inform",
            "DER",
            "-in",
            "wrapped",
            "-inkey",
            "recovery-key.pem",
        ],
    );
    assert!(!output.status.success());
}

#[tokio::test]
async fn what_openssl_wrapped_is_opened_in_the_authenticated_form_only() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    let table = json!({"path": "recovery.pem", "private-key": {"file": "recovery-key.pem"}});
    let key = key(folder.path(), &table);
    let id = key.observe().await.unwrap().key_id;
    let secret = data_key();
    let good = by_openssl(folder.path(), &secret, "-aes-256-gcm", OAEP);
    assert_eq!(
        key.unwrap(&wrapped_as(&id, &good), &orders())
            .await
            .unwrap(),
        secret
    );
    for (cipher, options) in [
        ("-aes-256-cbc", OAEP),
        ("-aes-128-gcm", OAEP),
        ("-aes-256-gcm", &[][..]),
    ] {
        let other = by_openssl(folder.path(), &secret, cipher, options);
        let error = key
            .unwrap(&wrapped_as(&id, &other), &orders())
            .await
            .unwrap_err();
        assert_eq!(error.code, "mainstay::key::cannot-open", "{cipher}");
    }
}

#[tokio::test]
async fn the_id_is_the_fingerprint_that_openssl_shows() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    let shown = openssl(
        folder.path(),
        &[
            "x509",
            "-in",
            "recovery.pem",
            "-noout",
            "-fingerprint",
            "-sha256",
        ],
    );
    let shown = String::from_utf8(shown.stdout).unwrap();
    let hex = shown
        .trim()
        .split_once('=')
        .unwrap()
        .1
        .replace(':', "")
        .to_lowercase();
    let facts = key(folder.path(), &json!({"path": "recovery.pem"}))
        .observe()
        .await
        .unwrap();
    assert_eq!(facts.key_id, format!("sha256:{hex}"));
    assert_eq!((facts.state, facts.opens), (KeyState::Usable, false));
    assert!(facts.detail.contains("CN=recovery"), "{}", facts.detail);
    assert!(facts.valid_until.is_some());
}

#[tokio::test]
async fn der_and_a_file_with_words_and_a_chain_are_the_same_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    certificate(folder.path(), "issuer", RSA);
    openssl_ok(
        folder.path(),
        &[
            "x509",
            "-in",
            "recovery.pem",
            "-outform",
            "DER",
            "-out",
            "recovery.der",
        ],
    );
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let chain = format!(
        "Recovery\n\n{}{}{}",
        read("recovery-key.pem"),
        read("recovery.pem"),
        read("issuer.pem")
    );
    fs::write(folder.path().join("chain.pem"), chain).unwrap();
    let mut ids = Vec::new();
    for path in ["recovery.pem", "recovery.der", "chain.pem"] {
        ids.push(
            key(folder.path(), &json!({ "path": path }))
                .observe()
                .await
                .unwrap()
                .key_id,
        );
    }
    assert!(
        ids[0].starts_with("sha256:") && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
}

#[tokio::test]
async fn without_its_private_key_a_certificate_says_how_to_open_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    let key = key(folder.path(), &json!({"path": "recovery.pem"}));
    let wrapped = key.wrap(&data_key(), &orders()).await.unwrap();
    let error = key.unwrap(&wrapped, &orders()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::key::cannot-open");
    insta::assert_snapshot!(error.help.unwrap());
}

#[tokio::test]
async fn an_expired_certificate_still_wraps_and_says_when_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    let run = |arguments: &[&str]| openssl_ok(folder.path(), arguments);
    let signed_by = ["-signkey", "recovery-key.pem"];
    run(&[
        &[
            "x509",
            "-x509toreq",
            "-in",
            "recovery.pem",
            "-out",
            "request",
        ],
        &signed_by[..],
    ]
    .concat());
    run(&[
        &[
            "x509",
            "-req",
            "-in",
            "request",
            "-days",
            "-1",
            "-out",
            "recovery.pem",
        ],
        &signed_by[..],
    ]
    .concat());
    let table = json!({"path": "recovery.pem", "private-key": {"file": "recovery-key.pem"}});
    let key = key(folder.path(), &table);
    let secret = data_key();
    let wrapped = key.wrap(&secret, &orders()).await.unwrap();
    assert_eq!(key.unwrap(&wrapped, &orders()).await.unwrap(), secret);
    let facts = key.observe().await.unwrap();
    assert_eq!(facts.state, KeyState::Usable);
    let made = fs::metadata(folder.path().join("recovery.pem"))
        .unwrap()
        .modified()
        .unwrap();
    assert!(facts.valid_until.unwrap() < jiff::Timestamp::try_from(made).unwrap());
}

#[tokio::test]
async fn what_cannot_be_used_is_named_when_looking_and_when_wrapping() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "ec", EC);
    certificate(folder.path(), "short", &["-newkey", "rsa:1024"]);
    fs::write(folder.path().join("words.pem"), "not a certificate\n").unwrap();
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let mut said = String::new();
    for path in [
        "ec.pem",
        "short.pem",
        "words.pem",
        "empty.pem",
        "ec-key.pem",
        "nowhere.pem",
        ".",
    ] {
        let key = key(folder.path(), &json!({ "path": path }));
        let state = key.observe().await.unwrap().state;
        let error = key.wrap(&data_key(), &orders()).await.unwrap_err();
        writeln!(said, "{path}: {state:?}\n  {}: {error}", error.code).unwrap();
    }
    let folder = folder.path().display().to_string();
    insta::assert_snapshot!(said.replace(&folder, "<folder>"));
}

#[tokio::test]
async fn a_private_key_that_does_not_fit_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "recovery", RSA);
    certificate(folder.path(), "other", RSA);
    let run = |arguments: &[&str]| openssl_ok(folder.path(), arguments);
    run(&[
        "rsa",
        "-in",
        "recovery-key.pem",
        "-traditional",
        "-out",
        "pkcs1.pem",
    ]);
    run(&[
        "pkcs8",
        "-topk8",
        "-in",
        "recovery-key.pem",
        "-passout",
        "pass:x",
        "-out",
        "locked.pem",
    ]);
    fs::write(folder.path().join("words.pem"), "a secret that is no key\n").unwrap();
    let mut said = String::new();
    for private in [
        "other-key.pem",
        "pkcs1.pem",
        "locked.pem",
        "words.pem",
        "nowhere.pem",
    ] {
        let key = key(
            folder.path(),
            &json!({"path": "recovery.pem", "private-key": {"file": private}}),
        );
        let wrapped = key.wrap(&data_key(), &orders()).await.unwrap();
        let facts = key.observe().await.unwrap();
        assert_eq!((facts.state, facts.opens), (KeyState::Usable, false));
        let error = key.unwrap(&wrapped, &orders()).await.unwrap_err();
        let text = fs::read_to_string(folder.path().join(private)).unwrap_or_default();
        let body: String = text.chars().skip(40).take(16).collect();
        assert!(
            body.is_empty() || !all_words(&error).contains(&body),
            "{private}"
        );
        assert!(!all_words(&error).contains("a secret"));
        writeln!(said, "{private}: {}: {error}", error.code).unwrap();
    }
    let folder = folder.path().display().to_string();
    insta::assert_snapshot!(said.replace(&folder, "<folder>"));
}
