//! A recovery that is killed in its middle.

use crate::past::{PATIENCE, no_server_below, past, place};
use async_trait::async_trait;
use mainstay_providers::api::{AfterRecovery, RecoveryObserver, Result};
use model::RecoveryTarget;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        let name = "killed::a_recovery_that_is_killed_leaves_no_target_no_server_and_nothing_that_is_not_cleaned";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, parent.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while !parent.path().join("sign").exists() {
            assert!(since.elapsed() < PATIENCE, "the child gives no sign");
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
