//! Keys in a key service: against moto's, and against the answers that AWS gives and moto never does.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/moto.rs"]
mod moto;

use aws_sdk_kms::{Client, primitives::Blob};
use keys::{access, administrator, all_words, build, bytes_of, data_key, kms_table, orders};
use model::{Disposition, WrappedKey};
use moto::Moto;
use providers::api::{KeyProvider, KeyState};
use serde_json::{Value, json};
use std::{fmt::Write as _, path::Path, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

struct Service {
    moto: Moto,
    client: Client,
    folder: tempfile::TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let moto = Moto::start();
        let client = administrator(folder.path(), &moto.endpoint).await;
        Self {
            moto,
            client,
            folder,
        }
    }

    /// Makes a key and gives its ARN.
    async fn create(&self) -> String {
        let made = self.client.create_key().send().await.unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    async fn alias(&self, id: &str) {
        let alias = self.client.create_alias().alias_name("alias/example-prod");
        alias.target_key_id(id).send().await.unwrap();
    }

    fn key(&self, id: &str) -> Arc<dyn KeyProvider> {
        let table = kms_table(self.folder.path(), &self.moto.endpoint, id);
        build("cloud", "aws-kms", &table, self.folder.path())
    }
}

#[tokio::test]
async fn an_alias_is_recorded_as_its_key_and_the_point_is_bound_for_every_client() {
    let service = Service::start().await;
    let arn = service.create().await;
    service.alias(&arn).await;
    let mut table = kms_table(
        service.folder.path(),
        &service.moto.endpoint,
        "alias/example-prod",
    );
    table["encryption-context"] = json!({"team": "x"});
    let key = build("cloud", "aws-kms", &table, service.folder.path());
    let secret = data_key();
    let wrapped = key.wrap(&secret, &orders()).await.unwrap();
    assert_eq!(wrapped.key_id, arn);

    // As anybody opens it by hand, with the context that docs/keys.md names.
    let by_hand = |pairs: &[(&str, &str)]| {
        let mut call = service
            .client
            .decrypt()
            .ciphertext_blob(Blob::new(bytes_of(&wrapped.wrapped)));
        for (name, value) in pairs {
            call = call.encryption_context(*name, *value);
        }
        call.send()
    };
    let whole = [
        ("team", "x"),
        ("mainstay:recovery-point", "orders/daily/20261120T020000Z"),
        ("mainstay:file", "data.dump.zst.enc"),
    ];
    let opened = by_hand(&whole).await.unwrap().plaintext.unwrap();
    assert_eq!(opened.as_ref(), secret.expose());
    for left_out in 0..whole.len() {
        let mut less = whole.to_vec();
        less.remove(left_out);
        assert!(by_hand(&less).await.is_err());
    }

    // The same key declared without the policy's own context.
    let error = service
        .key("alias/example-prod")
        .unwrap(&wrapped, &orders())
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::key::cannot-open");
    assert!(error.help.unwrap().contains("encryption-context"));
}

#[tokio::test]
async fn nothing_is_wrapped_for_a_key_that_is_switched_off_or_going() {
    let service = Service::start().await;
    let arn = service.create().await;
    // moto switches a key off by its bare id only.
    let id = arn.split_once(":key/").unwrap().1;
    let key = service.key(&arn);
    let secret = data_key();
    let wrapped = key.wrap(&secret, &orders()).await.unwrap();

    service
        .client
        .disable_key()
        .key_id(id)
        .send()
        .await
        .unwrap();
    let facts = key.observe().await.unwrap();
    assert_eq!(
        (facts.state, facts.opens, &facts.key_id),
        (KeyState::Disabled, false, &arn)
    );
    // moto itself would wrap.
    let error = key.wrap(&secret, &orders()).await.unwrap_err();
    assert_eq!(
        (error.code, error.disposition),
        ("mainstay::key::disabled", Disposition::NeedsOperator)
    );
    // A service that still opens is not forbidden to: this may be the only copy.
    assert_eq!(key.unwrap(&wrapped, &orders()).await.unwrap(), secret);

    let going = service
        .client
        .schedule_key_deletion()
        .key_id(id)
        .pending_window_in_days(7);
    let date = going.send().await.unwrap().deletion_date.unwrap().secs();
    let KeyState::PendingDeletion(Some(seen)) = key.observe().await.unwrap().state else {
        panic!("{:?}", key.observe().await);
    };
    assert!((seen.as_second() - date).abs() <= 1, "{seen} {date}");
    let error = key.wrap(&secret, &orders()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::key::pending-deletion");
    assert!(error.help.unwrap().contains("cancel-key-deletion"));
}

#[tokio::test]
async fn a_key_that_nobody_knows_or_that_cannot_encrypt_is_told() {
    let service = Service::start().await;
    for id in ["00000000-1111-2222-3333-444444444444", "alias/nowhere"] {
        let key = service.key(id);
        assert_eq!(
            key.observe().await.unwrap().state,
            KeyState::Missing,
            "{id}"
        );
        assert_eq!(
            key.wrap(&data_key(), &orders()).await.unwrap_err().code,
            "mainstay::key::missing"
        );
    }
    let signing = service
        .client
        .create_key()
        .key_usage(aws_sdk_kms::types::KeyUsageType::SignVerify)
        .key_spec(aws_sdk_kms::types::KeySpec::Rsa2048);
    let id = signing.send().await.unwrap().key_metadata.unwrap().key_id;
    let key = service.key(&id);
    assert!(matches!(
        key.observe().await.unwrap().state,
        KeyState::Unusable(_)
    ));
    assert_eq!(
        key.wrap(&data_key(), &orders()).await.unwrap_err().code,
        "mainstay::key::unusable"
    );
}

#[tokio::test]
async fn when_an_alias_moves_the_earlier_key_opens_only_where_it_is_declared() {
    let service = Service::start().await;
    let (old, new) = (service.create().await, service.create().await);
    service.alias(&old).await;
    let secret = data_key();
    let before = service
        .key("alias/example-prod")
        .wrap(&secret, &orders())
        .await
        .unwrap();
    service
        .client
        .delete_alias()
        .alias_name("alias/example-prod")
        .send()
        .await
        .unwrap();
    service.alias(&new).await;

    let key = service.key("alias/example-prod");
    assert_eq!(key.wrap(&secret, &orders()).await.unwrap().key_id, new);
    let error = key.unwrap(&before, &orders()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::key::cannot-open");
    assert!(error.help.unwrap().contains("previous"));

    let bare = old.split_once(":key/").unwrap().1;
    for id in [&old, bare] {
        let mut table = kms_table(
            service.folder.path(),
            &service.moto.endpoint,
            "alias/example-prod",
        );
        table["previous"] = json!([id]);
        let key = build("cloud", "aws-kms", &table, service.folder.path());
        assert_eq!(key.unwrap(&before, &orders()).await.unwrap(), secret);
    }
}

/// Sends one request by hand.
async fn post(endpoint: &str, path: &str, body: &str) -> String {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn credentials_that_the_service_does_not_know_are_denied_without_being_shown() {
    let service = Service::start().await;
    let arn = service.create().await;
    let answer = post(&service.moto.endpoint, "/moto-api/reset-auth", "0").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let key = service.key(&arn);
    let wrapped = WrappedKey {
        name: key.name().clone(),
        kind: key.kind().to_owned(),
        key_id: arn,
        wrapped: "AAAA".to_owned(),
    };
    for error in [
        key.observe().await.unwrap_err(),
        key.wrap(&data_key(), &orders()).await.unwrap_err(),
        key.unwrap(&wrapped, &orders()).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.code, error.disposition),
            ("mainstay::key::denied", Disposition::NeedsOperator)
        );
        assert!(!all_words(&error).contains("a secret of the test"));
    }
}

#[tokio::test]
async fn credentials_that_are_not_there_are_named_by_their_reference() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = kms_table(folder.path(), "http://127.0.0.1:1", "alias/x");
    table["credentials"]["secret-access-key"] = json!({"file": "nowhere"});
    let error = build("cloud", "aws-kms", &table, folder.path())
        .observe()
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::secret::unavailable");
    assert!(error.message.contains("nowhere"));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_worth_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let key = build(
        "cloud",
        "aws-kms",
        &kms_table(folder.path(), &endpoint, "alias/x"),
        folder.path(),
    );
    let error = key.observe().await.unwrap_err();
    assert_eq!(
        (error.code, error.disposition),
        ("mainstay::key::unreachable", Disposition::Retry)
    );
    assert!(error.source.is_some() && error.help.is_some());
}

/// Answers every request with one status and body; gives the endpoint.
async fn answering(status: u16, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 65536];
                let _ = stream.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    endpoint
}

/// What AWS answers (KMS API reference, "Common errors" and those of Decrypt), moto has none of it.
#[tokio::test]
async fn every_answer_of_the_service_has_a_meaning_and_a_way_out() {
    const ANSWERS: [(u16, &str); 12] = [
        (400, "AccessDeniedException"),
        (400, "DisabledException"),
        (400, "ExpiredTokenException"),
        (400, "IncorrectKeyException"),
        (400, "InvalidCiphertextException"),
        (400, "InvalidSignatureException"),
        (409, "KMSInvalidStateException"),
        (500, "KeyUnavailableException"),
        (400, "NotFoundException"),
        (400, "SomethingNewException"),
        (400, "ThrottlingException"),
        (503, ""),
    ];
    async fn ask(folder: &Path, mut table: Value, status: u16, code: &str) -> String {
        let body = json!({"__type": code, "message": "words of the service"}).to_string();
        let body = if code.is_empty() {
            "<html>busy</html>".to_owned()
        } else {
            body
        };
        let endpoint = answering(status, body).await;
        let arn = "arn:aws:kms:us-east-1:123456789012:key/k";
        table["endpoint"] = json!(endpoint);
        table["key-id"] = json!(arn);
        let key = build("cloud", "aws-kms", &table, folder);
        let wrapped = WrappedKey {
            name: key.name().clone(),
            kind: key.kind().to_owned(),
            key_id: arn.to_owned(),
            wrapped: "AAAA".to_owned(),
        };
        let error = key.unwrap(&wrapped, &orders()).await.unwrap_err();
        let cause = error.source.as_ref().unwrap().to_string();
        let help = error.help.as_deref().expect("no way out");
        format!(
            "{status} {code}\n  {} ({:?})\n  {error}\n  cause: {cause}\n  help: {help}\n",
            error.code, error.disposition
        )
    }
    let folder = tempfile::tempdir().unwrap();
    let table = access(folder.path(), "");
    // Side by side: the SDK tries some of them again, with pauses.
    let asked: Vec<_> = ANSWERS
        .map(|(status, code)| {
            let folder = folder.path().to_owned();
            let table = table.clone();
            tokio::spawn(async move { ask(&folder, table, status, code).await })
        })
        .into_iter()
        .collect();
    let mut said = String::new();
    for answer in asked {
        write!(said, "{}", answer.await.unwrap()).unwrap();
    }
    insta::assert_snapshot!(said);
}
