//! Real, throw-away S3 stores for tests: a Ceph RADOS gateway ([`Rgw`]) and moto ([`Moto`]), each in a folder of its own and
//! on free ports, and boto3 as the independent client that looks at what Mainstay did ([`Store::python`]).
//!
//! Self-contained (standard library only), so that other crates' tests can include it with `#[path]`. A store is stopped and
//! its folder removed when the value is dropped, and also when the test process ends in any other way: a watchdog waits for
//! the end of a pipe that only the test process holds, and kills the store's whole process group. What is missing on the
//! machine fails the test and says so; nothing is skipped.
//!
//! What each of them is real about stands in `docs/surprises.md`.

#![allow(
    clippy::expect_used,
    clippy::panic,
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

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    ops::Deref,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// The script beside this file, written out where the tests run.
const RGW_UP: &str = include_str!("rgw-up.sh");

/// Before every script of [`Store::python`]: the clients of the store, `args`, and `sha256`.
const PRELUDE: &str = r"
import os, sys, json, hashlib
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
# Checksums that older stores do not know are left out.
config = Config(request_checksum_calculation='when_required', response_checksum_validation='when_required',
                s3={'addressing_style': 'path'}, retries={'max_attempts': 3})
def client(service):
    return boto3.client(service, endpoint_url=os.environ['STORE_ENDPOINT'], region_name=os.environ['STORE_REGION'],
                        aws_access_key_id=os.environ['STORE_ACCESS_KEY'],
                        aws_secret_access_key=os.environ['STORE_SECRET_KEY'], config=config)
s3 = client('s3')
args = sys.argv[1:]
def sha256(data):
    return hashlib.sha256(data).hexdigest()
";

/// After it, in the Python that stays: runs one script per line, words in hexadecimal, and answers the same way.
const AGENT: &str = r"
import io, contextlib, traceback
for line in sys.stdin:
    script, *words = [bytes.fromhex(word[1:]).decode() for word in line.split()]
    out, scope = io.StringIO(), dict(globals(), args=words)
    try:
        with contextlib.redirect_stdout(out):
            exec(script, scope)
        answer = 'ok x' + out.getvalue().encode().hex()
    except BaseException:
        answer = 'failed x' + traceback.format_exc().encode().hex()
    print(answer, flush=True)
";

/// How a bucket is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// An ordinary one: a delete is a delete.
    Plain,
    /// It keeps versions: a delete without a version leaves a marker.
    Versioned,
    /// With object lock (and so with versions), without a default retention.
    Lock,
}

/// How to reach a running store.
#[derive(Debug)]
pub struct Store {
    /// `http://127.0.0.1:<port>`.
    pub endpoint: String,
    /// Its port.
    pub port: u16,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Region.
    pub region: String,
    /// Folder with its log.
    pub folder: PathBuf,
    watchdog: Child,
    agent: Mutex<Option<Agent>>,
}

/// A Python that has loaded boto3: to start one for every look takes longer than the looks.
#[derive(Debug)]
struct Agent {
    // Its input ends with the value or the test process, and it with its input.
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// A single-node Ceph gateway: real signatures, object lock, versions, conditional writes, storage classes as a word.
#[derive(Debug)]
pub struct Rgw(Store);

/// A moto server: the API of S3, its archive classes and thaws, and of KMS; checks no signatures.
#[derive(Debug)]
pub struct Moto(Store);

impl Deref for Rgw {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Deref for Moto {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Rgw {
    /// The gateway that all tests of this binary share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Rgw> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one.
    pub fn start() -> Self {
        for program in ["radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph"] {
            let found = Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            assert!(
                found,
                "`{program}` is missing: these tests need a Ceph gateway \
                 (apt-get install radosgw ceph-mon ceph-osd ceph-common)"
            );
        }
        let mut said = String::new();
        for _ in 0..3 {
            let (monitor, gateway) = (free_port(), free_port());
            let store = Store::new("rgw", gateway, "AK", "SKSK");
            let script = store.folder.join("rgw-up.sh");
            std::fs::write(&script, RGW_UP).expect("writable");
            let mut command = Command::new("/bin/bash");
            command
                .arg(&script)
                .arg(&store.folder)
                .args([monitor.to_string(), gateway.to_string()]);
            let mut child = store.spawn(&command, Stdio::piped());
            let mut line = String::new();
            let stdout = child.stdout.take().expect("piped");
            let _ = BufReader::new(stdout).read_line(&mut line);
            Store::reap(child);
            if line == "ready\n" {
                return Self(store);
            }
            // Somebody may take a port between our look and the server's start.
            said = store.log();
        }
        panic!("the Ceph gateway does not start: {said}")
    }

    /// SIGKILL for the gateway; what is stored stays with the other daemons. Whether it ran.
    pub fn kill_gateway(&self) -> bool {
        let Some(gateway) = self.gateway() else {
            return false;
        };
        let killed = Command::new("kill").args(["-KILL", &gateway]).status();
        while self.gateway().is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
        killed.is_ok_and(|status| status.success())
    }

    /// Starts the gateway again, on the same data, and waits until it answers.
    pub fn start_gateway(&self) {
        let group = std::fs::read_to_string(self.folder.join("group")).expect("it was started");
        let log = std::fs::File::create(self.folder.join("log/gateway-again.out"));
        let child = Command::new("radosgw")
            .args(["-f", "-n", "client.admin"])
            .env("CEPH_CONF", self.folder.join("ceph.conf"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("writable"))
            // The watchdog ends the group.
            .process_group(group.trim().parse().expect("a number"))
            .spawn();
        Store::reap(child.expect("it was started before"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the gateway does not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process of the gateway: it is the only `radosgw` that works in this folder.
    fn gateway(&self) -> Option<String> {
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let mut found = processes.filter(|entry| {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let folder = std::fs::read_link(entry.path().join("cwd"));
            name.trim() == "radosgw" && folder.is_ok_and(|folder| folder == self.folder)
        });
        found.next()?.file_name().into_string().ok()
    }
}

impl Moto {
    /// The server that all tests of this binary share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one, empty.
    pub fn start() -> Self {
        let mut said = String::new();
        for _ in 0..3 {
            let store = Store::new("moto", free_port(), "AKIATEST", "secret-of-a-test");
            let mut command = Command::new(interpreter());
            command
                .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
                .arg(store.port.to_string());
            let mut child = store.spawn(&command, Stdio::null());
            let deadline = Instant::now() + Duration::from_mins(1);
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                if TcpStream::connect(("127.0.0.1", store.port)).is_ok() {
                    Store::reap(child);
                    return Self(store);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            said = store.log();
        }
        panic!(
            "moto does not start with `{}`: is `moto[server]` installed there? Name another Python in \
             MAINSTAY_TEST_PYTHON. It said: {said}",
            interpreter()
        )
    }

    /// Thaws end when they have been looked at so many times.
    pub fn thaws_after_looks(&self, times: u32) {
        self.transition(&format!(r#"{{"progression": "manual", "times": {times}}}"#));
    }

    /// Thaws end at once.
    pub fn thaws_at_once(&self) {
        self.transition(r#"{"progression": "immediate"}"#);
    }

    fn transition(&self, transition: &str) {
        self.python(
            "import urllib.request\n\
             body = json.dumps({'model_name': 's3::keyrestore', 'transition': json.loads(args[0])}).encode()\n\
             url = os.environ['STORE_ENDPOINT'] + '/moto-api/state-manager/set-transition'\n\
             headers = {'Content-Type': 'application/json'}\n\
             urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers)).read()",
            &[transition],
        );
    }
}

impl Store {
    /// The folder and its watchdog; nothing runs yet.
    fn new(kind: &str, port: u16, access_key: &str, secret_key: &str) -> Self {
        let template = std::env::temp_dir().join(format!("mainstay-{kind}-XXXXXX"));
        let folder = Command::new("mktemp").arg("-d").arg(template).output();
        let folder = folder.expect("mktemp is there").stdout;
        let folder = PathBuf::from(String::from_utf8_lossy(&folder).trim_end());
        assert!(folder.is_absolute(), "no temporary folder");
        let watchdog = Command::new("/bin/sh")
            .arg("-c")
            .arg(
                "read end; \
                 [ -e \"$1/group\" ] && kill -s KILL -- \"-$(cat \"$1/group\")\" 2>/dev/null; \
                 rm -rf \"$1\" || { sleep 1; rm -rf \"$1\"; }",
            )
            .arg("watchdog")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal must not reach it before it has cleaned up.
            .process_group(0)
            .spawn()
            .expect("sh is there");
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            port,
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            region: "us-east-1".to_owned(),
            folder,
            watchdog,
            agent: Mutex::new(None),
        }
    }

    /// Starts the store in a process group of its own, which the shell writes down before it becomes the store: a test
    /// process that dies in between leaves nothing.
    fn spawn(&self, command: &Command, stdout: Stdio) -> Child {
        let log = std::fs::File::create(self.folder.join("log.txt")).expect("writable");
        Command::new("/bin/sh")
            .arg("-c")
            .arg("cd \"$0\" && echo $$ > group && exec \"$@\"")
            .arg(&self.folder)
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("sh is there")
    }

    /// Waits for the end of a child without holding up anybody, so that none stays as a zombie.
    fn reap(mut child: Child) {
        std::thread::spawn(move || child.wait());
    }

    /// What it wrote, for messages.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.folder.join("log.txt")) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// Makes a bucket with a new name that begins with `prefix`, and gives the name.
    pub fn bucket(&self, prefix: &str, kind: BucketKind) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let kind = format!("{kind:?}");
        self.python(
            "name, kind = args\n\
             s3.create_bucket(Bucket=name, **({'ObjectLockEnabledForBucket': True} if kind == 'Lock' else {}))\n\
             if kind == 'Versioned':\n    \
                 s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={'Status': 'Enabled'})",
            &[&name, &kind],
        );
        name
    }

    /// Runs a script with `s3` (a boto3 client of this store), `client(service)`, `args`, `json`, `sha256` and
    /// `ClientError` at hand, and gives what it prints. A script that fails fails the test.
    pub fn python(&self, script: &str, args: &[&str]) -> String {
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = encode(script);
        for word in args {
            line = line + " " + &encode(word);
        }
        let agent = agent.get_or_insert_with(|| self.start_agent());
        let stdin = agent.child.stdin.as_mut().expect("piped");
        let mut answer = String::new();
        let sent = stdin
            .write_all((line + "\n").as_bytes())
            .and_then(|()| stdin.flush());
        let _ = sent.and_then(|()| agent.answers.read_line(&mut answer));
        let text = answer.split_once(" x").map(|(_, hex)| decode(hex.trim()));
        match text {
            Some(text) if answer.starts_with("ok ") => text.trim_end().to_owned(),
            text => panic!(
                "a boto3 script failed (boto3 must be installed in `{}`; MAINSTAY_TEST_PYTHON names another Python):\n\
                 {script}\n{}",
                interpreter(),
                text.unwrap_or_default()
            ),
        }
    }

    fn start_agent(&self) -> Agent {
        let mut command = self.python_command(AGENT, &[]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "`{}` cannot be started (MAINSTAY_TEST_PYTHON names another Python): {error}",
                interpreter()
            )
        });
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Agent { child, answers }
    }

    /// The same in a Python of its own, not yet started.
    pub fn python_command(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new(interpreter());
        command
            .arg("-c")
            .arg(format!("{PRELUDE}\n{script}"))
            .args(args)
            .env("STORE_ENDPOINT", &self.endpoint)
            .env("STORE_REGION", &self.region)
            .env("STORE_ACCESS_KEY", &self.access_key)
            .env("STORE_SECRET_KEY", &self.secret_key);
        command
    }

    /// Keys of unfinished uploads of a bucket, sorted.
    pub fn unfinished_uploads(&self, bucket: &str) -> Vec<String> {
        let printed = self.python(
            "for page in s3.get_paginator('list_multipart_uploads').paginate(Bucket=args[0]):\n    \
                 [print(upload['Key']) for upload in page.get('Uploads', [])]",
            &[bucket],
        );
        let mut keys: Vec<String> = printed.lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// All versions and delete markers of a bucket: `key version|marker`, sorted.
    pub fn versions(&self, bucket: &str) -> Vec<String> {
        let printed = self.python(
            "for page in s3.get_paginator('list_object_versions').paginate(Bucket=args[0]):\n    \
                 [print(item['Key'], 'version') for item in page.get('Versions', [])]\n    \
                 [print(item['Key'], 'marker') for item in page.get('DeleteMarkers', [])]",
            &[bucket],
        );
        let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Storage class of every object below a prefix, as the listing gives it: `key class`, sorted by key.
    pub fn classes(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let printed = self.python(
            "for page in s3.get_paginator('list_objects_v2').paginate(Bucket=args[0], Prefix=args[1]):\n    \
                 [print(item['Key'], item.get('StorageClass', '-')) for item in page.get('Contents', [])]",
            &[bucket, prefix],
        );
        printed.lines().map(str::to_owned).collect()
    }

    /// SHA-256 of an object's content as boto3 reads it.
    pub fn sha256(&self, bucket: &str, key: &str) -> String {
        self.python(
            "print(sha256(s3.get_object(Bucket=args[0], Key=args[1])['Body'].read()))",
            &[bucket, key],
        )
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The Python that has boto3 and moto.
pub fn interpreter() -> String {
    std::env::var("MAINSTAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn encode(word: &str) -> String {
    let hex = word.bytes().map(|byte| format!("{byte:02x}"));
    std::iter::once("x".to_owned()).chain(hex).collect()
}

fn decode(hex: &str) -> String {
    let bytes =
        (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok());
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Whether anything of a store is left: for the test of this file.
pub fn is_gone(folder: &Path, port: u16) -> bool {
    !folder.exists() && TcpStream::connect(("127.0.0.1", port)).is_err()
}
