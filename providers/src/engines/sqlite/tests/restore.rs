//! Targets: new, replaced, in use, scratch, selected tables.

use super::*;

#[tokio::test]
async fn an_existing_target_stays_unless_it_may_be_replaced() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    sql(&setup.path("new.db"), "CREATE TABLE old (x)");
    let shared = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(setup.path("new.db"), shared).unwrap();
    refused(
        setup.restore(&point, "new.db", Ask::default()).await,
        "mainstay::sqlite::target-exists",
    );
    assert_eq!(number(&setup.path("new.db"), "SELECT count(*) FROM old"), 0);
    let ask = Ask {
        replace: true,
        ..Ask::default()
    };
    all_passed(&setup.restore(&point, "new.db", ask).await.unwrap().checks);
    assert_eq!(
        number(&setup.path("new.db"), "SELECT count(*) FROM orders"),
        2
    );
    // The program that it belongs to can still open it.
    let mode = setup.path("new.db").metadata().unwrap().permissions();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
    assert_eq!(mode, 0o640);
}

#[tokio::test]
async fn the_wal_of_a_replaced_database_is_not_applied_to_the_new_one() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    // A crashed WAL database: rows in the WAL, nobody running.
    let crashed = setup.path("crashed.db");
    let writer = sql(
        &crashed,
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE old (x);
         INSERT INTO old SELECT randomblob(5000) FROM (VALUES (1), (2), (3), (4));",
    );
    let target = setup.path("live.db");
    std::fs::copy(&crashed, &target).unwrap();
    std::fs::copy(setup.path("crashed.db-wal"), setup.path("live.db-wal")).unwrap();
    drop(writer);
    let ask = Ask {
        replace: true,
        ..Ask::default()
    };
    all_passed(&setup.restore(&point, "live.db", ask).await.unwrap().checks);
    assert!(!setup.path("live.db-wal").exists());
    assert_eq!(number(&target, "SELECT count(*) FROM orders"), 2);
    let checked: String = Connection::open(&target)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(checked, "ok");
}

#[tokio::test]
async fn a_stray_wal_beside_a_new_target_is_not_applied() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    std::fs::write(setup.path("gone.db-wal"), "old").unwrap();
    refused(
        setup.restore(&point, "gone.db", Ask::default()).await,
        "mainstay::sqlite::target-exists",
    );
    let ask = Ask {
        replace: true,
        ..Ask::default()
    };
    all_passed(&setup.restore(&point, "gone.db", ask).await.unwrap().checks);
    assert!(!setup.path("gone.db-wal").exists());
}

#[tokio::test]
async fn a_database_in_use_is_not_replaced() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    for mode in ["WAL", "DELETE"] {
        let target = setup.path("used.db");
        let user = sql(
            &target,
            &format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE old (x); INSERT INTO old VALUES (1); BEGIN; SELECT * FROM old;"
            ),
        );
        let ask = Ask {
            replace: true,
            ..Ask::default()
        };
        refused(
            setup.restore(&point, "used.db", ask).await,
            "mainstay::sqlite::target-busy",
        );
        user.execute_batch("COMMIT").unwrap();
        drop(user);
        assert_eq!(number(&target, "SELECT count(*) FROM old"), 1);
        std::fs::remove_file(&target).unwrap();
    }
    assert!(setup.leftovers().is_empty());
}

#[tokio::test]
async fn what_is_no_database_can_be_replaced() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    std::fs::write(
        setup.path("broken.db"),
        "not a database at all ".repeat(100),
    )
    .unwrap();
    let ask = Ask {
        replace: true,
        ..Ask::default()
    };
    all_passed(
        &setup
            .restore(&point, "broken.db", ask)
            .await
            .unwrap()
            .checks,
    );
    assert_eq!(
        number(&setup.path("broken.db"), "SELECT count(*) FROM orders"),
        2
    );
}

#[tokio::test]
async fn a_copy_that_fails_its_checks_does_not_replace_a_database() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let mut point = setup.capture().await;
    point
        .manifest
        .expectations
        .tables
        .get_mut("orders")
        .unwrap()
        .rows = Some(3);
    sql(&setup.path("live.db"), "CREATE TABLE old (x)");
    let ask = Ask {
        replace: true,
        ..Ask::default()
    };
    refused(
        setup.restore(&point, "live.db", ask).await,
        "mainstay::sqlite::restore-check",
    );
    assert_eq!(
        number(&setup.path("live.db"), "SELECT count(*) FROM old"),
        0
    );
    let restored = setup
        .restore(&point, "new.db", Ask::default())
        .await
        .unwrap();
    assert!(restored.checks.iter().any(|check| !check.passed));
}

#[tokio::test]
async fn a_scratch_restore_checks_and_leaves_nothing() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    let before = setup.folder.path().read_dir().unwrap().count();
    let asserts = vec![
        Assertion {
            sql: "SELECT count(*) FROM orders".to_owned(),
            expect: Expect::AtLeast(2),
        },
        Assertion {
            sql: "SELECT value FROM settings".to_owned(),
            expect: Expect::Equals("c".to_owned()),
        },
        Assertion {
            sql: "SELECT '2026-11-20'".to_owned(),
            expect: Expect::NewerThan(Period::parse("1d").unwrap()),
        },
        Assertion {
            sql: "DELETE FROM orders RETURNING 5".to_owned(),
            expect: Expect::AtLeast(0),
        },
    ];
    let ask = Ask {
        asserts,
        ..Ask::default()
    };
    let restored = setup.restore(&point, "", ask).await.unwrap();
    let failed: Vec<&str> = restored
        .checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| check.what.as_str())
        .collect();
    assert_eq!(
        failed,
        [
            "assert `SELECT value FROM settings`",
            "assert `DELETE FROM orders RETURNING 5`"
        ]
    );
    assert_eq!(setup.folder.path().read_dir().unwrap().count(), before);
}

#[tokio::test]
async fn selected_tables_come_back_into_a_new_file() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    let ask = Ask {
        tables: &["main.ORDERS"],
        ..Ask::default()
    };
    let restored = setup.restore(&point, "part.db", ask).await.unwrap();
    all_passed(&restored.checks);
    let part = setup.path("part.db");
    assert_eq!(
        number(
            &part,
            "SELECT count(*) FROM sqlite_schema WHERE type IN ('index', 'trigger')"
        ),
        2
    );
    assert_eq!(
        number(
            &part,
            "SELECT count(*) FROM sqlite_schema WHERE name = 'settings'"
        ),
        0
    );
    assert_eq!(
        number(
            &part,
            "SELECT seq FROM sqlite_sequence WHERE name = 'orders'"
        ),
        3
    );
    assert_eq!(number(&part, "SELECT sum(doubled) FROM orders"), 42);
    assert_eq!(number(&part, "PRAGMA user_version"), 7);
    let ask = Ask {
        tables: &["nothing"],
        ..Ask::default()
    };
    refused(
        setup.restore(&point, "other.db", ask).await,
        "mainstay::sqlite::no-table",
    );
    assert!(!setup.path("other.db").exists());
}

#[tokio::test]
async fn selected_tables_come_back_into_a_living_database() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    let live = setup.source();
    let user = sql(
        &live,
        "PRAGMA journal_mode = WAL; DELETE FROM orders; INSERT INTO settings VALUES ('new', 'x');",
    );
    let ask = Ask {
        tables: &["orders"],
        ..Ask::default()
    };
    refused(
        setup.restore(&point, "app data.db", ask).await,
        "mainstay::sqlite::target-exists",
    );
    let ask = Ask {
        tables: &["orders"],
        replace: true,
        ..Ask::default()
    };
    all_passed(
        &setup
            .restore(&point, "app data.db", ask)
            .await
            .unwrap()
            .checks,
    );
    let count: i64 = user
        .query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 2);
    assert_eq!(
        number(&live, "SELECT count(*) FROM settings"),
        2,
        "other tables stay"
    );
}

#[tokio::test]
async fn virtual_tables_are_counted_and_their_shadow_tables_are_not() {
    let setup = setup();
    sql(
        &setup.source(),
        "CREATE VIRTUAL TABLE notes USING fts5(body); INSERT INTO notes VALUES ('one'), ('two');",
    );
    let point = setup.capture().await;
    assert_eq!(point.manifest.expectations.tables.len(), 1);
    assert_eq!(point.rows("notes"), Some(2));
    all_passed(&setup.read_through(&point).await.unwrap());
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_and_running_restores_are_not() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let target = super::super::restore::Target::new(&setup.source().display().to_string()).unwrap();
    let (running, _) = target.temporary().unwrap();
    let crashed = setup.path(&running.name().replace("app", "crashed"));
    std::fs::write(&crashed, "half").unwrap();
    let cleaned = setup.engine.clean_leftovers().await.unwrap();
    assert_eq!(cleaned, [crashed.display().to_string()]);
    assert_eq!(setup.leftovers(), [running.name()]);
    assert!(setup.engine.clean_leftovers().await.unwrap().is_empty());
}
