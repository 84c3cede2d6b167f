//! Captures a database: a snapshot, `pg_dump` on it, the counts beside it, and the server's globals if they are wanted.
//!
//! Invariants: a stream that was not read to its end, a program that did not end with 0, a plain dump without its trailer, or
//! a snapshot whose transaction was lost all end in an error of `next_object` or `finish`.
//! Not here: what is counted (`expectations`), how a snapshot is held (`snapshot`).

use super::{
    binaries::{self, Binaries},
    config::{Content, Format, SeriesTable},
    connection::{Address, text},
    directory_tar::{PackedFolder, cannot_stage},
    expectations, facts,
    snapshot::{self, Snapshot},
};
use crate::{
    api::{Capture, CaptureObject, CaptureSummary, ProviderError, Result},
    process::{Program, Running},
};
use async_trait::async_trait;
use model::{ByteCount, Disposition, Timestamp};
use sqlx::PgConnection;
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Last line of a plain dump, and of the globals.
pub(super) const PLAIN_TRAILER: &str = "-- PostgreSQL database dump complete";
pub(super) const GLOBALS_TRAILER: &str = "-- PostgreSQL database cluster dump complete";
/// How much of a stream's end is looked at for its trailer.
const TAIL_BYTES: usize = 4096;
/// Workers of a parallel dump when the series names no number: each is a connection to the server.
const MOST_JOBS: usize = 4;

/// A capture under way.
pub(super) struct LogicalCapture {
    address: Address,
    binaries: Binaries,
    series: SeriesTable,
    scratch: PathBuf,
    snapshot: Option<Snapshot>,
    snapshot_name: String,
    captured_at: Timestamp,
    facts: BTreeMap<String, String>,
    expected: Option<ByteCount>,
    superuser: bool,
    standby: bool,
    next: Next,
    current: Option<Current>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Data,
    Globals,
    Nothing,
}

/// The object that is being read: its program, if one feeds it, and what was seen of its end.
struct Current {
    what: &'static str,
    running: Option<Running>,
    seen: Arc<Mutex<Seen>>,
    trailer: Option<&'static str>,
}

#[derive(Default)]
struct Seen {
    end: bool,
    tail: Vec<u8>,
}

/// Connects, chooses the programs and takes the snapshot. Nothing is dumped yet.
pub(super) async fn begin(
    address: Address,
    bin_dir: Option<&Path>,
    series: SeriesTable,
    scratch: PathBuf,
) -> Result<LogicalCapture> {
    let mut connection = address.connect().await?;
    let server = facts::of_server(&mut connection, &address).await?;
    let installed = binaries::installed(bin_dir, "pg_dump").await;
    let binaries = binaries::for_dump(&installed, server.major, bin_dir)?;
    let mut facts = server.facts;
    facts.insert("tool_version".to_owned(), binaries.version.clone());
    facts.insert("format".to_owned(), series.format.word().to_owned());
    facts.insert("content".to_owned(), series.content.word().to_owned());
    let (name, captured_at) = snapshot::export(&mut connection, &address).await?;
    facts.insert("roles".to_owned(), roles(&mut connection, &address).await?);
    let candidates =
        expectations::candidates(&mut connection, &address, &series, server.standby).await?;
    let expected = candidates.iter().map(|table| table.bytes).sum();
    let expected = (series.content != Content::Schema).then_some(ByteCount(expected));
    let limit = expectations::limit(&series);
    let snapshot = Snapshot::keep(connection, address.clone(), candidates, limit);
    Ok(LogicalCapture {
        address,
        binaries,
        series,
        scratch,
        snapshot: Some(snapshot),
        snapshot_name: name,
        captured_at,
        facts,
        expected,
        superuser: server.superuser,
        standby: server.standby,
        next: Next::Data,
        current: None,
    })
}

/// The roles that own or may use something here, for a restore to compare with its server's.
async fn roles(connection: &mut PgConnection, address: &Address) -> Result<String> {
    // pg_shdepend does not mention the bootstrap superuser, so owners are asked for as well.
    let sql = "SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND oid IN (\
               SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype IN ('o', 'a', 'r') \
               AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               UNION SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')";
    let roles = text(connection, sql)
        .await
        .map_err(|error| address.failed("list the owners in", error))?;
    Ok(roles.unwrap_or_default())
}

impl LogicalCapture {
    fn pg_dump(&self) -> Program {
        let series = &self.series;
        let mut program = self
            .address
            .program(self.binaries.program("pg_dump"))
            .arg("--no-password")
            .arg(format!("--format={}", series.format.word()))
            .arg(format!("--snapshot={}", self.snapshot_name));
        if series.format != Format::Plain {
            // Our own compressor is faster, uses all cores, and lets BLAKE3 see the plain bytes.
            program = program.arg("--compress=0");
        }
        match series.content {
            Content::All => {}
            Content::Schema => program = program.arg("--schema-only"),
            Content::Data => program = program.arg("--data-only"),
        }
        for (option, patterns) in [
            ("--table", &series.include_tables),
            ("--exclude-table", &series.exclude_tables),
            ("--schema", &series.include_schemas),
            ("--exclude-schema", &series.exclude_schemas),
        ] {
            for pattern in patterns {
                program = program.arg(format!("{option}={pattern}"));
            }
        }
        if !series.include_tables.is_empty() || !series.include_schemas.is_empty() {
            // A mistyped name would otherwise leave a table out for years, unnoticed.
            program = program.arg("--strict-names");
        }
        if self.standby {
            program = program.arg("--no-unlogged-table-data");
        }
        program
    }

    async fn start_data(&mut self) -> Result<CaptureObject> {
        let (stream, content, file_stem, expected): (Box<dyn Read + Send>, _, _, _) =
            match self.series.format {
                Format::Custom | Format::Plain => {
                    let plain = self.series.format == Format::Plain;
                    let (running, output) = self.pg_dump().start_reading()?;
                    let trailer = plain.then_some(PLAIN_TRAILER);
                    let stream = self.watch("pg_dump", Some(running), Box::new(output), trailer);
                    let (content, stem) = if plain {
                        ("pg-plain", "data.sql")
                    } else {
                        ("pg-custom", "data.dump")
                    };
                    (stream, content, stem, self.expected)
                }
                Format::Directory => {
                    let folder = self.scratch.join("dump");
                    let jobs = self.series.jobs.map_or_else(default_jobs, usize::from);
                    let program = self
                        .pg_dump()
                        .arg("--no-sync")
                        .arg(format!("--jobs={jobs}"))
                        .arg("--file")
                        .arg(&folder);
                    program
                        .start()?
                        .wait()
                        .await
                        .map_err(|error| dump_failed("pg_dump", &self.address, error))?;
                    let stage = |error| cannot_stage(&folder, error);
                    let packed = PackedFolder::new(&folder).map_err(stage)?;
                    let size = packed.size().map_err(stage)?;
                    let stream = self.watch("pg_dump", None, Box::new(packed), None);
                    (
                        stream,
                        "pg-directory-tar",
                        "data.tar",
                        Some(ByteCount(size)),
                    )
                }
            };
        let object = CaptureObject::new("data", file_stem, content, stream).expecting(expected);
        Ok(self.as_the_series_says(object))
    }

    fn start_globals(&mut self) -> Result<CaptureObject> {
        let mut program = self
            .address
            .program(self.binaries.program("pg_dumpall"))
            .arg("--no-password")
            .arg("--globals-only")
            .arg(format!("--database={}", self.address.conninfo()));
        if !self.superuser {
            // Only a superuser may read password hashes; without this the whole dump would be refused.
            program = program.arg("--no-role-passwords");
        }
        let (running, output) = program.start_reading()?;
        let stream = self.watch(
            "pg_dumpall",
            Some(running),
            Box::new(output),
            Some(GLOBALS_TRAILER),
        );
        let object = CaptureObject::new("globals", "globals.sql", "sql", stream);
        Ok(self.as_the_series_says(object))
    }

    fn watch(
        &mut self,
        what: &'static str,
        running: Option<Running>,
        inner: Box<dyn Read + Send>,
        trailer: Option<&'static str>,
    ) -> Box<dyn Read + Send> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        self.current = Some(Current {
            what,
            running,
            seen: Arc::clone(&seen),
            trailer,
        });
        Box::new(Watched { inner, seen })
    }

    fn as_the_series_says(&self, object: CaptureObject) -> CaptureObject {
        object.compressed(self.series.compression, self.series.compression_level)
    }

    async fn advance(&mut self) -> Result<Option<CaptureObject>> {
        self.end_current().await?;
        match self.next {
            Next::Data => {
                self.next = if self.series.globals {
                    Next::Globals
                } else {
                    Next::Nothing
                };
                self.start_data().await.map(Some)
            }
            Next::Globals => {
                self.next = Next::Nothing;
                self.start_globals().map(Some)
            }
            Next::Nothing => Ok(None),
        }
    }

    /// The snapshot's own trouble, if it had any, is the cause of whatever a program then says.
    async fn explained(&mut self, error: ProviderError) -> ProviderError {
        match self.snapshot.take() {
            Some(snapshot) => snapshot.failure().await.unwrap_or(error),
            None => error,
        }
    }

    /// Judges the object that was read last.
    async fn end_current(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if let Some(running) = current.running {
            running
                .wait()
                .await
                .map_err(|error| dump_failed(current.what, &self.address, error))?;
        }
        let seen = current.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let complete = |trailer: &str| String::from_utf8_lossy(&seen.tail).contains(trailer);
        if !seen.end || current.trailer.is_some_and(|trailer| !complete(trailer)) {
            return Err(incomplete(current.what, &self.address));
        }
        Ok(())
    }
}

fn incomplete(what: &str, address: &Address) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::dump-incomplete",
        Disposition::Retry,
        format!("the output of {what} for {address} ended before its end"),
    )
    .help("run it again: mainstay apply; nothing was stored")
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_JOBS))
}

fn dump_failed(what: &str, address: &Address, error: ProviderError) -> ProviderError {
    if error.code != "mainstay::process::failed" {
        return error;
    }
    let forbidden = error.message.contains("permission denied");
    let nothing = error.message.contains("no matching");
    let (disposition, help) = if forbidden {
        (
            Disposition::NeedsOperator,
            format!(
                "let the user read everything: GRANT pg_read_all_data TO \"{}\"",
                address.user
            ),
        )
    } else if nothing {
        (
            Disposition::NeedsOperator,
            "correct `include-tables` or `include-schemas` of the series: a name there matches nothing".to_owned(),
        )
    } else {
        (
            Disposition::Retry,
            "look at the program's words below and into the server's log".to_owned(),
        )
    };
    ProviderError::new(
        "mainstay::postgres::dump-failed",
        disposition,
        format!("{what} could not dump {address}"),
    )
    .help(help)
    .source(error)
}

/// Remembers whether a stream was read to its end, and its last bytes.
struct Watched {
    inner: Box<dyn Read + Send>,
    seen: Arc<Mutex<Seen>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if count == 0 && !buffer.is_empty() {
            seen.end = true;
        }
        let fresh = &buffer[count.saturating_sub(TAIL_BYTES)..count];
        seen.tail.extend_from_slice(fresh);
        let surplus = seen.tail.len().saturating_sub(TAIL_BYTES);
        seen.tail.drain(..surplus);
        Ok(count)
    }
}

#[async_trait]
impl Capture for LogicalCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        match self.advance().await {
            Ok(object) => Ok(object),
            Err(error) => Err(self.explained(error).await),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<CaptureSummary> {
        if let Err(error) = self.end_current().await {
            return Err(self.explained(error).await);
        }
        if self.next != Next::Nothing {
            return Err(ProviderError::new(
                "mainstay::postgres::dump-incomplete",
                Disposition::Permanent,
                format!(
                    "the capture of {} was ended before all objects were read",
                    self.address
                ),
            ));
        }
        let Some(snapshot) = self.snapshot.take() else {
            return Err(incomplete("the snapshot", &self.address));
        };
        let expectations = snapshot.end().await?;
        Ok(CaptureSummary {
            wal: None,
            captured_at: self.captured_at,
            source: self.facts,
            expectations,
        })
    }
}
