//! What can go wrong while a database is captured: nothing of it may pass for a backup, and nothing may leak a secret.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod support {
    pub mod points;
    pub mod postgres;
}

use mainstay_providers::api::{CaptureObject, Result};
use serde_json::json;
use std::{collections::BTreeSet, io::Read, os::unix::fs::PermissionsExt, time::Duration};
use support::{
    points::{capture, engine, engine_of, request},
    postgres::{PASSWORD, Server, shared},
};

fn large_database(server: &Server) -> String {
    let database = server.create_database("large");
    server.psql(&database, "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS x FROM generate_series(1, 60000) n");
    database
}

#[tokio::test]
async fn errors_of_a_connection_name_what_an_operator_must_do() {
    let server = shared();
    let database = server.create_database("connection");
    let stopped = Server::start(&[]);
    stopped.crash();
    let mut lines = Vec::new();
    for (title, url) in [
        (
            "wrong password",
            server.tcp_url("postgres", "wr0ng-s3cret", &database),
        ),
        (
            "no such user",
            server.tcp_url("nobody", "wr0ng-s3cret", &database),
        ),
        (
            "no password",
            format!("postgresql://postgres@127.0.0.1:{}/{database}", server.port),
        ),
        ("no such database", server.url("nowhere")),
        (
            "server down",
            stopped.tcp_url("postgres", "wr0ng-s3cret", "x"),
        ),
        ("socket gone", stopped.url("x")),
        (
            "no such host",
            "postgresql://postgres@no-such-host.invalid/x".to_owned(),
        ),
        (
            "several hosts",
            "postgresql://u:wr0ng-s3cret@a,b/x".to_owned(),
        ),
    ] {
        let error = engine(&url).probe().await.unwrap_err();
        let all = format!("{error:?}");
        assert!(!all.contains("wr0ng-s3cret"), "{all}");
        let ports = [(server.port, "PORT"), (stopped.port, "PORT")];
        let text = ports.iter().fold(
            format!(
                "{title}: {} ({:?})\n  {error}\n  {}",
                error.code,
                error.disposition,
                error.help.clone().unwrap_or_default()
            ),
            |text, (port, name)| text.replace(&port.to_string(), name),
        );
        let text = text
            .replace(stopped.folder.to_str().unwrap(), "FOLDER")
            .replace(server.folder.to_str().unwrap(), "FOLDER")
            .replace(&database, "DATABASE");
        lines.push(text);
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
        wrong password: mainstay::postgres::authentication (NeedsOperator)
          `127.0.0.1:PORT` does not let user `postgres` in: the password was refused
          correct the password where the URL's reference, PGPASSWORD or ~/.pgpass has it, or the server's pg_hba.conf
        no such user: mainstay::postgres::authentication (NeedsOperator)
          `127.0.0.1:PORT` does not let user `nobody` in: the password was refused
          correct the password where the URL's reference, PGPASSWORD or ~/.pgpass has it, or the server's pg_hba.conf
        no password: mainstay::postgres::authentication (NeedsOperator)
          `127.0.0.1:PORT` does not let user `postgres` in: no password is known
          correct the password where the URL's reference, PGPASSWORD or ~/.pgpass has it, or the server's pg_hba.conf
        no such database: mainstay::postgres::database-missing (NeedsOperator)
          there is no database `nowhere` on `FOLDER:PORT`
          list the databases: psql -h FOLDER -p PORT -U postgres -l
        server down: mainstay::postgres::unreachable (Retry)
          cannot reach the PostgreSQL server at `127.0.0.1:PORT`
          check that it runs and answers: pg_isready -h 127.0.0.1 -p PORT
        socket gone: mainstay::postgres::unreachable (Retry)
          cannot reach the PostgreSQL server at `FOLDER:PORT`
          check that it runs and answers: pg_isready -h FOLDER -p PORT
        no such host: mainstay::postgres::unreachable (Retry)
          cannot reach the PostgreSQL server at `no-such-host.invalid:5432`
          check that it runs and answers: pg_isready -h no-such-host.invalid -p 5432
        several hosts: mainstay::postgres::url (NeedsOperator)
          cannot use the database's URL: the URL names more than one host
          name the one server that shall be backed up; declare a database for each of several
        "#);
}

fn fake_programs(version: &str, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pg_dump", "pg_restore", "pg_dumpall", "psql"] {
        let path = folder.path().join(name);
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo \"{name} (PostgreSQL) {version}\"; exit 0; fi\n{script}\n"
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[tokio::test]
async fn programs_older_than_the_server_are_refused_with_what_was_found() {
    let server = shared();
    let database = server.create_database("old");
    let old = fake_programs("11.3", "exit 1");
    let engine = engine_of(&json!({ "url": server.url(&database), "bin-dir": old.path() }));
    let error = capture(&engine, json!({})).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::programs-missing");
    assert!(error.message.contains("found: 11.3 in"), "{error}");
    let point = capture(&support::points::engine(&server.url(&database)), json!({}))
        .await
        .unwrap();
    let error = point.read_through(&engine).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::programs-missing");
    assert_eq!(
        point.restore("y").run(&engine).await.unwrap_err().code,
        "mainstay::postgres::programs-missing"
    );
}

#[tokio::test]
async fn a_dump_that_lies_is_found_out() {
    let server = shared();
    let database = server.create_database("liar");
    for (script, format) in [
        ("echo '-- a plain dump that stops'; exit 0", "plain"),
        ("echo data; exit 1", "custom"),
        ("echo data; kill -9 $$", "custom"),
        ("exit 3", "directory"),
    ] {
        let fake = fake_programs("15.99", script);
        let engine = engine_of(&json!({ "url": server.url(&database), "bin-dir": fake.path() }));
        let error = capture(&engine, json!({ "format": format }))
            .await
            .unwrap_err();
        assert!(
            error.code.starts_with("mainstay::postgres::dump-"),
            "{script}: {error:?}"
        );
    }
}

fn read_some(object: &mut CaptureObject, bytes: usize) {
    object.stream.read_exact(&mut vec![0; bytes]).unwrap();
}

fn read_rest(mut object: CaptureObject) {
    std::io::copy(&mut object.stream, &mut std::io::sink()).unwrap();
}

/// Starts a capture, reads a part, lets `strike` happen, reads the rest and gives the end.
async fn struck(server: &Server, format: &str, strike: impl AsyncFnOnce(&str)) -> Result<()> {
    let database = large_database(server);
    let engine = engine(&server.tcp_url("postgres", PASSWORD, &database));
    let scratch = tempfile::tempdir().unwrap();
    let mut capture = engine
        .capture(request(json!({ "format": format }), scratch.path()))
        .await?;
    let mut object = capture.next_object().await?.unwrap();
    read_some(&mut object, 100_000);
    strike(&database).await;
    let reading = tokio::task::spawn_blocking(move || read_rest(object));
    reading.await.unwrap();
    assert!(capture.next_object().await.is_err() || capture.finish().await.is_err());
    Ok(())
}

fn children(program: &str, database: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let name = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        if name == program
            && String::from_utf8_lossy(&read("environ")).contains(&format!("PGDATABASE={database}"))
        {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn a_killed_pg_dump_is_never_a_backup() {
    for format in ["custom", "plain"] {
        struck(shared(), format, async |database| {
            for pid in children("pg_dump", database) {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_backend_that_is_terminated_is_never_a_backup() {
    for format in ["custom", "plain"] {
        struck(shared(), format, async |database| {
            let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'COPY%'");
            assert_eq!(shared().psql("postgres", &sql), "t");
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_lost_snapshot_is_never_a_backup_even_if_the_dump_ended_well() {
    struck(shared(), "custom", async |database| {
        let sql = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND query NOT LIKE 'COPY%'");
        assert_eq!(shared().psql("postgres", &sql), "1");
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_server_that_crashes_is_never_a_backup() {
    let server = Server::start(&[]);
    struck(&server, "custom", async |_| server.crash())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_capture_kills_its_programs_and_ends_its_transaction() {
    let server = shared();
    let database = large_database(server);
    let engine = engine(&server.url(&database));
    let scratch = tempfile::tempdir().unwrap();
    let mut capture = engine
        .capture(request(json!({}), scratch.path()))
        .await
        .unwrap();
    let mut object = capture.next_object().await.unwrap().unwrap();
    read_some(&mut object, 1000);
    assert_eq!(children("pg_dump", &database).len(), 1);
    drop(capture);
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    for _ in 0..500 {
        if children("pg_dump", &database).is_empty() && server.psql("postgres", &sql) == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something of the capture lives on");
}

#[tokio::test]
async fn a_table_that_may_not_be_read_fails_with_the_grant_that_is_missing() {
    let server = shared();
    let database = server.create_database("grants");
    server.psql(
        &database,
        "CREATE TABLE closed (a int); CREATE ROLE reader LOGIN PASSWORD 'x'",
    );
    let engine = engine(&server.tcp_url("reader", "x", &database));
    let error = capture(&engine, json!({})).await.unwrap_err();
    assert!(
        error
            .help
            .as_ref()
            .unwrap()
            .contains("GRANT pg_read_all_data"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_standby_is_captured_without_its_unlogged_rows() {
    let primary = Server::start(&[]);
    let database = primary.create_database("primary");
    primary.psql(
        &database,
        "CREATE TABLE t AS SELECT 1 AS a; CREATE UNLOGGED TABLE u AS SELECT 1 AS a",
    );
    let standby = primary.standby();
    let engine = engine(&standby.url(&database));
    for format in ["custom", "plain", "directory"] {
        let point = capture(&engine, json!({ "format": format })).await.unwrap();
        assert_eq!(point.manifest.source["role"], "standby");
        let tables: Vec<_> = point.manifest.expectations.tables.keys().collect();
        assert_eq!(tables, ["public.t"]);
        let checks = point.read_through(&engine).await.unwrap();
        assert!(checks.iter().all(|check| check.passed), "{checks:?}");
        let target = format!("{database}_{format}");
        point
            .restore(&primary.url(&target))
            .run(&engine)
            .await
            .unwrap();
        assert_eq!(primary.psql(&target, "SELECT count(*) FROM t"), "1");
        assert_eq!(primary.psql(&target, "SELECT count(*) FROM u"), "0");
        // The standby itself can take no scratch database, and says so.
        let error = point.scratch().run(&engine).await.unwrap_err();
        assert_eq!(error.code, "mainstay::restore::cannot-create");
    }
}

#[tokio::test]
async fn no_secret_stands_in_any_programs_arguments() {
    let server = shared();
    let database = large_database(server);
    let url = server.tcp_url("postgres", PASSWORD, &database);
    let engine = engine(&url);
    let watching = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let on = std::sync::Arc::clone(&watching);
    let watcher = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while on.load(std::sync::atomic::Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                assert!(!line.contains(PASSWORD), "{line}");
                if let Some(name) = line
                    .split('\0')
                    .next()
                    .and_then(|path| path.rsplit('/').next())
                {
                    seen.insert(name.to_owned());
                }
            }
            // Looking without a pause would take a core from the programs that are looked at.
            std::thread::sleep(Duration::from_millis(2));
        }
        seen
    });
    for format in ["custom", "plain", "directory"] {
        let point = capture(&engine, json!({ "format": format, "globals": true }))
            .await
            .unwrap();
        point.read_through(&engine).await.unwrap();
        let target = server.tcp_url("postgres", PASSWORD, &format!("{database}_{format}"));
        point.restore(&target).run(&engine).await.unwrap();
        point.scratch().run(&engine).await.unwrap();
    }
    watching.store(false, std::sync::atomic::Ordering::Relaxed);
    let seen = watcher.join().unwrap();
    for name in ["pg_dump", "pg_restore", "psql", "pg_dumpall"] {
        assert!(seen.contains(name), "{name} was not seen at work: {seen:?}");
    }
}
