//! `fmt`: policy files in one layout; comments and meaning stay as they are.

use crate::{
    arguments::{FmtArguments, Global},
    exit::Exit,
    failure::{Because, Failure, Result},
    render::out,
    settings,
};
use policy_schema::Disk;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

pub(crate) fn run(arguments: &FmtArguments, global: &Global) -> Result<Exit> {
    let files: Vec<PathBuf> = if arguments.files.is_empty() {
        policy_schema::gather(&settings::policy_path(global)?, &Disk)
            .0
            .into_iter()
            .map(|source| source.path)
            .collect()
    } else {
        arguments.files.clone()
    };
    let mut changed = 0;
    for file in &files {
        let failed = |what: &str, error: std::io::Error| {
            let because = Because(
                format!("cannot {what} `{}`", file.display()),
                Box::new(error),
            );
            Failure::from_error(
                "mainstay::fmt::file",
                Some("check that the file is there and yours".to_owned()),
                &because,
            )
        };
        let text = std::fs::read_to_string(file).map_err(|error| failed("read", error))?;
        let formatted = policy_schema::fmt(&text).map_err(|error| {
            Failure::new(
                "mainstay::fmt::refused",
                format!("`{}` was left as it is: {error}", file.display()),
            )
            .help("`mainstay validate` shows what is wrong in it")
        })?;
        if formatted == text {
            continue;
        }
        changed += 1;
        out::data(&format!("{}\n", file.display()))?;
        if !arguments.check {
            replace(file, &formatted).map_err(|error| failed("write", error))?;
        }
    }
    if arguments.check && changed > 0 {
        out::words(&format!(
            "{changed} of {} file(s) would change; run `mainstay fmt`.\n",
            files.len()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// Writes beside the file and renames, so that a full disk cannot cut a policy short.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // Through a link, so that the link stays one.
    let file = file.canonicalize()?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut new| {
            new.write_all(text.as_bytes())?;
            new.set_permissions(std::fs::metadata(&file)?.permissions())?;
            new.sync_all()
        });
    written
        .and_then(|()| std::fs::rename(&temporary, &file))
        .inspect_err(|_| {
            // The old file is whole; what is left of the new one is in nobody's way.
            let _ = std::fs::remove_file(&temporary);
        })
}
