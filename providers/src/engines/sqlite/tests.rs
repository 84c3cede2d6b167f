//! The fears of somebody whose data is in an SQLite file, one test each, on real files.

use super::{SqliteDatabase, SqliteEngine};
use crate::{
    api::{
        CaptureRequest, CaptureSummary, Check, Engine, NewObject, ObjectKey, PlainObject,
        ProviderError, ReadRequest, RestoreRequest, RestoreTarget, Restored, Result, Selection,
        Tier,
    },
    stream,
    tiers::filesystem::{FilesystemConfig, FilesystemTier},
};
use model::{
    Assertion, DatabaseName, Digest, Expect, Manifest, MethodName, Period, RecoveryPointId,
    SeriesName, StoredObject, TierName, Timestamp, manifest,
};
use rusqlite::Connection;
use std::{
    io::{Cursor, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

const NOW: &str = "2026-11-20T02:00:00Z";

struct Setup {
    folder: TempDir,
    engine: SqliteEngine,
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteDatabase {
        path: "app data.db".to_owned(),
    };
    let engine = SqliteEngine::new(&config, folder.path());
    Setup { folder, engine }
}

impl Setup {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn source(&self) -> PathBuf {
        self.path("app data.db")
    }
    fn scratch(&self) -> TempDir {
        tempfile::tempdir_in(self.folder.path()).unwrap()
    }

    async fn try_capture(&self) -> Result<(CaptureSummary, Vec<u8>)> {
        let scratch = self.scratch();
        let request = CaptureRequest {
            parent: None,
            wal_is_archived: false,
            method: MethodName::new("snapshot").unwrap(),
            options: serde_json::json!({}),
            scratch: scratch.path().to_owned(),
            now: NOW.parse().unwrap(),
        };
        let mut capture = self.engine.capture(request).await?;
        let mut object = capture.next_object().await?.unwrap();
        assert_eq!(
            (object.role.as_str(), object.file_stem.as_str()),
            ("data", "data.sqlite")
        );
        let mut bytes = Vec::new();
        object.stream.read_to_end(&mut bytes).unwrap();
        assert!(capture.next_object().await?.is_none());
        Ok((capture.finish().await?, bytes))
    }

    async fn capture(&self) -> Point {
        let (summary, bytes) = self.try_capture().await.unwrap();
        Point {
            manifest: manifest_of(&summary, &bytes),
            bytes,
        }
    }

    async fn restore(&self, point: &Point, to: &str, ask: Ask<'_>) -> Result<Restored> {
        let scratch = self.scratch();
        let target = if to.is_empty() {
            RestoreTarget::Scratch
        } else {
            RestoreTarget::Named(self.path(to).display().to_string())
        };
        let request = RestoreRequest {
            chain: Vec::new(),
            recovery: None,
            manifest: point.manifest.clone(),
            objects: point.objects(),
            target,
            replace: ask.replace,
            selection: Selection {
                tables: ask.tables.iter().map(|&name| name.to_owned()).collect(),
                schemas: Vec::new(),
                paths: Vec::new(),
            },
            asserts: ask.asserts,
            scratch: scratch.path().to_owned(),
        };
        self.engine.restore(request).await
    }

    async fn read_through(&self, point: &Point) -> Result<Vec<Check>> {
        let scratch = self.scratch();
        let request = ReadRequest {
            manifest: point.manifest.clone(),
            objects: point.objects(),
            scratch: scratch.path().to_owned(),
        };
        let checks = self.engine.read_through(request).await;
        assert_eq!(
            scratch.path().read_dir().unwrap().count(),
            0,
            "scratch is left empty"
        );
        checks
    }

    fn leftovers(&self) -> Vec<String> {
        let names = self.folder.path().read_dir().unwrap().flatten();
        let mut names: Vec<String> = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.retain(|name| name.starts_with(".mainstay") || name.starts_with(".tmp"));
        names
    }
}

#[derive(Default)]
struct Ask<'a> {
    replace: bool,
    tables: &'a [&'a str],
    asserts: Vec<Assertion>,
}

struct Point {
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Point {
    fn objects(&self) -> Vec<PlainObject> {
        vec![PlainObject {
            role: "data".to_owned(),
            content: "sqlite".to_owned(),
            stream: Box::new(Cursor::new(self.bytes.clone())),
        }]
    }
    fn rows(&self, table: &str) -> Option<u64> {
        self.manifest.expectations.tables.get(table)?.rows
    }
}

fn manifest_of(summary: &CaptureSummary, bytes: &[u8]) -> Manifest {
    let database = DatabaseName::new("app").unwrap();
    let series = SeriesName::new("daily").unwrap();
    let slot: Timestamp = NOW.parse().unwrap();
    Manifest {
        wal: None,
        format: manifest::FORMAT.to_owned(),
        id: RecoveryPointId::new(&database, &series, slot),
        database,
        series,
        slot,
        engine: "sqlite".to_owned(),
        method: MethodName::new("snapshot").unwrap(),
        parent: None,
        captured_at: summary.captured_at,
        finished_at: slot,
        source: summary.source.clone(),
        objects: vec![StoredObject {
            role: "data".to_owned(),
            file: "data.sqlite".to_owned(),
            content: "sqlite".to_owned(),
            compression: manifest::Compression::None,
            encryption: None,
            crc64nvme: None,
            bytes: model::ByteCount(bytes.len() as u64),
            sha256: Digest::sha256_of(bytes),
            plain_bytes: model::ByteCount(bytes.len() as u64),
            plain_blake3: Digest::blake3(blake3::hash(bytes).as_bytes()),
        }],
        expectations: summary.expectations.clone(),
        recipients: Vec::new(),
        policy_digest: Digest::sha256_of(b""),
        mainstay_version: "0".to_owned(),
    }
}

fn sql(path: &Path, text: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(text).unwrap();
    connection
}

fn number(path: &Path, query: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).unwrap();
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

const SCHEMA: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, amount INTEGER NOT NULL, doubled AS (amount * 2));
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE INDEX by_amount ON orders (amount);
    CREATE TRIGGER no_negative BEFORE INSERT ON orders WHEN NEW.amount < 0 BEGIN SELECT RAISE(ABORT, 'negative'); END;
    CREATE VIEW big AS SELECT * FROM orders WHERE amount > 10;
    INSERT INTO orders (amount) VALUES (1), (20), (3);
    DELETE FROM orders WHERE id = 3;
    INSERT INTO settings VALUES ('a', 'b');
    PRAGMA user_version = 7;
";

fn all_passed(checks: &[Check]) {
    assert!(checks.iter().all(|check| check.passed), "{checks:?}");
    assert!(!checks.is_empty());
}

fn refused<T>(result: Result<T>, code: &str) -> ProviderError {
    let error = result.err().expect("it should have been refused");
    assert_eq!(error.code, code, "{error} {:?}", error.source);
    error
}

#[tokio::test]
async fn a_database_comes_back_as_it_was() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let point = setup.capture().await;
    assert_eq!(
        (point.rows("orders"), point.rows("settings")),
        (Some(2), Some(1))
    );
    assert_eq!(
        point.manifest.expectations.tables.len(),
        2,
        "views and internal tables are not counted"
    );
    assert_eq!(point.manifest.source["user_version"], "7");
    all_passed(&setup.read_through(&point).await.unwrap());
    let restored = setup
        .restore(&point, "new.db", Ask::default())
        .await
        .unwrap();
    all_passed(&restored.checks);
    let phases: Vec<&str> = restored
        .phases
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(phases, ["create", "load", "checks", "rename"]);
    assert_eq!(
        number(&setup.path("new.db"), "SELECT sum(amount) FROM big"),
        20
    );
    assert!(setup.leftovers().is_empty());
}

#[tokio::test]
async fn rows_that_are_only_in_the_wal_are_captured_and_the_wal_is_left_alone() {
    let setup = setup();
    let writer = sql(
        &setup.source(),
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000) INSERT INTO t SELECT x FROM n;",
    );
    let wal = setup.path("app data.db-wal");
    let before = std::fs::read(&wal).unwrap();
    let main = std::fs::read(setup.source()).unwrap();
    assert!(
        main.len() < 10_000 && before.len() > 40_000,
        "the rows are in the WAL only"
    );
    let point = setup.capture().await;
    assert_eq!(point.rows("t"), Some(5000));
    assert_eq!(
        std::fs::read(&wal).unwrap(),
        before,
        "nothing was checkpointed"
    );
    assert_eq!(std::fs::read(setup.source()).unwrap(), main);
    drop(writer);
    let restored = setup
        .restore(&point, "new.db", Ask::default())
        .await
        .unwrap();
    all_passed(&restored.checks);
    assert_eq!(
        number(&setup.path("new.db"), "SELECT count(*) FROM t"),
        5000
    );
}

#[tokio::test]
async fn a_crashed_writers_wal_is_captured_and_kept() {
    let setup = setup();
    let other = setup.path("running.db");
    let writer = sql(
        &other,
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x); INSERT INTO t VALUES (1), (2);",
    );
    // What a power cut leaves: both files, nobody running, no `-shm`.
    std::fs::copy(&other, setup.source()).unwrap();
    std::fs::copy(setup.path("running.db-wal"), setup.path("app data.db-wal")).unwrap();
    drop(writer);
    let before = std::fs::read(setup.path("app data.db-wal")).unwrap();
    let point = setup.capture().await;
    assert_eq!(point.rows("t"), Some(2));
    assert_eq!(
        std::fs::read(setup.path("app data.db-wal")).unwrap(),
        before
    );
}

async fn invariant_holds_while_written(mode: &str) {
    let setup = setup();
    sql(
        &setup.source(),
        &format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE filler (x);
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000)
             INSERT INTO filler SELECT randomblob(300) FROM n; INSERT INTO a SELECT x FROM filler LIMIT 1000;"
        ),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let stop = Arc::clone(&stop);
        let path = setup.source();
        move || {
            let connection = Connection::open(path).unwrap();
            connection
                .busy_timeout(std::time::Duration::from_mins(1))
                .unwrap();
            connection
                .execute_batch("PRAGMA synchronous = OFF")
                .unwrap();
            let mut commits = 0;
            while !stop.load(Ordering::Relaxed) {
                // Moves one row: a and b together always have 1,000.
                connection
                    .execute_batch(
                        "BEGIN IMMEDIATE; INSERT INTO b SELECT x FROM a ORDER BY rowid LIMIT 1;
                         DELETE FROM a WHERE rowid = (SELECT min(rowid) FROM a); COMMIT;
                         BEGIN IMMEDIATE; INSERT INTO a SELECT x FROM b ORDER BY rowid DESC LIMIT 1;
                         DELETE FROM b WHERE rowid = (SELECT max(rowid) FROM b); COMMIT;
                         BEGIN IMMEDIATE; INSERT INTO b SELECT x FROM a ORDER BY rowid LIMIT 1;
                         DELETE FROM a WHERE rowid = (SELECT min(rowid) FROM a); COMMIT;",
                    )
                    .unwrap();
                commits += 3;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            commits
        }
    });
    let mut moved = Vec::new();
    for _ in 0..4 {
        let point = setup.capture().await;
        assert_eq!(point.rows("a").unwrap() + point.rows("b").unwrap(), 1000);
        moved.push(point.rows("b").unwrap());
        all_passed(&setup.read_through(&point).await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    assert!(moved.windows(2).all(|pair| pair[0] <= pair[1]), "{moved:?}");
}

#[tokio::test]
async fn a_wal_database_that_is_written_all_the_time_is_captured_consistently() {
    invariant_holds_while_written("WAL").await;
}

#[tokio::test]
async fn a_rollback_database_that_is_written_all_the_time_is_captured_consistently() {
    invariant_holds_while_written("DELETE").await;
}

#[tokio::test]
async fn a_missing_source_is_an_error_and_is_not_created() {
    let setup = setup();
    let error = refused(setup.try_capture().await, "mainstay::sqlite::missing");
    assert_eq!(error.disposition, model::Disposition::NeedsOperator);
    assert!(!setup.source().exists());
    refused(setup.engine.probe().await, "mainstay::sqlite::missing");
}

#[tokio::test]
async fn what_is_no_database_is_not_captured() {
    let setup = setup();
    std::fs::write(
        setup.source(),
        "just text, and long enough to have a header ".repeat(50),
    )
    .unwrap();
    refused(
        setup.try_capture().await,
        "mainstay::sqlite::not-a-database",
    );
    std::fs::write(setup.source(), "").unwrap();
    refused(setup.try_capture().await, "mainstay::sqlite::empty");
    std::fs::remove_file(setup.source()).unwrap();
    std::fs::create_dir(setup.source()).unwrap();
    refused(setup.try_capture().await, "mainstay::sqlite::file");
}

#[tokio::test]
async fn a_truncated_source_is_not_captured() {
    let setup = setup();
    sql(
        &setup.source(),
        "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(200000));",
    );
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(setup.source())
        .unwrap();
    file.set_len(100_000).unwrap();
    refused(setup.try_capture().await, "mainstay::sqlite::corrupt");
}

#[tokio::test]
async fn a_lost_row_is_found_although_the_integrity_check_says_ok() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let mut point = setup.capture().await;
    // A copy of the right format with one row less, as a copied main file without its WAL would be.
    let other = setup.path("other.db");
    std::fs::write(&other, &point.bytes).unwrap();
    sql(
        &other,
        "DELETE FROM orders WHERE id = 1; DROP TABLE settings;",
    );
    point.bytes = std::fs::read(&other).unwrap();
    let failed: Vec<String> = setup
        .read_through(&point)
        .await
        .unwrap()
        .into_iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.what, check.detail))
        .collect();
    assert_eq!(
        failed,
        [
            "tables: missing: settings",
            "rows of orders: 1 found, 2 expected"
        ]
    );
}

#[tokio::test]
async fn a_flipped_byte_on_the_tier_stops_reading_and_restoring() {
    let setup = setup();
    sql(&setup.source(), SCHEMA);
    let mut point = setup.capture().await;
    let config = FilesystemConfig {
        path: "tier".to_owned(),
        min_free: None,
    };
    let tier = FilesystemTier::new(TierName::new("nas").unwrap(), &config, setup.folder.path());
    tier.initialise("id").await.unwrap();
    let key = ObjectKey::new("app/data.sqlite").unwrap();
    let source = Box::new(Cursor::new(point.bytes.clone()));
    let writer = tier.create(&key, NewObject::default()).await.unwrap();
    let quiet: stream::Progress = Arc::new(|_| {});
    let (stored, writer) = stream::store(
        source,
        writer,
        manifest::Compression::None,
        None,
        None,
        Arc::clone(&quiet),
    )
    .await
    .unwrap();
    writer.finish().await.unwrap();
    point.manifest.objects[0].sha256 = stored.sha256;
    let file = setup.path("tier/app/data.sqlite");
    let mut damaged = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&file)
        .unwrap();
    // A byte of a row's content: SQLite itself would not notice.
    damaged.seek(std::io::SeekFrom::End(-5)).unwrap();
    damaged.write_all(b"#").unwrap();
    for restore in [false, true] {
        let reader = tier.open(&key).await.unwrap();
        let object = PlainObject {
            role: "data".to_owned(),
            content: "sqlite".to_owned(),
            stream: stream::plain(reader, &point.manifest.objects[0], None, Arc::clone(&quiet)),
        };
        let scratch = setup.scratch();
        let error = if restore {
            let request = RestoreRequest {
                chain: Vec::new(),
                recovery: None,
                manifest: point.manifest.clone(),
                objects: vec![object],
                target: RestoreTarget::Named(setup.path("new.db").display().to_string()),
                replace: false,
                selection: Selection::default(),
                asserts: Vec::new(),
                scratch: scratch.path().to_owned(),
            };
            setup.engine.restore(request).await.unwrap_err()
        } else {
            let request = ReadRequest {
                manifest: point.manifest.clone(),
                objects: vec![object],
                scratch: scratch.path().to_owned(),
            };
            setup.engine.read_through(request).await.unwrap_err()
        };
        assert_eq!(error.code, "mainstay::copy::damaged");
    }
    assert!(!setup.path("new.db").exists());
    assert!(setup.leftovers().is_empty());
}

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
    let target = super::restore::Target::new(&setup.source().display().to_string()).unwrap();
    let (running, _) = target.temporary().unwrap();
    let crashed = setup.path(&running.name().replace("app", "crashed"));
    std::fs::write(&crashed, "half").unwrap();
    let cleaned = setup.engine.clean_leftovers().await.unwrap();
    assert_eq!(cleaned, [crashed.display().to_string()]);
    assert_eq!(setup.leftovers(), [running.name()]);
    assert!(setup.engine.clean_leftovers().await.unwrap().is_empty());
}
