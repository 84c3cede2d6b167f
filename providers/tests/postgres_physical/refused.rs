//! What is damaged is found with its name, and what is missing at the source is said.

use crate::{
    cluster::{engine_for, fill, flip_in, full, object, object_mut, passes, shown},
    support::{
        points::{engine, failed},
        postgres::{PASSWORD, Server, bin_folder, bin_folder_18},
    },
};
use mainstay_providers::api::Check;
use serde_json::json;
use std::io::Write;

#[tokio::test]
async fn damage_is_found_with_the_name_of_the_file() {
    let server = Server::start(&[]);
    fill(&server);
    let engine = engine_for(&server);
    let point = full(&engine, json!({})).await.unwrap();
    let names = |checks: &[Check]| shown(&failed(checks).into_iter().cloned().collect::<Vec<_>>());

    let mut flipped = point.clone();
    let path = flip_in(object_mut(&mut flipped, "data"), "base/5/");
    let said = names(&flipped.read_through(&engine).await.unwrap());
    assert!(
        said.contains(&format!("file {path} (its checksum does not agree")),
        "{said}"
    );

    let mut cut = point.clone();
    let data = object_mut(&mut cut, "data");
    data.truncate(data.len() / 2 / 512 * 512);
    let said = names(&cut.read_through(&engine).await.unwrap());
    assert!(
        said.contains("the tar of `data` is whole (the tar ends at byte"),
        "{said}"
    );
    assert!(said.contains("no file is missing"), "{said}");

    let mut list = point.clone();
    let bytes = object_mut(&mut list, "backup-manifest");
    let place = bytes.windows(9).position(|w| w == b"\"Size\": 8").unwrap();
    bytes[place + 8] = b'9';
    let said = names(&list.read_through(&engine).await.unwrap());
    assert!(
        said.contains("the list of files is whole (its own checksum does not fit)"),
        "{said}"
    );

    let other = Server::start(&[]);
    let foreign = full(&engine_for(&other), json!({})).await.unwrap();
    let mut mixed = point.clone();
    *object_mut(&mut mixed, "data") = object(&foreign, "data").to_vec();
    let said = names(&mixed.read_through(&engine).await.unwrap());
    assert!(
        said.contains("file backup_label (its checksum does not agree"),
        "{said}"
    );

    let mut without = point.clone();
    without.objects.pop();
    assert_eq!(
        without.read_through(&engine).await.unwrap_err().code,
        "mainstay::postgres::damaged"
    );

    let mut more = point.clone();
    let data = object_mut(&mut more, "data");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    builder
        .append_data(&mut header, "base/5/evil", &b"abc"[..])
        .unwrap();
    *data = [builder.into_inner().unwrap()[..1024].to_vec(), data.clone()].concat();
    let said = names(&more.read_through(&engine).await.unwrap());
    assert!(
        said.contains("file base/5/evil (it is not in the list)"),
        "{said}"
    );
}

#[tokio::test]
async fn a_bad_page_fails_the_capture_and_is_counted() {
    for bin in [bin_folder(), bin_folder_18()] {
        let server = Server::start_checksummed(bin);
        fill(&server);
        server.psql("postgres", "CHECKPOINT");
        let file = server.psql("postgres", "SELECT pg_relation_filepath('t')");
        let path = server.data().join(&file);
        let mut bytes = std::fs::read(&path).unwrap();
        for page in [3, 5] {
            bytes[page * 8192 + 1000] ^= 1;
        }
        // In place: another inode would not be the one that the server has open.
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all(&bytes)
            .unwrap();
        let error = full(&engine_for(&server), json!({})).await.unwrap_err();
        assert_eq!(error.code, "mainstay::postgres::bad-pages", "{error:?}");
        assert!(error.message.contains("2 found"), "{error}");
    }
}

#[tokio::test]
async fn rights_and_settings_that_are_missing_are_named() {
    let server = Server::start(&[]);
    server.psql(
        "postgres",
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk-s3cret'",
    );
    server.psql(
        "postgres",
        "CREATE ROLE backup LOGIN REPLICATION PASSWORD 'backup-s3cret'",
    );
    let mut lines = Vec::new();
    let mut refused = async |title: &str, server: &Server, url: String| {
        let error = full(&engine(&url), json!({})).await.unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"));
        let text = format!(
            "{title}: {} ({:?})\n  {error}\n  {}",
            error.code,
            error.disposition,
            error.help.clone().unwrap_or_default()
        );
        let text = text.replace(server.folder.to_str().unwrap(), "FOLDER");
        lines.push(text.replace(&server.port.to_string(), "PORT"));
    };
    let url = server.tcp_url("clerk", "clerk-s3cret", "postgres");
    refused("no REPLICATION", &server, url).await;
    let hba = server.data().join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba).unwrap();
    let without: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("replication"))
        .collect();
    std::fs::write(&hba, without.join("\n") + "\n").unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");
    let url = server.tcp_url("backup", "backup-s3cret", "postgres");
    refused("no line in pg_hba.conf", &server, url).await;
    let closed = Server::start(&["max_wal_senders=0"]);
    refused("max_wal_senders = 0", &closed, closed.url("postgres")).await;
    insta::assert_snapshot!(lines.join("\n"));
    std::fs::write(&hba, text).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");
    let url = server.tcp_url("backup", "backup-s3cret", "postgres");
    let point = full(&engine(&url), json!({})).await.unwrap();
    passes(&engine(&url), &point).await;
    assert_ne!(PASSWORD, "backup-s3cret");
}
