//! The stores that the other tests lean on: they start, answer boto3, and leave nothing behind however a test ends.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test panics; a test starts itself again"
)]

#[path = "support/s3.rs"]
mod s3;

use s3::{BucketKind, Moto, Rgw, Store, is_gone};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const WRITE_AND_READ: &str = "\
name = args[0]
s3.put_object(Bucket=name, Key='a/b', Body=b'content', StorageClass='DEEP_ARCHIVE')
print(s3.head_object(Bucket=name, Key='a/b')['StorageClass'])";

fn works(store: &Store) {
    let plain = store.bucket("plain", BucketKind::Plain);
    assert_eq!(store.python(WRITE_AND_READ, &[&plain]), "DEEP_ARCHIVE");
    assert_eq!(store.classes(&plain, ""), ["a/b DEEP_ARCHIVE"]);
    let versioned = store.bucket("versioned", BucketKind::Versioned);
    store.python(
        "[s3.put_object(Bucket=args[0], Key='a', Body=body) for body in (b'1', b'2')]\n\
         s3.delete_object(Bucket=args[0], Key='a')\n\
         s3.create_multipart_upload(Bucket=args[0], Key='half')",
        &[&versioned],
    );
    assert_eq!(
        store.versions(&versioned),
        ["a marker", "a version", "a version"]
    );
    assert_eq!(store.unfinished_uploads(&versioned), ["half"]);
    let lock = store.bucket("lock", BucketKind::Lock);
    let said = store.python(
        "print(s3.get_object_lock_configuration(Bucket=args[0])['ObjectLockConfiguration']['ObjectLockEnabled'])",
        &[&lock],
    );
    assert_eq!(said, "Enabled");
}

#[test]
fn a_ceph_gateway_starts_and_answers_boto3() {
    works(Rgw::shared());
}

#[test]
fn moto_starts_and_answers_boto3() {
    works(&Moto::start());
}

#[test]
fn a_dropped_store_leaves_nothing() {
    let moto = Moto::start();
    let (folder, port) = (moto.folder.clone(), moto.port);
    assert!(!is_gone(&folder, port));
    drop(moto);
    all_gone(&[(folder, port)]);
}

/// Started again by the next test, alone: shows its stores and waits to be killed.
#[test]
fn stores_of_a_process_that_is_killed() {
    if std::env::args().any(|argument| argument == "--nocapture") {
        let (rgw, moto) = (Rgw::shared(), Moto::start());
        println!("{} {}", rgw.folder.display(), rgw.port);
        println!("{} {}", moto.folder.display(), moto.port);
        std::thread::sleep(Duration::from_mins(10));
    }
}

#[test]
fn a_killed_test_leaves_no_store() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "stores_of_a_process_that_is_killed",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let stores: Vec<(PathBuf, u16)> = lines
        .filter_map(|line| {
            let line = line.unwrap();
            let (folder, port) = line.rsplit_once(' ')?;
            // The first line follows the name of the test.
            let folder = folder.rsplit(' ').next()?;
            folder
                .starts_with('/')
                .then(|| (folder.into(), port.parse().unwrap()))
        })
        .take(2)
        .collect();
    assert_eq!(stores.len(), 2);
    assert!(stores.iter().all(|(folder, port)| !is_gone(folder, *port)));
    child.kill().unwrap();
    child.wait().unwrap();
    all_gone(&stores);
}

fn all_gone(stores: &[(PathBuf, u16)]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !stores.iter().all(|(folder, port)| is_gone(folder, *port)) {
        assert!(Instant::now() < deadline, "{stores:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
