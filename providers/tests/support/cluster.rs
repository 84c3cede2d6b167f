//! A server with an archive in a folder, base backups of it made by `pg_basebackup` itself, and recovery points of those.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up shall say why and stop"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers and programs of their own"
)]

use super::{points, postgres::Server};
use async_trait::async_trait;
use mainstay_providers::api::{
    AfterRecovery, Engine, PlainObject, ProviderError, Recovery, RestoreRequest, RestoreTarget,
    Restored, Result, Selection, WalFetch,
};
use model::{
    Assertion, Disposition, Expect, Lsn, Manifest, MethodName, RecoveryTarget, TimelineChoice,
    Timestamp, WalFileName, WalSpan,
};
use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// A server that archives.
#[derive(Debug)]
pub struct Cluster {
    /// The server.
    pub server: Server,
    /// Where its log is archived.
    pub archive: PathBuf,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts one with a table `history` whose rows know when they were committed.
    pub fn start(settings: &[&str]) -> Self {
        Self::of(settings, Server::start)
    }

    /// The same of PostgreSQL 18, ready for incremental backups.
    pub fn start_18(settings: &[&str]) -> Self {
        let mut all = vec!["summarize_wal=on"];
        all.extend(settings);
        Self::of(&all, Server::start_18)
    }

    fn of(settings: &[&str], start: impl FnOnce(&[&str]) -> Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        open_to_all(folder.path());
        let archive = folder.path().join("archive");
        std::fs::create_dir(&archive).expect("writable");
        std::fs::set_permissions(&archive, PermissionsExt::from_mode(0o777)).expect("ours");
        let mut all = vec![
            "archive_mode=on",
            "track_commit_timestamp=on",
            "wal_level=replica",
        ];
        all.extend(settings);
        let server = start(&all);
        let cluster = Self {
            server,
            archive,
            _folder: folder,
        };
        cluster.sql(&format!(
            "ALTER SYSTEM SET archive_command = 'test ! -f {0}/%f && cp %p {0}/.%f && mv {0}/.%f {0}/%f'",
            cluster.archive.display()
        ));
        cluster.sql("SELECT pg_reload_conf()");
        cluster.sql("CREATE TABLE history (id serial PRIMARY KEY, note text)");
        cluster
    }

    /// Runs SQL in `postgres`.
    pub fn sql(&self, sql: &str) -> String {
        self.server.psql("postgres", sql)
    }

    /// Commits rows one by one.
    pub fn write(&self, rows: usize) {
        let statements: String = (0..rows)
            .map(|_| "INSERT INTO history (note) VALUES (repeat('x', 2000));\n".to_owned())
            .collect();
        self.sql_lines(&statements);
    }

    /// Each line a transaction.
    pub fn sql_lines(&self, text: &str) {
        use std::io::Write;
        let mut psql = self
            .server
            .program("psql", "postgres")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("psql");
        let mut input = psql.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("written");
        drop(input);
        assert!(psql.wait().expect("ended").success());
    }

    /// Its clock, in UTC.
    pub fn now(&self) -> Timestamp {
        let text = self.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
        text.parse().expect("a time")
    }

    /// What `history` held at a moment, as [`HELD`] tells it.
    pub fn held_at(&self, at: Timestamp) -> String {
        self.sql(&format!(
            "SELECT count(*) || '/' || coalesce(sum(id), 0) FROM history WHERE pg_xact_commit_timestamp(xmin) <= '{at}'"
        ))
    }

    /// What it holds now.
    pub fn held(&self) -> String {
        self.sql(HELD)
    }

    /// Makes it go on as timeline 2, as a promoted standby does.
    pub fn become_timeline_2(&mut self) {
        self.server.stop();
        let signal = self.server.data().join("standby.signal");
        std::fs::write(signal, "").expect("writable");
        let settings = [
            "archive_mode=on",
            "track_commit_timestamp=on",
            "wal_level=replica",
        ];
        self.server.launch(&settings);
        self.sql("SELECT pg_promote()");
    }

    /// Waits until everything written so far is archived.
    pub fn archive_all(&self) {
        let segment = self.sql("SELECT pg_walfile_name(pg_switch_wal())");
        let path = self.archive.join(&segment);
        for _ in 0..600 {
            if path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{segment} was not archived");
    }

    /// An engine for it.
    pub fn engine(&self) -> Arc<dyn Engine> {
        super::points::engine_of(&serde_json::json!({
            "url": self.server.url("postgres"),
            "bin-dir": self.server.bin.display().to_string(),
        }))
    }

    /// A full base backup.
    pub fn base(&self, with_log: bool) -> BasePoint {
        self.base_of(with_log, None)
    }

    /// A base backup, incremental to the one whose manifest is given.
    pub fn base_of(&self, with_log: bool, parent: Option<&BasePoint>) -> BasePoint {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("base");
        let captured_at = self.now();
        let mut program = self.server.program("pg_basebackup", "postgres");
        program
            .env_remove("PGDATABASE")
            .args(["--format=tar", "--checkpoint=fast", "--no-sync"])
            .arg(if with_log {
                "--wal-method=fetch"
            } else {
                "--wal-method=none"
            })
            .arg("--pgdata")
            .arg(&to);
        if let Some(parent) = parent {
            let file = folder.path().join("parent-manifest");
            std::fs::write(&file, &parent.backup_manifest).expect("writable");
            program.arg(format!("--incremental={}", file.display()));
        }
        let output = program.output().expect("pg_basebackup");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut objects = Vec::new();
        let base = std::fs::read(to.join("base.tar")).expect("a tar");
        objects.push(("data".to_owned(), "pg-base-tar".to_owned(), base));
        for entry in std::fs::read_dir(&to).expect("readable").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(oid) = name
                .strip_suffix(".tar")
                .filter(|oid| oid.parse::<u32>().is_ok())
            {
                let bytes = std::fs::read(entry.path()).expect("a tar");
                objects.push((
                    format!("tablespace-{oid}"),
                    "pg-tablespace-tar".to_owned(),
                    bytes,
                ));
            }
        }
        let backup_manifest = std::fs::read(to.join("backup_manifest")).expect("a manifest");
        objects.push((
            "backup-manifest".to_owned(),
            "pg-backup-manifest".to_owned(),
            backup_manifest.clone(),
        ));
        let json: serde_json::Value = serde_json::from_slice(&backup_manifest).expect("a manifest");
        let range = &json["WAL-Ranges"][0];
        let lsn = |name: &str| Lsn::parse(range[name].as_str().expect("text")).expect("a position");
        let identifier = self.sql("SELECT system_identifier FROM pg_control_system()");
        let wal = WalSpan {
            end: lsn("End-LSN"),
            included: with_log,
            segment_bytes: 16 << 20,
            start: lsn("Start-LSN"),
            system_identifier: identifier.parse().expect("a number"),
            timeline: u32::try_from(range["Timeline"].as_u64().expect("a number")).expect("small"),
        };
        let version = self.sql("SHOW server_version");
        let physical = MethodName::new("physical").expect("a name");
        let manifest = Manifest {
            wal: Some(wal),
            source: BTreeMap::from([("server_version".to_owned(), version)]),
            ..points::manifest(physical, captured_at, &objects)
        };
        BasePoint {
            manifest,
            objects,
            backup_manifest,
        }
    }

    /// Makes the tablespace `fast` in this folder beside the data, with a table `quick` of a thousand rows.
    pub fn tablespace(&self, folder: &str) -> PathBuf {
        let place = self.server.tablespace(folder);
        self.sql("CREATE TABLE quick TABLESPACE fast AS SELECT generate_series(1, 1000) AS n");
        place
    }

    /// Its archive.
    pub fn wal(&self) -> Arc<FolderArchive> {
        Arc::new(FolderArchive {
            folder: self.archive.clone(),
            asked: Mutex::default(),
            broken: AtomicBool::new(false),
            broken_from: None,
        })
    }
}

/// What `history` holds.
pub const HELD: &str = "SELECT count(*) || '/' || coalesce(sum(id), 0) FROM history";

/// Lets everybody pass a folder: the server's user is another one than ours.
pub fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("ours");
}

/// A physical point in memory.
#[derive(Debug, Clone)]
pub struct BasePoint {
    /// Its manifest.
    pub manifest: Manifest,
    /// Role, content and plain bytes.
    pub objects: Vec<(String, String, Vec<u8>)>,
    /// What an incremental one needs.
    pub backup_manifest: Vec<u8>,
}

impl BasePoint {
    /// Its objects, to be read.
    pub fn plain(&self) -> Vec<PlainObject> {
        points::plain(&self.objects)
    }

    /// A recovery of it.
    pub fn recover(&self, target: RecoveryTarget) -> Recover {
        Recover {
            objects: self.plain(),
            chain: Vec::new(),
            manifest: self.manifest.clone(),
            recovery: Recovery {
                target,
                timeline: TimelineChoice::Latest,
                wal: None,
                restore_command: Vec::new(),
                tablespaces: BTreeMap::new(),
                after: AfterRecovery::Start,
                amcheck: false,
                observer: None,
            },
            to: RestoreTarget::Scratch,
            replace: false,
            selection: Selection::default(),
            asserts: Vec::new(),
        }
    }
}

/// A recovery to be made.
pub struct Recover {
    /// Streams.
    pub objects: Vec<PlainObject>,
    /// What it builds on.
    pub chain: Vec<mainstay_providers::api::ChainLink>,
    /// Manifest.
    pub manifest: Manifest,
    /// How.
    pub recovery: Recovery,
    /// Where to.
    pub to: RestoreTarget,
    /// Whether over existing data.
    pub replace: bool,
    /// Which part.
    pub selection: Selection,
    /// Checks.
    pub asserts: Vec<Assertion>,
}

impl Recover {
    /// With this archive.
    pub fn wal(mut self, wal: &Arc<FolderArchive>) -> Self {
        self.recovery.wal = Some(Arc::clone(wal) as Arc<dyn WalFetch>);
        self
    }

    /// Into this folder.
    pub fn to(mut self, folder: &Path, after: AfterRecovery) -> Self {
        self.to = RestoreTarget::Named(folder.display().to_string());
        self.recovery.after = after;
        self
    }

    /// Over what is there.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// With a check that one value is exactly this.
    pub fn equals(mut self, sql: &str, value: &str) -> Self {
        self.asserts.push(Assertion {
            sql: sql.to_owned(),
            expect: Expect::Equals(value.to_owned()),
        });
        self
    }

    /// Makes it, in a task of its own.
    pub async fn run_owned(self, engine: Arc<dyn Engine>) -> Result<Restored> {
        self.run(&engine).await
    }

    /// Makes it.
    pub async fn run(self, engine: &Arc<dyn Engine>) -> Result<Restored> {
        let scratch = tempfile::tempdir().expect("a folder");
        open_to_all(scratch.path());
        let request = RestoreRequest {
            manifest: self.manifest,
            objects: self.objects,
            target: self.to,
            replace: self.replace,
            selection: self.selection,
            asserts: self.asserts,
            chain: self.chain,
            recovery: Some(self.recovery),
            scratch: scratch.path().to_owned(),
        };
        let restored = engine.restore(request).await;
        let left: Vec<_> = std::fs::read_dir(scratch.path())
            .expect("readable")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains(".mainstay-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        restored
    }
}

/// An archive that is a folder, and can be made to fail.
#[derive(Debug)]
pub struct FolderArchive {
    folder: PathBuf,
    /// What was asked for.
    pub asked: Mutex<Vec<String>>,
    /// Everything fails from now on.
    pub broken: AtomicBool,
    /// Everything from this segment on fails.
    pub broken_from: Option<String>,
}

impl FolderArchive {
    /// One that fails from a segment on.
    pub fn broken_from(cluster: &Cluster, segment: &str) -> Arc<Self> {
        Arc::new(Self {
            folder: cluster.archive.clone(),
            asked: Mutex::default(),
            broken: AtomicBool::new(false),
            broken_from: Some(segment.to_owned()),
        })
    }
}

#[async_trait]
impl WalFetch for FolderArchive {
    async fn fetch(&self, file: &WalFileName) -> Result<Option<Box<dyn Read + Send>>> {
        let name = file.to_string();
        self.asked.lock().expect("whole").push(name.clone());
        let from = self.broken_from.as_ref();
        if self.broken.load(Ordering::Relaxed)
            || (file.is_segment() && from.is_some_and(|from| name >= *from))
        {
            return Err(ProviderError::new(
                "mainstay::tier::unreachable",
                Disposition::Retry,
                "the archive cannot be reached",
            ));
        }
        match std::fs::File::open(self.folder.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(_) => Ok(None),
        }
    }
}

/// Folders in /tmp and /var/tmp that recoveries made, and servers of theirs that run.
pub fn leftovers() -> Vec<String> {
    let mut found = Vec::new();
    for parent in ["/tmp", "/var/tmp"] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("mainstay-recovery-") || name.contains(".mainstay-") {
                found.push(name);
            }
        }
    }
    found
}

/// Processes of servers whose data lies below a folder.
pub fn servers_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        if line.contains("bin/postgres ") && line.contains(&folder.display().to_string()) {
            found.push(line);
        }
    }
    found
}
