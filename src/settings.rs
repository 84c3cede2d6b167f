//! Where the policy and the state are, and who runs this.

use crate::{
    arguments::Global,
    failure::{Failure, Result},
};
use std::path::{Path, PathBuf};

/// The policy's path: as given, else `./mainstay.toml`, else `./policy/`.
pub(crate) fn policy_path(global: &Global) -> Result<PathBuf> {
    let missing = |path: &Path| {
        Failure::new(
            "mainstay::policy::not-found",
            format!("there is no policy at `{}`", path.display()),
        )
        .help("name one with `--policy PATH`, or write a first one with `mainstay init DATABASE`")
    };
    match &global.policy {
        Some(path) if path.exists() => Ok(path.clone()),
        Some(path) => Err(missing(path)),
        None => ["mainstay.toml", "policy"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(|| missing(Path::new("mainstay.toml"))),
    }
}

/// The folder beside which state lies: the policy folder itself, or the folder of the policy file.
pub(crate) fn home(policy: &Path) -> PathBuf {
    let folder = if policy.is_dir() {
        Some(policy)
    } else {
        policy.parent()
    };
    match folder {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `.mainstay/` beside the policy: catalog and scratch.
pub(crate) fn state_folder(policy: &Path) -> PathBuf {
    home(policy).join(".mainstay")
}

/// The catalog's URL: as given, else SQLite in [`state_folder`].
pub(crate) fn state_url(global: &Global, policy: &Path) -> String {
    global
        .state
        .clone()
        .unwrap_or_else(|| state_folder(policy).join("state.db").display().to_string())
}

/// The key that signs exports of the audit: beside an SQLite catalog; of one in PostgreSQL each machine has its own, in [`state_folder`].
pub(crate) fn audit_key(global: &Global, policy: &Path) -> PathBuf {
    let url = state_url(global, policy);
    let file = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .or_else(|| (!url.contains("://")).then_some(url.as_str()));
    let folder = match file {
        Some(file) => Path::new(file).parent().unwrap_or(Path::new("")).to_owned(),
        None => state_folder(policy),
    };
    folder.join("audit.key")
}

/// Folder for staged files: in the one that was given, else in [`state_folder`]. One for each catalog: what lies in it and belongs
/// to no living run of that catalog is removed.
///
/// Absolute: servers and programs that work in it run in folders of their own.
pub(crate) fn scratch(global: &Global, policy: &Path) -> PathBuf {
    let folder = scratch_as_given(global, policy);
    std::path::absolute(&folder).unwrap_or(folder)
}

fn scratch_as_given(global: &Global, policy: &Path) -> PathBuf {
    match &global.scratch {
        Some(folder) => {
            let url = state_url(global, policy);
            let whole = std::path::absolute(&url).unwrap_or_else(|_| PathBuf::from(&url));
            let digest = model::Digest::sha256_of(whole.as_os_str().as_encoded_bytes());
            folder.join(format!(
                "mainstay-{}",
                digest.hex().get(..12).unwrap_or_default()
            ))
        }
        None => state_folder(policy).join("scratch"),
    }
}

/// Who runs this, for journal and audit: `user@host`.
pub(crate) fn who() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the root package reads the environment"
    )]
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("SUDO_USER")
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|host| host.trim().to_owned())
        .ok()
        .or_else(|| variable("HOSTNAME"));
    format!("{user}@{}", host.unwrap_or_else(|| "localhost".to_owned()))
}

/// The name of the account that this runs as; timers and containers often set no variable with it.
fn account() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    });
    Some(name.unwrap_or(format!("uid-{uid}")))
}

/// Crash point of a test; a binary built without the feature `crash-points` does not look.
pub(crate) fn crash_at() -> Option<String> {
    #[cfg(feature = "crash-points")]
    {
        #[expect(
            clippy::disallowed_methods,
            reason = "the root package reads the environment"
        )]
        std::env::var("MAINSTAY_CRASH_AT").ok()
    }
    #[cfg(not(feature = "crash-points"))]
    None
}
