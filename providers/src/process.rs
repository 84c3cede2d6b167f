//! The only place that starts a program.
//!
//! - Every program leads a process group of its own; dropping [`Running`] kills the whole group at once (SIGKILL), and
//!   [`Running::stop`] asks first (SIGTERM) and kills after a grace.
//! - Data flows through ordinary blocking pipes of 1 MiB, given out as [`File`]s, because compressors block as well.
//! - The last 64 KiB of standard error are kept, with every secret replaced by `***`; errors quote the last lines.
//! - A program's exit status is known only through [`Running::wait`]: bytes that came say nothing.
//!
//! Should mainstay itself die by SIGKILL, nothing here can run any more: a child then ends by itself as soon as it
//! touches its broken pipe. (Asking the kernel for a parent-death signal needs `unsafe` code between fork and exec.)
//!
//! Not here: what a program's words mean (its caller knows), secrets' values (`secrets`).

mod stderr;

use crate::api::{ProviderError, Result};
use model::{Disposition, Secret};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process_group},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use stderr::Tail;

/// Size asked for pipes that carry data; Linux allows it to everyone (`pipe(7)`).
const PIPE_BYTES: usize = 1024 * 1024;
/// How long a secret's command may take.
const SECRET_COMMAND_SECONDS: u64 = 30;
/// Largest output that [`Program::output`] takes in.
const OUTPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Starts a program that outlives this process, in a group of its own and without any of this process's streams. Only for work
/// that nobody waits for and that may fail unseen.
pub fn detach(path: &Path, arguments: &[OsString]) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is the one place that starts programs"
    )]
    let mut command = std::process::Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
}

/// A program that will be started, with its arguments and environment. Inherits this process's environment.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    without: Vec<OsString>,
    folder: Option<PathBuf>,
    user: Option<(u32, u32)>,
    secrets: Vec<Secret>,
}

impl Program {
    /// A program by its path, or by its name if it shall be found on `PATH`. Its messages will be in English.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let program = Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            without: Vec::new(),
            folder: None,
            user: None,
            secrets: Vec::new(),
        };
        program.env("LC_ALL", "C").env("LC_MESSAGES", "C")
    }

    /// Adds one argument. Everyone on the machine can read it: never a secret.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.without.push(name.as_ref().to_owned());
        self
    }

    /// Sets a variable to a secret, which will be scrubbed from everything that the program says.
    #[must_use]
    pub fn secret_env(mut self, name: impl AsRef<OsStr>, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self.env(name, secret.expose())
    }

    /// Names a text that must not be repeated from what the program says.
    #[must_use]
    pub fn scrub(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Folder to start in.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as this user and group, without any other group; only root may ask for it.
    #[must_use]
    pub fn as_user(mut self, user: u32, group: u32) -> Self {
        self.user = Some((user, group));
        self
    }

    /// Its file name, for messages.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Starts it with nothing on standard input and nobody reading its output.
    pub fn start(self) -> Result<Running> {
        self.spawn(Stdio::null(), Stdio::null())
    }

    /// Starts it and gives its standard output.
    pub fn start_reading(self) -> Result<(Running, File)> {
        let (output, theirs) = self.data_pipe()?;
        Ok((
            self.spawn(Stdio::null(), Stdio::from(theirs))?,
            File::from(output),
        ))
    }

    /// Starts it and gives its standard input. Drop the file to tell it the end.
    pub fn start_writing(self) -> Result<(Running, File)> {
        let (theirs, input) = self.data_pipe()?;
        Ok((
            self.spawn(Stdio::from(theirs), Stdio::null())?,
            File::from(input),
        ))
    }

    /// Starts it and gives its standard input and output. The two must be served by two threads.
    pub fn start_filter(self) -> Result<(Running, File, File)> {
        let (their_input, input) = self.data_pipe()?;
        let (output, their_output) = self.data_pipe()?;
        let running = self.spawn(Stdio::from(their_input), Stdio::from(their_output))?;
        Ok((running, File::from(input), File::from(output)))
    }

    /// Runs it to a good end and gives what it printed (at most 16 MiB).
    pub async fn output(self) -> Result<Vec<u8>> {
        let (running, output) = self.start_reading()?;
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            output
                .take(OUTPUT_BYTES)
                .read_to_end(&mut bytes)
                .map(|_| bytes)
        });
        running.wait().await?;
        match bytes.await {
            Ok(Ok(bytes)) => Ok(bytes),
            _ => Err(ProviderError::new(
                "mainstay::process::start",
                Disposition::Retry,
                "cannot read a program's output",
            )),
        }
    }

    fn data_pipe(&self) -> Result<(OwnedFd, OwnedFd)> {
        let (read, write) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| self.cannot_start(error.into()))?;
        // Only speed depends on it: a refused size leaves the usual 64 KiB.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok((read, write))
    }

    fn spawn(self, input: Stdio, output: Stdio) -> Result<Running> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this file is the one place that starts programs"
        )]
        let mut command = tokio::process::Command::new(&self.path);
        for name in &self.without {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        let mut child = command.spawn().map_err(|error| self.cannot_start(error))?;
        // Held by `command`, our copies of the child's pipe ends would keep a reader waiting for ever.
        drop(command);
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let tail = Tail::follow(child.stderr.take(), self.secrets.clone());
        Ok(Running {
            name: self.name(),
            child,
            group,
            tail,
        })
    }

    fn cannot_start(&self, error: std::io::Error) -> ProviderError {
        let name = self.path.display();
        if error.kind() == std::io::ErrorKind::NotFound {
            return ProviderError::new(
                "mainstay::process::not-found",
                Disposition::NeedsOperator,
                format!("the program `{name}` is not there"),
            )
            .help(format!(
                "install `{name}` or correct its path in the policy"
            ))
            .source(error);
        }
        ProviderError::new(
            "mainstay::process::start",
            Disposition::NeedsOperator,
            format!("cannot start `{name}`"),
        )
        .help(format!(
            "check that `{name}` is executable for this user and that the machine has memory left"
        ))
        .source(error)
    }
}

/// A program that runs. Dropped before [`Running::wait`] has ended, its whole process group is killed.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: tokio::process::Child,
    group: Option<Pid>,
    tail: Tail,
}

impl Running {
    /// Its process id, which is also its group's, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether its leader still runs.
    pub fn lives(&self) -> bool {
        // Unwaited, a leader that ended would stay visible; its pipe's other end does not tell, for its children hold it.
        self.child.id().is_some_and(|id| {
            let waited = i32::try_from(id).ok().and_then(Pid::from_raw).map(|pid| {
                let options = rustix::process::WaitIdOptions::EXITED
                    | rustix::process::WaitIdOptions::NOHANG
                    | rustix::process::WaitIdOptions::NOWAIT;
                rustix::process::waitid(rustix::process::WaitId::Pid(pid), options)
            });
            matches!(waited, Some(Ok(None)))
        })
    }

    /// Waits for its end. Anything but exit code 0 is an error that quotes its last words.
    pub async fn wait(mut self) -> Result<()> {
        self.ended().await.map(|_| ())
    }

    /// Like [`Running::wait`], and gives what a good end still printed on standard error (warnings).
    pub async fn ended(&mut self) -> Result<String> {
        let status = self.child.wait().await.map_err(|error| {
            ProviderError::new(
                "mainstay::process::start",
                Disposition::Retry,
                format!("cannot wait for `{}`", self.name),
            )
            .source(error)
        })?;
        // Workers of a program that ended may live on (a killed `pg_dump -j`): the group's number is taken while they do.
        self.kill_group(Signal::KILL);
        self.group = None;
        let words = self.tail.text().await;
        if status.success() {
            return Ok(words);
        }
        Err(self.failed(status, &words))
    }

    /// Waits at most `limit`; then stops it and fails with `mainstay::process::timeout`.
    pub async fn wait_at_most(mut self, limit: Duration) -> Result<()> {
        if let Ok(ended) = tokio::time::timeout(limit, self.ended()).await {
            return ended.map(|_| ());
        }
        let name = self.name.clone();
        self.stop(Duration::from_secs(2)).await;
        Err(ProviderError::new(
            "mainstay::process::timeout",
            Disposition::Retry,
            format!(
                "`{name}` did not end within {} s and was stopped",
                limit.as_secs()
            ),
        ))
    }

    /// Asks the group to end, and kills it when `grace` is over.
    pub async fn stop(mut self, grace: Duration) {
        self.kill_group(Signal::TERM);
        let _ = tokio::time::timeout(grace, self.child.wait()).await;
        // Dropping kills whoever is left.
    }

    fn kill_group(&self, signal: Signal) {
        if let Some(group) = self.group {
            match kill_process_group(group, signal) {
                Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
                Err(error) => tracing::debug!(%error, "a process group could not be signalled"),
            }
        }
    }

    fn failed(&self, status: ExitStatus, words: &str) -> ProviderError {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        };
        let last = stderr::last_lines(words);
        let said = if last.is_empty() {
            String::new()
        } else {
            format!(", saying: {last}")
        };
        // A signal comes from outside (a shutdown, the out-of-memory killer); an exit code is the program's own verdict.
        let disposition = if status.code().is_none() {
            Disposition::Retry
        } else {
            Disposition::NeedsOperator
        };
        ProviderError::new(
            "mainstay::process::failed",
            disposition,
            format!("`{}` {how}{said}", self.name),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group(Signal::KILL);
    }
}

/// Runs a secret's command and returns what it printed: no shell, 30 s, started in `base`. Errors name only the program.
pub async fn output_of(command: &[String], base: &Path) -> Result<String> {
    let unavailable = |message: String| {
        ProviderError::new(
            "mainstay::secret::unavailable",
            Disposition::NeedsOperator,
            message,
        )
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(unavailable("a secret's `command` is empty".to_owned())
            .help("write the program and its arguments, such as command = [\"pass\", \"show\", \"db\"]"));
    };
    // A relative path would otherwise be looked up from wherever mainstay was started.
    let path = if program.contains('/') {
        base.join(program)
    } else {
        PathBuf::from(program)
    };
    let folder = if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base
    };
    let run = Program::new(path).args(arguments).folder(folder).output();
    let limit = Duration::from_secs(SECRET_COMMAND_SECONDS);
    let bytes = match tokio::time::timeout(limit, run).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            return Err(
                unavailable(format!("the secret's command `{program}` failed"))
                    .help(format!(
                        "run `{program}` by hand as the user that runs mainstay"
                    ))
                    .source(error),
            );
        }
        Err(_) => {
            return Err(unavailable(format!(
                "the secret's command `{program}` did not end within {SECRET_COMMAND_SECONDS} s"
            ))
            .help("make sure that it asks nothing on a terminal"));
        }
    };
    String::from_utf8(bytes).map_err(|_| {
        unavailable(format!(
            "the secret's command `{program}` printed no UTF-8 text"
        ))
    })
}

#[cfg(test)]
mod tests;
