//! What is captured, of primaries and standbys, starts again with its rows.

use crate::{
    cluster::{
        SUM, engine_for, fill, flip_in, full, incremental, object, object_mut, passes, shown,
        untar, wait_for,
    },
    support::{
        points::{failed, physical, take},
        postgres::{Server, bin_folder_18},
    },
};
use mainstay_providers::api::CaptureRequest;
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn a_captured_cluster_starts_again_with_its_rows() {
    for server in [Server::start(&[]), Server::start_18(&[])] {
        let sum = fill(&server);
        let engine = engine_for(&server);
        let before = server.psql("postgres", "SELECT now()");
        let point = full(&engine, json!({ "max-rate": "900MiB/s" }))
            .await
            .unwrap();
        passes(&engine, &point).await;
        let roles: Vec<_> = point.objects.iter().map(|o| (&o.0[..], &o.1[..])).collect();
        assert_eq!(
            roles,
            [
                ("data", "pg-base-tar"),
                ("backup-manifest", "pg-backup-manifest")
            ]
        );
        let span = point.manifest.wal.unwrap();
        assert!(span.included && span.start < span.end);
        let id = server.psql(
            "postgres",
            "SELECT system_identifier FROM pg_control_system()",
        );
        assert_eq!(span.system_identifier.to_string(), id);
        assert_eq!((span.timeline, span.segment_bytes), (1, 16 << 20));
        let facts = &point.manifest.source;
        assert_eq!(facts["system_identifier"], id);
        assert_eq!(facts["role"], "primary");
        assert!(facts["databases"].contains("\"postgres\":"), "{facts:?}");
        assert!(!facts.contains_key("tablespaces") && !facts.contains_key("incremental"));
        assert!(point.manifest.expectations.tables.is_empty());
        let at = point.manifest.captured_at.to_string();
        let later = format!(
            "SELECT timestamptz '{at}' >= timestamptz '{before}' AND timestamptz '{at}' <= now()"
        );
        assert_eq!(server.psql("postgres", &later), "t");
        let copy = Server::start_on(server.bin.clone(), &[], |data| {
            untar(object(&point, "data"), data);
        });
        assert_eq!(copy.psql("postgres", SUM), sum);
    }
}

#[tokio::test]
async fn tablespaces_are_objects_of_their_own() {
    for server in [Server::start(&[]), Server::start_18(&["summarize_wal=on"])] {
        let place = server.tablespace("fast disk");
        server.psql(
            "postgres",
            "CREATE TABLE s TABLESPACE fast AS SELECT generate_series(1, 50000) AS n",
        );
        let sum = fill(&server);
        let engine = engine_for(&server);
        let point = full(&engine, json!({ "checkpoint": "fast" }))
            .await
            .unwrap();
        passes(&engine, &point).await;
        let spaces: Value = serde_json::from_str(&point.manifest.source["tablespaces"]).unwrap();
        let oid = spaces[0]["oid"].as_u64().unwrap();
        assert_eq!(spaces[0]["name"], "fast");
        assert_eq!(spaces[0]["location"], place.to_str().unwrap());
        let roles: Vec<_> = point
            .objects
            .iter()
            .map(|object| object.0.clone())
            .collect();
        assert_eq!(
            roles,
            ["data", &format!("tablespace-{oid}"), "backup-manifest"]
        );
        let mut damaged = point.clone();
        let role = format!("tablespace-{oid}");
        flip_in(object_mut(&mut damaged, &role), "PG_");
        let checks = damaged.read_through(&engine).await.unwrap();
        let first = failed(&checks)[0];
        assert!(
            first.what.starts_with(&format!("file pg_tblspc/{oid}/PG_")),
            "{first:?}"
        );
        let mut without = point.clone();
        without.objects.retain(|object| object.0 != role);
        let checks = without.read_through(&engine).await.unwrap();
        assert!(shown(&checks).contains("FAILED: the tar of tablespace `fast` is there"));
        assert!(shown(&checks).contains("FAILED: no file is missing"));
        let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
        let copy = Server::start_on(server.bin.clone(), &[], |data| {
            untar(object(&point, "data"), data);
            untar(object(&point, &role), elsewhere.path());
            // What a restore does: the map says where each link of pg_tblspc leads.
            std::fs::write(
                data.join("tablespace_map"),
                format!("{oid} {}\n", elsewhere.path().display()),
            )
            .unwrap();
            let link = data.join(format!("pg_tblspc/{oid}"));
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
            assert!(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(elsewhere.path())
                    .status()
                    .unwrap()
                    .success()
            );
        });
        assert_eq!(copy.psql("postgres", SUM), sum);
        assert_eq!(copy.psql("postgres", "SELECT count(*) FROM s"), "50000");
        drop(copy);
        if server.bin == bin_folder_18() {
            server.psql("postgres", "DELETE FROM s WHERE n = 1");
            let small = incremental(&engine, &point).await.unwrap();
            passes(&engine, &small).await;
        }
    }
}

#[tokio::test]
async fn the_log_is_left_out_where_it_is_archived() {
    let server = Server::start(&[]);
    let engine = engine_for(&server);
    let scratch = tempfile::tempdir().unwrap();
    let request = CaptureRequest {
        wal_is_archived: true,
        ..physical(json!({}), scratch.path())
    };
    let point = take(&engine, request).await.unwrap();
    passes(&engine, &point).await;
    assert!(!point.manifest.wal.unwrap().included);
    let data = object(&point, "data");
    let names: Vec<String> = tar::Archive::new(data)
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(
        !names.iter().any(|name| name.starts_with("pg_wal/0")),
        "{names:?}"
    );
    let mut promised = point.clone();
    promised.manifest.wal.as_mut().unwrap().included = true;
    let checks = promised.read_through(&engine).await.unwrap();
    assert!(shown(&checks).contains("FAILED: the log that it needs is in it"));
}

#[tokio::test]
async fn a_server_that_cannot_archive_is_not_waited_for() {
    let server = Server::start(&["archive_mode=on", "archive_command=/bin/false"]);
    server.psql("postgres", "SELECT pg_switch_wal()");
    let failures = "SELECT failed_count > 0 FROM pg_stat_archiver";
    wait_for(|| (server.psql("postgres", failures) == "t").then_some(())).await;
    let engine = engine_for(&server);
    let scratch = tempfile::tempdir().unwrap();
    let archived = |wal_is_archived| CaptureRequest {
        wal_is_archived,
        ..physical(json!({}), scratch.path())
    };
    let error = take(&engine, archived(true)).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::archiving-fails");
    assert!(
        error.message.contains("`000000010000000000000001`"),
        "{error}"
    );
    let point = take(&engine, archived(false)).await.unwrap();
    passes(&engine, &point).await;
}

#[tokio::test]
async fn a_standby_is_a_source_too() {
    let primary = Server::start(&["full_page_writes=on"]);
    let sum = fill(&primary);
    let standby = primary.standby();
    primary.psql("postgres", "CHECKPOINT");
    let written = primary.psql("postgres", "SELECT pg_current_wal_lsn()");
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    wait_for(|| (standby.psql("postgres", &replayed) == "t").then_some(())).await;
    let engine = engine_for(&standby);
    let point = full(&engine, json!({})).await.unwrap();
    passes(&engine, &point).await;
    assert_eq!(point.manifest.source["role"], "standby");
    let copy = Server::start_on(standby.bin.clone(), &[], |data| {
        untar(object(&point, "data"), data);
        let _ = std::fs::remove_file(data.join("standby.signal"));
        std::fs::write(data.join("postgresql.auto.conf"), "").unwrap();
    });
    assert_eq!(copy.psql("postgres", SUM), sum);
}
