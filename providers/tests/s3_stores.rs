//! The stores that the other tests lean on: they start, answer boto3, and leave nothing behind however a test ends.
#![expect(
    clippy::disallowed_methods,
    reason = "tests ask the clock and start programs of their own"
)]

#[path = "support/fault_proxy.rs"]
mod fault_proxy;
#[path = "support/s3.rs"]
mod s3;

use fault_proxy::{Fault, FaultProxy, Rule};
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

#[test]
fn signatures_survive_the_fault_proxy_and_faults_hit_the_chosen_request() {
    let rgw = Rgw::shared();
    let bucket = rgw.bucket("proxy", BucketKind::Plain);
    let proxy = FaultProxy::start(rgw.port);
    let put = |key: &str| {
        let script = "\
config = config.merge(Config(retries={'total_max_attempts': 1}))
name, key, endpoint = args
there = boto3.client('s3', endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id='AK',
                     aws_secret_access_key='SKSK', config=config)
try:
    there.put_object(Bucket=name, Key=key, Body=b'12345678' * 999)
    print(len(there.get_object(Bucket=name, Key=key)['Body'].read()))
except ClientError as error:
    print(error.response['Error']['Code'])
except Exception as error:
    print(type(error).__name__)";
        rgw.python(script, &[&bucket, key, &proxy.endpoint])
    };
    assert_eq!(put("a"), "7992");
    assert_eq!(
        proxy.requests(),
        [format!("PUT /{bucket}/a"), format!("GET /{bucket}/a")]
    );
    for (fault, said) in [
        (Fault::DropBefore, "ConnectionClosedError"),
        (Fault::DropAfter, "ConnectionClosedError"),
        (Fault::InternalError, "InternalError"),
        (Fault::InternalErrorAfter, "InternalError"),
        (Fault::SlowDown, "SlowDown"),
        (Fault::Delay(Duration::from_millis(1)), "7992"),
    ] {
        let key = format!("{fault:?}").replace(['(', ')'], "-");
        proxy.disturb(Rule::once(fault, 1).method("PUT").target("-"));
        assert_eq!(put(&key), said, "{fault:?}");
        assert_eq!(proxy.calm(), 1);
        let stored = rgw.classes(&bucket, &key).len();
        let expected = matches!(
            fault,
            Fault::DropAfter | Fault::InternalErrorAfter | Fault::Delay(_)
        );
        assert_eq!(stored, usize::from(expected), "{fault:?}");
    }
    proxy.disturb(Rule::once(Fault::TruncateResponse, 2));
    assert!(put("cut").ends_with("Error"), "the end was missing");
    proxy.disturb(Rule::once(Fault::FlipRequest, 1));
    assert_eq!(put("flipped"), "XAmzContentSHA256Mismatch");
    proxy.disturb(Rule::once(Fault::FlipRequest, 3));
    put("undisturbed");
    assert_eq!(proxy.calm(), 0, "a rule that never fired says so");
}
