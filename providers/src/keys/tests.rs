//! Tables of keys as people write them: what is found wrong, and what the schema says of every kind.

use crate::registry;
use serde_json::{Value, json};
use std::{fmt::Write as _, path::Path};

fn findings(kind: &str, table: &Value) -> String {
    let entry = registry::keys()
        .into_iter()
        .find(|entry| entry.kind == kind)
        .unwrap();
    let mut said = String::new();
    for found in (entry.check)(table, Path::new("/policy")) {
        let place = found.path.join(".");
        writeln!(
            said,
            "  {:?} {} at {place}: {}; {}",
            found.severity,
            found.code,
            found.message,
            found.help.unwrap()
        )
        .unwrap();
    }
    said
}

#[test]
fn what_is_wrong_in_the_table_of_a_key_is_said_at_its_place() {
    let tables = [
        ("local", json!({"path": ""})),
        ("local", json!({"path": "~/prod.key", "passphrase": {}})),
        (
            "local",
            json!({"path": "a.key", "previous": ["b.key", "a.key", " "], "passphrase": {"env": "A", "file": "b"}}),
        ),
        (
            "certificate",
            json!({"path": " ", "private-key": {"env": "A", "command": ["b"]}}),
        ),
        (
            "aws-kms",
            json!({"key-id": "alias/my key", "endpoint": "kms.example.com"}),
        ),
        (
            "aws-kms",
            json!({"key-id": "", "previous": ["alias/old", "arn:aws:kms:eu-central-1:1:alias/x", "good"]}),
        ),
        (
            "aws-kms",
            json!({"key-id": "alias/x", "encryption-context": {"mainstay:file": "x", "aws:y": "z", "team": "t"}}),
        ),
        (
            "aws-kms",
            json!({"key-id": "alias/x", "profile": "p", "endpoint": "http://10.1.2.3", "credentials": {"access-key-id": {}}}),
        ),
    ];
    let mut said = String::new();
    for (kind, table) in &tables {
        write!(said, "{kind} {table}\n{}", findings(kind, table)).unwrap();
    }
    insta::assert_snapshot!(said);
}

#[test]
fn good_tables_have_no_findings_and_are_built_without_looking() {
    let tables = [
        (
            "local",
            json!({"path": "keys/prod.key", "passphrase": {"env": "P"}, "previous": ["keys/old.key"]}),
        ),
        (
            "certificate",
            json!({"path": "keys/recovery.pem", "private-key": {"command": ["pass", "recovery"]}}),
        ),
        (
            "aws-kms",
            json!({
                "key-id": "alias/example-prod", "region": "eu-central-1", "profile": "backup",
                "encryption-context": {"team": "x"}, "previous": ["1234abcd-12ab-34cd-56ef-1234567890ab"],
            }),
        ),
        (
            "aws-kms",
            json!({
                "key-id": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", "endpoint": "https://kms.example.com",
                "credentials": {"access-key-id": {"env": "A"}, "secret-access-key": {"file": "s"}, "session-token": {"command": ["t"]}},
            }),
        ),
    ];
    let name = model::KeyName::new("prod").unwrap();
    for (kind, table) in &tables {
        assert_eq!(findings(kind, table), "", "{table}");
        let key = registry::key(&name, kind, table, Path::new("/nowhere")).unwrap();
        assert_eq!(key.kind(), *kind);
    }
}

#[test]
fn unknown_keys_of_a_table_are_refused_by_schema_and_reader_alike() {
    let name = model::KeyName::new("prod").unwrap();
    for (kind, mut table) in [
        ("local", json!({"path": "a"})),
        ("certificate", json!({"path": "a"})),
        ("aws-kms", json!({"key-id": "a"})),
    ] {
        let entry = registry::keys()
            .into_iter()
            .find(|entry| entry.kind == kind)
            .unwrap();
        assert_eq!(
            entry.schema["additionalProperties"], false,
            "{kind}: {}",
            entry.schema
        );
        table["colour"] = json!("red");
        let error = registry::key(&name, kind, &table, Path::new("/")).unwrap_err();
        assert_eq!(error.code, "mainstay::key::config");
    }
}

#[test]
fn two_names_of_one_key_are_the_same_place() {
    let place = |kind: &str, table: &Value| {
        let entry = registry::keys()
            .into_iter()
            .find(|entry| entry.kind == kind)
            .unwrap();
        (entry.place)(table, Path::new("/policy")).unwrap()
    };
    let file = |path: &str| place("local", &json!({ "path": path }));
    assert_eq!(file("keys/a.key"), file("/policy/keys/a.key"));
    assert_ne!(file("keys/a.key"), file("keys/b.key"));
    let kms = |region: &str, id: &str| place("aws-kms", &json!({"region": region, "key-id": id}));
    assert_ne!(kms("eu-central-1", "alias/x"), kms("eu-west-1", "alias/x"));
    let arn = "arn:aws:kms:eu-central-1:1:key/x";
    assert_eq!(kms("eu-central-1", arn), kms("eu-west-1", arn));
}
