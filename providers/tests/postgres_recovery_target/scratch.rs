//! Servers that are only looked at: shown, checked, and gone.

use crate::past::{PATIENCE, archived, no_server_below, passed, past, place};
use crate::support::cluster::{BasePoint, Cluster, FolderArchive, HELD, servers_below};
use crate::support::points::failed;
use crate::support::postgres::Server;
use async_trait::async_trait;
use mainstay_providers::api::{AfterRecovery, RecoveryObserver, Result};
use model::{Expect, RecoveryTarget};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_on_a_scratch_server_does_not_archive_its_new_timeline() {
    let past = past();
    let before = archived(&past.cluster);
    let restored = past
        .base
        .recover(RecoveryTarget::Latest)
        .wal(&past.cluster.wal())
        .equals(HELD, &past.cluster.held())
        .run(&past.cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    assert_eq!(archived(&past.cluster), before);
    assert!(!past.poison.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_archive_is_an_error_and_not_the_end_of_the_log() {
    let past = past();
    let last = archived(&past.cluster)
        .into_iter()
        .rfind(|name| name.len() == 24)
        .unwrap();
    let error = past
        .base
        .recover(RecoveryTarget::Latest)
        .wal(&FolderArchive::broken_from(&past.cluster, &last))
        .run(&past.cluster.engine())
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::tier::unreachable");
}

/// Looks at a running scratch server as a person would.
#[derive(Debug, Default)]
struct Looker {
    seen: Mutex<Vec<String>>,
    bin: PathBuf,
}

#[async_trait]
impl RecoveryObserver for Looker {
    async fn running(&self, url: &str) -> Result<()> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-XAtq", "-c", HELD, url])
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        self.seen.lock().unwrap().push(text.trim().to_owned());
        if self.seen.lock().unwrap().len() > 1 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_server_is_shown_by_its_url_and_ends_with_whoever_waits_for_it() {
    let past = past();
    let looker = Arc::new(Looker {
        seen: Mutex::default(),
        bin: past.cluster.server.bin.clone(),
    });
    let make = || {
        let mut recover = past
            .base
            .recover(RecoveryTarget::Time(past.middle))
            .wal(&past.cluster.wal());
        recover.recovery.observer = Some(Arc::clone(&looker) as Arc<dyn RecoveryObserver>);
        recover
    };
    let parent = place();
    make()
        .to(&parent.path().join("main"), AfterRecovery::Start)
        .run(&past.cluster.engine())
        .await
        .unwrap();
    assert_eq!(*looker.seen.lock().unwrap(), [past.held.as_str()]);
    let engine = past.cluster.engine();
    let other = parent.path().join("other");
    let running = tokio::spawn(make().to(&other, AfterRecovery::Start).run_owned(engine));
    let since = Instant::now();
    while looker.seen.lock().unwrap().len() < 2 {
        assert!(since.elapsed() < PATIENCE, "it is never shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!servers_below(parent.path()).is_empty());
    running.abort();
    let _ = running.await;
    no_server_below(parent.path()).await;
    assert!(!other.exists());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_limits_were_raised_later_is_followed() {
    let mut cluster = Cluster::start(&[]);
    cluster.write(3);
    let base = cluster.base(false);
    cluster.server.restart(&[
        "archive_mode=on",
        "wal_level=replica",
        "max_connections=130",
        "max_locks_per_transaction=80",
        "track_commit_timestamp=on",
    ]);
    cluster.write(4);
    let held = cluster.held();
    let now = cluster.now();
    cluster.write(1);
    cluster.archive_all();
    let restored = base
        .recover(RecoveryTarget::Time(now))
        .wal(&cluster.wal())
        .equals(HELD, &held)
        .run(&cluster.engine())
        .await
        .unwrap();
    passed(&restored);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_moment_are_copied_into_a_living_database() {
    let past = past();
    let server: &Server = &past.cluster.server;
    let into = server.create_database("rescue");
    let make = || {
        let mut recover = past
            .base
            .recover(RecoveryTarget::Time(past.middle))
            .wal(&past.cluster.wal());
        recover.to = mainstay_providers::api::RestoreTarget::Named(into.clone());
        recover.selection.tables.push("history".to_owned());
        recover
    };
    let restored = make().run(&past.cluster.engine()).await.unwrap();
    passed(&restored);
    assert!(
        restored
            .checks
            .iter()
            .any(|check| check.what == "rows of public.history"),
        "{:#?}",
        restored.checks
    );
    assert_eq!(server.psql(&into, HELD), past.held);
    server.psql(&into, "DELETE FROM history WHERE id > 5");
    let error = make().run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::target-exists");
    assert_eq!(server.psql(&into, HELD), "5/15");
    make().replace().run(&past.cluster.engine()).await.unwrap();
    assert_eq!(server.psql(&into, HELD), past.held);
    let mut none = make();
    none.selection.tables = vec!["no_such_table".to_owned()];
    let error = none.run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::not-in-point");
}

#[tokio::test(flavor = "multi_thread")]
async fn amcheck_runs_on_a_scratch_server_and_finds_a_damaged_index() {
    let cluster = Cluster::start(&[]);
    cluster.sql("CREATE TABLE pairs AS SELECT n, n * 2 AS m FROM generate_series(1, 5000) n");
    cluster.sql("CREATE INDEX pairs_n ON pairs (n)");
    let check = |base: BasePoint, engine| async move {
        let mut recover = base.recover(RecoveryTarget::Immediate);
        recover.recovery.amcheck = true;
        let restored = recover.run(&engine).await.unwrap();
        restored
            .checks
            .into_iter()
            .find(|check| check.what.contains("amcheck"))
            .unwrap()
    };
    let good = check(cluster.base(true), cluster.engine()).await;
    assert!(good.passed, "{good:?}");
    let file = cluster.sql("SELECT pg_relation_filepath('pairs_n')");
    cluster.sql("CHECKPOINT");
    let path = cluster.server.data().join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    // The second page is a leaf: two of its line pointers change places.
    let at = 8192 + 24 + 4 * 10;
    let (one, two) = (
        bytes[at..at + 4].to_vec(),
        bytes[at + 4 * 50..at + 4 * 51].to_vec(),
    );
    bytes[at..at + 4].copy_from_slice(&two);
    bytes[at + 4 * 50..at + 4 * 51].copy_from_slice(&one);
    std::fs::write(&path, bytes).unwrap();
    let bad = check(cluster.base(true), cluster.engine()).await;
    assert!(!bad.passed && bad.detail.contains("pairs_n"), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_assertion_is_a_failed_check() {
    let past = past();
    let mut recover = past
        .base
        .recover(RecoveryTarget::Immediate)
        .wal(&past.cluster.wal());
    recover.asserts.push(model::Assertion {
        sql: "SELECT count(*) FROM history".to_owned(),
        expect: Expect::AtLeast(1_000_000),
    });
    let restored = recover.run(&past.cluster.engine()).await.unwrap();
    assert_eq!(failed(&restored.checks).len(), 1);
}
