//! The cluster that the tests recover, and how a recovered one is looked at.

use crate::support::cluster::{BasePoint, Cluster, open_to_all, servers_below};
use crate::support::points::failed;
use crate::support::postgres::as_server_user;
use mainstay_providers::api::Restored;
use model::Timestamp;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A cluster whose settings would do harm to others if they were inherited.
pub(crate) struct Past {
    pub(crate) cluster: Cluster,
    pub(crate) base: BasePoint,
    pub(crate) middle: Timestamp,
    pub(crate) held: String,
    pub(crate) poison: PathBuf,
}

pub(crate) fn past() -> &'static Past {
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
pub(crate) fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

pub(crate) fn passed(restored: &Restored) {
    assert!(
        failed(&restored.checks).is_empty(),
        "{:#?}",
        restored.checks
    );
}

/// How long something may take that comes on its own, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until the servers of a folder have ended; one that lives on is a failure.
pub(crate) async fn no_server_below(folder: &Path) {
    let since = Instant::now();
    while !servers_below(folder).is_empty() && since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(servers_below(folder), Vec::<String>::new());
}

/// Starts a recovered data directory as a person would, and asks it.
pub(crate) fn ask(cluster: &Cluster, data: &Path, sql: &str) -> String {
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

pub(crate) fn archived(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(&cluster.archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The tar of a point with some of its files.
pub(crate) fn only(point: &BasePoint, kept: impl Fn(&Path) -> bool) -> Vec<u8> {
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
