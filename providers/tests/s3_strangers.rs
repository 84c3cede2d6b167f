//! What answers in a store's place and is none: a login page, or something that never says a word.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use mainstay_providers as providers;
use model::TierName;
use providers::{api::Tier, registry};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Answers every request with this, or with nothing; gives its port.
fn stranger(answer: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 1 << 13];
                while client.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                    if let Some(answer) = answer {
                        let _ = client.write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    port
}

fn tier(port: u16, base: &Path) -> Arc<dyn Tier> {
    std::fs::write(base.join("key"), "AK").unwrap();
    let key = json!({"file": "key"});
    let table = json!({
        "bucket": "example", "endpoint": format!("http://127.0.0.1:{port}"), "region": "us-east-1",
        "credentials": {"access-key-id": key, "secret-access-key": key},
    });
    registry::tier(&TierName::new("off").unwrap(), "s3", &table, base).unwrap()
}

#[tokio::test]
async fn a_login_page_in_the_stores_place_is_neither_a_marker_nor_a_reason_to_declare_exclusive() {
    let base = tempfile::tempdir().unwrap();
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 18\r\n\r\n<html>login</html>";
    let tier = tier(stranger(Some(page)), base.path());
    let error = tier.observe().await.unwrap_err();
    assert_eq!(error.code, "mainstay::tier::unreachable");
    assert!(error.message.contains("no object store"), "{error}");
    let help = error.help.unwrap();
    assert!(
        help.contains("`endpoint`") && !help.contains("exclusive"),
        "{help}"
    );
}

#[tokio::test]
async fn a_store_that_never_answers_is_unreachable_within_a_minute() {
    let base = tempfile::tempdir().unwrap();
    let tier = tier(stranger(None), base.path());
    let started = Instant::now();
    let error = tier.observe().await.unwrap_err();
    assert_eq!(error.code, "mainstay::tier::unreachable");
    assert!(error.message.contains("did not answer"), "{error}");
    assert!(started.elapsed() < Duration::from_mins(1));
}
