//! Which files belong to a set: paths, globs, excludes, in one fixed order.
//!
//! What a policy names itself is followed if it is a link; links inside folders stay links. Sockets, pipes and devices hold
//! nothing that could be restored; they are counted, not stored.

use super::{
    config::{self, FilesDatabase},
    errors,
};
use crate::api::Result;
use globset::GlobMatcher;
use std::{
    collections::BTreeMap,
    fs::{FileType, Metadata},
    path::{Component, Path, PathBuf},
};
use walkdir::WalkDir;

/// Something to store.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
}

/// Everything that belongs to a set.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// By name in the archive: the absolute path without its first slash.
    pub(super) found: BTreeMap<PathBuf, Found>,
    /// Sockets, pipes and devices.
    pub(super) skipped: u64,
    /// Size of all files.
    pub(super) bytes: u64,
}

/// Looks for everything that `config` names.
pub(super) fn select(config: &FilesDatabase, base: &Path) -> Result<Selected> {
    // A policy in the working folder has an empty one.
    let base = if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base
    };
    let base = std::path::absolute(base)
        .map_err(|error| errors::file("find the policy's folder", error))?;
    let exclude: Vec<GlobMatcher> = config
        .exclude
        .iter()
        .filter_map(|pattern| config::glob(&whole_pattern(pattern, &base)).ok())
        .collect();
    let mut selected = Selected::default();
    for written in &config.paths {
        let path = clean(&base.join(written));
        let tops = if config::is_glob(written) {
            let pattern = path.to_string_lossy().into_owned();
            let Ok(matcher) = config::glob(&pattern) else {
                return Err(errors::nothing_matches(written));
            };
            matching(&fixed_part(&path), &matcher)?
        } else {
            vec![path]
        };
        let mut there = false;
        for top in &tops {
            there |= selected.add(top, &exclude)?;
        }
        if !there {
            return Err(errors::nothing_matches(written));
        }
    }
    Ok(selected)
}

impl Selected {
    /// Adds a path with everything below it; `false` when it is not there, or excluded.
    fn add(&mut self, top: &Path, exclude: &[GlobMatcher]) -> Result<bool> {
        let mut there = false;
        let excluded = |path: &Path| exclude.iter().any(|glob| glob.is_match(path));
        let walk = WalkDir::new(top)
            .follow_root_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| !excluded(entry.path()));
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(top).to_owned();
                    let missing = error.depth() == 0
                        && error
                            .io_error()
                            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound);
                    if missing {
                        return Ok(false);
                    }
                    let what = format!("look at `{}`", path.display());
                    return Err(errors::file(&what, error.into()));
                }
            };
            // A link that the policy names itself stands for what it leads to.
            let metadata = if entry.depth() == 0 {
                std::fs::metadata(entry.path())
            } else {
                std::fs::symlink_metadata(entry.path())
            }
            .map_err(|error| {
                errors::file(&format!("look at `{}`", entry.path().display()), error)
            })?;
            // A link that is named itself was followed; what is read later is what it leads to now.
            let place = if entry.depth() == 0 && entry.path_is_symlink() {
                entry.path().canonicalize().map_err(|error| {
                    errors::file(&format!("look at `{}`", entry.path().display()), error)
                })?
            } else {
                entry.path().to_owned()
            };
            self.put(entry.path(), place, &metadata);
            there = true;
        }
        Ok(there)
    }

    fn put(&mut self, path: &Path, place: PathBuf, metadata: &Metadata) {
        let Some(kind) = kind(metadata.file_type()) else {
            self.skipped += 1;
            return;
        };
        let found = Found { path: place, kind };
        let bytes = if kind == Kind::File {
            metadata.len()
        } else {
            0
        };
        if self.found.insert(name_of(path), found).is_none() {
            self.bytes += bytes;
        }
    }
}

fn kind(kind: FileType) -> Option<Kind> {
    if kind.is_file() {
        Some(Kind::File)
    } else if kind.is_dir() {
        Some(Kind::Folder)
    } else if kind.is_symlink() {
        Some(Kind::Link)
    } else {
        None
    }
}

/// Paths that match a glob, below the part of it that is no pattern.
fn matching(below: &Path, matcher: &GlobMatcher) -> Result<Vec<PathBuf>> {
    let mut tops = Vec::new();
    let mut walk = WalkDir::new(below).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let cause = error.io_error().map(std::io::Error::kind);
                if cause == Some(std::io::ErrorKind::NotFound) {
                    continue;
                }
                // What cannot be looked at may match: leaving it out would lose it in silence.
                let what = format!("look at `{}`", error.path().unwrap_or(below).display());
                let cause = std::io::Error::from(error);
                return Err(errors::file(&what, cause));
            }
        };
        if matcher.is_match(entry.path()) {
            tops.push(entry.path().to_owned());
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
        }
    }
    Ok(tops)
}

/// The folders of a glob before its first pattern.
fn fixed_part(pattern: &Path) -> PathBuf {
    pattern
        .components()
        .take_while(|component| !config::is_glob(&component.as_os_str().to_string_lossy()))
        .collect()
}

/// A name alone matches anywhere; a path is taken from the policy's folder.
fn whole_pattern(pattern: &str, base: &Path) -> String {
    if pattern.contains('/') {
        clean(&base.join(pattern)).to_string_lossy().into_owned()
    } else {
        format!("/**/{pattern}")
    }
}

/// Without `.` and `..`, as they are written; links are not looked at.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Its name in the archive.
pub(super) fn name_of(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .collect()
}
