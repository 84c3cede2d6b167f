//! Reads a base backup's tars to their end and compares every file with PostgreSQL's own list: size, checksum, nothing
//! missing, nothing foreign, the log that was promised. Unpacks nothing, and needs no program of PostgreSQL's.
//!
//! Source of what may be there unlisted: PostgreSQL manual, `pg_verifybackup` (the folder `pg_wal`, the list itself).

use super::super::{archive::blocking, directory_tar::unreadable};
use super::{
    MANIFEST_ROLE, TABLESPACE_ROLE,
    backup_manifest::{self, BackupManifest, Files, ManifestError},
    collect::is_segment,
    damaged,
    digest::{Algorithm, Hashing},
    tablespace_of, tablespaces,
    tar_scan::{Kind, Look, Member, TarError, TarScan},
};
use crate::api::{Check, PlainObject, ReadRequest, Result};
use model::{Manifest, WalFileName, WalSpan};
use std::{
    collections::BTreeSet,
    io::{self, Read},
};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Bad files that are named; the others are counted.
const NAMED: usize = 20;

/// See [`crate::api::Engine::read_through`].
pub(in super::super) async fn read_through(request: ReadRequest) -> Result<Vec<Check>> {
    blocking(move || read(&request.manifest, request.objects)).await
}

fn read(point: &Manifest, objects: Vec<PlainObject>) -> Result<Vec<Check>> {
    let (mut lists, tars): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object.role == MANIFEST_ROLE);
    let Some(mut list) = lists.pop() else {
        return Err(damaged("the recovery point has no list of its files"));
    };
    let manifest = backup_manifest::read(&mut list.stream);
    // Whoever stops at the format's end would not see that the digest does not agree.
    drain(&mut *list.stream)?;
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(ManifestError::Unreadable(error)) => return Err(unreadable(error)),
        Err(ManifestError::Wrong(why)) => {
            return Ok(vec![Check {
                what: "the list of files is whole".to_owned(),
                passed: false,
                detail: why,
            }]);
        }
    };
    let mut checks = of_the_list(point, &manifest);
    let mut comparing = Comparing::new(manifest.files);
    for space in tablespaces(point)? {
        let there = tars.iter().any(|tar| tablespace_of(tar) == Some(space.oid));
        checks.push(Check {
            what: format!("the tar of tablespace `{}` is there", space.name),
            passed: there,
            detail: format!("{TABLESPACE_ROLE}{}", space.oid),
        });
    }
    for object in tars {
        read_tar(object, &mut comparing, &mut checks)?;
    }
    comparing.report(point, &mut checks);
    Ok(checks)
}

fn drain(stream: &mut dyn Read) -> Result<()> {
    io::copy(stream, &mut io::sink()).map_err(unreadable)?;
    Ok(())
}

/// What the list says of itself and of the log, against the point's manifest.
fn of_the_list(point: &Manifest, manifest: &BackupManifest) -> Vec<Check> {
    let files = &manifest.files;
    let mut checks = vec![Check {
        what: "the list of files is whole".to_owned(),
        passed: true,
        detail: format!("{} files with {} bytes", files.len(), files.bytes()),
    }];
    let Some(span) = point.wal else {
        checks.push(Check {
            what: "the log that it needs is known".to_owned(),
            passed: false,
            detail: "the manifest names none".to_owned(),
        });
        return checks;
    };
    let ranges = &manifest.wal_ranges[..];
    let same = matches!(ranges, [range] if range.start == span.start && range.end == span.end && range.timeline == span.timeline);
    checks.push(Check {
        what: "the log that it needs is known".to_owned(),
        passed: same,
        detail: format!(
            "{} to {} on timeline {}",
            span.start, span.end, span.timeline
        ),
    });
    if let Some(id) = manifest.system_identifier {
        checks.push(Check {
            what: "it is of the cluster that the manifest names".to_owned(),
            passed: id == span.system_identifier,
            detail: format!("{id} of {}", span.system_identifier),
        });
    }
    checks
}

fn read_tar(
    mut object: PlainObject,
    comparing: &mut Comparing,
    checks: &mut Vec<Check>,
) -> Result<()> {
    comparing.prefix = match tablespace_of(&object) {
        Some(oid) => format!("pg_tblspc/{oid}/").into_bytes(),
        None => Vec::new(),
    };
    let mut scan = TarScan::new();
    let mut chunk = vec![0; CHUNK];
    let mut wrong: Option<TarError> = None;
    loop {
        let count = match object.stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        // A tar that went wrong is read to its end all the same: the stream's own verdict comes there.
        if wrong.is_none() {
            wrong = scan.push(&chunk[..count], comparing).err();
        }
    }
    comparing.leave();
    let wrong = wrong.or_else(|| scan.finish().err());
    checks.push(Check {
        what: format!("the tar of `{}` is whole", object.role),
        passed: wrong.is_none(),
        detail: wrong.map_or_else(|| "it has its end".to_owned(), |error| error.to_string()),
    });
    Ok(())
}

/// Compares the members of tars with the list.
struct Comparing {
    files: Files,
    prefix: Vec<u8>,
    current: Option<Open>,
    bad: Vec<(String, String)>,
    bad_count: u64,
    good: u64,
    without_checksum: u64,
    segments: BTreeSet<String>,
}

/// A listed file that is being read.
struct Open {
    place: usize,
    path: Vec<u8>,
    size: u64,
    hashing: Hashing,
}

impl Comparing {
    fn new(files: Files) -> Self {
        Self {
            files,
            prefix: Vec::new(),
            current: None,
            bad: Vec::new(),
            bad_count: 0,
            good: 0,
            without_checksum: 0,
            segments: BTreeSet::new(),
        }
    }

    fn bad(&mut self, path: &[u8], why: impl Into<String>) {
        self.bad_count += 1;
        if self.bad.len() < NAMED {
            self.bad
                .push((String::from_utf8_lossy(path).into_owned(), why.into()));
        }
    }

    /// Gives up a member whose end did not come.
    fn leave(&mut self) {
        if let Some(open) = self.current.take() {
            self.bad(&open.path, "it is cut off");
        }
    }

    fn report(mut self, point: &Manifest, checks: &mut Vec<Check>) {
        for (path, why) in std::mem::take(&mut self.bad) {
            checks.push(Check {
                what: format!("file {path}"),
                passed: false,
                detail: why,
            });
        }
        let without = match self.without_checksum {
            0 => String::new(),
            count => format!(", {count} of them have no checksum in the list"),
        };
        checks.push(Check {
            what: "every file agrees with the list".to_owned(),
            passed: self.bad_count == 0,
            detail: format!("{} of {} agree{without}", self.good, self.files.len()),
        });
        let missing: Vec<String> = self.files.missing().take(NAMED).collect();
        let count = self.files.missing().count();
        checks.push(Check {
            what: "no file is missing".to_owned(),
            passed: count == 0,
            detail: match count {
                0 => "all are there".to_owned(),
                _ => format!("{count} are missing: {}", missing.join(", ")),
            },
        });
        if let Some(span) = point.wal.filter(|span| span.included) {
            checks.push(self.log_is_there(&span));
        }
    }

    fn log_is_there(&self, span: &WalSpan) -> Check {
        let segment = |number| WalFileName::of_segment(span.timeline, number, span.segment_bytes);
        let mut needed = (span.first_segment()..=span.last_segment()).map(segment);
        let missing = needed.find(|name| !self.segments.contains(&name.to_string()));
        Check {
            what: "the log that it needs is in it".to_owned(),
            passed: missing.is_none(),
            detail: missing.map_or_else(
                || format!("{} segments", self.segments.len()),
                |name| format!("{name} is not there"),
            ),
        }
    }
}

impl Look for Comparing {
    fn begin(&mut self, member: &Member) -> io::Result<()> {
        if matches!(member.kind, Kind::Folder | Kind::Link) {
            return Ok(());
        }
        let path = [&self.prefix[..], &member.path[..]].concat();
        if is_segment(&path) {
            let name = path.strip_prefix(b"pg_wal/").unwrap_or_default();
            self.segments
                .insert(String::from_utf8_lossy(name).into_owned());
        }
        let Some(place) = self.files.find(&path) else {
            let is_known =
                path.starts_with(b"pg_wal/") || path == backup_manifest::FILE_NAME.as_bytes();
            if !is_known {
                self.bad(&path, "it is not in the list");
            }
            return Ok(());
        };
        if !self.files.meet(place) {
            self.bad(&path, "it is there twice");
            return Ok(());
        }
        let algorithm = self
            .files
            .get(place)
            .map_or(Algorithm::None, |file| file.algorithm);
        self.current = Some(Open {
            place,
            path,
            size: member.size,
            hashing: algorithm.begin(),
        });
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(open) = &mut self.current {
            open.hashing.update(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(open) = self.current.take() else {
            return Ok(());
        };
        let Some(file) = self.files.get(open.place) else {
            return Ok(());
        };
        let expected = file.size;
        let unchecked = file.algorithm == Algorithm::None;
        let agrees = open.hashing.agrees(file.checksum);
        if open.size != expected {
            self.bad(
                &open.path,
                format!("it has {} bytes instead of {expected}", open.size),
            );
        } else if agrees {
            self.good += 1;
            self.without_checksum += u64::from(unchecked);
        } else {
            self.bad(&open.path, "its checksum does not agree: it is damaged");
        }
        Ok(())
    }
}
