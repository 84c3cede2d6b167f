//! Barman's user and ours: who reads and starts what Barman restores.
//!
//! As root, Barman becomes its own user and PostgreSQL must not run as root, so folders are given away and programs are
//! started through `setpriv`. As any other user, everything simply is ours.

use super::errors;
use crate::{
    api::{ProviderError, Result},
    process::Program,
};
use std::path::{Path, PathBuf};

/// A user of this machine; `None` in [`User::ids`]: we are no root, so it is us.
#[derive(Debug, Clone)]
pub(super) struct User {
    name: String,
    ids: Option<(u32, u32)>,
}

impl User {
    /// Looks a user up, if we could become one.
    pub(super) async fn look_up(name: &str) -> Result<Self> {
        let ids = if rustix::process::geteuid().is_root() {
            Some((number("-u", name).await?, number("-g", name).await?))
        } else {
            None
        };
        Ok(Self {
            name: name.to_owned(),
            ids,
        })
    }

    /// A user of whom only the numbers are known.
    pub(super) async fn numbered(user: u32, group: u32) -> Self {
        let output = Program::new("id").arg("-nu").arg(user.to_string()).output();
        let name = output.await.map_or_else(
            |_| format!("user {user}"),
            |name| String::from_utf8_lossy(&name).trim().to_owned(),
        );
        Self {
            name,
            ids: Some((user, group)),
        }
    }

    /// Whether it is somebody else than we.
    pub(super) fn is_other(&self) -> bool {
        self.ids.is_some()
    }

    /// Gives it one file, folder or link.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.ids else {
            return Ok(());
        };
        std::os::unix::fs::lchown(path, Some(user), Some(group))
            .map_err(|error| errors::file("give away", path, error))
    }

    /// Gives it a folder with everything below it. Links are given, not followed.
    pub(super) fn give_all(&self, folder: &Path) -> Result<()> {
        if self.ids.is_none() {
            return Ok(());
        }
        for entry in walkdir::WalkDir::new(folder).follow_links(false) {
            let entry = entry
                .map_err(|error| errors::file("give away", folder, std::io::Error::other(error)))?;
            self.give(entry.path())?;
        }
        Ok(())
    }

    /// A program that runs as this user.
    pub(super) fn program(&self, path: PathBuf) -> Program {
        match self.ids {
            None => Program::new(path),
            Some((user, group)) => Program::new("setpriv")
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={group}"))
                .args(["--clear-groups", "--"])
                .arg(path),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

async fn number(which: &str, name: &str) -> Result<u32> {
    let unknown = |error: ProviderError| errors::user(name).source(error);
    let program = Program::new("id").args([which, "--", name]);
    let output = program.output().await.map_err(unknown)?;
    String::from_utf8_lossy(&output)
        .trim()
        .parse()
        .map_err(|_| errors::user(name))
}
