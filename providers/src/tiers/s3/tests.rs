//! What can be judged without a store: the table's findings and promises, and keys.

use super::{
    check::check,
    config::{Class, S3Config, place, typical_seconds},
};
use model::tier_facts::RetrievalSpeed;
use serde_json::{Value, json};
use std::fmt::Write;

fn table(keys: Value) -> Value {
    let mut table = json!({"bucket": "example-backups"});
    if let (Some(table), Value::Object(keys)) = (table.as_object_mut(), keys) {
        table.extend(keys);
    }
    table
}

fn words(keys: Value) -> String {
    let mut text = String::new();
    for found in check(&table(keys)) {
        let path = found.path.join(".");
        let help = found.help.unwrap_or_default();
        writeln!(
            text,
            "{} at {path}: {}\n  {help}",
            found.code, found.message
        )
        .unwrap();
    }
    text
}

fn config(keys: Value) -> S3Config {
    S3Config::read(&table(keys)).unwrap()
}

#[test]
fn a_plain_table_is_fine() {
    for keys in [
        json!({}),
        json!({"prefix": "mainstay/prod/", "region": "eu-central-1", "storage-class": "standard-ia"}),
        json!({"storage-class": "glacier", "retrieval": "expedited", "retrieval-days": 3}),
        json!({"endpoint": "https://storage.example.com", "exclusive": true}),
        json!({"server-side-encryption": {"kind": "kms", "key-id": "alias/backups"}}),
        json!({"object-lock": {"mode": "compliance", "for": "retention", "acknowledge-irreversible": true}}),
    ] {
        assert_eq!(words(keys), "");
    }
}

#[test]
fn every_mistake_is_found_and_says_what_to_write() {
    insta::assert_snapshot!(words(json!({
        "bucket": "s3://example/prod", "prefix": "a//b", "storage-class": "deep-archive", "retrieval": "expedited",
        "server-side-encryption": {"kind": "s3", "key-id": "alias/x"},
        "object-lock": {"mode": "compliance", "for": "a month"}, "endpoint": "storage.example.com"
    })));
    insta::assert_snapshot!(words(json!({
        "storage-class": "glacier-ir", "retrieval": "bulk", "retrieval-days": 3,
        "object-lock": {"mode": "governance", "for": "0d"}
    })));
}

#[test]
fn secrets_cannot_stand_in_the_table() {
    let secret =
        table(json!({"credentials": {"access-key-id": "AKIA", "secret-access-key": "s3cr3t"}}));
    let error = S3Config::read(&secret).unwrap_err();
    assert_eq!(error.code, "mainstay::tier::config");
}

#[test]
fn thaws_take_as_long_as_amazon_says() {
    let hours = |class, speed| typical_seconds(class, speed) / 3600;
    assert_eq!(
        typical_seconds(Class::Glacier, RetrievalSpeed::Expedited),
        300
    );
    assert_eq!(hours(Class::Glacier, RetrievalSpeed::Standard), 5);
    assert_eq!(hours(Class::Glacier, RetrievalSpeed::Bulk), 12);
    assert_eq!(hours(Class::DeepArchive, RetrievalSpeed::Standard), 12);
    assert_eq!(hours(Class::DeepArchive, RetrievalSpeed::Bulk), 48);
}

#[test]
fn promises_follow_from_the_table_alone() {
    let plain = config(json!({})).capabilities();
    assert!(
        plain.create_only && !plain.needs_thaw() && !plain.locks_objects() && !plain.reports_space
    );
    assert_eq!(plain.minimum_storage_days, 0);
    let cold = config(json!({"storage-class": "deep-archive", "retrieval": "bulk",
        "object-lock": {"mode": "governance", "for": "retention"}}));
    let cold = cold.capabilities();
    let thaw = cold.thaw.unwrap();
    assert!(cold.needs_thaw() && cold.locks_objects());
    assert_eq!((thaw.days, thaw.typical_seconds), (7, 48 * 3600));
    assert_eq!(cold.minimum_storage_days, 180);
    assert_eq!(cold.lock.unwrap().length, None);
    let days = |class: &str| {
        config(json!({"storage-class": class}))
            .capabilities()
            .minimum_storage_days
    };
    assert_eq!(
        [
            "standard-ia",
            "onezone-ia",
            "intelligent-tiering",
            "glacier-ir",
            "glacier"
        ]
        .map(days),
        [30, 30, 0, 90, 90]
    );
}

#[test]
fn a_prefix_ends_with_one_slash_or_is_nothing() {
    let prefix = |text: &str| config(json!({"prefix": text})).key_prefix();
    assert_eq!(config(json!({})).key_prefix(), "");
    assert_eq!(prefix("/"), "");
    assert_eq!(prefix("a/b"), "a/b/");
    assert_eq!(prefix("/a/b/"), "a/b/");
}

#[test]
fn the_same_place_is_recognised() {
    let of = |keys| place(&table(keys)).unwrap();
    assert_eq!(
        of(json!({"prefix": "a"})),
        of(json!({"prefix": "/a/", "region": "eu-central-1"}))
    );
    assert_ne!(of(json!({"prefix": "a"})), of(json!({"prefix": "b"})));
    assert_eq!(
        of(json!({"endpoint": "https://S3.example.com/"})),
        of(json!({"endpoint": "https://s3.example.com", "storage-class": "glacier"}))
    );
    assert_ne!(
        of(json!({})),
        of(json!({"endpoint": "https://s3.example.com"}))
    );
}
