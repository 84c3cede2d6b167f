//! A small world for tests of the executor: two real filesystem tiers, a real catalog, a database whose content is a text.
//!
//! Plans are made by hand in `plans.rs`, because the executor must not know the planner. Faults are in `faults.rs`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "each test binary uses another part of it, and a test's helpers panic like the test"
)]

pub mod engine;
pub mod faults;
pub mod keys;
pub mod plans;
pub mod sound;
pub mod store;
pub mod wal;

use catalog::Catalog;
use engine::TextEngine;
use faults::{Faults, FaultyEngine, faulty_tier};
use jiff::{SignedDuration, Timestamp};
use mainstay_executor::{
    ApplyOptions, Clock, DatabaseWiring, RebuildReport, RunEnd, RunError, RunReport, TierWiring,
    Wiring, apply, rebuild,
};
use model::{DatabaseName, Plan, SeriesName, TierName, VerifyLevel};
use plans::After as _;
use providers::tiers::filesystem::{FilesystemConfig, FilesystemTier};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A clock that tests set.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap() = at;
    }

    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Everything that one test needs, in a folder of its own.
pub struct World {
    pub folder: Arc<tempfile::TempDir>,
    pub wiring: Wiring,
    pub catalog: Catalog,
    pub clock: Arc<TestClock>,
    pub engine: Arc<TextEngine>,
    pub faults: Faults,
    pub runs: AtomicU64,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn tier(name: &str) -> TierName {
    TierName::new(name).unwrap()
}

pub fn database() -> DatabaseName {
    DatabaseName::new("orders").unwrap()
}

pub fn series() -> SeriesName {
    SeriesName::new("daily").unwrap()
}

impl World {
    pub async fn new() -> Self {
        // Thousands of syncs: in memory where that is to be had.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let faults = Faults::none();
        let engine = Arc::new(TextEngine::new("row 1\nrow 2\nrow 3\n"));
        let mut tiers = BTreeMap::new();
        for name in ["nas", "disk"] {
            let config: FilesystemConfig =
                serde_json::from_value(serde_json::json!({"path": name, "min-free": "0%"}))
                    .unwrap();
            let tier = FilesystemTier::new(tier(name), &config, folder.path());
            tiers.insert(
                self::tier(name),
                TierWiring {
                    tier: faulty_tier(Arc::new(tier), faults.clone()),
                    concurrency: 2,
                },
            );
        }
        let databases = BTreeMap::from([(
            database(),
            DatabaseWiring {
                rpo: None,
                rto: None,
                wal: None,
                engine: Arc::new(FaultyEngine::new(engine.clone(), faults.clone())),
                asserts: Vec::new(),
                series: BTreeMap::new(),
                concurrency: 1,
            },
        )]);
        let keys = ["prod", "offline"].map(|name| {
            let made = keys::local_key(folder.path(), name, &faults);
            (keys::key(name), made)
        });
        let wiring = Wiring {
            policy: None,
            keys: keys.into(),
            databases,
            tiers,
            scratch: folder.path().join("scratch"),
            mainstay_version: "0.0.0-test".to_owned(),
        };
        let path = folder.path().join("catalog.db");
        let catalog = Catalog::open(path.to_str().unwrap()).await.unwrap();
        Self {
            catalog: catalog.with_call_hook(faults.catalog_hook()),
            wiring,
            clock: Arc::new(TestClock(Mutex::new(at("2026-11-21T02:00:00Z")))),
            engine,
            faults,
            folder: Arc::new(folder),
            runs: AtomicU64::new(0),
        }
    }

    /// A world of its own whose keys are those of another.
    pub async fn new_with_keys_of(other: &Self) -> Self {
        let mut world = Self::new().await;
        world.wiring.keys = other.wiring.keys.clone();
        world
    }

    /// Another machine with the same tiers, and a catalog of its own.
    pub async fn other_machine(&self) -> Self {
        let path = self.folder.path().join("catalog-of-another.db");
        self.with_catalog(&path).await
    }

    /// Another machine with the same tiers, and a copy of this one's catalog.
    pub async fn copied_machine(&self) -> Self {
        let copy = self.folder.path().join("catalog-copied.db");
        let original = rusqlite::Connection::open(self.folder.path().join("catalog.db")).unwrap();
        original
            .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
            .unwrap();
        self.with_catalog(&copy).await
    }

    async fn with_catalog(&self, path: &std::path::Path) -> Self {
        let mut wiring = self.wiring.clone();
        wiring.scratch = self.folder.path().join("scratch-of-another");
        Self {
            folder: Arc::clone(&self.folder),
            wiring,
            catalog: Catalog::open(path.to_str().unwrap()).await.unwrap(),
            clock: Arc::clone(&self.clock),
            engine: Arc::clone(&self.engine),
            faults: Faults::none(),
            runs: AtomicU64::new(100),
        }
    }

    pub fn options(&self) -> ApplyOptions {
        let run = format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed));
        ApplyOptions::new(run, "tester", self.clock.clone())
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub async fn try_apply(&self, plan: &Plan) -> Result<RunReport, RunError> {
        apply(plan, &self.wiring, &self.catalog, self.options()).await
    }

    pub async fn apply(&self, plan: &Plan) -> RunReport {
        self.try_apply(plan).await.unwrap()
    }

    /// Makes a verified point of a day of November on `nas`.
    pub async fn make_verified(&self, day: i64) {
        self.clock.set(at(&format!("2026-11-{day}T02:00:00Z")));
        let backup = plans::backup(day, "nas");
        let verify = plans::verify(day, "nas", VerifyLevel::Checksum).after(&[&backup]);
        let plan = plans::plan(self.clock().now(), vec![backup, verify]);
        assert_eq!(self.apply(&plan).await.end(), RunEnd::Done);
    }

    /// Rebuilds the catalog from all tiers.
    pub async fn rebuild(&self) -> RebuildReport {
        let clock = self.clock();
        rebuild(
            &self.catalog,
            &self.wiring.tiers,
            &clock,
            "rebuild",
            "tester",
            Duration::ZERO,
        )
        .await
        .unwrap()
    }

    /// Path of a file of a point on a tier.
    pub fn path(&self, tier: &str, point: &model::RecoveryPointId, file: &str) -> PathBuf {
        self.folder
            .path()
            .join(tier)
            .join(point.folder())
            .join(file)
    }
}

/// The outcomes of a run in words, by step.
pub fn words(report: &RunReport) -> Vec<String> {
    report
        .steps
        .iter()
        .map(|step| {
            use model::event::Outcome;
            let word = match &step.outcome {
                Outcome::Done => "done".to_owned(),
                Outcome::AlreadyDone => "already done".to_owned(),
                Outcome::Failed { error } => format!("failed: {}", error.code),
                Outcome::Skipped { why } => format!("skipped: {why}"),
                Outcome::Stale { why } => format!("stale: {why}"),
                Outcome::Blocked { reason } => format!("blocked: {}", reason.code),
                Outcome::NeedsApproval => "needs approval".to_owned(),
            };
            format!("{} {word}", step.step)
        })
        .collect()
}
