//! The fears of somebody whose data is in an SQLite file, one test each, on real files.

mod capture;
mod restore;

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
            slot: Timestamp::UNIX_EPOCH,
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
