//! Captures that are cut: by a kill, by nobody who reads on, by a program that lies about its end.

use crate::{
    cluster::{engine_for, fill, full, wait_for},
    support::{
        points::{engine_of, physical},
        postgres::Server,
    },
};
use mainstay_providers::api::{Capture, CaptureObject};
use serde_json::json;
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

fn programs_of(server: &Server) -> Vec<String> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'";
    let list = server.psql("postgres", sql);
    list.lines().map(str::to_owned).collect()
}

/// The process of `pg_basebackup` that copies this server.
fn client_of(server: &Server) -> Option<u32> {
    let wanted = format!("PGHOST={}\0", server.folder.display());
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let is_ours = environment
                .windows(wanted.len())
                .any(|part| part == wanted.as_bytes());
            (name.trim() == "pg_basebackup" && is_ours).then_some(pid)
        })
}

/// A capture whose data has begun to come, and would come for long.
async fn begun_slowly(server: &Server, scratch: &Path) -> (Box<dyn Capture>, CaptureObject) {
    fill(server);
    let request = physical(json!({ "max-rate": "1MiB/s" }), scratch);
    let mut capture = engine_for(server).capture(request).await.unwrap();
    let object = capture.next_object().await.unwrap().unwrap();
    (capture, object)
}

async fn leaves_nothing(server: &Server) {
    wait_for(|| programs_of(server).is_empty().then_some(())).await;
    assert_eq!(
        server.psql("postgres", "SELECT count(*) FROM pg_replication_slots"),
        "0"
    );
}

#[tokio::test]
async fn a_killed_program_is_no_point_and_leaves_nothing() {
    let server = Server::start(&[]);
    let scratch = tempfile::tempdir().unwrap();
    let (capture, mut object) = begun_slowly(&server, scratch.path()).await;
    let reading = tokio::task::spawn_blocking(move || {
        std::io::copy(&mut object.stream, &mut std::io::sink())
    });
    let client = wait_for(|| client_of(&server)).await;
    assert!(
        Command::new("kill")
            .args(["-9", &client.to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(
        reading.await.unwrap().is_err(),
        "a cut stream must not look like an end"
    );
    let error = capture.finish().await.unwrap_err();
    assert_eq!(
        error.code, "mainstay::postgres::base-backup-failed",
        "{error:?}"
    );
    leaves_nothing(&server).await;
}

#[tokio::test]
async fn a_dropped_capture_kills_its_program() {
    let server = Server::start(&[]);
    let scratch = tempfile::tempdir().unwrap();
    let (capture, mut object) = begun_slowly(&server, scratch.path()).await;
    object.stream.read_exact(&mut [0; 1000]).unwrap();
    let client = wait_for(|| client_of(&server)).await;
    drop(capture);
    let proc = PathBuf::from(format!("/proc/{client}/environ"));
    wait_for(|| {
        std::fs::read(&proc)
            .is_ok_and(|text| !text.is_empty())
            .then_some(())
            .map_or(Some(()), |()| None)
    })
    .await;
    leaves_nothing(&server).await;
}

#[tokio::test]
async fn a_program_that_lies_about_its_end_is_found_out() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start(&[]);
    let real = server.bin.join("pg_basebackup");
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("pg_basebackup");
    let engine = engine_of(&json!({ "url": server.url("postgres"), "bin-dir": folder.path() }));
    for (filter, said) in [
        ("head -c 1000000", "without its end marker"),
        ("head -c 0", "without its end marker"),
        // Whole as a tar, and without its last member.
        (
            "(mkdir x; tar -x -C x --exclude=backup_manifest; tar -c -C x .)",
            "no `backup_manifest`",
        ),
    ] {
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then exec {real} --version; fi\ncd {}\n{real} \"$@\" | {filter}\nexit 0\n",
            folder.path().display(),
            real = real.display()
        );
        std::fs::write(&fake, script).unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = full(&engine, json!({})).await.unwrap_err();
        assert_eq!(
            error.code, "mainstay::postgres::base-backup-incomplete",
            "{error:?}"
        );
        assert!(error.message.contains(said), "{error}");
    }
}
