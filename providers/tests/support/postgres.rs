//! A real, throw-away PostgreSQL server for tests, in a folder of its own, on a free port and a Unix socket.
//!
//! Self-contained (standard library only), so that other crates' tests can include it with `#[path]`. The server is stopped
//! and its folder removed when the value is dropped, and also when the test process ends in any other way: a watchdog waits
//! for the end of a pipe that only the test process holds. [`shared`] gives one server to all tests of a binary.
//!
//! Over the socket everybody is trusted; over TCP (127.0.0.1) passwords are asked for (SCRAM).

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

use std::{
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Password of the superuser `postgres` over TCP.
pub const PASSWORD: &str = "superuser-of-a-test";

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Folder with the data, the socket and the log.
    pub folder: PathBuf,
    /// Port, for the socket as well.
    pub port: u16,
    /// Folder of the programs.
    pub bin: PathBuf,
    watchdog: Child,
}

/// The server that all tests of this binary share.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(&[]))
}

/// The newest installed server's programs.
pub fn bin_folder() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").exists().then_some((major, bin))
        })
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    newest.unwrap_or_else(|| {
        let pg_config = Command::new("pg_config").arg("--bindir").output();
        let output = pg_config.expect("a PostgreSQL server must be installed for these tests");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// The programs of PostgreSQL 18, which can take incremental backups.
pub fn bin_folder_18() -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_TEST_PG18")
        .expect("MAINSTAY_TEST_PG18 must name the folder of PostgreSQL 18's programs: ./check installs them and sets it");
    let folder = PathBuf::from(folder);
    assert!(
        folder.join("initdb").exists(),
        "MAINSTAY_TEST_PG18 names `{}`, which has no initdb",
        folder.display()
    );
    folder
}

/// A command as the user that may run a server: root must not.
pub fn as_server_user(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/tmp").env("LC_ALL", "C.UTF-8");
    for (name, _) in std::env::vars() {
        if name.starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

impl Server {
    /// Starts a server with settings such as `wal_level=logical`.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_of(bin_folder(), settings)
    }

    /// Starts a server of PostgreSQL 18.
    pub fn start_18(settings: &[&str]) -> Self {
        Self::start_of(bin_folder_18(), settings)
    }

    /// Starts a server over a data folder that `fill` makes, as the server's user: it is given the path of the folder.
    pub fn start_on(bin: PathBuf, settings: &[&str], fill: impl FnOnce(&Path)) -> Self {
        Self::start_with(bin, settings, |_, _, data| {
            fill(data);
            // Whoever made it, the server must own it.
            run(Command::new("chmod").arg("-R").arg("u=rwX,go=").arg(data));
            if is_root() {
                run(Command::new("chown").args(["-R", "postgres"]).arg(data));
            }
        })
    }

    /// Starts a server that keeps checksums of its pages.
    pub fn start_checksummed(bin: PathBuf) -> Self {
        Self::initialized(bin, &[], &["--data-checksums"])
    }

    fn start_of(bin: PathBuf, settings: &[&str]) -> Self {
        Self::initialized(bin, settings, &[])
    }

    fn initialized(bin: PathBuf, settings: &[&str], options: &[&str]) -> Self {
        Self::start_with(bin, settings, |folder, bin, data| {
            let password_file = folder.join("password");
            std::fs::write(&password_file, PASSWORD).expect("writable");
            run(as_server_user(Path::new("chmod")).arg("700").arg(folder));
            run(as_server_user(&bin.join("initdb"))
                .args(["--no-sync", "--username=postgres", "--encoding=UTF8"])
                .args(["--locale=C.UTF-8", "--auth-local=trust"])
                .args(options)
                .arg("--auth-host=scram-sha-256")
                .arg(format!("--pwfile={}", password_file.display()))
                .arg(format!("--pgdata={}", data.display())));
        })
    }

    /// Makes the tablespace `fast` in this folder beside the data.
    pub fn tablespace(&self, folder: &str) -> PathBuf {
        let place = self.folder.join(folder);
        run(as_server_user(Path::new("mkdir")).arg(&place));
        let location = place.display();
        self.psql(
            "postgres",
            &format!("CREATE TABLESPACE fast LOCATION '{location}'"),
        );
        place
    }

    /// Starts a hot standby of this server.
    pub fn standby(&self) -> Self {
        Self::start_with(self.bin.clone(), &[], |_, bin, data| {
            run(as_server_user(&bin.join("pg_basebackup"))
                .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"])
                .arg("--username=postgres")
                .arg(format!("--host={}", self.folder.display()))
                .arg(format!("--port={}", self.port))
                .arg(format!("--pgdata={}", data.display())));
        })
    }

    fn start_with(bin: PathBuf, settings: &[&str], fill: impl FnOnce(&Path, &Path, &Path)) -> Self {
        let mut mktemp = as_server_user(Path::new("mktemp"));
        let folder = PathBuf::from(run(mktemp.args(["-d", "/tmp/mainstay-pg-XXXXXX"])));
        let data = folder.join("data");
        fill(&folder, &bin, &data);
        let mut watchdog = Command::new("/bin/sh");
        watchdog
            .arg("-c")
            .arg("read end; kill -QUIT \"$(head -1 \"$1/data/postmaster.pid\")\" 2>/dev/null; \
                  while [ -e \"$1/data/postmaster.pid\" ] && kill -0 \"$(head -1 \"$1/data/postmaster.pid\")\" 2>/dev/null; do sleep 0.05; done; \
                  rm -rf \"$1\"")
            .arg("watchdog")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal must not reach it before it has cleaned up.
            .process_group(0);
        let watchdog = watchdog.spawn().expect("sh is there");
        let mut server = Self {
            folder,
            port: 0,
            bin,
            watchdog,
        };
        server.launch(settings);
        server
    }

    /// Starts it when it is stopped.
    pub fn launch(&mut self, settings: &[&str]) {
        for attempt in 0.. {
            // Somebody may take the port between our look and the server's start.
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            self.port = listener.local_addr().expect("bound").port();
            drop(listener);
            let mut options = format!(
                "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=60",
                self.port,
                self.folder.display()
            );
            for setting in settings {
                options = options + " -c " + setting;
            }
            let started = as_server_user(&self.bin.join("pg_ctl"))
                .args(["start", "--wait", "--silent", "--timeout=60"])
                .arg(format!("--pgdata={}", self.data().display()))
                .arg(format!("--log={}", self.folder.join("log").display()))
                .arg(format!("--options={options}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("pg_ctl can be started");
            if started.success() {
                return;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(attempt < 3, "the server does not start: {log}");
        }
    }

    /// Starts it again with other settings.
    pub fn restart(&mut self, settings: &[&str]) {
        self.stop();
        self.launch(settings);
    }

    /// Stops it in order; its folder stays.
    pub fn stop(&self) {
        run(as_server_user(&self.bin.join("pg_ctl"))
            .args(["stop", "--mode=fast", "--wait"])
            .arg(format!("--pgdata={}", self.data().display())));
    }

    /// Folder of the data.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Stops it at once, as a crash would; its folder stays.
    pub fn crash(&self) {
        run(as_server_user(&self.bin.join("pg_ctl"))
            .args(["stop", "--mode=immediate", "--wait"])
            .arg(format!("--pgdata={}", self.data().display())));
    }

    /// A URL over the socket, without a password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://postgres@/{}?host={}&port={}",
            percent(database),
            self.folder.display(),
            self.port
        )
    }

    /// A URL over TCP.
    pub fn tcp_url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgresql://{}:{}@127.0.0.1:{}/{}",
            percent(user),
            percent(password),
            self.port,
            percent(database)
        )
    }

    /// A program of PostgreSQL, set up to connect over the socket.
    pub fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command
            .env("PGHOST", &self.folder)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database)
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs SQL and gives what psql prints, without titles.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        run(self.program("psql", database).args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]))
    }

    /// Creates a database with a new name that begins with `prefix`, and gives the name.
    pub fn create_database(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql(
            "postgres",
            &format!(
                "CREATE DATABASE \"{}\" TEMPLATE template0",
                name.replace('"', "\"\"")
            ),
        );
        name
    }

    /// All databases but the built-in ones, sorted.
    pub fn databases(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1";
        let list = self.psql("postgres", sql);
        list.lines().map(str::to_owned).collect()
    }

    /// Everything of a database as SQL, for comparing two of them.
    pub fn dump(&self, database: &str) -> String {
        let text = run(&mut self.program("pg_dump", database));
        let lines = text.lines().filter(|line| {
            !line.starts_with("--")
                && !line.starts_with("\\restrict")
                && !line.starts_with("\\unrestrict")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Percent-encodes everything but letters, digits, `-`, `_`, `.`.
pub fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
