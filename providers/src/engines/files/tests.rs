//! A set of files as people have it, there and back.

use super::*;
use crate::api::{CaptureObject, PlainObject, RestoreTarget, Selection};
use model::{
    Expectations, Manifest, RecoveryPointId, Timestamp,
    manifest::{self, FORMAT},
};
use serde_json::{Value, json};
use std::path::Path;
use std::{
    fs,
    io::{Cursor, Read},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};
use tempfile::TempDir;

fn now() -> Timestamp {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

/// A home with configuration in it.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path);
    fs::create_dir_all(at("conf/sites")).unwrap();
    fs::create_dir(at("conf/empty")).unwrap();
    fs::write(at("conf/app.yaml"), "db:\n  password: tiger\n  host: db1\n").unwrap();
    fs::write(at("conf/.env"), "API_TOKEN=abc\nPORT=80\n").unwrap();
    fs::write(at("conf/cache.tmp"), "x").unwrap();
    fs::write(at("conf/key.pem"), "-----BEGIN KEY-----").unwrap();
    fs::write(at("conf/sites/a.conf"), vec![b'a'; 70_000]).unwrap();
    fs::set_permissions(at("conf/key.pem"), fs::Permissions::from_mode(0o400)).unwrap();
    symlink("sites/a.conf", at("conf/current")).unwrap();
    symlink("/etc/hostname", at("conf/out")).unwrap();
    home
}

fn engine(home: &TempDir, table: &Value) -> FilesEngine {
    FilesEngine {
        config: FilesDatabase::read(table).unwrap(),
        base: home.path().to_owned(),
    }
}

struct Point {
    objects: Vec<(String, bool, Vec<u8>)>,
    expectations: Expectations,
    source: BTreeMap<String, String>,
}

async fn capture(engine: &FilesEngine) -> Result<Point> {
    let scratch = tempfile::tempdir().unwrap();
    let mut capture = engine
        .capture(CaptureRequest {
            parent: None,
            wal_is_archived: false,
            method: config::method(),
            options: Value::Null,
            scratch: scratch.path().to_owned(),
            slot: Timestamp::UNIX_EPOCH,
            now: now(),
        })
        .await?;
    let mut objects = Vec::new();
    while let Some(object) = capture.next_object().await? {
        let CaptureObject {
            role,
            readable,
            mut stream,
            ..
        } = object;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        objects.push((role, readable, bytes));
    }
    let summary = capture.finish().await?;
    Ok(Point {
        objects,
        expectations: summary.expectations,
        source: summary.source,
    })
}

impl Point {
    fn manifest(&self) -> Manifest {
        let slot = now();
        let (database, series) = ("app".parse().unwrap(), "daily".parse().unwrap());
        Manifest {
            wal: None,
            format: FORMAT.to_owned(),
            id: RecoveryPointId::new(&database, &series, slot),
            database,
            series,
            slot,
            engine: KIND.to_owned(),
            method: config::method(),
            parent: None,
            captured_at: slot,
            finished_at: slot,
            source: self.source.clone(),
            objects: Vec::new(),
            expectations: self.expectations.clone(),
            recipients: Vec::new(),
            policy_digest: model::Digest::sha256_of(b"policy"),
            mainstay_version: "0".to_owned(),
        }
    }

    fn plain(&self) -> Vec<PlainObject> {
        self.objects
            .iter()
            .map(|(role, _, bytes)| PlainObject {
                role: role.clone(),
                content: CONTENT.to_owned(),
                stream: Box::new(Cursor::new(bytes.clone())),
            })
            .collect()
    }

    async fn restore(
        &self,
        engine: &FilesEngine,
        to: &Path,
        replace: bool,
        paths: &[&str],
    ) -> Result<Restored> {
        let scratch = tempfile::tempdir().unwrap();
        engine
            .restore(RestoreRequest {
                chain: Vec::new(),
                recovery: None,
                manifest: self.manifest(),
                objects: self.plain(),
                target: RestoreTarget::Named(to.display().to_string()),
                replace,
                selection: Selection {
                    paths: paths.iter().map(|&path| path.to_owned()).collect(),
                    ..Selection::default()
                },
                asserts: Vec::new(),
                scratch: scratch.path().to_owned(),
            })
            .await
    }
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("fine", |error| error.code)
}

/// Where a path of the source lies in a restored folder.
fn inside(to: &Path, home: &TempDir, path: &str) -> PathBuf {
    to.join(home.path().strip_prefix("/").unwrap()).join(path)
}

#[tokio::test]
async fn a_folder_comes_back_with_its_links_modes_and_times() {
    let home = home();
    let engine = engine(&home, &json!({"paths": ["conf"], "exclude": ["*.tmp"]}));
    let point = capture(&engine).await.unwrap();
    let rows = |name: &str| point.expectations.tables[name].rows;
    assert_eq!(
        (rows("files"), rows("folders"), rows("links")),
        (Some(4), Some(3), Some(2))
    );
    let to = home.path().join("restored");
    let restored = point.restore(&engine, &to, false, &[]).await.unwrap();
    assert!(
        restored.checks.iter().all(|check| check.passed),
        "{:?}",
        restored.checks
    );
    for path in [
        "conf/app.yaml",
        "conf/.env",
        "conf/key.pem",
        "conf/sites/a.conf",
    ] {
        let (old, new) = (home.path().join(path), inside(&to, &home, path));
        assert_eq!(fs::read(&old).unwrap(), fs::read(&new).unwrap());
        let facts = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mode(), metadata.uid(), metadata.mtime())
        };
        assert_eq!(facts(&old), facts(&new), "{path}");
    }
    assert!(inside(&to, &home, "conf/empty").is_dir());
    assert_eq!(
        fs::read_link(inside(&to, &home, "conf/current")).unwrap(),
        Path::new("sites/a.conf")
    );
    assert!(
        inside(&to, &home, "conf/cache.tmp")
            .symlink_metadata()
            .is_err()
    );
    // The link to the outside is not there, and a person is told.
    assert!(inside(&to, &home, "conf/out").symlink_metadata().is_err());
    assert_eq!(restored.notes.len(), 1);
    assert!(
        restored.notes[0].contains("conf/out -> /etc/hostname"),
        "{:?}",
        restored.notes
    );
    let left: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with(tree::TEMPORARY)),
        "{left:?}"
    );
}

#[tokio::test]
async fn the_readable_copy_holds_no_secret_and_is_told_apart() {
    let home = home();
    let engine = engine(
        &home,
        &json!({"paths": ["conf"], "encrypt-fields": ["host"]}),
    );
    let point = capture(&engine).await.unwrap();
    let roles: Vec<(&str, bool)> = point
        .objects
        .iter()
        .map(|(role, readable, _)| (role.as_str(), *readable))
        .collect();
    assert_eq!(roles, [("data", false), ("review", true)]);
    let review = String::from_utf8_lossy(&point.objects[1].2).into_owned();
    for secret in ["tiger", "db1", "abc", "BEGIN"] {
        assert!(!review.contains(secret), "{secret} is in the readable copy");
    }
    assert!(review.contains("PORT=80") && review.contains("password"));
    assert_eq!(
        point.source["not_in_review"],
        "3 files that cannot be shown safely"
    );
    let checks = engine
        .read_through(ReadRequest {
            manifest: point.manifest(),
            objects: point.plain(),
            scratch: PathBuf::new(),
        })
        .await
        .unwrap();
    assert!(checks.len() == 3 && checks.iter().all(|check| check.passed));
}

#[tokio::test]
async fn a_part_comes_back_by_its_path_and_a_wrong_path_is_told() {
    let home = home();
    let engine = engine(&home, &json!({"paths": ["conf/*.yaml", "conf/sites"]}));
    let point = capture(&engine).await.unwrap();
    let to = home.path().join("part");
    let sites = home.path().join("conf/sites");
    point
        .restore(&engine, &to, false, &[sites.to_str().unwrap()])
        .await
        .unwrap();
    assert!(inside(&to, &home, "conf/sites/a.conf").is_file());
    assert!(!inside(&to, &home, "conf/app.yaml").exists());
    let wrong = point
        .restore(
            &engine,
            &home.path().join("other"),
            false,
            &["conf/nothing"],
        )
        .await;
    assert_eq!(code(wrong), "mainstay::files::not-in-point");
    assert!(!home.path().join("other").exists());
}

#[tokio::test]
async fn what_is_there_stays_unless_it_may_be_replaced() {
    let home = home();
    let engine = engine(&home, &json!({"paths": ["conf/app.yaml"]}));
    let point = capture(&engine).await.unwrap();
    let to = home.path().join("there");
    let (file, other) = (inside(&to, &home, "conf/app.yaml"), to.join("other"));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "mine").unwrap();
    fs::write(&other, "mine too").unwrap();
    assert_eq!(
        code(point.restore(&engine, &to, false, &[]).await),
        "mainstay::files::target-exists"
    );
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    point.restore(&engine, &to, true, &[]).await.unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("tiger"));
    assert_eq!(fs::read(&other).unwrap(), b"mine too");
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    point.restore(&engine, &empty, false, &[]).await.unwrap();
}

#[tokio::test]
async fn a_link_in_the_target_is_never_followed() {
    let home = home();
    let engine = engine(&home, &json!({"paths": ["conf/app.yaml"]}));
    let point = capture(&engine).await.unwrap();
    let (to, outside) = (home.path().join("to"), home.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&to).unwrap();
    let first = home.path().components().nth(1).unwrap();
    symlink(&outside, to.join(first)).unwrap();
    assert_eq!(
        code(point.restore(&engine, &to, true, &[]).await),
        "mainstay::files::link-in-the-way"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn hostile(path: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_size(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[tokio::test]
async fn an_archive_that_would_leave_the_target_restores_nothing() {
    use tar::EntryType::{Link, Regular, Symlink};
    let home = home();
    let engine = engine(&home, &json!({"paths": ["conf"]}));
    let mut point = capture(&engine).await.unwrap();
    for (number, entries) in [
        vec![hostile("../evil", Regular, "")],
        vec![hostile("/evil", Regular, "")],
        vec![hostile("a/../../evil", Regular, "")],
        vec![hostile("a", Link, "/etc/passwd")],
        vec![hostile("pipe", tar::EntryType::Fifo, "")],
        // A link that stays inside, and then an entry through it.
        vec![hostile("a", Symlink, "b"), hostile("a/evil", Regular, "")],
    ]
    .into_iter()
    .enumerate()
    {
        let mut bytes = entries.concat();
        bytes.extend([0; 1024]);
        point.objects = vec![("data".to_owned(), false, bytes)];
        let to = home.path().join(format!("to-{number}"));
        let result = point.restore(&engine, &to, false, &[]).await;
        assert!(
            matches!(
                code(result),
                "mainstay::files::unsafe-path" | "mainstay::files::link-in-the-way"
            ),
            "{number}"
        );
        assert!(to.symlink_metadata().is_err(), "{number}");
        assert!(!home.path().join("evil").exists() && !Path::new("/evil").exists());
    }
}

#[tokio::test]
async fn a_path_that_is_gone_fails_the_backup() {
    let home = home();
    for table in [
        json!({"paths": ["conf", "gone"]}),
        json!({"paths": ["conf/*.ini"]}),
        json!({"paths": ["nowhere/**"]}),
        json!({"paths": ["conf"], "exclude": ["conf"]}),
    ] {
        let result = capture(&engine(&home, &table)).await;
        assert_eq!(code(result), "mainstay::files::nothing-matches", "{table}");
    }
    // Named twice is fine.
    capture(&engine(
        &home,
        &json!({"paths": ["conf", "conf/*.yaml", "conf/app.yaml"]}),
    ))
    .await
    .unwrap();
}

#[tokio::test]
async fn a_file_that_is_written_while_it_is_read_is_whole_or_fails_the_backup() {
    let home = home();
    let path = home.path().join("conf/live");
    fs::write(&path, vec![0; 400_000]).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (path, until) = (path.clone(), std::sync::Arc::clone(&stop));
    let writer = std::thread::spawn(move || {
        let mut letter = 0_u8;
        while !until.load(std::sync::atomic::Ordering::Relaxed) {
            letter = letter.wrapping_add(1);
            fs::write(&path, vec![letter; 300_000 + usize::from(letter) * 1000]).unwrap();
        }
    });
    let engine = engine(&home, &json!({"paths": ["conf/live"]}));
    for _ in 0..20 {
        match capture(&engine).await {
            Err(error) => assert_eq!(error.code, "mainstay::files::changed"),
            Ok(point) => {
                let mut archive = tar::Archive::new(point.objects[0].2.as_slice());
                let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                assert!(
                    bytes.iter().all(|byte| *byte == bytes[0]),
                    "a torn file was stored"
                );
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn mistakes_in_the_table_are_findings() {
    let findings = config::check_database(
        &json!({"paths": ["", "~/x", "a[b"], "exclude": ["{a"], "encrypt-fields": ["[z"]}),
        Path::new("/"),
    );
    let codes: Vec<_> = findings
        .iter()
        .map(|finding| (finding.path[0].as_str(), finding.code))
        .collect();
    assert_eq!(
        codes,
        [
            ("paths", "files::path-empty"),
            ("paths", "files::path-tilde"),
            ("paths", "files::bad-glob"),
            ("exclude", "files::bad-glob"),
            ("encrypt-fields", "files::bad-glob"),
        ]
    );
    let levels = config::check_series(
        &json!({"compression": "gzip", "compression-level": 12}),
        Path::new("/"),
    );
    assert_eq!(levels[0].code, "files::compression-level");
    assert_eq!(manifest::FILE_NAME, "manifest.json");
}
