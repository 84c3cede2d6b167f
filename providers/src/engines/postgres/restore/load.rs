//! Loads a dump with `pg_restore` or psql, as one transaction where the target is not ours to throw away.
//!
//! psql goes on after errors unless told, and `pg_restore` too: both are told to stop (`ON_ERROR_STOP`, `--exit-on-error`).

use crate::{
    api::{ProviderError, Result},
    engines::postgres::{
        archive::{self, ArchiveKind, feed},
        binaries::Binaries,
        config::Content,
        connection::{Address, text, texts},
        names::{literal, quoted, read_name},
    },
    process::{Program, Running},
};
use model::{Disposition, Manifest};
use sqlx::PgConnection;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Workers for loading a directory dump.
const MOST_JOBS: usize = 4;

/// Whether owners and privileges can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owners {
    /// All roles are there and may be given objects.
    Keep,
    /// These roles are missing, or our user may not act for them.
    Without(String),
}

/// How to load.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) kind: ArchiveKind,
    pub(super) content: Content,
    pub(super) set: Binaries,
    pub(super) owners: Owners,
    pub(super) superuser: bool,
    pub(super) single_transaction: bool,
    /// File with the chosen entries, for `pg_restore --use-list`.
    pub(super) selected: Option<PathBuf>,
    /// Statements that drop what the chosen objects replace; `None` when nothing is replaced.
    pub(super) drops: Option<String>,
}

impl Loader {
    /// Loads a stream.
    pub(super) async fn load(
        &self,
        target: &Address,
        stream: Box<dyn Read + Send>,
        scratch: &Path,
    ) -> Result<()> {
        match self.kind {
            ArchiveKind::DirectoryTar => {
                let folder = archive::stage_folder(stream, scratch).await?;
                self.load_staged(target, &folder).await
            }
            ArchiveKind::Custom => {
                let program = self
                    .pg_restore(target.conninfo_option(), target)
                    .arg("--format=custom");
                let (running, input) = program.start_writing()?;
                let fed = feed(stream, input, running).await;
                fed.map_err(|error| load_failed(target, error))
            }
            ArchiveKind::Plain => {
                let (running, input) = self.psql(target).start_writing()?;
                let fed = feed(stream, input, running).await;
                fed.map_err(|error| load_failed(target, error))
            }
        }
    }

    /// Loads a dump that lies in a file or a folder.
    pub(super) async fn load_staged(&self, target: &Address, staged: &Path) -> Result<()> {
        if let Some(drops) = &self.drops {
            return self.replace_staged(target, staged, drops).await;
        }
        let mut program = self.pg_restore(target.conninfo_option(), target);
        if self.kind == ArchiveKind::DirectoryTar && !self.single_transaction {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            program = program.arg(format!("--jobs={}", cores.min(MOST_JOBS)));
        }
        let running = program.arg(staged).start()?;
        running
            .wait()
            .await
            .map_err(|error| load_failed(target, error))
    }

    /// Drops and loads as one transaction of psql, which ends well only if `pg_restore` has ended well before it.
    async fn replace_staged(&self, target: &Address, staged: &Path, drops: &str) -> Result<()> {
        // `pg_restore --clean` alone alters the existing table as if it had the archive's columns.
        let (reader, output) = self
            .pg_restore("--file=-".to_owned(), target)
            .args(["--clean", "--if-exists"])
            .arg(staged)
            .start_reading()?;
        let archive = ProgramOutput {
            output,
            running: Some(reader),
            runtime: tokio::runtime::Handle::current(),
        };
        let sql = std::io::Cursor::new(drops.as_bytes().to_vec()).chain(archive);
        let (running, input) = self.psql(target).start_writing()?;
        let fed = feed(Box::new(sql), input, running).await;
        fed.map_err(|error| load_failed(target, error))
    }

    /// `pg_restore` without a target, for looking into an archive.
    pub(super) fn reader(&self) -> Program {
        Program::new(self.set.program("pg_restore"))
    }

    fn pg_restore(&self, output: String, target: &Address) -> Program {
        let mut program = target
            .program(self.set.program("pg_restore"))
            .arg("--exit-on-error")
            .arg(output);
        if self.single_transaction && self.drops.is_none() {
            program = program.arg("--single-transaction");
        }
        if self.owners != Owners::Keep {
            program = program.args(["--no-owner", "--no-privileges"]);
        }
        if self.content == Content::Data {
            program = program.arg("--data-only");
            if self.superuser {
                // Rows come in no order that foreign keys would like.
                program = program.arg("--disable-triggers");
            }
        }
        if let Some(list) = &self.selected {
            program = program.arg("--use-list").arg(list);
        }
        program
    }

    fn psql(&self, target: &Address) -> Program {
        target
            .program(self.set.program("psql"))
            .args(["--no-password", "--no-psqlrc", "--quiet"])
            .args(["--set=ON_ERROR_STOP=1", "--single-transaction", "--file=-"])
    }
}

/// A program's output whose end is good only if the program ended well.
struct ProgramOutput {
    output: File,
    running: Option<Running>,
    runtime: tokio::runtime::Handle,
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(running) = self.running.take()
        {
            self.runtime
                .block_on(running.wait())
                .map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

fn load_failed(target: &Address, error: ProviderError) -> ProviderError {
    if error.code != "mainstay::process::failed" {
        return error;
    }
    let help = if error.message.contains("invalid command \\restrict") {
        "the plain dump was written by a newer minor release: install the newest minor release of psql"
    } else if error.message.contains("depend on it") {
        "other objects need the tables that shall be replaced: drop those first, or restore into a new database"
    } else if error.message.contains("is not available") {
        "install the extension that the message names on the target's server"
    } else {
        "the message of the program says which statement failed; the target is as it was before"
    };
    ProviderError::new(
        "mainstay::restore::load-failed",
        Disposition::NeedsOperator,
        format!("cannot load the dump into {target}"),
    )
    .help(help)
    .source(error)
}

/// Looks whether the roles that the dump mentions can be used on the target's server.
pub(super) async fn owners(
    connection: &mut PgConnection,
    target: &Address,
    manifest: &Manifest,
    superuser: bool,
) -> Result<Owners> {
    let named = manifest.source.get("roles").map_or("", String::as_str);
    let mut missing = Vec::new();
    let mut rest = named;
    while let Some((name, after)) = read_name(rest) {
        // quote_ident quotes whatever could be misread, so a dot outside of quotes does not occur.
        let role = name.join(".");
        let usable = if superuser {
            "true"
        } else {
            "pg_has_role(rolname, 'MEMBER')"
        };
        let sql = format!(
            "SELECT 1 FROM pg_roles WHERE rolname = {} AND {usable}",
            literal(&role)
        );
        let found = texts(connection, &sql)
            .await
            .map_err(|error| target.failed("list the roles beside", error))?;
        if found.is_empty() {
            missing.push(format!("`{role}`"));
        }
        match after.strip_prefix(", ") {
            Some(next) => rest = next,
            None => break,
        }
    }
    if missing.is_empty() {
        return Ok(Owners::Keep);
    }
    Ok(Owners::Without(missing.join(", ")))
}

/// A plain dump holds its owners in its text.
pub(super) fn roles_missing(target: &Address, missing: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::roles-missing",
        Disposition::NeedsOperator,
        format!("the plain dump gives objects to roles that cannot be used beside {target}: {missing}"),
    )
    .help("create the roles first (they are in globals.sql if the series has `globals = true`), or use format = \"custom\", whose owners can be left out")
}

/// Rows alone can only go into tables that are there and empty.
pub(super) async fn check_empty(
    connection: &mut PgConnection,
    target: &Address,
    manifest: &Manifest,
) -> Result<()> {
    for name in manifest.expectations.tables.keys() {
        let Some((parts, _)) = read_name(name) else {
            continue;
        };
        let [schema, table] = parts.as_slice() else {
            continue;
        };
        let sql = format!(
            "SELECT EXISTS (SELECT FROM ONLY {}.{})",
            quoted(schema),
            quoted(table)
        );
        match text(connection, &sql).await {
            Ok(found) if found.as_deref() == Some("t") => {
                return Err(ProviderError::new(
                    "mainstay::restore::target-exists",
                    Disposition::NeedsOperator,
                    format!("table `{name}` of {target} holds rows already"),
                )
                .help("empty the tables first: a recovery point with `content = \"data\"` adds rows and replaces none"));
            }
            Ok(_) => {}
            Err(error) => {
                return Err(ProviderError::new(
                    "mainstay::restore::data-only",
                    Disposition::NeedsOperator,
                    format!("cannot put rows into table `{name}` of {target}"),
                )
                .help("restore a point with `content = \"schema\"` into the target first")
                .source(error));
            }
        }
    }
    Ok(())
}
