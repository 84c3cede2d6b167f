//! Servers with something in them, base backups of them in memory, and how those are looked at.

use crate::support::{
    points::{Point, engine_of, failed, physical, take},
    postgres::Server,
};
use mainstay_providers::api::{CaptureRequest, Check, Engine, ParentPoint, Result};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

pub(crate) const SUM: &str = "SELECT count(*) || ' ' || sum(hashtext(id || v)::bigint) FROM t";

pub(crate) fn fill(server: &Server) -> String {
    server.psql(
        "postgres",
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 100000) g",
    );
    server.psql("postgres", SUM)
}

/// An engine that takes its programs from the server's own folder.
pub(crate) fn engine_for(server: &Server) -> Arc<dyn Engine> {
    engine_of(&json!({ "url": server.url("postgres"), "bin-dir": server.bin }))
}

pub(crate) async fn full(engine: &Arc<dyn Engine>, options: Value) -> Result<Point> {
    let scratch = tempfile::tempdir().unwrap();
    take(engine, physical(options, scratch.path())).await
}

pub(crate) async fn incremental(engine: &Arc<dyn Engine>, parent: &Point) -> Result<Point> {
    let scratch = tempfile::tempdir().unwrap();
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), object(parent, "backup-manifest")).unwrap();
    let request = CaptureRequest {
        parent: Some(ParentPoint {
            manifest: parent.manifest.clone(),
            files: BTreeMap::from([("backup-manifest".to_owned(), list.path().to_owned())]),
        }),
        ..physical(json!({}), scratch.path())
    };
    take(engine, request).await
}

pub(crate) fn object<'a>(point: &'a Point, role: &str) -> &'a [u8] {
    let found = point.objects.iter().find(|object| object.0 == role);
    &found.unwrap_or_else(|| panic!("no object `{role}`")).2
}

pub(crate) fn object_mut<'a>(point: &'a mut Point, role: &str) -> &'a mut Vec<u8> {
    let found = point.objects.iter_mut().find(|object| object.0 == role);
    &mut found.unwrap().2
}

pub(crate) fn untar(bytes: &[u8], folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut tar = Command::new("tar");
    let mut tar = tar
        .args(["-x", "-f", "-", "-C"])
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(tar.wait().unwrap().success());
}

pub(crate) fn shown(checks: &[Check]) -> String {
    let lines = checks.iter().map(|check| {
        let verdict = if check.passed { "ok" } else { "FAILED" };
        format!("{verdict}: {} ({})", check.what, check.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) async fn passes(engine: &Arc<dyn Engine>, point: &Point) {
    let checks = point.read_through(engine).await.unwrap();
    assert!(failed(&checks).is_empty(), "{}", shown(&checks));
    assert!(checks.len() >= 5, "{}", shown(&checks));
}

/// Flips a bit in the content of the first file of a tar whose path holds `part` and that is not small.
pub(crate) fn flip_in(tar: &mut [u8], part: &str) -> String {
    let mut archive = tar::Archive::new(&tar[..]);
    let found = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find_map(|entry| {
            let path = entry.path().unwrap().display().to_string();
            let place = usize::try_from(entry.raw_file_position()).unwrap();
            (path.contains(part) && entry.size() >= 8192).then_some((path, place))
        });
    let (path, place) = found.unwrap();
    tar[place + 4711] ^= 0x10;
    path
}

pub(crate) async fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come in two minutes");
}
