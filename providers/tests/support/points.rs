//! Captures into memory and gives the stored objects back, as the executor does with tiers.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up shall say why and stop"
)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of this"
)]

use mainstay_providers::{
    api::{
        CaptureRequest, Engine, PlainObject, ReadRequest, RestoreRequest, RestoreTarget, Result,
        Selection,
    },
    registry,
};
use model::{
    Assertion, ByteCount, DatabaseName, Digest, Expectations, Manifest, MethodName,
    RecoveryPointId, SeriesName, StoredObject, Timestamp,
    manifest::{Compression, FORMAT},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc};

/// An engine for a URL.
pub fn engine(url: &str) -> Arc<dyn Engine> {
    engine_of(&json!({ "url": url }))
}

/// An engine for a database table.
pub fn engine_of(table: &Value) -> Arc<dyn Engine> {
    registry::engine("postgres", table, Path::new("/")).expect("a valid table")
}

/// A recovery point in memory.
#[derive(Debug, Clone)]
pub struct Point {
    /// Its manifest.
    pub manifest: Manifest,
    /// Role, content and plain bytes.
    pub objects: Vec<(String, String, Vec<u8>)>,
}

/// The request for a capture.
pub fn request(options: Value, scratch: &Path) -> CaptureRequest {
    CaptureRequest {
        parent: None,
        wal_is_archived: false,
        method: MethodName::new("logical").expect("a name"),
        options,
        scratch: scratch.to_owned(),
        slot: Timestamp::UNIX_EPOCH,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// The request for a physical capture.
pub fn physical(options: Value, scratch: &Path) -> CaptureRequest {
    CaptureRequest {
        method: MethodName::new("physical").expect("a name"),
        ..request(options, scratch)
    }
}

/// Captures a recovery point.
pub async fn capture(engine: &Arc<dyn Engine>, options: Value) -> Result<Point> {
    let scratch = tempfile::tempdir().expect("a folder");
    take(engine, request(options, scratch.path())).await
}

/// Captures a recovery point as it is asked for.
pub async fn take(engine: &Arc<dyn Engine>, request: CaptureRequest) -> Result<Point> {
    let method = request.method.clone();
    let parent = request
        .parent
        .as_ref()
        .map(|parent| parent.manifest.id.clone());
    let mut capture = engine.capture(request).await?;
    let mut objects = Vec::new();
    while let Some(object) = capture.next_object().await? {
        let (role, content, mut stream) = (object.role, object.content, object.stream);
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map(|_| bytes)
        })
        .await
        .expect("no panic");
        // As the executor does: the programs' own words tell more than a stream that broke off.
        let Ok(bytes) = bytes else {
            return Err(capture
                .finish()
                .await
                .expect_err("a broken stream is no capture"));
        };
        objects.push((role, content, bytes));
    }
    let summary = capture.finish().await?;
    let manifest = Manifest {
        wal: summary.wal,
        parent,
        source: summary.source,
        expectations: summary.expectations,
        ..manifest(method, summary.captured_at, &objects)
    };
    Ok(Point { manifest, objects })
}

/// The manifest of a point whose objects, by role and content, hold these bytes.
pub fn manifest(
    method: MethodName,
    captured_at: Timestamp,
    objects: &[(String, String, Vec<u8>)],
) -> Manifest {
    let (database, series) = (
        DatabaseName::new("d").expect("a name"),
        SeriesName::new("s").expect("a name"),
    );
    let stored = objects.iter().map(|(role, content, bytes)| StoredObject {
        role: role.clone(),
        file: format!("{role}.bin"),
        content: content.clone(),
        compression: Compression::None,
        encryption: None,
        crc64nvme: None,
        bytes: ByteCount(bytes.len() as u64),
        sha256: Digest::sha256(b""),
        plain_bytes: ByteCount(bytes.len() as u64),
        plain_blake3: Digest::sha256(b""),
    });
    Manifest {
        wal: None,
        format: FORMAT.to_owned(),
        id: RecoveryPointId::new(&database, &series, Timestamp::UNIX_EPOCH),
        database,
        series,
        slot: Timestamp::UNIX_EPOCH,
        engine: "postgres".to_owned(),
        method,
        parent: None,
        captured_at,
        finished_at: captured_at,
        source: BTreeMap::new(),
        objects: stored.collect(),
        expectations: Expectations::default(),
        recipients: Vec::new(),
        policy_digest: Digest::sha256(b""),
        mainstay_version: "0".to_owned(),
    }
}

/// Such objects, to be read.
pub fn plain(objects: &[(String, String, Vec<u8>)]) -> Vec<PlainObject> {
    let plain = |(role, content, bytes): &(String, String, Vec<u8>)| PlainObject {
        role: role.clone(),
        content: content.clone(),
        stream: Box::new(std::io::Cursor::new(bytes.clone())),
    };
    objects.iter().map(plain).collect()
}

impl Point {
    /// Its objects, to be read.
    pub fn plain(&self) -> Vec<PlainObject> {
        plain(&self.objects)
    }

    /// The data as text.
    pub fn text(&self, role: &str) -> String {
        let object = self
            .objects
            .iter()
            .find(|object| object.0 == role)
            .expect("the object");
        String::from_utf8_lossy(&object.2).into_owned()
    }

    /// Reads it through.
    pub async fn read_through(
        &self,
        engine: &Arc<dyn Engine>,
    ) -> Result<Vec<mainstay_providers::api::Check>> {
        let scratch = tempfile::tempdir().expect("a folder");
        let request = ReadRequest {
            manifest: self.manifest.clone(),
            objects: self.plain(),
            scratch: scratch.path().to_owned(),
        };
        engine.read_through(request).await
    }

    /// A restore of everything to `target`.
    pub fn restore(&self, target: &str) -> Restore {
        Restore {
            point: self.clone(),
            target: RestoreTarget::Named(target.to_owned()),
            replace: false,
            selection: Selection::default(),
            asserts: Vec::new(),
        }
    }

    /// A restore into a scratch database.
    pub fn scratch(&self) -> Restore {
        Restore {
            target: RestoreTarget::Scratch,
            ..self.restore("")
        }
    }
}

/// A restore to be made.
#[derive(Debug)]
pub struct Restore {
    /// What.
    pub point: Point,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether over existing data.
    pub replace: bool,
    /// Which part.
    pub selection: Selection,
    /// A person's checks.
    pub asserts: Vec<Assertion>,
}

impl Restore {
    /// Over existing data.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// Only this table.
    pub fn table(mut self, name: &str) -> Self {
        self.selection.tables.push(name.to_owned());
        self
    }

    /// Only this schema.
    pub fn schema(mut self, name: &str) -> Self {
        self.selection.schemas.push(name.to_owned());
        self
    }

    /// With this check.
    pub fn assert(mut self, sql: &str, expect: model::Expect) -> Self {
        self.asserts.push(Assertion {
            sql: sql.to_owned(),
            expect,
        });
        self
    }

    /// Makes it.
    pub async fn run(self, engine: &Arc<dyn Engine>) -> Result<mainstay_providers::api::Restored> {
        let scratch = tempfile::tempdir().expect("a folder");
        let request = RestoreRequest {
            chain: Vec::new(),
            recovery: None,
            objects: self.point.plain(),
            manifest: self.point.manifest,
            target: self.target,
            replace: self.replace,
            selection: self.selection,
            asserts: self.asserts,
            scratch: scratch.path().to_owned(),
        };
        engine.restore(request).await
    }
}

/// The phases that a restore had, in order.
pub fn phases(restored: &mainstay_providers::api::Restored) -> Vec<&str> {
    let phases = restored.phases.iter();
    phases.map(|phase| phase.0.as_str()).collect()
}

/// The checks that did not hold.
pub fn failed(checks: &[mainstay_providers::api::Check]) -> Vec<&mainstay_providers::api::Check> {
    checks.iter().filter(|check| !check.passed).collect()
}
