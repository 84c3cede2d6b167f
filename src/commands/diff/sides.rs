//! The two policies of a diff: which files, folders or revisions the arguments name, and the policy that is found there.
//!
//! A name that is a file as well as a revision is refused, never guessed.

use crate::{
    arguments::{DiffArguments, Global},
    exit::Exit,
    failure::{Failure, Result},
    git::{Repository, Revision},
    policy::{self, Checked},
    settings,
};
use std::path::{Path, PathBuf};

/// One side, looked at.
pub(super) struct Side {
    /// As people recognise it: a path, `main:policy`.
    pub(super) source: String,
    /// The commit that it is read from.
    pub(super) commit: Option<String>,
    /// The policy, or what is wrong with it.
    pub(super) checked: Checked,
}

/// What an argument names.
enum Named {
    /// A file or folder on the disk.
    Path(PathBuf),
    /// A revision, and the policy's path in it, if that was named too.
    Revision(String, Option<PathBuf>),
}

/// Both sides.
pub(super) fn both(arguments: &DiffArguments, global: &Global) -> Result<(Side, Side)> {
    let repository = Repository::around(&somewhere(global))?;
    let names = Names {
        repository: repository.as_ref(),
        global,
    };
    let (old, new) = match (&arguments.new, range(&arguments.old)) {
        (Some(new), _) => (names.named(&arguments.old)?, names.named(new)?),
        (None, Some((old, new, since_fork))) => {
            let old = if since_fork {
                names.repository(&arguments.old)?.fork_point(old, new)?
            } else {
                old.to_owned()
            };
            (
                Named::Revision(old, None),
                Named::Revision(new.to_owned(), None),
            )
        }
        (None, None) => {
            let new = Named::Path(settings::policy_path(global)?);
            (names.named(&arguments.old)?, new)
        }
    };
    Ok((names.load(old)?, names.load(new)?))
}

/// `OLD..NEW` and `OLD...NEW`, unless there is a file of that name; a side that is left out is `HEAD`.
fn range(text: &str) -> Option<(&str, &str, bool)> {
    if Path::new(text).exists() {
        return None;
    }
    let since_fork = text.contains("...");
    let (old, new) = text.split_once(if since_fork { "..." } else { ".." })?;
    // `../policy.toml` is a path that does not exist, not a range.
    if new.starts_with('/') || old.ends_with('/') {
        return None;
    }
    Some((or_head(old), or_head(new), since_fork))
}

fn or_head(side: &str) -> &str {
    if side.is_empty() { "HEAD" } else { side }
}

/// A folder in the repository that is meant: where the policy lies, else where we are.
fn somewhere(global: &Global) -> PathBuf {
    let policy = global.policy.as_deref().unwrap_or(Path::new("."));
    let existing = policy.ancestors().find(|path| path.is_dir());
    match existing {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

struct Names<'a> {
    repository: Option<&'a Repository>,
    global: &'a Global,
}

impl Names<'_> {
    fn repository(&self, name: &str) -> Result<&Repository> {
        self.repository.ok_or_else(|| {
            Failure::new(
                "mainstay::git::no-repository",
                format!("there is no file `{name}`, and no Git repository here that could know it as a revision"),
            )
            .help("check the path, or go into the repository of the policy")
        })
    }

    fn named(&self, text: &str) -> Result<Named> {
        let path = Path::new(text);
        if !path.exists() {
            let (revision, inside) = match text.split_once(':') {
                Some((revision, inside)) if !revision.is_empty() => {
                    (revision, Some(PathBuf::from(inside)))
                }
                _ => (text, None),
            };
            return Ok(Named::Revision(revision.to_owned(), inside));
        }
        if self
            .repository
            .is_some_and(|repository| repository.knows(text))
        {
            return Err(Failure::new(
                "mainstay::diff::ambiguous",
                format!("`{text}` is a path and a Git revision"),
            )
            .help(format!(
                "write `./{text}` for the path, or `refs/heads/{text}` or `refs/tags/{text}` for the revision"
            )));
        }
        Ok(Named::Path(path.to_owned()))
    }

    fn load(&self, named: Named) -> Result<Side> {
        let (name, inside) = match named {
            Named::Path(path) => {
                return Ok(Side {
                    source: path.display().to_string(),
                    commit: None,
                    checked: policy::check(&path),
                });
            }
            Named::Revision(name, inside) => (name, inside),
        };
        let repository = self.repository(&name)?;
        let revision = repository.revision(&name)?;
        let path = match inside {
            Some(path) => path,
            None => self.policy_in(repository, &revision)?,
        };
        if !revision.has(&path) {
            return Err(no_policy(&revision, &path));
        }
        let source = format!("{name}:{}", path.display());
        Ok(Side {
            checked: policy::check_revision(&revision, &path),
            commit: revision.commit.clone(),
            source,
        })
    }

    /// The policy's path in a revision: that of `--policy`, else the first of the usual ones that is there.
    fn policy_in(&self, repository: &Repository, revision: &Revision<'_>) -> Result<PathBuf> {
        if let Some(policy) = &self.global.policy {
            return inside(repository, policy);
        }
        let here = match repository.folder() {
            Some(_) => inside(repository, Path::new("."))?,
            None => PathBuf::new(),
        };
        let usual = ["mainstay.toml", "policy"].map(|name| here.join(name));
        let found = usual.iter().find(|path| revision.has(path));
        found.cloned().ok_or_else(|| no_policy(revision, &usual[0]))
    }
}

fn no_policy(revision: &Revision<'_>, path: &Path) -> Failure {
    Failure::new(
        "mainstay::diff::no-policy",
        format!("`{}` has no policy at `{}`", revision.name, path.display()),
    )
    .help("name its path in the repository with `--policy PATH` or `REVISION:PATH`; a policy that is new has nothing to be compared with: `mainstay plan` shows what it does")
    .exit(Exit::PolicyInvalid)
}

/// The path of a file or folder in the repository; it need not exist on the disk.
fn inside(repository: &Repository, path: &Path) -> Result<PathBuf> {
    let Some(root) = repository.folder() else {
        return Ok(path.to_owned());
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = |path: &Path| path.canonicalize().ok();
    let existing = absolute
        .ancestors()
        .find_map(|parent| Some((parent, real(parent)?)));
    let whole = match existing {
        Some((parent, real)) => match absolute.strip_prefix(parent) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => absolute.clone(),
    };
    let root = real(root).unwrap_or_else(|| root.to_owned());
    whole.strip_prefix(&root).map(Path::to_owned).map_err(|_| {
        Failure::new(
            "mainstay::git::outside",
            format!(
                "`{}` does not lie in the repository `{}`",
                path.display(),
                root.display()
            ),
        )
        .help("name the policy's path in the repository with `REVISION:PATH`")
    })
}
