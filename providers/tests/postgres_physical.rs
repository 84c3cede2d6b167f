//! Base backups of real servers: what is captured starts again, what is damaged is found, what was cut never becomes a point.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

mod support {
    pub mod points;
    pub mod postgres;
}

use mainstay_providers::api::{CaptureRequest, Check, Engine, ParentPoint, Result};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use support::{
    points::{Point, engine, engine_of, failed, physical, take},
    postgres::{PASSWORD, Server, bin_folder, bin_folder_18},
};

const SUM: &str = "SELECT count(*) || ' ' || sum(hashtext(id || v)::bigint) FROM t";

fn fill(server: &Server) -> String {
    server.psql(
        "postgres",
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 100000) g",
    );
    server.psql("postgres", SUM)
}

/// An engine that takes its programs from the server's own folder.
fn engine_for(server: &Server) -> Arc<dyn Engine> {
    engine_of(&json!({ "url": server.url("postgres"), "bin-dir": server.bin }))
}

async fn full(engine: &Arc<dyn Engine>, options: Value) -> Result<Point> {
    let scratch = tempfile::tempdir().unwrap();
    take(engine, physical(options, scratch.path())).await
}

async fn incremental(engine: &Arc<dyn Engine>, parent: &Point) -> Result<Point> {
    let scratch = tempfile::tempdir().unwrap();
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), object(parent, "backup-manifest")).unwrap();
    let request = CaptureRequest {
        parent: Some(ParentPoint {
            manifest: parent.manifest.clone(),
            files: BTreeMap::from([("backup-manifest".to_owned(), list.path().to_owned())]),
        }),
        ..physical(json!({}), scratch.path())
    };
    take(engine, request).await
}

fn object<'a>(point: &'a Point, role: &str) -> &'a [u8] {
    let found = point.objects.iter().find(|object| object.0 == role);
    &found.unwrap_or_else(|| panic!("no object `{role}`")).2
}

fn object_mut<'a>(point: &'a mut Point, role: &str) -> &'a mut Vec<u8> {
    let found = point.objects.iter_mut().find(|object| object.0 == role);
    &mut found.unwrap().2
}

fn untar(bytes: &[u8], folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut tar = Command::new("tar");
    let mut tar = tar
        .args(["-x", "-f", "-", "-C"])
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(tar.wait().unwrap().success());
}

fn shown(checks: &[Check]) -> String {
    let lines = checks.iter().map(|check| {
        let verdict = if check.passed { "ok" } else { "FAILED" };
        format!("{verdict}: {} ({})", check.what, check.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn passes(engine: &Arc<dyn Engine>, point: &Point) {
    let checks = point.read_through(engine).await.unwrap();
    assert!(failed(&checks).is_empty(), "{}", shown(&checks));
    assert!(checks.len() >= 5, "{}", shown(&checks));
}

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

#[tokio::test]
async fn tablespaces_are_objects_of_their_own() {
    for server in [Server::start(&[]), Server::start_18(&["summarize_wal=on"])] {
        let place = server.folder.join("fast disk");
        Command::new("runuser")
            .args(["-u", "postgres", "--", "mkdir"])
            .arg(&place)
            .status()
            .unwrap();
        let sql = format!("CREATE TABLESPACE fast LOCATION '{}'", place.display());
        server.psql("postgres", &sql);
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

/// Flips a bit in the content of the first file of a tar whose path holds `part` and that is not small.
fn flip_in(tar: &mut [u8], part: &str) -> String {
    let mut archive = tar::Archive::new(&tar[..]);
    let found = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find_map(|entry| {
            let path = entry.path().unwrap().display().to_string();
            let place = usize::try_from(entry.raw_file_position()).unwrap();
            (path.contains(part) && entry.size() >= 8192).then_some((path, place))
        });
    let (path, place) = found.unwrap();
    tar[place + 4711] ^= 0x10;
    path
}

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

#[tokio::test]
async fn a_killed_program_is_no_point_and_leaves_nothing() {
    let server = Server::start(&[]);
    fill(&server);
    let engine = engine_for(&server);
    let scratch = tempfile::tempdir().unwrap();
    let mut capture = engine
        .capture(physical(json!({ "max-rate": "1MiB/s" }), scratch.path()))
        .await
        .unwrap();
    let mut object = capture.next_object().await.unwrap().unwrap();
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
    wait_for(|| programs_of(&server).is_empty().then_some(())).await;
    assert_eq!(
        server.psql("postgres", "SELECT count(*) FROM pg_replication_slots"),
        "0"
    );
}

#[tokio::test]
async fn a_dropped_capture_kills_its_program() {
    let server = Server::start(&[]);
    fill(&server);
    let engine = engine_for(&server);
    let scratch = tempfile::tempdir().unwrap();
    let mut capture = engine
        .capture(physical(json!({ "max-rate": "1MiB/s" }), scratch.path()))
        .await
        .unwrap();
    let mut object = capture.next_object().await.unwrap().unwrap();
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
    wait_for(|| programs_of(&server).is_empty().then_some(())).await;
    assert_eq!(
        server.psql("postgres", "SELECT count(*) FROM pg_replication_slots"),
        "0"
    );
}

async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come in two minutes");
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
