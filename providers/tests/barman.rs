//! A real Barman with a real server: what it has becomes recovery points, and comes back to a moment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

#[path = "support/barman.rs"]
mod barman;
#[path = "support/points.rs"]
mod points;
#[path = "support/postgres.rs"]
mod postgres;

use barman::Barman;
use mainstay_providers::{
    api::{
        AfterRecovery, Engine, Recovery, RecoveryObserver, RestoreRequest, RestoreTarget, Restored,
        Result, Selection,
    },
    registry,
};
use model::{Assertion, Expect, RecoveryTarget, TimelineChoice, Timestamp};
use points::{Point, capture, failed};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

fn engine(barman: &Barman) -> Arc<dyn Engine> {
    registry::engine("barman", &barman.table(), Path::new("/")).unwrap()
}

fn recovery(target: RecoveryTarget) -> Recovery {
    Recovery {
        target,
        timeline: TimelineChoice::Latest,
        wal: None,
        restore_command: Vec::new(),
        tablespaces: BTreeMap::new(),
        after: AfterRecovery::Leave,
        amcheck: false,
        observer: None,
    }
}

struct Order {
    target: RestoreTarget,
    recovery: Option<Recovery>,
    asserts: Vec<(&'static str, &'static str)>,
    replace: bool,
}

impl Order {
    fn scratch(recovery: Option<Recovery>) -> Self {
        Self {
            target: RestoreTarget::Scratch,
            recovery,
            asserts: Vec::new(),
            replace: false,
        }
    }

    fn to(folder: &Path, recovery: Option<Recovery>) -> Self {
        Self {
            target: RestoreTarget::Named(folder.display().to_string()),
            ..Self::scratch(recovery)
        }
    }

    fn equals(mut self, sql: &'static str, value: &'static str) -> Self {
        self.asserts.push((sql, value));
        self
    }

    async fn run(self, engine: &Arc<dyn Engine>, point: &Point) -> Result<Restored> {
        let scratch = tempfile::tempdir().unwrap();
        let asserts = self.asserts.iter().map(|(sql, value)| Assertion {
            sql: (*sql).to_owned(),
            expect: Expect::Equals((*value).to_owned()),
        });
        engine
            .restore(RestoreRequest {
                manifest: point.manifest.clone(),
                objects: point.plain(),
                target: self.target,
                replace: self.replace,
                selection: Selection::default(),
                asserts: asserts.collect(),
                chain: Vec::new(),
                recovery: self.recovery,
                scratch: scratch.path().to_owned(),
            })
            .await
    }
}

const ROWS: &str = "SELECT string_agg(n::text, ' ' ORDER BY n) FROM events";

/// A server with rows from before a backup, from after it, and from after the moments that shall come back.
struct Story {
    barman: Barman,
    engine: Arc<dyn Engine>,
    point: Point,
    moment: Timestamp,
    transaction: u64,
}

async fn story() -> Story {
    let barman = Barman::start();
    let engine = engine(&barman);
    let sql = |text: &str| barman.server.psql("postgres", text);
    sql("CREATE TABLE events AS SELECT 1 AS n");
    let point = capture(&engine, Value::Null).await.unwrap();
    sql("INSERT INTO events VALUES (2)");
    let moment = sql(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    std::thread::sleep(std::time::Duration::from_millis(20));
    let transaction = sql("BEGIN; INSERT INTO events VALUES (3); SELECT txid_current(); COMMIT");
    sql("SELECT pg_create_restore_point('three')");
    sql("INSERT INTO events VALUES (4)");
    barman.switch();
    Story {
        engine,
        point,
        moment: moment.parse().unwrap(),
        transaction: transaction.parse().unwrap(),
        barman,
    }
}

#[tokio::test]
async fn every_kind_of_moment_comes_back_with_exactly_its_rows() {
    let story = story().await;
    let summary = &story.point.manifest;
    assert!(summary.source["barman_backup"].len() >= 15);
    assert_eq!(
        summary.source["barman_retention_policy"],
        "RECOVERY WINDOW OF 7 DAYS"
    );
    assert_eq!(summary.wal, None);
    let moments = [
        (None, "1"),
        (Some(RecoveryTarget::Immediate), "1"),
        (Some(RecoveryTarget::Time(story.moment)), "1 2"),
        (
            Some(RecoveryTarget::Transaction(story.transaction)),
            "1 2 3",
        ),
        (Some(RecoveryTarget::Name("three".to_owned())), "1 2 3"),
        (Some(RecoveryTarget::Latest), "1 2 3 4"),
    ];
    for (target, rows) in moments {
        let words = format!("{target:?}");
        let order = Order::scratch(target.map(recovery)).equals(ROWS, rows);
        let restored = order.run(&story.engine, &story.point).await.unwrap();
        assert!(failed(&restored.checks).is_empty(), "{words}: {restored:?}");
        assert_eq!(restored.checks.len(), 2, "{words}: {restored:?}");
    }
    // Neither scratch servers nor a change of the production server is left.
    assert_eq!(
        story.engine.clean_leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(story.barman.server.psql("postgres", ROWS), "1 2 3 4");
    let wrong = Order::scratch(None).equals(ROWS, "1 2");
    let restored = wrong.run(&story.engine, &story.point).await.unwrap();
    assert_eq!(failed(&restored.checks).len(), 1, "{restored:?}");
}

#[tokio::test]
async fn a_folder_is_restored_to_a_moment_and_never_over_another_by_accident() {
    let story = story().await;
    let parent = story.barman.folder();
    let target = parent.join("restored");
    let order = || Order::to(&target, Some(recovery(RecoveryTarget::Time(story.moment))));
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("mine"), "precious").unwrap();
    let error = order().run(&story.engine, &story.point).await.unwrap_err();
    assert_eq!(error.code, "mainstay::barman::target-exists");
    assert_eq!(
        std::fs::read_to_string(target.join("mine")).unwrap(),
        "precious"
    );
    // What cannot be reached is refused before anything is written.
    let future = story.moment + jiff::SignedDuration::from_hours(24);
    let past = story.moment - jiff::SignedDuration::from_hours(24);
    for unreachable in [future, past] {
        let mut order = order();
        order.recovery = Some(recovery(RecoveryTarget::Time(unreachable)));
        order.replace = true;
        let error = order.run(&story.engine, &story.point).await.unwrap_err();
        assert_eq!(error.code, "mainstay::barman::not-reachable", "{error}");
    }
    assert!(target.join("mine").exists());

    let mut replacing = order();
    replacing.replace = true;
    let restored = replacing.run(&story.engine, &story.point).await.unwrap();
    assert!(restored.notes[0].contains("pg_ctl"), "{restored:?}");
    assert!(!target.join("mine").exists());
    let left: Vec<_> = std::fs::read_dir(&parent)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("mainstay-barman"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(rows_of_folder(&story.barman, &target), "1 2");
}

/// Starts a restored folder as its owner would, and waits until it has been promoted.
fn rows_of_folder(barman: &Barman, data: &Path) -> String {
    let bin = barman.server.bin.display();
    let script = format!(
        "set -e; cd /; mkdir {0}/s; chmod 777 {0}/s; \
         {bin}/pg_ctl -D {0} -w -s -l {0}/log -o \"-p 5433 -k {0}/s -c listen_addresses=''\" start; \
         trap '{bin}/pg_ctl -D {0} -s -m immediate stop' EXIT; \
         while [ \"$({bin}/psql -h {0}/s -p 5433 -U postgres -Atc 'select pg_is_in_recovery()' postgres)\" != f ]; do sleep 0.1; done; \
         {bin}/psql -h {0}/s -p 5433 -U postgres -Atc \"{ROWS}\" postgres",
        data.display()
    );
    let owner = Command::new("stat")
        .args(["-c", "%U"])
        .arg(data)
        .output()
        .unwrap();
    let owner = String::from_utf8_lossy(&owner.stdout).trim().to_owned();
    let me = Command::new("id").arg("-un").output().unwrap();
    let mut command = if String::from_utf8_lossy(&me.stdout).trim() == owner {
        Command::new("bash")
    } else {
        let mut command = Command::new("runuser");
        command.args(["-u", &owner, "--", "bash"]);
        command
    };
    let output = command.args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn what_barman_lost_fails_its_verification_and_says_so() {
    let story = story().await;
    let checks = story.point.read_through(&story.engine).await.unwrap();
    assert!(failed(&checks).is_empty(), "{checks:?}");
    assert_eq!(checks.len(), 5, "{checks:?}");

    let id = story.point.manifest.source["barman_backup"].clone();
    // A damaged file of the backup.
    let base = story
        .barman
        .folder()
        .join(format!("home/main/base/{id}/data"));
    let version = std::fs::read(base.join("PG_VERSION")).unwrap();
    std::fs::write(base.join("PG_VERSION"), "99\n").unwrap();
    let checks = story.point.read_through(&story.engine).await.unwrap();
    assert_eq!(failed(&checks)[0].what, "barman verify-backup");
    std::fs::write(base.join("PG_VERSION"), version).unwrap();

    // A segment that is gone.
    let wals = story.barman.folder().join("home/main/wals");
    let needed: Value = serde_json::from_str(&story.point.text("data")).unwrap();
    let name = needed["begin_wal"].as_str().unwrap();
    std::fs::remove_file(wals.join(&name[..16]).join(name)).unwrap();
    let checks = story.point.read_through(&story.engine).await.unwrap();
    let lost = failed(&checks);
    assert_eq!(lost[0].what, "the log that it needs", "{checks:?}");
    assert!(lost[0].detail.contains(name), "{checks:?}");

    story.barman.run(&["delete", "main", &id]);
    let checks = story.point.read_through(&story.engine).await.unwrap();
    assert_eq!(checks.len(), 1);
    assert!(!checks[0].passed);
    assert!(
        checks[0].detail.starts_with("missing in Barman"),
        "{checks:?}"
    );
    let error = Order::scratch(None)
        .run(&story.engine, &story.point)
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::barman::missing");
}

#[tokio::test]
async fn backups_that_others_made_are_listed_and_described_without_a_new_one() {
    let barman = Barman::start();
    let engine = engine(&barman);
    assert_eq!(engine.existing_backups().await.unwrap(), vec![]);
    barman.run(&["backup", "main", "--wait"]);
    let found = engine.existing_backups().await.unwrap();
    assert_eq!(found.len(), 1);
    let point = capture(&engine, found[0].options.clone()).await.unwrap();
    assert_eq!(point.manifest.source["barman_backup"], found[0].name);
    assert!(point.manifest.captured_at > found[0].begun_at);
    assert_eq!(engine.existing_backups().await.unwrap(), found);
    let checks = point.read_through(&engine).await.unwrap();
    assert!(failed(&checks).is_empty(), "{checks:?}");
    let facts = engine.probe().await.unwrap().facts;
    assert_eq!(
        facts["system_identifier"],
        point.manifest.source["system_identifier"]
    );
}

#[tokio::test]
async fn barmans_own_words_come_through_and_no_password() {
    let barman = Barman::start();
    let mut table = barman.table();
    table["server"] = json!("nobody");
    let engine = registry::engine("barman", &table, Path::new("/")).unwrap();
    let error = engine.probe().await.unwrap_err();
    assert_eq!(error.code, "mainstay::barman::failed");
    assert!(error.message.contains("nobody"), "{error}");
    let engine = self::engine(&barman);
    barman.server.crash();
    let error = capture(&engine, Value::Null).await.unwrap_err();
    assert_eq!(error.code, "mainstay::barman::failed");
    assert!(!format!("{error:?}").contains(postgres::PASSWORD));
}

#[derive(Debug)]
struct Rescue {
    bin: std::path::PathBuf,
    found: std::sync::Mutex<String>,
}

#[async_trait::async_trait]
impl RecoveryObserver for Rescue {
    async fn running(&self, url: &str) -> Result<()> {
        let output = Command::new(self.bin.join("psql"))
            .args([url, "-Atc", ROWS])
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&output.stdout);
        found.trim().clone_into(&mut self.found.lock().unwrap());
        Ok(())
    }
}

#[tokio::test]
async fn rows_can_be_rescued_from_a_scratch_server_at_a_moment() {
    let story = story().await;
    let rescue = Arc::new(Rescue {
        bin: story.barman.server.bin.clone(),
        found: std::sync::Mutex::default(),
    });
    let mut wanted = recovery(RecoveryTarget::Time(story.moment));
    wanted.observer = Some(rescue.clone());
    Order::scratch(Some(wanted))
        .run(&story.engine, &story.point)
        .await
        .unwrap();
    assert_eq!(*rescue.found.lock().unwrap(), "1 2");
}
