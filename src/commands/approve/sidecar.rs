//! `PLAN.sig`: the signatures that travel with a saved plan, one armoured block after the other.

use crate::failure::{Because, Failure, Result};
use model::approval::SshSignature;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// `plan.json.sig` of `plan.json`.
pub(super) fn sidecar_of(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// The signatures beside a plan; none if there is no such file.
pub(crate) fn read(plan: &Path) -> Result<Vec<String>> {
    let file = sidecar_of(plan);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(SshSignature::blocks(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::from_error(
            "mainstay::approve::unreadable",
            None,
            &Because(
                format!("cannot read the signatures `{}`", file.display()),
                Box::new(error),
            ),
        )),
    }
}

/// Adds a signature, unless it is there.
pub(super) fn append(plan: &Path, armored: &str) -> Result<()> {
    if read(plan)?
        .iter()
        .any(|known| known.trim() == armored.trim())
    {
        return Ok(());
    }
    let file = sidecar_of(plan);
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut target| {
            target.write_all(armored.as_bytes())?;
            target.sync_all()
        });
    written.map_err(|error| {
        Failure::from_error(
            "mainstay::approve::unsaved",
            Some("check the folder of the plan".to_owned()),
            &Because(
                format!("cannot write the signature to `{}`", file.display()),
                Box::new(error),
            ),
        )
    })
}
