//! `init`: a first policy, with comments, that validates.

use crate::{
    arguments::InitArguments,
    exit::Exit,
    failure::{Because, Failure, Result},
    render::out,
};
use std::{fs::OpenOptions, io::Write as _, path::Path};

pub(crate) fn run(arguments: &InitArguments) -> Result<Exit> {
    check(&arguments.database)?;
    let template = policy_schema::init_template(&arguments.database);
    if arguments.out == Path::new("-") {
        out::data(&template.text)?;
        return Ok(Exit::Done);
    }
    let failed = |error: std::io::Error| {
        let help = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "name another file with `--out`; nothing is overwritten"
        } else {
            "check the folder"
        };
        Failure::from_error(
            "mainstay::init::write",
            Some(help.to_owned()),
            &Because(
                format!("cannot write `{}`", arguments.out.display()),
                Box::new(error),
            ),
        )
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&arguments.out)
        .map_err(failed)?;
    file.write_all(template.text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    out::data(&format!(
        "Wrote {}. Read it, then:\n",
        arguments.out.display()
    ))?;
    let policy = if arguments.out == Path::new("mainstay.toml") {
        String::new()
    } else {
        format!(" -p {}", arguments.out.display())
    };
    if let Some(variable) = &template.url_variable {
        out::data(&format!(
            "  export {variable}='postgres://…'      # the connection URL; it is never written into the policy\n"
        ))?;
    }
    out::data(&format!(
        "  mainstay plan{policy}\n  mainstay apply{policy}\n"
    ))?;
    Ok(Exit::Done)
}

/// Anything that is no PostgreSQL URL would be taken for a file's path and written into the policy, with what is secret in it.
fn check(database: &str) -> Result<()> {
    let refused = |message: String, help: &str| {
        Err(Failure::new("mainstay::init::database", message).help(help))
    };
    let example = "give a PostgreSQL URL such as `postgres://db.example.com/orders`, or the path of an SQLite file";
    if database.trim().is_empty() {
        return refused("no database is named".to_owned(), example);
    }
    match database.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(()),
        Some((scheme, _)) => {
            let scheme: String = scheme.chars().take(20).collect();
            refused(format!("there is no engine for `{scheme}://`"), example)
        }
        None if database.contains("password=") => refused(
            "this looks like a connection string of `key=value` pairs, not like a path".to_owned(),
            example,
        ),
        None => Ok(()),
    }
}
