//! Runs the real program and keeps what it said; finds and ends what a killed one left running.

use serde_json::Value;
use std::{
    fmt, fs,
    fs::File,
    io::Read as _,
    os::{fd::AsRawFd as _, unix::process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// The program under test, held open: a build beside the tests replaces the file, perhaps by one without crash points.
static MAINSTAY: LazyLock<File> =
    LazyLock::new(|| File::open(env!("CARGO_BIN_EXE_mainstay")).unwrap());

fn mainstay() -> String {
    format!("/proc/{}/fd/{}", std::process::id(), MAINSTAY.as_raw_fd())
}

/// Longer than anything in these tests takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Variable by which the children of a killed program are found.
const MARK: &str = "MAINSTAY_TEST_SITE";

/// The one place where these tests start programs.
#[expect(
    clippy::disallowed_methods,
    reason = "whole-program tests must start the program"
)]
pub fn command(program: &str) -> Command {
    Command::new(program)
}

/// A program that was started.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
}

/// A program that has ended.
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Words.
    pub stderr: String,
}

impl Running {
    /// Starts the program in a folder; its output goes to files, so that it never waits for a reader.
    pub fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let stdout = tempfile::tempfile().unwrap();
        let stderr = tempfile::tempfile().unwrap();
        let mut command = command(&mainstay());
        command
            .args(arguments)
            .current_dir(folder)
            .env_remove("MAINSTAY_CRASH_AT")
            .env_remove("MAINSTAY_POLICY")
            .env_remove("MAINSTAY_STATE")
            .env("NO_COLOR", "1")
            .env(MARK, folder)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        Self {
            child: command.spawn().unwrap(),
            stdout,
            stderr,
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said so far on standard error.
    pub fn words_so_far(&mut self) -> String {
        text(&self.stderr)
    }

    /// Waits until a condition holds while it runs; fails if it ends before that.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        loop {
            if condition(self) {
                return;
            }
            assert!(
                !self.has_ended(),
                "it ended before {what}:\n{}",
                self.words_so_far()
            );
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                self.kill();
                panic!("it does not end:\n{}", self.words_so_far());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

/// Everything in a file.
pub fn text(file: &File) -> String {
    let mut text = String::new();
    // The writer shares the offset of the file: read through a position of its own.
    let mut own = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    own.read_to_string(&mut text).unwrap();
    text
}

impl Ended {
    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// Fails unless its words contain a text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "it should say `{text}`\n{self}"
        );
        self
    }

    /// Fails if its words contain a text.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(
            !self.stdout.contains(text) && !self.stderr.contains(text),
            "it must not say `{text}`\n{self}"
        );
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {:?} signal {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.signal, self.stdout, self.stderr
        )
    }
}

/// Programs that a killed mainstay left running in this folder, as `pid name`.
pub fn left_running(folder: &Path) -> Vec<String> {
    let mark = format!("{MARK}={}", folder.display());
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            left.push(format!("{pid} {}", name.trim()));
        }
    }
    left
}
