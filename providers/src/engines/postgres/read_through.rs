//! Reads a stored dump to its end with PostgreSQL's own reader, and compares its tables and rows with the expectations.
//!
//! Needs no server: `pg_restore` turns the archive into SQL, whose rows are counted on the way. A flipped byte passes any
//! reader, which is why the stream itself ends in an error when its digest does not agree.

use super::{
    archive::{self, ArchiveKind, blocking, feed},
    binaries,
    config::Content,
    copy_scan::{self, Scan},
    directory_tar::unreadable,
    names::read_name,
};
use crate::{
    api::{Check, PlainObject, ProviderError, ReadRequest, Result},
    process::Program,
};
use model::{Disposition, Manifest};
use std::{fs::File, io::Read, path::Path};

/// See [`crate::api::Engine::read_through`].
pub(super) async fn read_through(
    request: ReadRequest,
    bin_dir: Option<&Path>,
) -> Result<Vec<Check>> {
    let (data, others) = archive::take_data(request.objects)?;
    let manifest = request.manifest;
    let content = Content::of_word(manifest.source.get("content").map(String::as_str));
    let kind = ArchiveKind::of(&data.content)?;
    let mut checks = Vec::new();
    let scan = match kind {
        ArchiveKind::Plain => scan_plain(data, &mut checks).await?,
        ArchiveKind::Custom | ArchiveKind::DirectoryTar => {
            let installed = binaries::installed(bin_dir, "pg_restore").await;
            let archive = archive::tool_major(&manifest);
            let set = binaries::for_restore(&installed, archive, archive, bin_dir)?;
            let mut program = Program::new(set.program("pg_restore")).arg("--file=-");
            // Of a file that was adopted nothing is expected, and whether all of it is there needs both.
            if content != Content::Schema && !manifest.is_adopted() {
                // Rows only: no function's body can then pass for a table's rows.
                program = program.arg("--data-only");
            }
            let scan = if kind == ArchiveKind::Custom {
                scan_custom(program, data).await?
            } else {
                let folder = archive::stage_folder(data.stream, &request.scratch).await?;
                scan_folder(program, &folder).await?
            };
            checks.push(Check {
                what: "the archive is readable by pg_restore".to_owned(),
                passed: !scan.cut,
                detail: format!("read to its end by version {}", set.version),
            });
            scan
        }
    };
    if manifest.is_adopted() {
        checks.extend(partial(content, &scan));
    }
    compare(&manifest, content, &scan, &mut checks);
    for object in others {
        let what = format!("the {} are complete", object.role);
        let scan = scan_stream(object.stream).await?;
        checks.push(Check {
            what,
            passed: scan.trailer,
            detail: trailer_words(scan.trailer),
        });
    }
    Ok(checks)
}

/// What a dump that somebody's script made lacks of a whole one: `pg_dump` writes the rows of every table, be they none.
fn partial(content: Content, scan: &Scan) -> Option<Check> {
    let detail = match (content, scan.defined.is_empty(), scan.data) {
        (Content::All | Content::Data, false, false) => {
            "the definitions of tables alone, as `pg_dump --schema-only` writes them, and the rows of none"
        }
        (Content::All | Content::Schema, true, true) => {
            "rows alone, as `pg_dump --data-only` writes them, and the definition of no table"
        }
        _ => return None,
    };
    Some(Check {
        what: "what the dump holds".to_owned(),
        passed: false,
        detail: detail.to_owned(),
    })
}

fn trailer_words(found: bool) -> String {
    if found {
        "the trailer is there".to_owned()
    } else {
        "the trailer is missing".to_owned()
    }
}

async fn scan_plain(data: PlainObject, checks: &mut Vec<Check>) -> Result<Scan> {
    let scan = scan_stream(data.stream).await?;
    checks.push(Check {
        what: "the plain dump is complete".to_owned(),
        passed: scan.trailer && !scan.cut,
        detail: trailer_words(scan.trailer),
    });
    if scan.leaves {
        // Loaded anywhere, it would write into the database of its own name, perhaps the one in production.
        checks.push(Check {
            what: "where the plain dump goes".to_owned(),
            passed: false,
            detail: "to a database that it connects to by name, as `pg_dump --create` writes it, wherever it is loaded".to_owned(),
        });
    }
    Ok(scan)
}

async fn scan_stream(stream: Box<dyn Read + Send>) -> Result<Scan> {
    blocking(move || copy_scan::scan(stream).map_err(unreadable)).await
}

async fn scan_custom(program: Program, data: PlainObject) -> Result<Scan> {
    let (running, input, output) = program.arg("--format=custom").start_filter()?;
    // The stream's own verdict comes first: a wrong digest explains whatever the reader then complained about.
    let (fed, scanned) = tokio::join!(feed(data.stream, input, running), scan_output(output));
    fed.map_err(refused)?;
    scanned
}

async fn scan_folder(program: Program, folder: &Path) -> Result<Scan> {
    let (running, output) = program
        .arg("--format=directory")
        .arg(folder)
        .start_reading()?;
    let scanned = scan_output(output).await;
    running.wait().await.map_err(refused)?;
    scanned
}

async fn scan_output(output: File) -> Result<Scan> {
    blocking(move || copy_scan::scan(output).map_err(unreadable)).await
}

fn refused(error: ProviderError) -> ProviderError {
    if error.code != "mainstay::process::failed" {
        return error;
    }
    ProviderError::new(
        "mainstay::postgres::damaged",
        Disposition::Permanent,
        "pg_restore cannot read the stored dump",
    )
    .help("restore from another copy or another recovery point: mainstay list")
    .source(error)
}

fn compare(manifest: &Manifest, content: Content, scan: &Scan, checks: &mut Vec<Check>) {
    for (name, expected) in &manifest.expectations.tables {
        let Some((parts, _)) = read_name(name) else {
            continue;
        };
        let Ok([schema, table]) = <[String; 2]>::try_from(parts) else {
            continue;
        };
        // pg_dump replaces line ends in its comments, so such names cannot be followed in its text.
        if schema.contains('\n') || table.contains('\n') {
            continue;
        }
        let key = (schema, table);
        if content == Content::Schema {
            let passed = scan.defined.contains(&key);
            checks.push(Check {
                what: format!("table {name}"),
                passed,
                detail: present(passed),
            });
            continue;
        }
        let found = scan.rows.get(&key).copied();
        checks.push(match (found, expected.rows.filter(|_| expected.exact)) {
            (Some(found), Some(rows)) => Check {
                what: format!("rows of {name}"),
                passed: found == rows,
                detail: format!("{found} of {rows}"),
            },
            (Some(found), None) => Check {
                what: format!("table {name}"),
                passed: true,
                detail: format!("present with {found} rows"),
            },
            (None, _) => Check {
                what: format!("table {name}"),
                passed: false,
                detail: present(false),
            },
        });
    }
}

fn present(passed: bool) -> String {
    if passed { "present" } else { "missing" }.to_owned()
}
