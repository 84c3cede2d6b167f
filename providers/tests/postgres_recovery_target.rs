//! Where a recovered cluster goes: a data directory appears whole or not at all, and nothing that exists is lost on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

mod support {
    pub mod cluster;
    pub mod points;
    pub mod postgres;
}

use async_trait::async_trait;
use mainstay_providers::api::{AfterRecovery, RecoveryObserver, Restored, Result};
use model::{Expect, RecoveryTarget, Timestamp};
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};
use support::{
    cluster::{BasePoint, Cluster, FolderArchive, HELD, open_to_all, servers_below},
    points::failed,
    postgres::{Server, as_server_user},
};

/// A cluster whose settings would do harm to others if they were inherited.
struct Past {
    cluster: Cluster,
    base: BasePoint,
    middle: Timestamp,
    held: String,
    poison: PathBuf,
}

fn past() -> &'static Past {
    static PAST: OnceLock<Past> = OnceLock::new();
    PAST.get_or_init(|| {
        let cluster = Cluster::start(&[]);
        cluster.write(30);
        let good = cluster.sql("SHOW archive_command");
        let poison = cluster.archive.parent().unwrap().join("poison");
        let poisoned = format!("touch {} && {}", poison.display(), good);
        for setting in [
            &format!("archive_command = '{}'", poisoned.replace('\'', "''")),
            "recovery_target_name = 'left behind'",
            "shared_preload_libraries = pg_cron, not_on_this_machine",
            "recovery_end_command = 'touch /tmp/mainstay-test-end-command'",
            "port = 5432",
        ] {
            cluster.sql(&format!("ALTER SYSTEM SET {setting}"));
        }
        let base = cluster.base(false);
        for setting in [
            "archive_command",
            "recovery_target_name",
            "shared_preload_libraries",
        ] {
            cluster.sql(&format!("ALTER SYSTEM RESET {setting}"));
        }
        cluster.sql(&format!(
            "ALTER SYSTEM SET archive_command = '{}'",
            good.replace('\'', "''")
        ));
        cluster.write(11);
        let middle = cluster.now();
        cluster.write(13);
        cluster.archive_all();
        let held = cluster.held_at(middle);
        let _ = std::fs::remove_file(&poison);
        Past {
            cluster,
            base,
            middle,
            held,
            poison,
        }
    })
}

/// A folder that the server's user may write.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

fn passed(restored: &Restored) {
    assert!(
        failed(&restored.checks).is_empty(),
        "{:#?}",
        restored.checks
    );
}

/// How long something may take that comes on its own, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until the servers of a folder have ended; one that lives on is a failure.
async fn no_server_below(folder: &Path) {
    let since = Instant::now();
    while !servers_below(folder).is_empty() && since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(servers_below(folder), Vec::<String>::new());
}

/// Starts a recovered data directory as a person would, and asks it.
fn ask(cluster: &Cluster, data: &Path, sql: &str) -> String {
    let socket = tempfile::tempdir().unwrap();
    std::fs::set_permissions(
        socket.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let as_postgres = |program: PathBuf| {
        let mut command = as_server_user(&program);
        command.arg("-D").arg(data);
        command
    };
    let pg_ctl = cluster.server.bin.join("pg_ctl");
    let log = socket.path().join("log");
    let started = as_postgres(pg_ctl.clone())
        .args(["start", "--wait", "--silent", "--log"])
        .arg(&log)
        .arg("--options")
        .arg(format!(
            "-p 6111 -k {} -c listen_addresses= -c shared_preload_libraries=",
            socket.path().display()
        ))
        .status()
        .unwrap();
    assert!(
        started.success(),
        "{}",
        std::fs::read_to_string(&log).unwrap()
    );
    let psql = |sql: &str| {
        let output = Command::new(cluster.server.bin.join("psql"))
            .args([
                "-XAtq", "-p", "6111", "-U", "postgres", "-d", "postgres", "-c", sql, "-h",
            ])
            .arg(socket.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let since = Instant::now();
    while psql("SELECT pg_is_in_recovery()") != "f" {
        assert!(
            since.elapsed() < PATIENCE,
            "{}",
            std::fs::read_to_string(&log).unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = psql(sql);
    assert!(
        as_postgres(pg_ctl)
            .args(["stop", "--silent"])
            .status()
            .unwrap()
            .success()
    );
    answer
}

fn archived(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(&cluster.archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_the_directory_and_is_at_the_moment_with_archiving_off() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .to(&target, AfterRecovery::Leave);
    let script = parent.path().join("it's a script");
    std::fs::write(
        &script,
        format!("cp \"{}/$1\" \"$2\"\n", past.cluster.archive.display()),
    )
    .unwrap();
    recover.recovery.restore_command = [
        "/bin/sh".to_owned(),
        script.display().to_string(),
        "%f".to_owned(),
        "%p".to_owned(),
    ]
    .to_vec();
    let restored = recover.run(&past.cluster.engine()).await.unwrap();
    assert_eq!(
        restored.target,
        format!("data directory `{}`", target.display())
    );
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("archive_mode is off")),
        "{:?}",
        restored.notes
    );
    assert_eq!(
        std::fs::read_dir(parent.path()).unwrap().count(),
        2,
        "nothing is left beside it"
    );
    let before = archived(&past.cluster);
    let answer = ask(
        &past.cluster,
        &target,
        &format!(
            "SELECT ({HELD}) || ' ' || current_setting('archive_mode') || ' ' || current_setting('recovery_target_name')"
        ),
    );
    assert_eq!(answer, format!("{} off", past.held));
    assert_eq!(archived(&past.cluster), before);
    assert!(!past.poison.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_directory_starts_without_a_target_and_nothing_reached_the_archive() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let before = archived(&past.cluster);
    let restored = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .wal(&past.cluster.wal())
        .equals(HELD, &past.held)
        .to(&target, AfterRecovery::Promote)
        .run(&past.cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    assert!(
        restored.notes.iter().any(|note| note.contains("pg_cron")),
        "{:?}",
        restored.notes
    );
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("not_on_this_machine")),
        "{:?}",
        restored.notes
    );
    let phases: Vec<_> = restored
        .phases
        .iter()
        .map(|phase| phase.0.as_str())
        .collect();
    assert_eq!(
        phases,
        [
            "prepare", "load", "start", "replay", "checks", "promote", "stop", "settle", "sync",
            "rename"
        ]
    );
    assert!(!target.join("recovery.signal").exists());
    let answer = ask(
        &past.cluster,
        &target,
        &format!("SELECT ({HELD}) || ' ' || timeline_id FROM pg_control_checkpoint()"),
    );
    assert_eq!(answer, format!("{} 2", past.held));
    assert_eq!(
        archived(&past.cluster),
        before,
        "a new timeline must not reach the archive"
    );
    assert!(!past.poison.exists());
    assert!(!Path::new("/tmp/mainstay-test-end-command").exists());
}

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
async fn an_existing_directory_stays_without_replace_and_is_exchanged_with_it() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let make = || {
        past.base
            .recover(RecoveryTarget::Immediate)
            .wal(&past.cluster.wal())
            .to(&target, AfterRecovery::Promote)
    };
    make().run(&past.cluster.engine()).await.unwrap();
    let old = target.join("mine");
    std::fs::write(&old, "").unwrap();
    let error = make().run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::target-exists");
    let broken = FolderArchive::broken_from(&past.cluster, "0");
    let error = make()
        .wal(&broken)
        .replace()
        .run(&past.cluster.engine())
        .await
        .unwrap_err();
    assert_eq!(error.code, "mainstay::tier::unreachable");
    assert!(old.exists(), "a failed recovery changes nothing");
    let restored = make().replace().run(&past.cluster.engine()).await.unwrap();
    assert!(restored.target.ends_with("replaced"), "{}", restored.target);
    assert!(!old.exists() && target.join("PG_VERSION").exists());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_leaves_no_target() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Immediate)
        .wal(&past.cluster.wal())
        .to(&target, AfterRecovery::Leave);
    recover.recovery.restore_command = vec!["false".to_owned()];
    let whole = past.base.objects[0].2.clone();
    let half = whole.len() / 2;
    recover.objects[0].stream = Box::new(std::io::Cursor::new(whole[..half].to_vec()));
    let error = recover.run(&past.cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::damaged");
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
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
    while looker.seen.lock().unwrap().len() < 2 {
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
async fn tablespaces_go_beside_the_target_or_where_they_are_mapped_and_never_to_the_source() {
    let cluster = Cluster::start(&[]);
    let source = cluster.server.folder.join("fast disk");
    assert!(
        as_server_user(Path::new("mkdir"))
            .arg(&source)
            .status()
            .unwrap()
            .success()
    );
    cluster.sql(&format!(
        "CREATE TABLESPACE fast LOCATION '{}'",
        source.display()
    ));
    cluster.sql("CREATE TABLE quick TABLESPACE fast AS SELECT generate_series(1, 1000) AS n");
    let base = cluster.base(true);
    let count = "SELECT count(*) FROM quick";
    let scratch = base
        .recover(RecoveryTarget::Immediate)
        .equals(count, "1000");
    passed(&scratch.run(&cluster.engine()).await.unwrap());
    let parent = place();
    let target = parent.path().join("main");
    let restored = base
        .recover(RecoveryTarget::Immediate)
        .equals(count, "1000")
        .to(&target, AfterRecovery::Promote)
        .run(&cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    let link = std::fs::read_dir(target.join("pg_tblspc"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let place_of = std::fs::read_link(link.path()).unwrap();
    assert_eq!(
        place_of.parent().unwrap(),
        parent.path().join("main-tablespaces")
    );
    assert_eq!(ask(&cluster, &target, count), "1000");
    let mapped = parent.path().join("elsewhere");
    let mut recover = base
        .recover(RecoveryTarget::Immediate)
        .to(&parent.path().join("second"), AfterRecovery::Leave);
    recover
        .recovery
        .tablespaces
        .insert(source.display().to_string(), mapped.clone());
    recover.run(&cluster.engine()).await.unwrap();
    assert!(mapped.is_dir());
    assert_eq!(ask(&cluster, &parent.path().join("second"), count), "1000");
    assert_eq!(cluster.sql(count), "1000");
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
async fn an_incremental_chain_becomes_one_directory_and_a_damaged_link_none() {
    let cluster = Cluster::start_18(&[]);
    let source = cluster.server.folder.join("fast");
    assert!(
        as_server_user(Path::new("mkdir"))
            .arg(&source)
            .status()
            .unwrap()
            .success()
    );
    cluster.sql(&format!(
        "CREATE TABLESPACE fast LOCATION '{}'",
        source.display()
    ));
    cluster.sql("CREATE TABLE quick TABLESPACE fast AS SELECT generate_series(1, 1000) AS n");
    cluster.write(20);
    let full = cluster.base_of(true, None);
    cluster.write(10);
    cluster.sql("INSERT INTO quick VALUES (0)");
    let second = cluster.base_of(true, Some(&full));
    cluster.write(5);
    let third = cluster.base_of(true, Some(&second));
    let held = cluster.held();
    let link = |point: &BasePoint| mainstay_providers::api::ChainLink {
        manifest: point.manifest.clone(),
        objects: point.plain(),
    };
    let make = || {
        let mut recover = third
            .recover(RecoveryTarget::Immediate)
            .equals(HELD, &held)
            .equals("SELECT count(*) FROM quick", "1001");
        recover.chain = vec![link(&full), link(&second)];
        recover
    };
    let restored = make().run(&cluster.engine()).await.unwrap();
    passed(&restored);
    let parent = place();
    let target = parent.path().join("main");
    let restored = make()
        .to(&target, AfterRecovery::Promote)
        .run(&cluster.engine())
        .await
        .unwrap();
    passed(&restored);
    let phases: Vec<_> = restored
        .phases
        .iter()
        .take(3)
        .map(|phase| phase.0.as_str())
        .collect();
    assert_eq!(phases, ["prepare", "load", "combine"]);
    assert_eq!(ask(&cluster, &target, HELD), held);
    let mut wrong = make().to(&parent.path().join("wrong"), AfterRecovery::Leave);
    wrong.chain.remove(1);
    let error = wrong.run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::recovery::combine-failed", "{error}");
    let mut cut = make().to(&parent.path().join("cut"), AfterRecovery::Leave);
    let bytes = second.objects[0].2.clone();
    let half = bytes.len() / 2;
    cut.chain[1].objects[0].stream = Box::new(std::io::Cursor::new(bytes[..half].to_vec()));
    let error = cut.run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::postgres::damaged", "{error}");
    let mut names: Vec<_> = std::fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["main", "main-tablespaces"]);
}

/// A stream that never ends, and says when half of it was read.
struct Endless {
    start: std::io::Cursor<Vec<u8>>,
    sign: PathBuf,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.start.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            std::fs::write(&self.sign, "").unwrap();
            std::thread::sleep(Duration::from_hours(1));
        }
        Ok(count)
    }
}

/// Child of the test below: recovers until it is killed.
async fn recover_until_killed(folder: &Path) {
    let past = past();
    let mut recover = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .wal(&past.cluster.wal())
        .to(&folder.join("main"), AfterRecovery::Start);
    if folder.join("unpack").exists() {
        let bytes = past.base.objects[0].2.clone();
        let half = bytes.len() / 2;
        recover.objects[0].stream = Box::new(Endless {
            start: std::io::Cursor::new(bytes[..half].to_vec()),
            sign: folder.join("sign"),
        });
    } else {
        recover.recovery.observer = Some(Arc::new(Sign(folder.join("sign"))));
    }
    let _ = recover.run(&past.cluster.engine()).await;
}

#[derive(Debug)]
struct Sign(PathBuf);

#[async_trait]
impl RecoveryObserver for Sign {
    async fn running(&self, _url: &str) -> Result<()> {
        std::fs::write(&self.0, "").unwrap();
        std::future::pending::<()>().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_killed_leaves_no_target_no_server_and_nothing_that_is_not_cleaned() {
    const CHILD: &str = "MAINSTAY_TEST_RECOVER_IN";
    if let Some(folder) = std::env::var_os(CHILD) {
        return recover_until_killed(Path::new(&folder)).await;
    }
    for stage in ["unpack", "run"] {
        let parent = place();
        std::fs::write(parent.path().join(stage), "").unwrap();
        let name =
            "a_recovery_that_is_killed_leaves_no_target_no_server_and_nothing_that_is_not_cleaned";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, parent.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while !parent.path().join("sign").exists() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the child ended too early"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        no_server_below(parent.path()).await;
        assert!(!parent.path().join("main").exists());
        let hidden = || {
            let entries = std::fs::read_dir(parent.path()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .filter(|name| name.starts_with('.'))
                .count()
        };
        assert_eq!(hidden(), 1, "{stage}");
        let removed = past().cluster.engine().clean_leftovers().await.unwrap();
        assert!(
            removed.iter().any(|what| what.contains(".main.mainstay-")),
            "{removed:?}"
        );
        assert_eq!(hidden(), 0, "{stage}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_keeps_its_configuration_elsewhere_still_gives_a_directory_that_starts() {
    let past = past();
    let parent = place();
    let target = parent.path().join("main");
    let mut recover = past
        .base
        .recover(RecoveryTarget::Time(past.middle))
        .to(&target, AfterRecovery::Leave);
    let copy = format!("cp {}/\"$1\" \"$2\"", past.cluster.archive.display());
    recover.recovery.restore_command = ["sh", "-c", &copy, "sh", "%f", "%p"]
        .map(str::to_owned)
        .to_vec();
    let kept =
        |path: &Path| path != Path::new("postgresql.conf") && path != Path::new("pg_hba.conf");
    recover.objects[0].stream = Box::new(std::io::Cursor::new(only(&past.base, kept)));
    let restored = recover.run(&past.cluster.engine()).await.unwrap();
    assert!(
        restored
            .notes
            .iter()
            .any(|note| note.contains("small postgresql.conf"))
    );
    let text = std::fs::read_to_string(target.join("postgresql.conf")).unwrap();
    assert!(text.contains("max_connections = '60'"), "{text}");
    std::fs::write(target.join("pg_hba.conf"), "local all all trust\n").unwrap();
    assert_eq!(ask(&past.cluster, &target, HELD), past.held);
}

/// The tar of a point with some of its files.
fn only(point: &BasePoint, kept: impl Fn(&Path) -> bool) -> Vec<u8> {
    let bytes = &point.objects[0].2;
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut without = tar::Builder::new(Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if kept(&path) {
            let mut header = entry.header().clone();
            without.append_data(&mut header, path, &mut entry).unwrap();
        }
    }
    without.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_database_cannot_be_opened_replaces_nothing() {
    let cluster = Cluster::start(&[]);
    let broken = cluster.server.create_database("broken");
    let oid = cluster.sql(&format!(
        "SELECT oid FROM pg_database WHERE datname = '{broken}'"
    ));
    let base = cluster.base(true);
    let parent = place();
    let target = parent.path().join("main");
    let make = || {
        let mut recover = base
            .recover(RecoveryTarget::Immediate)
            .to(&target, AfterRecovery::Promote);
        let kept = |path: &Path| !path.starts_with(format!("base/{oid}"));
        recover.objects[0].stream = Box::new(std::io::Cursor::new(only(&base, kept)));
        recover
    };
    let restored = make().run(&cluster.engine()).await.unwrap();
    let bad: Vec<_> = failed(&restored.checks)
        .iter()
        .map(|check| check.what.clone())
        .collect();
    assert_eq!(
        bad,
        [format!("database {broken}")],
        "a doubtful copy may be the last"
    );
    std::fs::write(target.join("mine"), "").unwrap();
    let error = make().replace().run(&cluster.engine()).await.unwrap_err();
    assert_eq!(error.code, "mainstay::restore::checks-failed");
    assert!(error.to_string().contains(&broken), "{error}");
    assert!(target.join("mine").exists());
}
