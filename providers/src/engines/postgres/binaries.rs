//! Finds PostgreSQL's programs: all installed versions, and the one that fits a server.
//!
//! `pg_dump` must be at least as new as the server and is best of the same major; what it writes loads into its own major or
//! a newer one (PostgreSQL manual, `pg_dump`, "Notes"). Looked for anew at every use: packages are upgraded under a service.

use crate::{
    api::{ProviderError, Result},
    process::Program,
    secrets,
};
use model::Disposition;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// One installed set of programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Major version.
    pub(super) major: u32,
    /// Version as the program says it, such as `15.4`.
    pub(super) version: String,
    /// Its folder.
    pub(super) folder: PathBuf,
}

impl Binaries {
    /// Path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// All installed sets that have the program `probe`, the first found of each major. With `bin_dir` only that folder.
pub(super) async fn installed(bin_dir: Option<&Path>, probe: &str) -> Vec<Binaries> {
    let folders = match bin_dir {
        Some(folder) => vec![folder.to_owned()],
        None => folders().await,
    };
    let mut found: BTreeMap<u32, Binaries> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for folder in folders {
        let path = folder.join(probe);
        // Debian puts a wrapper on PATH that picks a version anew at every call, and not always the one it told us.
        let real = path.canonicalize().unwrap_or_default();
        if !path.is_file() || real.ends_with("pg_wrapper") || !seen.insert(path.clone()) {
            continue;
        }
        let Ok(output) = Program::new(&path).arg("--version").output().await else {
            continue;
        };
        if let Some((major, version)) = version_of(&String::from_utf8_lossy(&output)) {
            found.entry(major).or_insert(Binaries {
                major,
                version,
                folder,
            });
        }
    }
    found.into_values().collect()
}

/// For dumping a server: its own major, else the nearest newer one.
pub(super) fn for_dump(
    found: &[Binaries],
    server: u32,
    bin_dir: Option<&Path>,
) -> Result<Binaries> {
    let fits = found.iter().find(|set| set.major >= server);
    fits.cloned().ok_or_else(|| {
        missing(
            found,
            bin_dir,
            "pg_dump",
            &format!(
                "the server is PostgreSQL {server}; pg_dump must be of version {server} or newer"
            ),
        )
        .help(install(server, bin_dir))
    })
}

/// For a base backup of a server: its own major, else the nearest newer one (manual, `pg_basebackup`, "Notes").
pub(super) fn for_base_backup(
    found: &[Binaries],
    server: u32,
    bin_dir: Option<&Path>,
) -> Result<Binaries> {
    let fits = found.iter().find(|set| set.major >= server);
    fits.cloned().ok_or_else(|| {
        let why = format!(
            "the server is PostgreSQL {server}; pg_basebackup must be of version {server} or newer"
        );
        missing(found, bin_dir, "pg_basebackup", &why).help(install(server, bin_dir))
    })
}

/// For reading an archive of `archive`'s major into a server of `target`'s: at least the archive's, best the target's.
pub(super) fn for_restore(
    found: &[Binaries],
    archive: u32,
    target: u32,
    bin_dir: Option<&Path>,
) -> Result<Binaries> {
    let fits = || found.iter().filter(|set| set.major >= archive);
    let best = fits()
        .find(|set| set.major == target)
        .or_else(|| fits().next());
    best.cloned().ok_or_else(|| {
        missing(found, bin_dir, "pg_restore", &format!("the dump was made by version {archive}; pg_restore must be of version {archive} or newer"))
            .help(install(archive, bin_dir))
    })
}

fn missing(found: &[Binaries], bin_dir: Option<&Path>, program: &str, why: &str) -> ProviderError {
    let place = bin_dir.map_or_else(String::new, |folder| format!(" in `{}`", folder.display()));
    let list: Vec<_> = found
        .iter()
        .map(|set| format!("{} in `{}`", set.version, set.folder.display()))
        .collect();
    let list = if list.is_empty() {
        format!("none{place}")
    } else {
        list.join(", ")
    };
    ProviderError::new(
        "mainstay::postgres::programs-missing",
        Disposition::NeedsOperator,
        format!("no fitting {program} is installed: {why}; found: {list}"),
    )
}

fn install(major: u32, bin_dir: Option<&Path>) -> String {
    let either = if bin_dir.is_some() {
        "correct or remove `bin-dir`, or "
    } else {
        ""
    };
    format!(
        "{either}install the client programs (Debian: apt-get install postgresql-client-{major}), or set `bin-dir` to their folder"
    )
}

/// Reads `pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)`, `… 9.6.24`, `… 18beta1`.
fn version_of(text: &str) -> Option<(u32, String)> {
    let version = text
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()?;
    Some((major_of(version)?, version.to_owned()))
}

/// The major of a version such as `15.4` or `18beta1`.
pub(super) fn major_of(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

async fn folders() -> Vec<PathBuf> {
    let path = secrets::environment("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|path| path.is_absolute())
        .collect();
    for (parent, prefix, below) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/local", "pgsql", "bin"),
        ("/opt", "pgsql", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/opt/homebrew/opt", "libpq", "bin"),
        ("/usr/local/opt", "libpq", "bin"),
        ("/Library/PostgreSQL", "", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        let mut matching: Vec<PathBuf> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(below))
            .collect();
        matching.sort();
        folders.extend(matching);
    }
    if let Ok(output) = Program::new("pg_config").arg("--bindir").output().await {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output).trim()));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(version: &str) -> Binaries {
        Binaries {
            major: major_of(version).unwrap(),
            version: version.to_owned(),
            folder: format!("/opt/pg{version}").into(),
        }
    }

    #[test]
    fn versions_are_read_from_what_the_programs_say() {
        let read =
            |text: &str| version_of(text).map(|(major, version)| format!("{major} {version}"));
        assert_eq!(
            read("pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)\n").unwrap(),
            "15 15.4"
        );
        assert_eq!(read("pg_dump (PostgreSQL) 18beta1").unwrap(), "18 18beta1");
        assert_eq!(read("pg_dump (PostgreSQL) 9.6.24").unwrap(), "9 9.6.24");
        assert_eq!(read("mysqldump 10"), None);
    }

    #[test]
    fn the_servers_own_major_is_preferred_and_an_older_one_never_taken() {
        let found = [set("13.1"), set("15.4"), set("17.2")];
        let chosen = |server| for_dump(&found, server, None).map(|set| set.version);
        assert_eq!(chosen(15).unwrap(), "15.4");
        assert_eq!(chosen(14).unwrap(), "15.4");
        assert_eq!(for_restore(&found, 13, 17, None).unwrap().major, 17);
        assert_eq!(for_restore(&found, 13, 16, None).unwrap().major, 13);
        let error = chosen(18).unwrap_err();
        insta::assert_snapshot!(format!("{error}\n{}", error.help.clone().unwrap()), @r#"
        no fitting pg_dump is installed: the server is PostgreSQL 18; pg_dump must be of version 18 or newer; found: 13.1 in `/opt/pg13.1`, 15.4 in `/opt/pg15.4`, 17.2 in `/opt/pg17.2`
        install the client programs (Debian: apt-get install postgresql-client-18), or set `bin-dir` to their folder
        "#);
        let error = for_dump(&[], 15, Some(Path::new("/opt/old"))).unwrap_err();
        insta::assert_snapshot!(format!("{error}\n{}", error.help.clone().unwrap()), @r#"
        no fitting pg_dump is installed: the server is PostgreSQL 15; pg_dump must be of version 15 or newer; found: none in `/opt/old`
        correct or remove `bin-dir`, or install the client programs (Debian: apt-get install postgresql-client-15), or set `bin-dir` to their folder
        "#);
    }
}
