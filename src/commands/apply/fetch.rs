//! Fetches a branch into a bare repository beside the state, with the `git` program, so that a user's credentials, keys and proxies work.
//!
//! Invariants: one program at a time uses the cache; it is only a cache, so one that a killed `git` left locked, or that is damaged, is
//! made anew as soon as the remote answers; a remote that says nothing is given up. Git never looks for another repository around it.

use crate::{
    failure::{Because, Failure, Result},
    git::Repository,
    render::out,
};
use providers::{api::ProviderError, process::Program};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Name of what was fetched, in the cache.
pub(super) const INCOMING: &str = "refs/mainstay/incoming";

/// How often it is looked whether another program has let the cache go.
const PAUSE: Duration = Duration::from_millis(200);

/// What the remote says by itself is short.
const LIST_LIMIT: Duration = Duration::from_mins(1);

/// What was fetched; nobody else changes it while this lives.
pub(super) struct Fetched {
    pub(super) repository: Repository,
    #[expect(dead_code, reason = "lets the cache go when dropped")]
    lock: File,
}

/// A branch, where it is kept, and how long the remote is waited for.
struct Branch<'a> {
    url: PathBuf,
    name: &'a str,
    cache: PathBuf,
    limit: Duration,
}

/// Fetches a branch into `folder`.
pub(super) async fn fetch(
    url: &str,
    branch: &str,
    folder: &Path,
    limit: Duration,
) -> Result<Fetched> {
    let digest = model::Digest::sha256_of(url.as_bytes());
    let name = digest.hex().get(..16).unwrap_or_default().to_owned();
    let lock = lock(&folder.join(format!("{name}.lock")), limit).await?;
    let branch = Branch {
        url: absolute(url),
        name: branch,
        cache: folder.join(name),
        limit,
    };
    let was_there = branch.cache.exists();
    let repository = match branch.fetch().await {
        Ok(repository) => repository,
        Err(failure) if was_there && branch.check_remote().await.is_ok() => {
            // The remote answers, so it is the cache that is broken.
            branch.clear()?;
            out::words(&format!(
                "The copy of the repository beside the state is made anew: {}\n",
                failure.message
            ));
            branch.fetch().await?
        }
        Err(failure) => {
            branch.check_remote().await?;
            return Err(failure);
        }
    };
    Ok(Fetched { repository, lock })
}

/// Waits until no other program uses the cache.
async fn lock(path: &Path, limit: Duration) -> Result<File> {
    let unusable = |error: &std::io::Error| {
        Failure::from_error(
            "mainstay::git::cache",
            Some("give this user a writable folder with free space beside the state".to_owned()),
            &Because(
                format!("cannot use the cache `{}`", path.display()),
                Box::new(std::io::Error::new(error.kind(), error.to_string())),
            ),
        )
    };
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let file = made.and_then(|()| {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    });
    let file = file.map_err(|error| unusable(&error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < limit => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    "mainstay::git::cache",
                    format!("another program has used `{}` for too long", path.display()),
                )
                .help("see what else runs here: `ps -ef | grep mainstay`; its end frees it"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
    }
}

impl Branch<'_> {
    fn git() -> Program {
        Program::new("git")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Set by hooks and by whoever runs in one; they would lead git elsewhere.
            .without_env("GIT_DIR")
            .without_env("GIT_WORK_TREE")
            .without_env("GIT_INDEX_FILE")
            .without_env("GIT_OBJECT_DIRECTORY")
            .without_env("GIT_NAMESPACE")
            .without_env("GIT_COMMON_DIR")
    }

    fn in_cache(&self) -> Program {
        // Named, not found: in a damaged cache git would take the repository around it for the one that is meant.
        let mut named = std::ffi::OsString::from("--git-dir=");
        named.push(&self.cache);
        Self::git().arg(named)
    }

    async fn fetch(&self) -> Result<Repository> {
        if !self.cache.join("HEAD").exists() {
            let program = Self::git().args(["init", "--quiet", "--bare"]);
            let running = program.arg(&self.cache).start();
            let made = match running {
                Ok(running) => running.wait_at_most(self.limit).await,
                Err(error) => Err(error),
            };
            made.map_err(|error| self.failed(&error))?;
        }
        let program = self
            .in_cache()
            .args([
                "fetch",
                "--quiet",
                "--no-tags",
                "--force",
                "--no-auto-maintenance",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
                "--",
            ])
            .arg(&self.url)
            .arg(format!("refs/heads/{}:{INCOMING}", self.name));
        let running = program.start().map_err(|error| self.failed(&error))?;
        let ended = running.wait_at_most(self.limit).await;
        ended.map_err(|error| self.failed(&error))?;
        let repository = Repository::open(&self.cache)?;
        // A cache whose objects are gone is no better than none.
        repository.revision(INCOMING)?;
        Ok(repository)
    }

    /// Whether the remote answers and has the branch.
    async fn check_remote(&self) -> Result<()> {
        let program = Self::git()
            .args(["ls-remote", "--quiet", "--"])
            .arg(&self.url)
            .arg(format!("refs/heads/{}", self.name))
            .arg(format!("refs/tags/{}", self.name));
        let listed = tokio::time::timeout(LIST_LIMIT.min(self.limit), program.output()).await;
        // What went wrong with the remote was said by the fetch.
        let Ok(Ok(listed)) = listed else {
            return Err(Failure::new(
                "mainstay::git::fetch",
                format!(
                    "the repository does not answer within {} s, or refuses",
                    self.limit.as_secs()
                ),
            )
            .help(self.by_hand()));
        };
        let listed = String::from_utf8_lossy(&listed);
        let has = |kind: &str| {
            let name = format!("refs/{kind}/{}", self.name);
            listed
                .lines()
                .any(|line| line.split_whitespace().nth(1) == Some(&name))
        };
        if has("heads") {
            return Ok(());
        }
        let what = if has("tags") {
            "there is a tag of that name, but a tag cannot be followed"
        } else {
            "see what there is: `git ls-remote --heads URL`"
        };
        Err(Failure::new(
            "mainstay::git::no-branch",
            format!("the repository has no branch `{}`", self.name),
        )
        .help(what))
    }

    fn by_hand(&self) -> String {
        format!(
            "try it by hand, as the same user: `git ls-remote URL {}`; credentials and proxies are those of git",
            self.name
        )
    }

    fn failed(&self, error: &ProviderError) -> Failure {
        Failure::from_error("mainstay::git::fetch", Some(self.by_hand()), error)
    }

    fn clear(&self) -> Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a bare repository that this file made itself; everything in it is fetched again"
        )]
        let cleared = std::fs::remove_dir_all(&self.cache);
        cleared.map_err(|error| {
            Failure::from_error(
                "mainstay::git::cache",
                Some(format!(
                    "remove it by hand: `rm -r {}`",
                    self.cache.display()
                )),
                &error,
            )
        })
    }
}

/// A path is one of the current folder, not of the cache.
fn absolute(url: &str) -> PathBuf {
    let local = !url.contains("://") && Path::new(url).exists();
    let made = local.then(|| std::path::absolute(url).ok()).flatten();
    made.unwrap_or_else(|| PathBuf::from(url))
}
