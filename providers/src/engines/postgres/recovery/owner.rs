//! Who owns the files of a recovered cluster and runs its server: PostgreSQL refuses root.
//!
//! Run as root, that is the owner of the folder that the target is in, or, when root owns it as well, the user `postgres`; run as anybody else, that
//! user.

use crate::{
    api::{ProviderError, Result},
    process::Program,
};
use model::Disposition;
use rustix::fs::{Gid, Uid};
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

/// User and group of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// `None`: ourselves, who are not root.
    other: Option<(u32, u32)>,
}

impl Owner {
    /// For files in `folder`, which exists.
    pub(super) async fn for_folder(folder: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        if let Ok(found) = std::fs::metadata(folder)
            && found.uid() != 0
        {
            return Ok(Self {
                other: Some((found.uid(), found.gid())),
            });
        }
        Self::postgres().await
    }

    /// For scratch folders.
    pub(super) async fn for_scratch() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        Self::postgres().await
    }

    async fn postgres() -> Result<Self> {
        let user = id("-u").await?;
        let group = id("-g").await?;
        Ok(Self {
            other: Some((user, group)),
        })
    }

    /// Ourselves, whoever we are.
    #[cfg(test)]
    pub(super) fn ourselves() -> Self {
        Self { other: None }
    }

    /// Makes a program run as this user.
    pub(super) fn program(&self, program: Program) -> Program {
        match self.other {
            Some((user, group)) => program.as_user(user, group),
            None => program,
        }
    }

    /// Gives a file, folder or link to this user.
    pub(super) fn own(&self, path: &Path) -> std::io::Result<()> {
        match self.other {
            Some((user, group)) => std::os::unix::fs::lchown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// Gives an open file to this user.
    pub(super) fn own_file(&self, file: &std::fs::File) -> std::io::Result<()> {
        match self.other {
            Some((user, group)) => {
                rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
                    .map_err(Into::into)
            }
            None => Ok(()),
        }
    }

    /// The first folder from `path` upwards that this user may not pass.
    pub(super) fn barred_by<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let (user, group) = self.other?;
        path.ancestors().find(|folder| {
            let Ok(found) = std::fs::metadata(folder) else {
                return false;
            };
            let mode = found.permissions().mode();
            let may_pass = if found.uid() == user {
                mode & 0o100
            } else if found.gid() == group {
                mode & 0o010
            } else {
                mode & 0o001
            };
            may_pass == 0
        })
    }

    /// Whether files must be given away at all.
    pub(super) fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// Makes a new folder of this user's, which nobody else may enter.
    pub(super) fn folder(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        if let Some((user, group)) = self.other {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }
}

async fn id(what: &str) -> Result<u32> {
    let output = Program::new("id").arg(what).arg("postgres").output().await;
    let text = output.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    text.ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(no_user)
}

fn no_user() -> ProviderError {
    ProviderError::new(
        "mainstay::recovery::no-user",
        Disposition::NeedsOperator,
        "PostgreSQL does not run as root, and there is no user `postgres` on this machine",
    )
    .help("make the user (useradd --system postgres), restore into a folder that the server's user owns, or run mainstay as that user")
}
