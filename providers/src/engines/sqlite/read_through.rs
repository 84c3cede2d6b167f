//! Level `full-read`: the stored file is unpacked and read by SQLite itself, page by page and table by table.

use super::{Stop, checks, errors, open, staging};
use crate::api::{Check, ReadRequest, Result};
use std::{fs::File, path::Path};

/// Unpacks into the scratch folder, checks, and removes the copy.
pub(super) fn run(request: ReadRequest, stop: &Stop) -> Result<Vec<Check>> {
    let path = request.scratch.join("read-through.sqlite");
    let mut file = File::create_new(&path)
        .map_err(|error| errors::file("make a scratch copy of a database", error))?;
    let written = staging::write(request.objects, &mut file, stop);
    drop(file);
    let checks = written.and_then(|()| check_file(&path, &request.manifest.expectations));
    // Large, and the folder is the caller's: removed at once, whatever came out. What remains goes with the folder.
    let _ = std::fs::remove_file(&path);
    checks
}

/// Checks a whole file that nobody writes.
pub(super) fn check_file(path: &Path, expectations: &model::Expectations) -> Result<Vec<Check>> {
    let connection = open::finished(path)
        .map_err(|error| errors::sqlite("open the copy of a database", error))?;
    let mut checks = checks::integrity(&connection);
    checks.extend(checks::expected(&connection, expectations));
    Ok(checks)
}
