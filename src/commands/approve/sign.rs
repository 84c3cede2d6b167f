//! Has `ssh-keygen` sign the id of a plan, so that agents and hardware keys work and no private key is ever read here.

use crate::failure::{Failure, Result};
use model::{Disposition, approval::NAMESPACE};
use providers::{api::ProviderError, process::Program};
use std::{
    io::{Read as _, Write as _},
    path::Path,
    time::Duration,
};

/// Somebody must find and touch the hardware key.
const PATIENCE: Duration = Duration::from_mins(2);

/// The armoured signature.
pub(super) async fn sign(id: &str, key: &Path) -> Result<String> {
    let program = Program::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(key)
        // There is no terminal in its process group to ask on; it would stop for ever.
        .env("SSH_ASKPASS_REQUIRE", "force");
    let (running, mut input, mut output) = program.start_filter()?;
    let id = id.to_owned();
    let talk = tokio::task::spawn_blocking(move || {
        // One that does not read has ended with an error of its own.
        let _ = input.write_all(id.as_bytes());
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    running
        .wait_at_most(PATIENCE)
        .await
        .map_err(|error| refused(&error, key))?;
    match talk.await {
        Ok(Ok(text)) => Ok(text),
        _ => Err(refused(
            &ProviderError::new(
                "mainstay::process::start",
                Disposition::Retry,
                "cannot read the signature",
            ),
            key,
        )),
    }
}

fn refused(error: &ProviderError, key: &Path) -> Failure {
    Failure::from_error(
        "mainstay::approve::not-signed",
        Some(format!(
            "a key with a passphrase must be in the agent: `ssh-add {}`; or sign by hand and give the result as --signature",
            key.display()
        )),
        error,
    )
}
