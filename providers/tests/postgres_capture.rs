//! Capturing, reading through and restoring everything that PostgreSQL can hold, in every format.

mod support {
    pub mod points;
    pub mod postgres;
}

use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use support::{
    points::{capture, engine, engine_of, failed},
    postgres::{PASSWORD, percent, shared},
};

const EVERYTHING: &str = include_str!("support/everything.sql");

fn full_database(prefix: &str) -> String {
    let database = shared().create_database(prefix);
    shared().psql(&database, EVERYTHING);
    database
}

#[tokio::test]
async fn every_format_restores_equal_to_its_source() {
    let server = shared();
    let database = full_database("formats");
    let engine = engine(&server.url(&database));
    for format in ["custom", "plain", "directory"] {
        let point = capture(&engine, json!({ "format": format, "count-rows": "exact" }))
            .await
            .unwrap();
        let tables = &point.manifest.expectations.tables;
        assert_eq!(tables["public.orders"].rows, Some(2000), "{format}");
        assert_eq!(tables["\"My Schema\".\"Tábľe \"\"x\"\" y\""].rows, Some(7));
        assert_eq!(
            tables["public.parent"].rows,
            Some(2),
            "rows of children count for the children"
        );
        assert!(
            !tables.contains_key("public.measurements"),
            "a partitioned table has no rows of its own"
        );
        let checks = point.read_through(&engine).await.unwrap();
        assert!(
            failed(&checks).is_empty(),
            "{format}: {:?}",
            failed(&checks)
        );
        assert!(
            checks.iter().any(
                |check| check.what == "rows of public.orders" && check.detail == "2000 of 2000"
            )
        );
        let target = format!("{database}_from_{format}");
        let restored = point.restore(&target).run(&engine).await.unwrap();
        assert!(
            failed(&restored.checks).is_empty(),
            "{:?}",
            failed(&restored.checks)
        );
        similar(&server.dump(&database), &server.dump(&target));
    }
}

fn similar(one: &str, other: &str) {
    let difference = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    assert_eq!(difference, None);
    assert_eq!(one.len(), other.len());
}

#[tokio::test]
async fn the_content_can_be_definitions_or_rows_alone() {
    let server = shared();
    let database = full_database("content");
    let engine = engine(&server.url(&database));
    for format in ["custom", "plain", "directory"] {
        let definitions = capture(&engine, json!({ "format": format, "content": "schema" }))
            .await
            .unwrap();
        assert!(failed(&definitions.read_through(&engine).await.unwrap()).is_empty());
        let rows = capture(&engine, json!({ "format": format, "content": "data", "exclude-tables": ["orders", "customers"] })).await.unwrap();
        let checks = rows.read_through(&engine).await.unwrap();
        assert!(failed(&checks).is_empty(), "{format} {:?}", failed(&checks));
        let target = format!("{database}_{format}");
        let early = rows.restore(&target).run(&engine).await.unwrap_err();
        assert_eq!(early.code, "mainstay::restore::data-only");
        definitions.restore(&target).run(&engine).await.unwrap();
        assert_eq!(server.psql(&target, "SELECT count(*) FROM orders"), "0");
        let restored = rows.restore(&target).run(&engine).await.unwrap();
        assert!(failed(&restored.checks).is_empty());
        assert_eq!(
            server.psql(&target, "SELECT count(*) FROM measurements"),
            "60"
        );
        let twice = rows.restore(&target).run(&engine).await.unwrap_err();
        assert_eq!(twice.code, "mainstay::restore::target-exists");
    }
}

#[tokio::test]
async fn globals_are_an_object_of_their_own_and_lack_passwords_without_superuser() {
    let server = shared();
    server.psql(
        "postgres",
        "CREATE ROLE \"globals tester\" LOGIN PASSWORD 'unguessable' CREATEDB",
    );
    let database = server.create_database("globals");
    let point = capture(&engine(&server.url(&database)), json!({ "globals": true }))
        .await
        .unwrap();
    assert!(
        point
            .text("globals")
            .contains("CREATE ROLE \"globals tester\"")
    );
    assert!(point.text("globals").contains("SCRAM-SHA-256"));
    assert!(
        failed(
            &point
                .read_through(&engine(&server.url(&database)))
                .await
                .unwrap()
        )
        .is_empty()
    );
    let plain_user = engine(&server.tcp_url("globals tester", "unguessable", &database));
    let point = capture(&plain_user, json!({ "globals": true }))
        .await
        .unwrap();
    assert!(
        point
            .text("globals")
            .contains("CREATE ROLE \"globals tester\"")
    );
    assert!(!point.text("globals").contains("SCRAM-SHA-256"));
}

#[tokio::test]
async fn tables_and_schemas_are_chosen_as_pg_dump_chooses_them() {
    let server = shared();
    let database = full_database("choice");
    let engine = engine(&server.url(&database));
    let options = [
        json!({ "include-tables": ["public.o*", "child"] }),
        json!({ "include-schemas": ["\"My Schema\""] }),
        json!({ "exclude-schemas": ["public"] }),
        json!({ "exclude-tables": ["measurements*", "\"My Schema\".*", "c*"] }),
    ];
    let mut lines = Vec::new();
    for options in options {
        let point = capture(&engine, options.clone()).await.unwrap();
        let checks = point.read_through(&engine).await.unwrap();
        assert!(failed(&checks).is_empty(), "{:?}", failed(&checks));
        let tables: Vec<_> = point.manifest.expectations.tables.keys().cloned().collect();
        lines.push(format!("{options}\n  {}", tables.join(" ")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
        {"include-tables":["public.o*","child"]}
          public.child public.orders
        {"include-schemas":["\"My Schema\""]}
          "My Schema"."Tábľe ""x"" y"
        {"exclude-schemas":["public"]}
          "My Schema"."Tábľe ""x"" y"
        {"exclude-tables":["measurements*","\"My Schema\".*","c*"]}
          public.empty_one public.no_columns public.orders public.parent
        "#);
    let error = capture(&engine, json!({ "include-tables": ["ordres"] }))
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::dump-failed");
    assert!(error.help.unwrap().contains("include-tables"));
}

#[tokio::test]
async fn rows_are_counted_estimated_or_left_alone() {
    let server = shared();
    let database = full_database("counts");
    server.psql(&database, "ANALYZE");
    let engine = engine(&server.url(&database));
    let orders = async |options| {
        let point = capture(&engine, options).await.unwrap();
        let expected = point.manifest.expectations.tables["public.orders"];
        (expected.rows, expected.exact)
    };
    assert_eq!(orders(json!({})).await, (Some(2000), true));
    assert_eq!(
        orders(json!({ "count-exact-below": "1KiB" })).await,
        (Some(2000), false)
    );
    assert_eq!(
        orders(json!({ "count-rows": "estimate" })).await,
        (Some(2000), false)
    );
    assert_eq!(orders(json!({ "count-rows": "off" })).await, (None, false));
}

#[tokio::test]
async fn a_capture_is_one_instant_while_others_write() {
    let server = shared();
    let database = server.create_database("busy");
    server.psql(
        &database,
        "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint, filler text); CREATE TABLE log (id serial, moved bigint); \
         INSERT INTO accounts SELECT n, 1000, repeat('x', 200) FROM generate_series(1, 20000) n",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, name) = (Arc::clone(&stop), database.clone());
    let writer = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let sql = "UPDATE accounts SET balance = balance - 7 WHERE id = (SELECT 1 + (random() * 9999)::int); \
                       UPDATE accounts SET balance = balance + 7 WHERE id = (SELECT 10001 + (random() * 9998)::int); INSERT INTO log (moved) VALUES (7)";
            let script = format!("BEGIN; {sql}; COMMIT;").repeat(20);
            shared().psql(&name, &script);
        }
    });
    let engine = engine(&server.url(&database));
    for format in ["custom", "plain", "directory"] {
        let point = capture(&engine, json!({ "format": format })).await.unwrap();
        let target = format!("{database}_{format}");
        let restored = point.restore(&target).run(&engine).await.unwrap();
        assert!(
            failed(&restored.checks).is_empty(),
            "{:?}",
            failed(&restored.checks)
        );
        let rows = point.manifest.expectations.tables["public.log"]
            .rows
            .unwrap();
        assert_eq!(
            server.psql(&target, "SELECT sum(balance) FROM accounts"),
            "20000000"
        );
        assert_eq!(
            server.psql(&target, "SELECT count(*) FROM log"),
            rows.to_string()
        );
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_ne!(server.psql(&database, "SELECT count(*) FROM log"), "0");
}

#[tokio::test]
async fn the_source_is_described_without_a_secret() {
    let server = shared();
    let database = full_database("facts");
    let url = server.tcp_url("postgres", PASSWORD, &database);
    let engine = engine(&url);
    let found = engine.probe().await.unwrap();
    assert_eq!(found.facts["database"], database);
    assert!(found.facts["server_version"].starts_with("15."));
    assert!(found.facts.contains_key("system_identifier"));
    assert!(found.bytes.unwrap().0 > 1_000_000);
    let point = capture(&engine, json!({})).await.unwrap();
    assert_eq!(
        point.manifest.source["system_identifier"],
        found.facts["system_identifier"]
    );
    assert_eq!(point.manifest.source["roles"], "postgres");
    let clock = server.psql("postgres", "SELECT now() AT TIME ZONE 'UTC'");
    assert!(clock.starts_with(&point.manifest.captured_at.to_string()[..10]));
    for text in [
        format!("{found:?}"),
        format!("{:?}", point.manifest),
        format!("{engine:?}"),
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn odd_names_and_passwords_connect() {
    let server = shared();
    let password = "p@ss:w/rd%? #'\"\\ü";
    server.psql(
        "postgres",
        &format!(
            "CREATE ROLE \"odd @user\" SUPERUSER LOGIN PASSWORD E'{}'",
            password.replace('\\', "\\\\").replace('\'', "''")
        ),
    );
    let database = server.create_database("odd =name's \"x\" \\é");
    server.psql(&database, "CREATE TABLE t AS SELECT 1 AS a");
    let engine = engine(&server.tcp_url("odd @user", password, &database));
    let point = capture(&engine, json!({ "globals": true })).await.unwrap();
    let target = format!("{database} restored");
    point.restore(&target).run(&engine).await.unwrap();
    assert_eq!(server.psql(&target, "SELECT a FROM t"), "1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(
        &file,
        format!("{}\n", server.tcp_url("odd @user", password, &database)),
    )
    .unwrap();
    let engine = engine_of(&json!({ "url": { "file": file } }));
    assert!(engine.probe().await.is_ok());
    let socket = format!(
        "postgres://postgres@{}:{}/{}",
        percent(server.folder.to_str().unwrap()),
        server.port,
        percent(&database)
    );
    assert!(support::points::engine(&socket).probe().await.is_ok());
}

#[tokio::test]
async fn a_server_names_the_databases_that_lie_beside_the_declared_one() {
    let server = shared();
    let (own, other) = (
        server.create_database("declared"),
        server.create_database("forgotten"),
    );
    server.psql("postgres", "CREATE DATABASE mainstay_scratch_20261121_left");
    let found = engine(&server.url(&own)).neighbours().await.unwrap();
    server.psql("postgres", "DROP DATABASE mainstay_scratch_20261121_left");
    let found = found.unwrap();
    assert_eq!(found.own, own);
    assert!(found.databases.contains(&own) && found.databases.contains(&other));
    for left_out in [
        "postgres",
        "template0",
        "template1",
        "mainstay_scratch_20261121_left",
    ] {
        assert!(
            !found.databases.iter().any(|name| name == left_out),
            "{left_out}"
        );
    }
    let beside = engine(&server.url(&other)).neighbours().await.unwrap();
    assert_eq!(beside.unwrap().server, found.server, "one server");
}
