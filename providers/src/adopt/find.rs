//! Looks for files: a file, a folder with what is below it, a pattern, or keys of a tier that begin with a prefix.
//!
//! Invariants: links inside folders are not followed, so there are no loops and no file is met twice; what Mainstay itself
//! stores is never met; hidden files are not dumps yet. What is passed over is said, with why.

use super::{name_time, shown};
use crate::api::{ObjectKey, ProviderError, Result, Tier};
use jiff::Timestamp;
use model::{ByteCount, Disposition, key_ring, manifest};
use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use walkdir::{DirEntry, WalkDir};

/// Where a file lies.
#[derive(Clone)]
pub enum Place {
    /// In a folder of this machine.
    File(PathBuf),
    /// On a tier, outside of what Mainstay stores there.
    Object(Arc<dyn Tier>, ObjectKey),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Object(tier, key) => write!(f, "{}:{key}", tier.name()),
        }
    }
}

impl Place {
    /// The path in which a time is looked for.
    pub(super) fn path(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Object(_, key) => key.as_str().to_owned(),
        }
    }
}

/// A file that was found.
#[derive(Debug, Clone)]
pub struct ExistingFile {
    /// Where.
    pub place: Place,
    /// Its whole name as it can be shown.
    pub name: String,
    /// Its size.
    pub bytes: ByteCount,
    /// When it was written last, as the place tells.
    pub modified: Timestamp,
    /// Whether a person named it, instead of a folder that holds it.
    pub named: bool,
}

impl ExistingFile {
    /// What it is called besides its time: by its own name, else by its folder's. Files of one database share it.
    pub fn words(&self) -> String {
        let path = self.place.path();
        let mut parts = path.rsplit('/').map(name_time::words);
        parts.find(|words| !words.is_empty()).unwrap_or_default()
    }
}

/// What a look gave.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Files, by name.
    pub files: Vec<ExistingFile>,
    /// What is no file to read, and why.
    pub passed_over: Vec<(String, String)>,
}

impl Found {
    /// Adds what another look gave; a file that is named twice is one.
    pub fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.files
            .sort_by(|a, b| (&a.name, !a.named).cmp(&(&b.name, !b.named)));
        self.files.dedup_by(|later, first| later.name == first.name);
        self.passed_over.extend(other.passed_over);
        self.passed_over.sort();
        self.passed_over.dedup();
    }
}

/// Files on this machine. Errors: `mainstay::adopt::nothing-found`.
pub fn files(source: &Path) -> Result<Found> {
    let mut found = Found::default();
    let text = source.to_string_lossy();
    if source.symlink_metadata().is_err() && text.contains(['*', '?', '[', '{']) {
        let matcher = globset::GlobBuilder::new(&text)
            .literal_separator(true)
            .build()
            .map_err(|error| nothing(source).source(error))?
            .compile_matcher();
        for path in matching(source, &matcher) {
            look(&path, true, &mut found);
        }
    } else {
        let path = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
        look(&path, true, &mut found);
    }
    if found.files.is_empty() && found.passed_over.is_empty() {
        return Err(nothing(source));
    }
    found.add(Found::default());
    Ok(found)
}

fn nothing(source: &Path) -> ProviderError {
    ProviderError::new(
        "mainstay::adopt::nothing-found",
        Disposition::NeedsOperator,
        format!("there is no file at `{}`", shown(source.as_os_str())),
    )
    .help("name a file, a folder, a pattern in quotes such as '/mnt/nas/erp/*.dump', or TIER:PREFIX for files on a tier")
}

/// Paths that match, below the part of the pattern that is none.
fn matching(pattern: &Path, matcher: &globset::GlobMatcher) -> BTreeSet<PathBuf> {
    let fixed: PathBuf = pattern
        .components()
        .take_while(|part| {
            !part
                .as_os_str()
                .to_string_lossy()
                .contains(['*', '?', '[', '{'])
        })
        .collect();
    let below = if fixed.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &fixed
    };
    let depth = pattern.components().count() - fixed.components().count();
    let depth = if pattern.to_string_lossy().contains("**") {
        usize::MAX
    } else {
        depth
    };
    let walk = WalkDir::new(below).max_depth(depth).into_iter();
    walk.flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let path = path.strip_prefix("./").unwrap_or(path);
            (entry.depth() > 0 && matcher.is_match(path)).then(|| std::path::absolute(path).ok())?
        })
        .collect()
}

/// A named path, with everything below it.
fn look(top: &Path, named: bool, found: &mut Found) {
    let walk = WalkDir::new(top)
        .follow_root_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry));
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 && is_missing(&error) => return,
            Err(error) => {
                let path = error.path().unwrap_or(top);
                let why = error
                    .io_error()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                found.passed_over.push((
                    shown(path.as_os_str()),
                    format!("it cannot be looked at: {why}"),
                ));
                continue;
            }
        };
        let path = entry.path();
        let of_root = entry.depth() == 0;
        if is_ours(path) {
            continue;
        }
        let metadata = if of_root {
            std::fs::metadata(path)
        } else {
            std::fs::symlink_metadata(path)
        };
        let why = match metadata {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(metadata) if metadata.is_file() => {
                found.files.push(ExistingFile {
                    place: Place::File(path.to_owned()),
                    name: shown(path.as_os_str()),
                    bytes: ByteCount(metadata.len()),
                    modified: modified(&metadata),
                    named: named && of_root,
                });
                continue;
            }
            Ok(metadata) if metadata.is_symlink() => {
                "a link: name the file that it leads to".to_owned()
            }
            Ok(_) => "no ordinary file".to_owned(),
            Err(error) => format!("it cannot be looked at: {error}"),
        };
        found.passed_over.push((shown(path.as_os_str()), why));
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

fn is_missing(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

pub(super) fn modified(metadata: &std::fs::Metadata) -> Timestamp {
    let at = metadata
        .modified()
        .ok()
        .and_then(|at| Timestamp::try_from(at).ok());
    at.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether a file lies where Mainstay stores recovery points, `…/2026/20261121T020000Z/data…` (`docs/formats/manifest.md`). What an
/// interrupted run has left there, without a manifest, is no dump of anybody's script either.
fn is_ours(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    let names: Vec<String> = folder
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    in_layout(&names) && (has_our_name(&file) || folder.join(manifest::FILE_NAME).is_file())
}

fn has_our_name(file: &str) -> bool {
    [
        "data.",
        "globals.",
        "base.",
        manifest::FILE_NAME,
        key_ring::FILE_NAME,
    ]
    .iter()
    .any(|own| file.starts_with(own))
}

fn in_layout(folders: &[&str]) -> bool {
    let [.., year, stamp] = folders else {
        return false;
    };
    let bytes = stamp.as_bytes();
    bytes.len() == 16
        && bytes[8] == b'T'
        && bytes[15] == b'Z'
        && [&bytes[..8], &bytes[9..15]]
            .concat()
            .iter()
            .all(u8::is_ascii_digit)
        && stamp.get(..4) == Some(*year)
}

/// Files on a tier whose keys begin with `prefix`.
pub async fn objects(tier: &Arc<dyn Tier>, prefix: &str) -> Result<Found> {
    let mut found = Found::default();
    let listed = tier.list(prefix).await?;
    let ours: BTreeSet<&str> = listed
        .iter()
        .filter(|info| info.key.as_str().ends_with("/manifest.json"))
        .filter_map(|info| info.key.as_str().rsplit_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| in_layout(&folder.split('/').collect::<Vec<_>>()))
        .collect();
    for info in &listed {
        let key = info.key.as_str();
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let hidden = key.split('/').any(|part| part.starts_with('.'));
        let file = key.rsplit('/').next().unwrap_or_default();
        let own = ours.contains(folder)
            || (has_our_name(file) && in_layout(&folder.split('/').collect::<Vec<_>>()))
            || key.starts_with("mainstay-audit/")
            || key.starts_with("recovery-kit/");
        if hidden || own || key.ends_with('/') {
            continue;
        }
        found.files.push(ExistingFile {
            place: Place::Object(Arc::clone(tier), info.key.clone()),
            name: format!("{}:{}", tier.name(), shown(key.as_ref())),
            bytes: info.bytes,
            modified: info.stored_at,
            named: key == prefix,
        });
    }
    if found.files.is_empty() {
        return Err(ProviderError::new(
            "mainstay::adopt::nothing-found",
            Disposition::NeedsOperator,
            format!(
                "tier `{}` has no file whose name begins with `{prefix}`, besides what Mainstay stores there",
                tier.name()
            ),
        )
        .help("names count from the `path` or `prefix` of the tier; files elsewhere in a bucket need a tier of their own that names them"));
    }
    found.add(Found::default());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    fn names(found: &Found, below: &Path) -> Vec<String> {
        let below = format!("{}/", below.display());
        found
            .files
            .iter()
            .map(|file| file.name.replace(&below, ""))
            .collect()
    }

    #[test]
    fn a_folder_gives_its_files_and_says_what_it_passes_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        for name in [
            &b"a b.dump"[..],
            b"line\nbreak.dump",
            b"odd\xff.dump",
            b".hidden.dump",
            b"README",
        ] {
            std::fs::write(at(name), "x").unwrap();
        }
        for own in ["erp/daily/2024/20240301T020000Z", "empty"] {
            std::fs::create_dir_all(at(own.as_bytes())).unwrap();
        }
        std::fs::write(at(b"erp/daily/2024/20240301T020000Z/data.dump.zst"), "x").unwrap();
        std::os::unix::fs::symlink("README", at(b"latest.dump")).unwrap();
        std::os::unix::fs::symlink(".", at(b"loop")).unwrap();
        let found = files(folder.path()).unwrap();
        assert_eq!(
            names(&found, folder.path()),
            ["README", "a b.dump", "line\\nbreak.dump", "odd\\xff.dump"]
        );
        let passed: Vec<_> = found
            .passed_over
            .iter()
            .map(|(name, why)| {
                (
                    Path::new(name).file_name().unwrap().to_str().unwrap(),
                    why.as_str(),
                )
            })
            .collect();
        assert_eq!(
            passed,
            [
                ("latest.dump", "a link: name the file that it leads to"),
                ("loop", "a link: name the file that it leads to")
            ]
        );
        assert!(found.files.iter().all(|file| !file.named));
        // Named itself, a link stands for what it leads to.
        let named = files(&at(b"latest.dump")).unwrap();
        assert!(named.files[0].named && named.files[0].name.ends_with("latest.dump"));
    }

    #[test]
    fn patterns_stay_within_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/1.dump", "a/2.sql", "b/3.dump", "b/deep/4.dump"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let look = |pattern: &str| {
            files(&folder.path().join(pattern)).map(|found| names(&found, folder.path()))
        };
        assert_eq!(look("*/*.dump").unwrap(), ["a/1.dump", "b/3.dump"]);
        assert_eq!(
            look("**/*.dump").unwrap(),
            ["a/1.dump", "b/3.dump", "b/deep/4.dump"]
        );
        assert_eq!(look("b").unwrap(), ["b/3.dump", "b/deep/4.dump"]);
        assert_eq!(
            look("*.gz").unwrap_err().code,
            "mainstay::adopt::nothing-found"
        );
        assert_eq!(
            look("c").unwrap_err().code,
            "mainstay::adopt::nothing-found"
        );
    }

    #[test]
    fn what_mainstay_stores_is_told_by_its_layout() {
        let ours = |path: &str| in_layout(&path.split('/').collect::<Vec<_>>());
        assert!(ours("erp/daily/2024/20240301T020000Z"));
        assert!(!ours("erp/daily/2023/20240301T020000Z"));
        assert!(!ours("old/2024/20240301"));
        assert!(!ours("20240301T020000Z"));
    }
}
