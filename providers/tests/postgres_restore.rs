//! Where a restore may go, what it leaves behind when it fails, and what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod support {
    pub mod points;
    pub mod postgres;
}

use model::{Expect, Period};
use serde_json::json;
use std::sync::Arc;
use support::{
    points::{Point, capture, engine, engine_of, failed, phases},
    postgres::{Server, shared},
};

const EVERYTHING: &str = include_str!("support/everything.sql");

type Engine = Arc<dyn mainstay_providers::api::Engine>;

fn prepared(prefix: &str) -> (&'static Server, String, Engine) {
    let server = shared();
    let database = server.create_database(prefix);
    server.psql(&database, EVERYTHING);
    let engine = engine(&server.url(&database));
    (server, database, engine)
}

fn ours(server: &Server, part: &str) -> Vec<String> {
    let mut names = server.databases();
    names.retain(|name| name.contains(part));
    names
}

#[tokio::test]
async fn an_existing_database_is_refused_and_stays_as_it_is() {
    let (server, database, engine) = prepared("refuse");
    let point = capture(&engine, json!({})).await.unwrap();
    server.psql(&database, "INSERT INTO parent VALUES (99)");
    let before = server.dump(&database);
    let error = point.restore(&database).run(&engine).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::target-exists");
    let error = point
        .restore(&database)
        .table("orders")
        .run(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::restore::target-exists");
    assert_eq!(server.dump(&database), before);
    assert_eq!(ours(server, &database), [database.as_str()]);
}

#[tokio::test]
async fn a_replacement_is_swapped_in_whole_while_clients_reconnect() {
    let (server, database, engine) = prepared("replace");
    server.psql(&database, &format!("ALTER DATABASE \"{database}\" SET work_mem = '7MB'; ALTER DATABASE \"{database}\" SET search_path = public, \"My Schema\""));
    server.psql("postgres", "CREATE ROLE reporting");
    server.psql("postgres", &format!("GRANT CONNECT ON DATABASE \"{database}\" TO reporting; REVOKE ALL ON DATABASE \"{database}\" FROM PUBLIC"));
    let before = server.dump(&database);
    let point = capture(&engine, json!({})).await.unwrap();
    server.psql(
        &database,
        "DROP TABLE orders CASCADE; INSERT INTO parent VALUES (99)",
    );
    let mut client = server
        .program("psql", &database)
        .args(["-c", "SELECT pg_sleep(1000)"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let restored = point
        .restore(&database)
        .replace()
        .run(&engine)
        .await
        .unwrap();
    assert!(
        !client.wait().unwrap().success(),
        "a client of the old database is sent away"
    );
    assert_eq!(
        phases(&restored),
        [
            "prepare",
            "create",
            "load",
            "checks",
            "swap",
            "drop-replaced"
        ]
    );
    assert_eq!(server.dump(&database), before);
    assert_eq!(ours(server, &database), [database.as_str()]);
    assert_eq!(server.psql(&database, "SHOW work_mem"), "7MB");
    assert_eq!(
        server.psql(&database, "SHOW search_path"),
        "public, \"My Schema\""
    );
    let acl = server.psql(
        "postgres",
        &format!("SELECT datacl FROM pg_database WHERE datname = '{database}'"),
    );
    assert!(
        acl.contains("reporting=c/postgres") && !acl.contains("{=") && !acl.contains(",="),
        "{acl}"
    );
}

#[tokio::test]
async fn data_that_does_not_meet_its_expectations_never_replaces_anything() {
    let (server, database, engine) = prepared("checks");
    let mut point = capture(&engine, json!({})).await.unwrap();
    point
        .manifest
        .expectations
        .tables
        .get_mut("public.orders")
        .unwrap()
        .rows = Some(2001);
    let read = point.read_through(&engine).await.unwrap();
    assert_eq!(failed(&read).len(), 1);
    let before = server.dump(&database);
    let error = point
        .restore(&database)
        .replace()
        .run(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::restore::checks-failed");
    assert!(
        error
            .message
            .contains("rows of public.orders: 2000 of 2001"),
        "{error}"
    );
    assert_eq!(server.dump(&database), before);
    let beside = format!("{database}_beside");
    let restored = point.restore(&beside).run(&engine).await.unwrap();
    assert_eq!(
        failed(&restored.checks).len(),
        1,
        "under a new name a doubtful copy is better than none"
    );
    assert_eq!(ours(server, &database).len(), 2);
}

#[tokio::test]
async fn a_scratch_database_is_always_dropped() {
    let (server, _, engine) = prepared("scratch");
    let point = capture(&engine, json!({})).await.unwrap();
    let restored = point
        .scratch()
        .assert("SELECT count(*) FROM orders", Expect::AtLeast(2000))
        .assert(
            "SELECT feels FROM customers LIMIT 1;",
            Expect::Equals("happy".to_owned()),
        )
        .assert(
            "SELECT max(at) FROM orders",
            Expect::NewerThan(Period::parse("1h").unwrap()),
        )
        .assert(
            "SELECT max(at) FROM measurements",
            Expect::NewerThan(Period::parse("1d").unwrap()),
        )
        .assert("SELECT nothing FROM nowhere", Expect::AtLeast(1))
        .assert("DELETE FROM orders RETURNING 1", Expect::AtLeast(1))
        .run(&engine)
        .await
        .unwrap();
    let failed: Vec<_> = failed(&restored.checks)
        .iter()
        .map(|check| format!("{}: {}", check.what, check.detail))
        .collect();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(
        failed[1].contains("relation \"nowhere\" does not exist"),
        "{failed:?}"
    );
    assert!(failed[2].contains("read-only transaction"), "{failed:?}");
    assert!(ours(server, "mainstay_scratch").is_empty());
    let mut damaged: Point = point.clone();
    let half = damaged.objects[0].2.len() / 2;
    damaged.objects[0].2.truncate(half);
    assert!(damaged.scratch().run(&engine).await.is_err());
    assert!(damaged.restore("half").run(&engine).await.is_err());
    assert!(ours(server, "mainstay_").is_empty() && ours(server, "half").is_empty());
}

#[tokio::test]
async fn a_cancelled_restore_leaves_nothing_and_a_killed_ones_rest_is_cleaned() {
    // A server of its own: the cleaning looks at all databases.
    let server = Server::start(&[]);
    let database = server.create_database("cancel");
    server.psql(
        &database,
        "CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 100000) n",
    );
    let engine = engine(&server.url(&database));
    let point = capture(&engine, json!({})).await.unwrap();
    let (copy, theirs) = (point.clone(), Arc::clone(&engine));
    let running = tokio::spawn(async move { copy.scratch().run(&theirs).await });
    until(|| !ours(&server, "mainstay_scratch").is_empty()).await;
    assert!(
        engine.clean_leftovers().await.unwrap().is_empty(),
        "a living restore is left alone"
    );
    running.abort();
    until(|| ours(&server, "mainstay_scratch").is_empty()).await;
    for name in [
        "mainstay_scratch_20260101t000000_abcd",
        "mainstay_new_abcd_orders",
        "mainstay_other",
    ] {
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
    }
    let dropped = engine.clean_leftovers().await.unwrap();
    assert_eq!(dropped.len(), 2, "{dropped:?}");
    assert!(engine.clean_leftovers().await.unwrap().is_empty());
    assert_eq!(ours(&server, "mainstay"), ["mainstay_other"]);
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not happen within 12 s");
}

#[tokio::test]
async fn selected_tables_come_with_all_that_belongs_to_them() {
    let (server, database, engine) = prepared("select");
    for format in ["custom", "directory"] {
        let point = capture(&engine, json!({ "format": format })).await.unwrap();
        let target = server.create_database("select_into");
        server.psql(&target, "CREATE TABLE mine (a int); CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TYPE mood AS ENUM ('sad', 'happy')");
        let restored = point
            .restore(&target)
            .table("orders")
            .schema("My Schema")
            .run(&engine)
            .await
            .unwrap();
        assert!(
            failed(&restored.checks).is_empty(),
            "{:?}",
            failed(&restored.checks)
        );
        assert!(
            restored
                .checks
                .iter()
                .any(|check| check.what.contains("orders_customer_fkey")
                    && check.detail.contains("left out"))
        );
        assert_eq!(server.psql(&target, "SELECT count(*) FROM orders"), "2000");
        assert_eq!(
            server.psql(
                &target,
                "INSERT INTO orders (amount) VALUES (1) RETURNING id"
            ),
            "2001"
        );
        let indexes = "SELECT string_agg(indexname, ' ' ORDER BY 1) FROM pg_indexes WHERE tablename = 'orders'";
        assert_eq!(
            server.psql(&target, indexes),
            server.psql(&database, indexes)
        );
        assert_eq!(
            server.psql(
                &target,
                "SELECT count(*) FROM pg_trigger WHERE tgname = 'touch_orders'"
            ),
            "1"
        );
        assert_eq!(server.psql(&target, "SELECT count(*) FROM mine"), "0");
        let refused = point
            .restore(&target)
            .table("public.orders")
            .run(&engine)
            .await
            .unwrap_err();
        assert_eq!(refused.code, "mainstay::restore::target-exists");
        let restored = point
            .restore(&target)
            .table("public.orders")
            .replace()
            .run(&engine)
            .await
            .unwrap();
        assert!(failed(&restored.checks).is_empty());
        assert_eq!(server.psql(&target, "SELECT count(*) FROM orders"), "2000");
        let both = point
            .restore(&format!("{target}_new"))
            .table("orders")
            .table("customers")
            .run(&engine)
            .await
            .unwrap();
        assert!(failed(&both.checks).is_empty());
        assert_eq!(
            server.psql(
                &format!("{target}_new"),
                "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
            ),
            "1"
        );
        let unknown = point
            .restore(&target)
            .table("ordres")
            .run(&engine)
            .await
            .unwrap_err();
        assert_eq!(unknown.code, "mainstay::restore::not-in-point");
    }
    let plain = capture(&engine, json!({ "format": "plain" }))
        .await
        .unwrap();
    let error = plain
        .restore("x")
        .table("orders")
        .run(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::restore::selection-in-plain");
}

#[tokio::test]
async fn selected_tables_that_cannot_be_loaded_change_nothing() {
    let (server, _, engine) = prepared("rollback");
    let point = capture(&engine, json!({})).await.unwrap();
    let target = server.create_database("rollback_into");
    server.psql(&target, "CREATE TABLE orders (old int); CREATE VIEW uses AS SELECT * FROM orders; INSERT INTO orders VALUES (1)");
    let before = server.dump(&target);
    let error = point
        .restore(&target)
        .table("orders")
        .replace()
        .run(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::restore::load-failed");
    assert!(
        error
            .help
            .as_ref()
            .unwrap()
            .contains("other objects need the tables"),
        "{error:?}"
    );
    assert_eq!(server.dump(&target), before);
}

#[tokio::test]
async fn an_empty_database_may_be_filled_and_a_broken_stream_leaves_it_empty() {
    let (server, database, engine) = prepared("empty");
    for format in ["custom", "plain", "directory"] {
        let point = capture(&engine, json!({ "format": format })).await.unwrap();
        let target = server.create_database("empty_target");
        let mut damaged = point.clone();
        // The end of the rows of a table: psql would take the end of its input for the end of the data.
        let text = &damaged.objects[0].2;
        let cut = if format == "plain" {
            let marker = b"COPY public.orders ";
            text.windows(marker.len())
                .position(|window| window == marker)
                .unwrap()
                + 3000
        } else {
            text.len() * 3 / 4
        };
        damaged.objects[0].2.truncate(cut);
        let result = with_broken_end(&damaged, &server.url(&target), &engine).await;
        assert!(result.is_err(), "{format}");
        assert_eq!(
            server.psql(
                &target,
                "SELECT count(*) FROM pg_class WHERE relname = 'orders'"
            ),
            "0",
            "{format}"
        );
        let restored = point
            .restore(&server.url(&target))
            .run(&engine)
            .await
            .unwrap();
        assert!(failed(&restored.checks).is_empty());
        assert_eq!(server.dump(&target), server.dump(&database));
    }
}

/// A stream that ends in an error, as one with a wrong digest does.
async fn with_broken_end(
    point: &Point,
    target: &str,
    engine: &Engine,
) -> mainstay_providers::api::Result<mainstay_providers::api::Restored> {
    use std::io::Read;
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            // Whatever came before must not be committed in the time that the error takes.
            std::thread::sleep(std::time::Duration::from_millis(200));
            Err(std::io::Error::other("the digest does not agree"))
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut objects = point.plain();
    let data = std::mem::replace(&mut objects[0].stream, Box::new(std::io::empty()));
    objects[0].stream = Box::new(data.chain(Broken));
    let request = mainstay_providers::api::RestoreRequest {
        chain: Vec::new(),
        recovery: None,
        manifest: point.manifest.clone(),
        objects,
        target: mainstay_providers::api::RestoreTarget::Named(target.to_owned()),
        replace: false,
        selection: mainstay_providers::api::Selection::default(),
        asserts: Vec::new(),
        scratch: scratch.path().to_owned(),
    };
    engine.restore(request).await
}

#[tokio::test]
async fn owners_that_the_server_does_not_have_are_left_out_and_said() {
    let source = Server::start(&[]);
    source.psql("postgres", "CREATE ROLE \"Shop Owner\"");
    let database = source.create_database("owned");
    source.psql(
        &database,
        "CREATE TABLE t (a int); ALTER TABLE t OWNER TO \"Shop Owner\"; INSERT INTO t VALUES (1)",
    );
    let from = engine(&source.url(&database));
    let custom = capture(&from, json!({})).await.unwrap();
    let plain = capture(&from, json!({ "format": "plain" })).await.unwrap();
    let there = shared();
    let restored = custom
        .restore(&there.url("owned_elsewhere"))
        .run(&from)
        .await
        .unwrap();
    let note = restored
        .checks
        .iter()
        .find(|check| check.what == "owners and privileges")
        .unwrap();
    assert!(
        note.passed && note.detail.contains("`Shop Owner`"),
        "{note:?}"
    );
    let error = plain
        .restore(&there.url("owned_plain"))
        .run(&from)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::restore::roles-missing");
    assert!(ours(there, "owned_plain").is_empty());
    plain.restore("owned_here").run(&from).await.unwrap();
    assert!(
        source
            .dump("owned_here")
            .contains("OWNER TO \"Shop Owner\"")
    );
}

#[tokio::test]
async fn a_user_without_the_right_to_create_databases_is_told_so() {
    let (server, database, engine) = prepared("rights");
    server.psql("postgres", "CREATE ROLE poor LOGIN PASSWORD 'x'");
    let point = capture(&engine, json!({ "include-tables": ["parent"] }))
        .await
        .unwrap();
    let poor = engine_of(&json!({ "url": server.tcp_url("poor", "x", &database) }));
    let error = point.restore("poor_new").run(&poor).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::cannot-create");
    assert!(error.help.unwrap().contains("CREATEDB"));
    assert!(ours(server, "poor_new").is_empty());
}
