//! What a server says of its log, also to a role that may see little: what it may not see is unknown, never nothing.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up shall say why and stop"
)]

#[path = "support/postgres.rs"]
mod postgres;

use mainstay_providers::{api::Engine, registry};
use postgres::Server;
use serde_json::json;
use std::{path::Path, sync::Arc};

fn engine(url: &str) -> Arc<dyn Engine> {
    registry::engine("postgres", &json!({ "url": url }), Path::new("/")).expect("a valid table")
}

async fn poor_and_rich(server: &Server) {
    server.psql(
        "postgres",
        "CREATE ROLE clerk LOGIN PASSWORD 'x'; SELECT pg_create_physical_replication_slot('theirs', true)",
    );
    server.psql("postgres", "CREATE TABLE t (a int); SELECT pg_switch_wal()");
    let rich = engine(&server.url("postgres")).wal_state().await.unwrap();
    assert!(rich.pg_wal.expect("seen").0 > 0);
    assert!(rich.waiting.expect("seen").0 >= 1, "{rich:?}");
    assert!(rich.free.is_some(), "on the same machine");

    let url = server.tcp_url("clerk", "x", "postgres");
    let poor = engine(&url).wal_state().await.unwrap();
    // What it may not see is not said to be empty.
    assert_eq!(
        (poor.pg_wal, poor.waiting, poor.waiting_recently),
        (None, None, 0)
    );
    // Where the log stands everybody may know.
    assert_eq!(poor.source.system_identifier, rich.source.system_identifier);
    assert_eq!((poor.source.timeline, poor.segment_bytes), (1, 16 << 20));
    assert!(poor.source.position >= rich.source.position);
    assert_eq!(poor.slots.len(), 1, "{poor:?}");
    assert_eq!(poor.archive_mode, "on");
    assert!(poor.archive_command_set);

    server.psql("postgres", "GRANT pg_monitor TO clerk");
    let granted = engine(&url).wal_state().await.unwrap();
    assert!(
        granted.pg_wal.is_some() && granted.waiting.is_some(),
        "{granted:?}"
    );

    let standby = server.standby();
    let replica = engine(&standby.tcp_url("clerk", "x", "postgres"));
    let state = replica.wal_state().await.unwrap();
    assert_eq!(state.source.timeline, 1);
    assert_eq!(
        state.source.system_identifier,
        rich.source.system_identifier
    );
    standby.psql("postgres", "SELECT pg_promote()");
    let promoted = replica.wal_state().await.unwrap();
    assert_eq!(promoted.source.timeline, 2, "{promoted:?}");
}

const SETTINGS: &[&str] = &["archive_mode=on", "archive_command=/bin/false"];

#[tokio::test]
async fn a_role_that_may_see_little_is_told_what_everybody_may_know() {
    poor_and_rich(&Server::start(SETTINGS)).await;
}

#[tokio::test]
async fn so_it_is_on_version_18() {
    poor_and_rich(&Server::start_18(SETTINGS)).await;
}
