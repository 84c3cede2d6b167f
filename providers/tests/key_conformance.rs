//! What every kind of key must do: one suite over all of them, each the real thing.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/moto.rs"]
mod moto;

use keys::{
    NOW, RSA, access, administrator, all_words, base64_of, build, bytes_of, certificate, context,
    data_key, kms_table, orders, shows,
};
use model::{Secret, WrappedKey};
use providers::{
    api::{KeyContext, KeyProvider, KeyState, ProviderError},
    seal::DataKey,
};
use serde_json::json;
use std::{fs, path::Path, sync::Arc};

/// A key, another one of its kind, and what can be expected of the kind.
struct Case {
    key: Arc<dyn KeyProvider>,
    other: Arc<dyn KeyProvider>,
    /// Whether the kind can bind the context.
    binds: bool,
    /// Every how many-th bit is flipped: services are asked over a network.
    flip_every: usize,
    /// What must never be shown besides data keys.
    secrets: Vec<Vec<u8>>,
}

fn local(folder: &Path, passphrase: bool) -> Case {
    let secret = passphrase.then(|| Secret::new("a good passphrase".to_owned()));
    let mut secrets = vec![b"a good passphrase".to_vec()];
    let mut key = |name: &str| {
        let file = folder.join(name);
        providers::keys::local::generate(&file, secret.as_ref(), NOW).unwrap();
        let text = fs::read_to_string(file).unwrap();
        if let Some((_, hex)) = text.split_once("\nkey = \"") {
            let bytes = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
            secrets.push(bytes.collect());
        }
        let mut table = json!({ "path": name });
        if passphrase {
            fs::write(folder.join("passphrase"), "a good passphrase\n").unwrap();
            table["passphrase"] = json!({"file": "passphrase"});
        }
        build("prod", "local", &table, folder)
    };
    let (key, other) = (key("a.key"), key("b.key"));
    Case {
        key,
        other,
        binds: true,
        flip_every: 1,
        secrets,
    }
}

fn recovery(folder: &Path) -> Case {
    let key = |name: &str| {
        certificate(folder, name, RSA);
        let table = json!({"path": format!("{name}.pem"), "private-key": {"file": format!("{name}-key.pem")}});
        build("offline", "certificate", &table, folder)
    };
    let (key, other) = (key("one"), key("two"));
    let pem = fs::read(folder.join("one-key.pem")).unwrap();
    Case {
        key,
        other,
        binds: false,
        flip_every: 1,
        secrets: vec![pem[100..160].to_vec()],
    }
}

async fn kms(folder: &Path, endpoint: &str) -> Case {
    let client = administrator(folder, endpoint).await;
    let mut made = Vec::new();
    for _ in 0..2 {
        let key = client
            .create_key()
            .send()
            .await
            .unwrap()
            .key_metadata
            .unwrap();
        made.push(build(
            "cloud",
            "aws-kms",
            &kms_table(folder, endpoint, &key.key_id),
            folder,
        ));
    }
    let _ = access(folder, endpoint);
    let other = made.pop().unwrap();
    Case {
        key: made.pop().unwrap(),
        other,
        binds: true,
        flip_every: 29,
        secrets: vec![b"a secret of the test".to_vec()],
    }
}

impl Case {
    /// Opening must fail, with an error that shows nothing.
    async fn refused(
        &self,
        key: &Arc<dyn KeyProvider>,
        wrapped: &WrappedKey,
        context: &KeyContext,
        secret: &DataKey,
        why: &str,
    ) -> ProviderError {
        let Err(error) = key.unwrap(wrapped, context).await else {
            panic!("{} opened {why}", key.kind())
        };
        let words = all_words(&error);
        assert!(!shows(&words, secret.expose()), "{words}");
        self.assert_hides(&words);
        error
    }

    fn assert_hides(&self, words: &str) {
        for hidden in &self.secrets {
            assert!(!shows(words, hidden), "{words}");
            assert!(
                !words.contains(&*String::from_utf8_lossy(hidden)),
                "{words}"
            );
        }
    }
}

async fn conforms(case: &Case) {
    let Case { key, other, .. } = case;
    let facts = key.observe().await.unwrap();
    assert_eq!(facts.state, KeyState::Usable, "{facts:?}");
    assert!(facts.opens);

    // Round trip, and never twice the same.
    let secret = data_key();
    let first = key.wrap(&secret, &orders()).await.unwrap();
    let second = key.wrap(&secret, &orders()).await.unwrap();
    assert_ne!(first.wrapped, second.wrapped);
    assert_eq!((first.kind.as_str(), &first.name), (key.kind(), key.name()));
    assert_eq!(first.key_id, facts.key_id);
    for wrapped in [&first, &second] {
        assert_eq!(key.unwrap(wrapped, &orders()).await.unwrap(), secret);
        assert!(!shows(&format!("{wrapped:?}"), secret.expose()));
    }

    // Another object of the same point, and the same file of another point.
    let elsewhere = [
        context("orders/daily/20261120T020000Z", "globals.sql.zst.enc"),
        context("orders/daily/20261121T020000Z", "data.dump.zst.enc"),
    ];
    for context in &elsewhere {
        if case.binds {
            let error = case
                .refused(key, &first, context, &secret, "what belongs elsewhere")
                .await;
            assert_eq!(error.code, "mainstay::key::cannot-open");
        } else {
            assert_eq!(key.unwrap(&first, context).await.unwrap(), secret);
        }
    }

    // Another key, whose own id the entry may even claim.
    let error = case
        .refused(other, &first, &orders(), &secret, "another key's")
        .await;
    assert_eq!(error.code, "mainstay::key::cannot-open");
    assert!(error.help.is_some());
    let claimed = WrappedKey {
        key_id: other.observe().await.unwrap().key_id,
        ..first.clone()
    };
    case.refused(
        other,
        &claimed,
        &orders(),
        &secret,
        "another key's under its own name",
    )
    .await;

    // Every flipped bit, every length, and what is no base64.
    let bytes = bytes_of(&first.wrapped);
    for bit in (0..bytes.len() * 8).step_by(case.flip_every) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let wrapped = WrappedKey {
            wrapped: base64_of(&flipped),
            ..first.clone()
        };
        case.refused(
            key,
            &wrapped,
            &orders(),
            &secret,
            &format!("a wrapped key with bit {bit} flipped"),
        )
        .await;
    }
    for length in [0, 1, 11, 12, 28, bytes.len() - 1] {
        let wrapped = WrappedKey {
            wrapped: base64_of(&bytes[..length]),
            ..first.clone()
        };
        case.refused(
            key,
            &wrapped,
            &orders(),
            &secret,
            &format!("{length} bytes of a wrapped key"),
        )
        .await;
    }
    let longer = [&bytes[..], &[0]].concat();
    let wrapped = WrappedKey {
        wrapped: base64_of(&longer),
        ..first.clone()
    };
    case.refused(
        key,
        &wrapped,
        &orders(),
        &secret,
        "a wrapped key with a byte more",
    )
    .await;
    let wrapped = WrappedKey {
        wrapped: "no base64!".to_owned(),
        ..first.clone()
    };
    case.refused(key, &wrapped, &orders(), &secret, "no base64")
        .await;

    // It still works, and shows nothing.
    assert_eq!(key.unwrap(&first, &orders()).await.unwrap(), secret);
    let shown = format!("{key:?} {:?}", key.observe().await.unwrap());
    case.assert_hides(&shown);
}

#[tokio::test]
async fn a_key_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&local(folder.path(), false)).await;
}

#[tokio::test]
async fn a_key_file_with_a_passphrase_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&local(folder.path(), true)).await;
}

#[tokio::test]
async fn a_recovery_certificate_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&recovery(folder.path())).await;
}

#[tokio::test]
async fn a_key_in_a_key_service_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let moto = moto::Moto::start();
    conforms(&kms(folder.path(), &moto.endpoint).await).await;
}

#[test]
fn every_registered_kind_is_tested_here() {
    let kinds: Vec<_> = providers::registry::keys()
        .iter()
        .map(|entry| entry.kind)
        .collect();
    assert_eq!(kinds, ["local", "aws-kms", "certificate"]);
}
