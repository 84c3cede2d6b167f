//! Incremental points: small, combined to the newer state, and refused with the reason.

use crate::{
    cluster::{SUM, engine_for, fill, full, incremental, object, passes, untar},
    support::{points::Point, postgres::Server},
};
use serde_json::json;
use std::{path::PathBuf, process::Command};

#[tokio::test]
async fn an_incremental_point_is_small_and_gives_the_newer_state() {
    let server = Server::start_18(&["summarize_wal=on"]);
    let before = fill(&server);
    let engine = engine_for(&server);
    let base = full(&engine, json!({})).await.unwrap();
    server.psql("postgres", "UPDATE t SET v = 'new' WHERE id < 10");
    let first = incremental(&engine, &base).await.unwrap();
    server.psql("postgres", "UPDATE t SET v = 'newer' WHERE id < 5");
    let second = incremental(&engine, &first).await.unwrap();
    let sum = server.psql("postgres", SUM);
    assert_ne!(sum, before);
    for point in [&base, &first, &second] {
        passes(&engine, point).await;
    }
    assert_eq!(first.manifest.source["incremental"], "true");
    let log = 32 << 20;
    let (small, large) = (object(&first, "data").len(), object(&base, "data").len());
    assert!(
        small.saturating_sub(log) < large.saturating_sub(log) / 2,
        "{small} of {large}"
    );
    assert!(
        object(&first, "backup-manifest")
            .windows(12)
            .any(|w| w == b"INCREMENTAL.")
    );
    let copy = Server::start_on(server.bin.clone(), &[], |data| {
        let work = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = [&base, &first, &second]
            .iter()
            .enumerate()
            .map(|(number, point)| {
                let folder = work.path().join(number.to_string());
                untar(object(point, "data"), &folder);
                folder
            })
            .collect();
        let combined = Command::new(server.bin.join("pg_combinebackup"))
            .args(folders)
            .arg("-o")
            .arg(data)
            .output()
            .unwrap();
        assert!(
            combined.status.success(),
            "{}",
            String::from_utf8_lossy(&combined.stderr)
        );
    });
    assert_eq!(copy.psql("postgres", SUM), sum);
}

#[tokio::test]
async fn what_cannot_be_incremental_says_why() {
    let old = Server::start(&[]);
    let off = Server::start_18(&[]);
    let on = Server::start_18(&["summarize_wal=on"]);
    let other = Server::start_18(&["summarize_wal=on"]);
    let code = async |server: &Server, parent: &Point| {
        incremental(&engine_for(server), parent)
            .await
            .unwrap_err()
            .code
    };
    let of_old = full(&engine_for(&old), json!({})).await.unwrap();
    let of_on = full(&engine_for(&on), json!({})).await.unwrap();
    assert_eq!(
        code(&old, &of_old).await,
        "mainstay::postgres::incremental-too-old"
    );
    assert_eq!(
        code(&off, &of_on).await,
        "mainstay::postgres::no-wal-summaries"
    );
    assert_eq!(
        code(&other, &of_on).await,
        "mainstay::postgres::parent-unfit"
    );
    let mut elsewhere = of_on.clone();
    elsewhere.manifest.wal.as_mut().unwrap().timeline = 7;
    assert_eq!(
        code(&on, &elsewhere).await,
        "mainstay::postgres::parent-unfit"
    );
    // The server's own verdict: it has no summaries of the time before they were switched on.
    fill(&off);
    let early = full(&engine_for(&off), json!({})).await.unwrap();
    for _ in 0..3 {
        // The log of that time is gone afterwards, so that nobody can summarize it any more.
        off.psql("postgres", "UPDATE t SET v = v || 'x' WHERE id < 100");
        off.psql("postgres", "SELECT pg_switch_wal()");
        off.psql("postgres", "CHECKPOINT");
    }
    off.psql("postgres", "ALTER SYSTEM SET summarize_wal = on");
    off.psql("postgres", "SELECT pg_reload_conf()");
    let error = incremental(&engine_for(&off), &early).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::parent-unfit", "{error:?}");
}
