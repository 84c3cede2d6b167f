//! Resolves references to secrets at the moment of use. With `src/`, the only reader of the environment.

use crate::api::{ProviderError, Result};
use model::{Disposition, Secret, SecretRef};
use std::path::Path;

/// Finds a secret; relative files start at `base`. Errors name the reference, never the value.
pub async fn resolve(reference: &SecretRef, base: &Path) -> Result<Secret> {
    let fail = |message: String| {
        ProviderError::new(
            "mainstay::secret::unavailable",
            Disposition::NeedsOperator,
            message,
        )
    };
    let text = match reference {
        SecretRef {
            env: Some(name),
            file: None,
            command: None,
        } =>
        {
            #[expect(
                clippy::disallowed_methods,
                reason = "this file is the one place that reads secrets"
            )]
            std::env::var(name).map_err(|_| {
                fail(format!("the environment variable `{name}` is not set"))
                    .help(format!("set `{name}` for the process that runs mainstay"))
            })?
        }
        SecretRef {
            env: None,
            file: Some(file),
            command: None,
        } => {
            let path = base.join(file);
            std::fs::read_to_string(&path).map_err(|error| {
                fail(format!("cannot read the secret file `{}`", path.display())).source(error)
            })?
        }
        SecretRef {
            env: None,
            file: None,
            command: Some(command),
        } => crate::process::output_of(command, base).await?,
        _ => {
            return Err(fail(
                "a secret needs exactly one of `env`, `file` or `command`".to_owned(),
            ));
        }
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
