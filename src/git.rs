//! Policies as Git has them: a repository, its revisions, and the files of a revision.
//!
//! Only reads, and only what is in the object store: nothing is checked out, fetched or run, so hooks, filters and remotes of a
//! repository never matter. A [`Revision`] is a [`policy_schema::Files`], so that the policy loader reads a commit as it
//! reads a folder. Fetching is left to the `git` program (`docs/decisions/`).

use crate::failure::{Failure, with_causes};
use git2::{Commit, ErrorCode, ObjectType, Oid, Repository as Inner, Tree, TreeEntry};
use jiff::Timestamp;
use policy_schema::Files;
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
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

/// Who changed something, and when.
pub(crate) struct Changes {
    /// When the newest change was committed.
    pub(crate) at: Timestamp,
    /// `Name <mail>` of its author.
    pub(crate) author: String,
    /// Its commit.
    pub(crate) commit: String,
    /// Authors of the other changes since a revision.
    pub(crate) earlier_authors: BTreeSet<String>,
}

fn author(commit: &Commit<'_>) -> String {
    let author = commit.author();
    format!(
        "{} <{}>",
        String::from_utf8_lossy(author.name_bytes()),
        String::from_utf8_lossy(author.email_bytes())
    )
}

/// Whether a commit has other things at the paths than each of its parents.
fn changed(commit: &Commit<'_>, paths: &[PathBuf]) -> Result<bool, git2::Error> {
    let ids = |commit: &Commit<'_>| -> Result<Vec<Option<Oid>>, git2::Error> {
        let tree = commit.tree()?;
        let at = |path: &PathBuf| tree.get_path(path).ok().map(|entry| entry.id());
        Ok(paths.iter().map(at).collect())
    };
    let own = ids(commit)?;
    if commit.parent_count() == 0 {
        return Ok(own.iter().any(Option::is_some));
    }
    for parent in commit.parents() {
        if ids(&parent)? == own {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Repository {
    /// The repository in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        Inner::open(folder)
            .map(Self)
            .map_err(|error| refused(folder, &error))
    }

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

    /// Whether one commit is the other or one of its ancestors.
    pub(crate) fn is_behind(&self, old: &str, new: &str) -> bool {
        let ids = Oid::from_str(old).and_then(|old| Ok((old, Oid::from_str(new)?)));
        ids.is_ok_and(|(old, new)| {
            old == new || self.0.graph_descendant_of(new, old).unwrap_or(false)
        })
    }

    /// The armoured signature of a commit, and what is signed.
    pub(crate) fn signature(&self, commit: &str) -> Option<(String, Vec<u8>)> {
        let id = Oid::from_str(commit).ok()?;
        let (signature, signed) = self.0.extract_signature(&id, None).ok()?;
        Some((
            String::from_utf8_lossy(&signature).into_owned(),
            signed.to_vec(),
        ))
    }

    /// The newest commit that changed one of some paths, and who else changed them since a revision. A merge that took over one
    /// side as it is changed nothing.
    pub(crate) fn changes(
        &self,
        commit: &str,
        paths: &[PathBuf],
        since: Option<&str>,
    ) -> Result<Changes, git2::Error> {
        let tip = Oid::from_str(commit)?;
        let mut newest = self.0.find_commit(tip)?;
        for id in self.walk(tip, None)? {
            let commit = self.0.find_commit(id?)?;
            if changed(&commit, paths)? {
                newest = commit;
                break;
            }
        }
        let mut earlier_authors = BTreeSet::new();
        let since = since.and_then(|since| Oid::from_str(since).ok());
        if let Some(since) = since.filter(|since| self.0.find_commit(*since).is_ok()) {
            for id in self.walk(tip, Some(since))? {
                let commit = self.0.find_commit(id?)?;
                if commit.id() != newest.id() && changed(&commit, paths)? {
                    earlier_authors.insert(author(&commit));
                }
            }
        }
        Ok(Changes {
            at: Timestamp::from_second(newest.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
            author: author(&newest),
            commit: newest.id().to_string(),
            earlier_authors,
        })
    }

    fn walk(&self, tip: Oid, hidden: Option<Oid>) -> Result<git2::Revwalk<'_>, git2::Error> {
        let mut walk = self.0.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
        walk.push(tip)?;
        if let Some(hidden) = hidden {
            walk.hide(hidden)?;
        }
        Ok(walk)
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

    /// Where a path leads when its links are followed.
    pub(crate) fn real(&self, path: &Path) -> Option<PathBuf> {
        self.resolve(path).ok().map(|(real, _)| real)
    }

    /// What is at a path, links followed; `None`: the root.
    fn entry(&self, path: &Path) -> io::Result<Option<TreeEntry<'static>>> {
        self.resolve(path).map(|(_, entry)| entry)
    }

    /// Links may stand anywhere in a path, as on a disk.
    fn resolve(&self, path: &Path) -> io::Result<(PathBuf, Option<TreeEntry<'static>>)> {
        let names = |path: &Path| -> Vec<OsString> {
            let names = path.iter().rev();
            names.map(OsStr::to_owned).collect()
        };
        let mut ahead = names(&plain(path)?);
        let (mut real, mut found, mut links) = (PathBuf::new(), None, 0);
        while let Some(name) = ahead.pop() {
            let here = real.join(&name);
            let entry = self
                .tree
                .get_path(&here)
                .map_err(|error| match error.code() {
                    ErrorCode::NotFound => io::Error::from(io::ErrorKind::NotFound),
                    _ => io::Error::other(error),
                })?;
            if entry.filemode() != LINK {
                (real, found) = (here, Some(entry));
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::other("its symbolic links lead in a circle"));
            }
            let target = self.blob(&entry)?;
            let target = String::from_utf8_lossy(&target).into_owned();
            ahead.extend(names(&plain(&real.join(target))?));
            (real, found) = (PathBuf::new(), None);
        }
        Ok((real, found))
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
