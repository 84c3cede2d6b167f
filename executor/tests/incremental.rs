//! A capture that builds on another point: it is given that point's list of files, opened and checked, from a good copy.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use async_trait::async_trait;
use executor::{RunEnd, RunReport};
use jiff::SignedDuration;
use model::{CopyState, Disposition, Expectations, Manifest, Step};
use providers::api::{
    Capture, CaptureObject, CaptureRequest, CaptureSummary, Check, Engine, ProviderError,
    ReadRequest, RestoreRequest, Restored, Result, SourceFacts,
};
use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{Arc, Mutex},
};
use support::{
    World, database,
    keys::encrypted,
    plans::{backup, plan, point, upload},
    tier, words,
};

/// Manifest id, and files by role.
type Parent = (String, BTreeMap<String, String>);

/// Its points have a list of files, and it remembers what it was asked to build on.
#[derive(Debug, Default)]
struct ListEngine {
    parents: Mutex<Vec<Option<Parent>>>,
}

struct ListCapture {
    objects: Vec<CaptureObject>,
    summary: CaptureSummary,
}

#[async_trait]
impl Capture for ListCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        Ok(self.objects.pop())
    }
    async fn finish(self: Box<Self>) -> Result<CaptureSummary> {
        Ok(self.summary)
    }
}

#[async_trait]
impl Engine for ListEngine {
    fn kind(&self) -> &'static str {
        "list"
    }

    async fn probe(&self) -> Result<SourceFacts> {
        Ok(SourceFacts::default())
    }

    async fn capture(&self, request: CaptureRequest) -> Result<Box<dyn Capture>> {
        let is_empty = std::fs::read_dir(&request.scratch)
            .unwrap()
            .next()
            .is_none();
        assert!(is_empty, "the engine's folder is its own");
        let parent = request.parent.map(|parent| {
            let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap();
            let files = parent.files.iter();
            let files = files.map(|(role, path)| (role.clone(), read(path)));
            (parent.manifest.id.to_string(), files.collect())
        });
        let number = self.parents.lock().unwrap().len();
        self.parents.lock().unwrap().push(parent);
        let object = |role, text: String| CaptureObject::new(role, role, "text", Cursor::new(text));
        Ok(Box::new(ListCapture {
            // Taken from the end.
            objects: vec![
                object("backup-manifest", format!("list {number}")),
                object("data", format!("data {number}")),
            ],
            summary: CaptureSummary {
                wal: None,
                captured_at: request.now,
                source: BTreeMap::new(),
                expectations: Expectations::default(),
            },
        }))
    }

    async fn read_through(&self, _: ReadRequest) -> Result<Vec<Check>> {
        Ok(Vec::new())
    }

    async fn restore(&self, _: RestoreRequest) -> Result<Restored> {
        Err(ProviderError::new(
            "mainstay::text::failed",
            Disposition::Permanent,
            "not in this test",
        ))
    }

    async fn clean_leftovers(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// A world with a full point of day 21 on both tiers, a day later.
async fn world() -> (World, Arc<ListEngine>) {
    let mut world = World::new().await;
    let engine = Arc::new(ListEngine::default());
    world.wiring.databases.get_mut(&database()).unwrap().engine = engine.clone();
    let full = encrypted(backup(21, "nas"), &["prod"]);
    done(&world, vec![full]).await;
    done(&world, vec![upload(21, "nas", "disk")]).await;
    world.clock.advance(SignedDuration::from_hours(24));
    (world, engine)
}

async fn run(world: &World, steps: Vec<Step>) -> RunReport {
    world.apply(&plan(world.clock().now(), steps)).await
}

async fn done(world: &World, steps: Vec<Step>) {
    let report = run(world, steps).await;
    assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
}

fn on_top(day: i64, parent: i64, on: &str) -> Step {
    let mut step = encrypted(backup(day, on), &["prod"]);
    step.parent = Some(point(parent));
    step
}

fn spoil(world: &World, tier: &str, file: &str) {
    let path = world.path(tier, &point(21), file);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

const LIST: &str = "backup-manifest.zst.enc";

#[tokio::test]
async fn the_engine_gets_the_parents_list_of_files_as_it_was() {
    let (world, engine) = world().await;
    done(&world, vec![on_top(22, 21, "nas")]).await;
    let parents = engine.parents.lock().unwrap().clone();
    let files = BTreeMap::from([("backup-manifest".to_owned(), "list 0".to_owned())]);
    assert_eq!(parents, [None, Some((point(21).to_string(), files))]);
    let stored = std::fs::read(world.path("nas", &point(22), "manifest.json")).unwrap();
    assert_eq!(Manifest::parse(&stored).unwrap().parent, Some(point(21)));
}

#[tokio::test]
async fn a_spoilt_list_is_taken_from_another_tier_and_remembered() {
    let (world, engine) = world().await;
    spoil(&world, "nas", LIST);
    done(&world, vec![on_top(22, 21, "nas")]).await;
    let last = engine.parents.lock().unwrap().last().cloned().flatten();
    assert_eq!(last.unwrap().1["backup-manifest"], "list 0");
    assert_eq!(state(&world, "nas").await, CopyState::Damaged);
    assert_eq!(state(&world, "disk").await, CopyState::Present);
}

async fn state(world: &World, on: &str) -> CopyState {
    let known = world.catalog.point(&point(21), world.clock().now()).await;
    let known = known.unwrap().unwrap();
    known.copy_on(&tier(on)).unwrap().state
}

#[tokio::test]
async fn without_a_good_parent_nothing_is_captured() {
    let (world, engine) = world().await;
    spoil(&world, "nas", LIST);
    std::fs::remove_file(world.path("disk", &point(21), "data.zst.enc")).unwrap();
    let report = run(&world, vec![on_top(22, 21, "nas")]).await;
    assert_eq!(report.end(), RunEnd::Failed, "{:?}", words(&report));
    assert_eq!(engine.parents.lock().unwrap().len(), 1, "no second capture");
    assert!(!world.path("nas", &point(22), "manifest.json").exists());
    assert_eq!(state(&world, "nas").await, CopyState::Damaged);
    assert_eq!(state(&world, "disk").await, CopyState::Missing);
}
