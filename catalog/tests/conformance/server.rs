//! A PostgreSQL server for the tests: fresh cluster in a temporary folder, reached by a unix socket in it, shared by the
//! tests of one process that run at the same time, stopped when the last of them ends or panics.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

/// A running server; stops it when dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that runs, or a new one.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("state_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let socket = self.folder.path().to_str().unwrap();
        run(self
            .program("createdb")
            .args(["-h", socket, "-U", "postgres", &name]));
        format!("postgres://postgres@localhost/{name}?host={socket}")
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-pg-")
            .tempdir_in("/tmp")
            .unwrap();
        if is_root() {
            run(command("chown").arg("postgres:").arg(folder.path()));
        }
        let server = Self {
            folder,
            binaries: binaries(),
            databases: AtomicU32::new(0),
        };
        let data = server.data();
        run(server
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "-U", "postgres", "-D"])
            .arg(&data));
        // Durability of the test server itself is not under test, and costs seconds.
        let options = format!(
            "-k {} -c listen_addresses='' -c fsync=off -c max_connections=200",
            server.folder.path().display()
        );
        run(server
            .program("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(server.folder.path().join("log"))
            .args(["-w", "-o", &options, "start"]));
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server's installation; as user `postgres` when the tests run as root, which the server refuses.
    fn program(&self, name: &str) -> Command {
        let path = self.binaries.join(name);
        let mut program = if is_root() {
            let mut switch = command("setpriv");
            switch.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ]);
            switch.arg(path);
            switch
        } else {
            command(path)
        };
        program.current_dir("/");
        program
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.arg("-D")
            .arg(self.data())
            .args(["-w", "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A server that never came up cannot be stopped; panicking here would hide the first failure.
        let _ = stop.status();
    }
}

#[expect(clippy::disallowed_methods, reason = "test server")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}: {}\n{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Debian keeps the server's programs off the path, and its `pg_config` may be missing.
fn binaries() -> PathBuf {
    let asked = command("pg_config").arg("--bindir").output();
    let asked = asked
        .ok()
        .filter(|done| done.status.success())
        .map(|done| PathBuf::from(String::from_utf8_lossy(&done.stdout).trim()));
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    asked
        .into_iter()
        .chain(debian)
        .find(|folder: &PathBuf| is_installation(folder))
        .expect("the tests need a PostgreSQL server: apt-get install postgresql")
}

fn is_installation(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "createdb", "postgres"]
        .iter()
        .all(|name| folder.join(name).is_file())
}
