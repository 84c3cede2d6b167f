//! Takes a base backup: one tar stream where the server has no tablespaces of its own, else tars in the scratch folder.
//!
//! Order: look at the cluster, run `pg_basebackup`, judge its exit status and its tar, read its list of files, look at the
//! cluster again. `-X stream` is never used: it needs a second connection and a slot that a killed program leaves behind.
//! Dropping the capture kills the program with its whole group.

use super::super::{
    archive::blocking,
    binaries::{self, Binaries},
    connection::Address,
    directory_tar::cannot_stage,
};
use super::{
    MANIFEST_ROLE, TABLESPACE_ROLE,
    backup_manifest::{self, BackupManifest, ManifestError, WalRange},
    collect::{Collecting, Seen, lock},
    config::PhysicalTable,
    failures,
    label::Label,
    source::{self, Cluster, Identity},
};
use crate::{
    api::{
        Capture, CaptureObject, CaptureRequest, CaptureSummary, ParentPoint, ProviderError, Result,
    },
    process::{Program, Running},
};
use async_trait::async_trait;
use model::{ByteCount, Disposition, Expectations, WalSpan};
use std::{
    collections::VecDeque,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The oldest server that can say which blocks changed.
const INCREMENTAL_SINCE: u32 = 17;

/// A capture under way.
pub(super) struct PhysicalCapture {
    address: Address,
    binaries: Binaries,
    series: PhysicalTable,
    scratch: PathBuf,
    cluster: Cluster,
    /// The list of files of the point that this one builds on.
    parent: Option<PathBuf>,
    wal_is_archived: bool,
    stage: Stage,
    current: Option<Current>,
    /// What was seen of `data`.
    data: Option<Arc<Mutex<Seen>>>,
    files: u64,
    span: Option<WalSpan>,
}

enum Stage {
    /// Nothing was started.
    New,
    /// The rest of a staged backup: role, file, content and name of each.
    Staged(VecDeque<(String, PathBuf, &'static str, String)>),
    /// `data` is being read, the list of files comes next.
    Streaming,
    /// All was given out.
    Over,
}

/// The object that is being read, and the program that feeds it.
struct Current {
    running: Option<Running>,
    seen: Option<Arc<Mutex<Seen>>>,
}

/// Connects, chooses the programs and makes sure that the server would let us. Nothing is copied yet.
pub(in super::super) async fn begin(
    address: Address,
    bin_dir: Option<&Path>,
    series: PhysicalTable,
    request: CaptureRequest,
) -> Result<Box<dyn Capture>> {
    let mut connection = address.connect().await?;
    let cluster = source::look(&mut connection, &address).await?;
    if request.wal_is_archived {
        source::ensure_archiving(&mut connection, &address).await?;
    }
    let installed = binaries::installed(bin_dir, "pg_basebackup").await;
    let binaries = binaries::for_base_backup(&installed, cluster.major, bin_dir)?;
    let parent = match &request.parent {
        Some(parent) => Some(fit_parent(parent, &cluster, &address)?),
        None => None,
    };
    Ok(Box::new(PhysicalCapture {
        address,
        binaries,
        series,
        scratch: request.scratch,
        cluster,
        parent,
        wal_is_archived: request.wal_is_archived,
        stage: Stage::New,
        current: None,
        data: None,
        files: 0,
        span: None,
    }))
}

/// The list of files of a point that one can build on here.
fn fit_parent(parent: &ParentPoint, cluster: &Cluster, address: &Address) -> Result<PathBuf> {
    if cluster.major < INCREMENTAL_SINCE {
        let version = cluster.facts.get("server_version").map_or("", |v| v);
        return Err(failures::too_old_for_incremental(address, version));
    }
    if cluster.summarizes != Some(true) {
        return Err(failures::no_summaries(address));
    }
    let unfit = |why: &str| failures::parent_unfit(address, why);
    let Some(span) = parent.manifest.wal else {
        return Err(unfit("the parent is no physical point"));
    };
    let of_parent = Identity {
        system_identifier: span.system_identifier,
        timeline: span.timeline,
    };
    if of_parent.system_identifier != cluster.identity.system_identifier {
        return Err(unfit("the parent is a point of another cluster"));
    }
    if of_parent.timeline != cluster.identity.timeline {
        return Err(unfit("the server is on another timeline than the parent"));
    }
    let major = |version: Option<&String>| version.and_then(|v| binaries::major_of(v));
    if major(parent.manifest.source.get("server_version")) != Some(cluster.major) {
        return Err(unfit(
            "the server has another major version than the parent",
        ));
    }
    let file = parent.files.get(MANIFEST_ROLE).cloned();
    file.ok_or_else(|| unfit("the parent has no list of files"))
}

impl PhysicalCapture {
    fn program(&self) -> Program {
        let wal = if self.wal_is_archived {
            "none"
        } else {
            "fetch"
        };
        let mut program = self
            .address
            .program(self.binaries.program("pg_basebackup"))
            .arg("--no-password")
            .arg("--format=tar")
            .arg(format!("--wal-method={wal}"))
            .arg(format!("--checkpoint={}", self.series.checkpoint.word()))
            .arg("--manifest-checksums=CRC32C")
            .arg("--label=mainstay");
        if let Some(rate) = self.series.max_rate_kib() {
            program = program.arg(format!("--max-rate={rate}"));
        }
        if let Some(file) = &self.parent {
            let mut option = std::ffi::OsString::from("--incremental=");
            option.push(file);
            program = program.arg(option);
        }
        program
    }

    fn is_staged(&self) -> bool {
        !self.cluster.tablespaces.is_empty()
    }

    /// Where the list of files is kept.
    fn kept_manifest(&self) -> PathBuf {
        if self.is_staged() {
            self.folder().join(backup_manifest::FILE_NAME)
        } else {
            self.scratch.join(backup_manifest::FILE_NAME)
        }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.join("base")
    }

    fn start_streaming(&mut self) -> Result<CaptureObject> {
        let (running, output) = self.program().arg("--pgdata=-").start_reading()?;
        self.stage = Stage::Streaming;
        let expected = self.cluster.bytes.filter(|_| self.parent.is_none());
        Ok(self.data(Some(running), Box::new(output), expected))
    }

    /// Lets the program write all tars, and lists them.
    async fn stage(&mut self) -> Result<CaptureObject> {
        let folder = self.folder();
        let program = self.program().arg("--no-sync");
        let mut option = std::ffi::OsString::from("--pgdata=");
        option.push(&folder);
        let running = program.arg(option).start()?;
        running.wait().await.map_err(|error| self.failed(error))?;
        let mut files = VecDeque::new();
        for space in &self.cluster.tablespaces {
            let name = format!("{}.tar", space.oid);
            files.push_back((
                format!("{TABLESPACE_ROLE}{}", space.oid),
                folder.join(&name),
                "pg-base-tar",
                name,
            ));
        }
        self.ensure_all_are_known(&folder)?;
        let data = folder.join("base.tar");
        let file = File::open(&data).map_err(|error| cannot_stage(&data, error))?;
        let size = file.metadata().ok().map(|data| ByteCount(data.len()));
        self.stage = Stage::Staged(files);
        Ok(self.data(None, Box::new(file), size))
    }

    /// A tablespace that was created meanwhile has a tar, and nobody would know where it belongs.
    fn ensure_all_are_known(&self, folder: &Path) -> Result<()> {
        let entries = std::fs::read_dir(folder).map_err(|error| cannot_stage(folder, error))?;
        let tars = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "tar"))
            .count();
        if tars == self.cluster.tablespaces.len() + 1 {
            return Ok(());
        }
        Err(failures::source_changed(
            &self.address,
            "a tablespace was created or dropped",
        ))
    }

    fn data(
        &mut self,
        running: Option<Running>,
        stream: Box<dyn Read + Send>,
        expected: Option<ByteCount>,
    ) -> CaptureObject {
        let stream = self.watch(running, stream);
        self.data = self
            .current
            .as_ref()
            .and_then(|current| current.seen.clone());
        let object = CaptureObject::new("data", "base.tar", "pg-base-tar", stream);
        self.as_the_series_says(object.expecting(expected))
    }

    fn watch(
        &mut self,
        running: Option<Running>,
        stream: Box<dyn Read + Send>,
    ) -> Box<dyn Read + Send> {
        let (collecting, seen) = Collecting::new(stream, self.kept_manifest());
        self.current = Some(Current {
            running,
            seen: Some(seen),
        });
        Box::new(collecting)
    }

    fn as_the_series_says(&self, object: CaptureObject) -> CaptureObject {
        object.compressed(self.series.compression, self.series.compression_level)
    }

    async fn advance(&mut self) -> Result<Option<CaptureObject>> {
        self.end_current().await?;
        let is_staged = self.is_staged();
        match &mut self.stage {
            Stage::New if is_staged => self.stage().await.map(Some),
            Stage::New => self.start_streaming().map(Some),
            Stage::Staged(files) => match files.pop_front() {
                Some((role, path, content, name)) => {
                    let file = File::open(&path).map_err(|error| cannot_stage(&path, error))?;
                    let size = file.metadata().ok().map(|data| ByteCount(data.len()));
                    let stream = self.watch(None, Box::new(file));
                    let object = CaptureObject::new(role, name, content, stream);
                    Ok(Some(self.as_the_series_says(object.expecting(size))))
                }
                None => self.list_of_files().await.map(Some),
            },
            Stage::Streaming => self.list_of_files().await.map(Some),
            Stage::Over => Ok(None),
        }
    }

    /// Reads the list of files, which tells what log is needed, and gives it out as an object.
    async fn list_of_files(&mut self) -> Result<CaptureObject> {
        let path = self.kept_manifest();
        let file = File::open(&path).map_err(|error| cannot_stage(&path, error))?;
        let size = file.metadata().ok().map(|data| ByteCount(data.len()));
        let reader = File::open(&path).map_err(|error| cannot_stage(&path, error))?;
        let address = self.address.clone();
        let manifest = blocking(move || {
            backup_manifest::read(reader).map_err(|error| match error {
                ManifestError::Unreadable(error) => cannot_stage(&path, error),
                ManifestError::Wrong(why) => {
                    failures::incomplete(&address, format!("its list of files is wrong: {why}"))
                }
            })
        })
        .await?;
        self.span = Some(self.span_of(&manifest)?);
        self.stage = Stage::Over;
        self.current = Some(Current {
            running: None,
            seen: None,
        });
        let name = backup_manifest::FILE_NAME;
        let object = CaptureObject::new(MANIFEST_ROLE, name, "pg-backup-manifest", file);
        Ok(self.as_the_series_says(object.expecting(size)))
    }

    fn span_of(&self, manifest: &BackupManifest) -> Result<WalSpan> {
        let identity = self.cluster.identity;
        let changed = |what: &str| failures::source_changed(&self.address, what);
        if manifest
            .system_identifier
            .is_some_and(|id| id != identity.system_identifier)
        {
            return Err(changed("another cluster took its address"));
        }
        let [
            WalRange {
                timeline,
                start,
                end,
            },
        ] = manifest.wal_ranges[..]
        else {
            return Err(changed("its timeline changed"));
        };
        if timeline != identity.timeline {
            return Err(changed("its timeline changed"));
        }
        let incomplete = |what: &str| failures::incomplete(&self.address, what);
        let Some(seen) = &self.data else {
            return Err(incomplete("there is no tar"));
        };
        let seen = lock(seen);
        let label = std::str::from_utf8(&seen.label).ok().and_then(Label::parse);
        let Some(label) = label else {
            return Err(incomplete("its tar has no `backup_label`"));
        };
        let agrees = label.start == start && label.timeline.is_none_or(|number| number == timeline);
        if !agrees || start >= end {
            return Err(incomplete(
                "its label and its list of files name different log",
            ));
        }
        if label.incremental_from.is_some() != self.parent.is_some() {
            return Err(incomplete(
                "it is incremental where a full one was asked for, or the other way round",
            ));
        }
        let span = WalSpan {
            end,
            included: !self.wal_is_archived,
            segment_bytes: self.cluster.segment_bytes,
            start,
            system_identifier: identity.system_identifier,
            timeline,
        };
        let needed = span.last_segment() - span.first_segment() + 1;
        if span.included && seen.segments < needed {
            return Err(incomplete("the log that it needs is not in it"));
        }
        Ok(span)
    }

    fn failed(&self, error: ProviderError) -> ProviderError {
        failures::explain(&self.address, self.parent.is_some(), error)
    }

    /// Judges the object that was read last.
    async fn end_current(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let kept = current
            .seen
            .as_ref()
            .and_then(|seen| lock(seen).cannot_keep.take());
        if let Some(error) = kept {
            // The program can only complain of its broken pipe then.
            return Err(cannot_stage(&self.kept_manifest(), error));
        }
        let streamed = current.running.is_some();
        if let Some(running) = current.running {
            running.wait().await.map_err(|error| self.failed(error))?;
        }
        let Some(seen) = current.seen else {
            return Ok(());
        };
        let seen = lock(&seen);
        if let Some(why) = &seen.wrong {
            return Err(failures::incomplete(&self.address, why.clone()));
        }
        if !seen.whole {
            return Err(failures::incomplete(
                &self.address,
                "its tar was not read to its end",
            ));
        }
        if streamed && !seen.has_manifest {
            return Err(failures::incomplete(
                &self.address,
                "its tar has no `backup_manifest`",
            ));
        }
        self.files += seen.files;
        Ok(())
    }
}

#[async_trait]
impl Capture for PhysicalCapture {
    async fn next_object(&mut self) -> Result<Option<CaptureObject>> {
        self.advance().await
    }

    async fn finish(mut self: Box<Self>) -> Result<CaptureSummary> {
        self.end_current().await?;
        let (Stage::Over, Some(span)) = (&self.stage, self.span) else {
            return Err(ProviderError::new(
                "mainstay::postgres::base-backup-incomplete",
                Disposition::Permanent,
                format!(
                    "the capture of {} was ended before all objects were read",
                    self.address
                ),
            ));
        };
        let mut connection = self.address.connect().await?;
        let (identity, captured_at) = source::identity(&mut connection, &self.address).await?;
        if identity != self.cluster.identity {
            let what = if identity.timeline == self.cluster.identity.timeline {
                "another cluster took its address"
            } else {
                "its timeline changed"
            };
            return Err(failures::source_changed(&self.address, what));
        }
        let mut source = std::mem::take(&mut self.cluster.facts);
        source.insert("tool_version".to_owned(), self.binaries.version.clone());
        source.insert("files".to_owned(), self.files.to_string());
        source.insert("checksum_algorithm".to_owned(), "CRC32C".to_owned());
        if self.parent.is_some() {
            source.insert("incremental".to_owned(), "true".to_owned());
        }
        Ok(CaptureSummary {
            wal: Some(span),
            captured_at,
            source,
            expectations: Expectations::default(),
        })
    }
}
