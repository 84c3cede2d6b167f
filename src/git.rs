//! Policies as Git has them: a repository, its revisions, and the files of a revision.
//!
//! Only reads, and only what is in the object store: nothing is checked out, fetched or run, so hooks, filters and remotes of a
//! repository never matter. A [`Revision`] is a [`policy_schema::Files`], so that the policy loader reads a commit as it
//! reads a folder. Fetching is left to the `git` program (`docs/decisions/`).

use crate::failure::{Failure, with_causes};
use git2::{ErrorCode, ObjectType, Oid, Repository as Inner, Tree, TreeEntry};
use policy_schema::Files;
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// Symbolic links that are followed one after the other.
const MOST_LINKS: usize = 8;

/// Mode of a symbolic link in a tree.
const LINK: i32 = 0o120_000;

/// Digits of a commit that are shown to people.
const SHORT: usize = 12;

/// A repository.
pub(crate) struct Repository(Inner);

/// The files of one commit or tree.
pub(crate) struct Revision<'r> {
    repository: &'r Repository,
    tree: Tree<'r>,
    /// As a person named it.
    pub(crate) name: String,
    /// The commit; `None`: the name is a bare tree's.
    pub(crate) commit: Option<String>,
}

impl Repository {
    /// The repository that a folder lies in; `None`: it lies in none.
    pub(crate) fn around(folder: &Path) -> Result<Option<Self>, Failure> {
        match Inner::discover(folder) {
            Ok(inner) => Ok(Some(Self(inner))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(refused(folder, &error)),
        }
    }

    /// The folder that is checked out; `None`: it is a bare one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.0.workdir()
    }

    /// Whether Git knows something by this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.revparse_single(name).is_ok()
    }

    /// The files of a branch, a tag, a commit or anything that Git understands.
    pub(crate) fn revision(&self, name: &str) -> Result<Revision<'_>, Failure> {
        let object = self
            .0
            .revparse_single(name)
            .map_err(|error| self.unknown(name, &error))?;
        let commit = object.peel(ObjectType::Commit).ok();
        let tree = object
            .peel_to_tree()
            .map_err(|error| self.unknown(name, &error))?;
        Ok(Revision {
            repository: self,
            tree,
            name: name.to_owned(),
            commit: commit.map(|commit| commit.id().to_string()),
        })
    }

    /// The commit at which two revisions parted.
    pub(crate) fn fork_point(&self, one: &str, other: &str) -> Result<String, Failure> {
        let id = |name: &str| -> Result<Oid, Failure> {
            let object = self.0.revparse_single(name);
            let commit = object.and_then(|object| object.peel(ObjectType::Commit));
            Ok(commit.map_err(|error| self.unknown(name, &error))?.id())
        };
        let base = self.0.merge_base(id(one)?, id(other)?).map_err(|error| {
            Failure::from_error(
                "mainstay::git::no-common-commit",
                Some(format!(
                    "compare them as they are: `mainstay diff {one}..{other}`; a shallow clone lacks history: `git fetch --unshallow`"
                )),
                &error,
            )
        })?;
        let mut short = base.to_string();
        short.truncate(SHORT);
        Ok(short)
    }

    fn unknown(&self, name: &str, error: &git2::Error) -> Failure {
        let remote = format!("origin/{name}");
        let help = if self.knows(&remote) {
            format!("there is `{remote}`")
        } else {
            "name a branch, a tag or a commit; a clone of one branch lacks the others: `git fetch origin NAME:NAME`".to_owned()
        };
        let message = format!("Git knows no revision `{name}`");
        match error.code() {
            ErrorCode::NotFound | ErrorCode::InvalidSpec => {
                Failure::new("mainstay::git::unknown-revision", message).help(help)
            }
            _ => Failure::new(
                "mainstay::git::unknown-revision",
                format!("{message}: {}", with_causes(error)),
            )
            .help(help),
        }
    }
}

fn refused(folder: &Path, error: &git2::Error) -> Failure {
    let help = if error.code() == ErrorCode::Owner {
        format!(
            "the repository belongs to another user; if you trust it: `git config --global --add safe.directory {}`",
            folder.display()
        )
    } else {
        "check it with `git fsck`".to_owned()
    };
    Failure::new(
        "mainstay::git::unreadable",
        format!(
            "cannot open the Git repository of `{}`: {}",
            folder.display(),
            with_causes(error)
        ),
    )
    .help(help)
}

impl Revision<'_> {
    /// Whether something is at a path.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.is_folder(path) || self.read(path).is_ok()
    }

    /// What is at a path, links followed; `None`: the root.
    fn entry(&self, path: &Path) -> io::Result<Option<TreeEntry<'static>>> {
        let mut path = plain(path)?;
        for _ in 0..MOST_LINKS {
            if path.as_os_str().is_empty() {
                return Ok(None);
            }
            let entry = self
                .tree
                .get_path(&path)
                .map_err(|error| match error.code() {
                    ErrorCode::NotFound => io::Error::from(io::ErrorKind::NotFound),
                    _ => io::Error::other(error),
                })?;
            if entry.filemode() != LINK {
                return Ok(Some(entry));
            }
            let target = self.blob(&entry)?;
            let target = String::from_utf8_lossy(&target).into_owned();
            let folder = path.parent().unwrap_or(Path::new(""));
            path = plain(&folder.join(target))?;
        }
        Err(io::Error::other("its symbolic links lead in a circle"))
    }

    fn blob(&self, entry: &TreeEntry<'_>) -> io::Result<Vec<u8>> {
        let object = entry
            .to_object(&self.repository.0)
            .map_err(io::Error::other)?;
        match object.as_blob() {
            Some(blob) => Ok(blob.content().to_owned()),
            None => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        }
    }
}

impl Files for Revision<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.entry(path)? {
            Some(entry) => self.blob(&entry),
            None => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let found;
        let tree = match self.entry(folder)? {
            None => &self.tree,
            Some(entry) => {
                let object = entry
                    .to_object(&self.repository.0)
                    .map_err(io::Error::other)?;
                found = object
                    .into_tree()
                    .map_err(|_| io::Error::from(io::ErrorKind::NotADirectory))?;
                &found
            }
        };
        let names = tree.iter();
        Ok(names
            .map(|entry| folder.join(String::from_utf8_lossy(entry.name_bytes()).as_ref()))
            .collect())
    }

    fn is_folder(&self, path: &Path) -> bool {
        match self.entry(path) {
            Ok(None) => true,
            Ok(Some(entry)) => entry.kind() == Some(ObjectType::Tree),
            Err(_) => false,
        }
    }
}

/// A path of the repository without `.` and `..`; nothing outside of it is a part of a revision.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(io::Error::other(
                    "it lies outside of the repository, so no revision has it",
                ));
            }
        }
    }
    Ok(plain)
}
