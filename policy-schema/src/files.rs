//! Reads policy files: one file, or every `*.toml` directly in a folder, and what they include.
//!
//! This is the only file of the crate that touches the disk, and only through [`Files`]; it never writes. A folder's
//! files are taken in the order of their names, included files after the file that names them, every file once.

use model::{Finding, Label, Severity};
use std::{
    collections::BTreeSet,
    io,
    path::{Component, Path, PathBuf},
};

/// A policy file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it was given or found; findings show it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// What reading a policy needs of a file system.
pub trait Files {
    /// Content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Names of the files directly in a folder; an error if it is no folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether it is a folder.
    fn is_folder(&self, path: &Path) -> bool;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| folder.join(entry.file_name())))
            .collect()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Every file of the policy at `policy`, and what could not be read.
pub fn gather(policy: &Path, files: &dyn Files) -> (Vec<Source>, Vec<Finding>) {
    let mut gatherer = Gatherer {
        files,
        sources: Vec::new(),
        findings: Vec::new(),
        seen: BTreeSet::new(),
    };
    if files.is_folder(policy) {
        match toml_files(policy, files) {
            Ok(paths) if paths.is_empty() => {
                gatherer.unreadable(policy, "the folder holds no `*.toml` file", None);
            }
            Ok(paths) => paths.iter().for_each(|path| gatherer.take(path, None)),
            Err(error) => gatherer.unreadable(policy, &said(&error), None),
        }
    } else {
        gatherer.take(policy, None);
    }
    (gatherer.sources, gatherer.findings)
}

struct Gatherer<'a> {
    files: &'a dyn Files,
    sources: Vec<Source>,
    findings: Vec<Finding>,
    seen: BTreeSet<PathBuf>,
}

impl Gatherer<'_> {
    fn take(&mut self, path: &Path, named_at: Option<Label>) {
        if !self.seen.insert(plain(path)) {
            return;
        }
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(path, &said(&error), named_at),
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) if text.len() < u32::MAX as usize => text,
            Ok(_) => return self.unreadable(path, "it is larger than 4 GiB", named_at),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let why = format!("it is not UTF-8 at byte {at}");
                return self.unreadable(path, &why, named_at);
            }
        };
        let includes = includes(path, &text);
        self.sources.push(Source {
            path: path.to_owned(),
            text,
        });
        for (pattern, label) in includes {
            self.include(path, &pattern, label);
        }
    }

    fn include(&mut self, from: &Path, pattern: &str, label: Label) {
        let folder = from.parent().unwrap_or(Path::new(""));
        let target = folder.join(pattern);
        let found = match (
            target.parent(),
            target.file_name().and_then(|name| name.to_str()),
        ) {
            (Some(parent), Some("*.toml")) => toml_files(parent, self.files),
            _ if pattern.contains('*') => Ok(Vec::new()),
            _ if self.files.is_folder(&target) => toml_files(&target, self.files),
            _ => Ok(vec![target]),
        };
        match found {
            Ok(paths) if paths.is_empty() => self.findings.push(Finding {
                code: "policy::bad-include",
                severity: Severity::Error,
                message: format!("`{pattern}` names no policy file"),
                help: Some("include a file, a folder, or `folder/*.toml`".to_owned()),
                labels: vec![label],
            }),
            Ok(paths) => {
                for path in paths {
                    self.take(&path, Some(label.clone()));
                }
            }
            Err(error) => self.unreadable(folder, &said(&error), Some(label)),
        }
    }

    fn unreadable(&mut self, path: &Path, why: &str, named_at: Option<Label>) {
        let included = named_at.is_some();
        self.findings.push(Finding {
            code: if included {
                "policy::bad-include"
            } else {
                "policy::unreadable"
            },
            severity: Severity::Error,
            message: format!("cannot read `{}`: {why}", path.display()),
            help: (!included).then(|| {
                if why.contains("UTF-8") {
                    "save the file as UTF-8".to_owned()
                } else {
                    "name the policy with `--policy`, or write a first one with `mainstay init`"
                        .to_owned()
                }
            }),
            labels: named_at.into_iter().collect(),
        });
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn toml_files(folder: &Path, files: &dyn Files) -> io::Result<Vec<PathBuf>> {
    let mut paths = files.list(folder)?;
    paths.retain(|path| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
            && !files.is_folder(path)
    });
    paths.sort();
    Ok(paths)
}

/// The path without `.` and `a/..`, to see whether two spellings are one file.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn includes(path: &Path, text: &str) -> Vec<(String, Label)> {
    // Parsing twice is cheap but not free: most files include nothing.
    if !text.contains("include") {
        return Vec::new();
    }
    let (root, _) = crate::tree::parse(0, text);
    let items = root
        .get("include")
        .and_then(|node| node.list().map(<[_]>::to_vec));
    items
        .unwrap_or_default()
        .iter()
        .filter_map(|item| {
            let label = Label {
                file: path.to_owned(),
                bytes: item.place.start as usize..item.place.end as usize,
                text: "included here".to_owned(),
            };
            Some((item.text()?.to_owned(), label))
        })
        .collect()
}
