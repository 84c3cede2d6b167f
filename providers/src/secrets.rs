//! Resolves references to secrets at the moment of use. With `src/`, the only reader of the environment.
//!
//! Errors name the reference, never the value. Not here: where a secret may stand in a policy (`policy-schema`).

use crate::api::{ProviderError, Result};
use model::{Disposition, Secret, SecretRef};
use std::{path::Path, time::Duration};

/// A secret file may lie on a network mount that hangs.
const FILE_PATIENCE: Duration = Duration::from_secs(30);

/// Reads one variable of the environment, as the programs that are started will see it. Empty counts as unset, as in libpq.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is the one place in this crate that reads the environment"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Finds a secret; relative files and commands start at `base`. Errors name the reference, never the value.
pub async fn resolve(reference: &SecretRef, base: &Path) -> Result<Secret> {
    let text = match reference {
        SecretRef {
            env: Some(name),
            file: None,
            command: None,
        } => environment(name).ok_or_else(|| {
            unavailable(format!("the environment variable `{name}` is not set"))
                .help(format!("set `{name}` for the process that runs mainstay"))
        })?,
        SecretRef {
            env: None,
            file: Some(file),
            command: None,
        } => read(file, base).await?,
        SecretRef {
            env: None,
            file: None,
            command: Some(command),
        } => crate::process::output_of(command, base).await?,
        _ => {
            return Err(unavailable(
                "a secret needs exactly one of `env`, `file` or `command`".to_owned(),
            )
            .help("leave one of the three keys in the policy"));
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(unavailable(format!("{} is empty", place(reference)))
            .help("put the secret there, or correct the reference in the policy"));
    }
    Ok(Secret::new(text.to_owned()))
}

async fn read(file: &str, base: &Path) -> Result<String> {
    let path = base.join(file);
    let fail = || unavailable(format!("cannot read the secret file `{}`", path.display()));
    match tokio::time::timeout(FILE_PATIENCE, tokio::fs::read_to_string(&path)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(fail()
            .help(format!(
                "check that `{}` exists, is text, and may be read by the user that runs mainstay",
                path.display()
            ))
            .source(error)),
        Err(_) => Err(fail().help("check that the disk or mount it lies on answers")),
    }
}

fn place(reference: &SecretRef) -> String {
    match (&reference.env, &reference.file, &reference.command) {
        (Some(name), ..) => format!("the environment variable `{name}`"),
        (_, Some(file), _) => format!("the secret file `{file}`"),
        (.., Some(command)) => format!(
            "the output of the secret's command `{}`",
            command.first().map_or("", String::as_str)
        ),
        _ => "the secret".to_owned(),
    }
}

fn unavailable(message: String) -> ProviderError {
    ProviderError::new(
        "mainstay::secret::unavailable",
        Disposition::NeedsOperator,
        message,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> SecretRef {
        SecretRef {
            env: None,
            file: Some(name.to_owned()),
            command: None,
        }
    }

    #[tokio::test]
    async fn a_secret_file_lies_beside_the_policy_and_loses_its_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), "pa ss\r\n").unwrap();
        let secret = resolve(&file("pw"), folder.path()).await.unwrap();
        assert_eq!(secret.expose(), "pa ss");
    }

    #[tokio::test]
    async fn a_missing_or_empty_secret_names_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let empty = resolve(&file("empty"), folder.path()).await.unwrap_err();
        insta::assert_snapshot!(empty, @"the secret file `empty` is empty");
        let missing = SecretRef {
            env: Some("MAINSTAY_TEST_NOT_SET".to_owned()),
            file: None,
            command: None,
        };
        let missing = resolve(&missing, folder.path()).await.unwrap_err();
        insta::assert_snapshot!(missing, @"the environment variable `MAINSTAY_TEST_NOT_SET` is not set");
        assert!(resolve(&file("nowhere"), folder.path()).await.is_err());
    }
}
