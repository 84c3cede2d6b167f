//! What is captured, and what damage to it shows.

use super::*;

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
