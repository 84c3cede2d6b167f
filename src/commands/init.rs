//! `init`: a first policy, with comments, that validates.

use crate::{
    arguments::{Global, InitArguments},
    exit::Exit,
    failure::{Because, Failure, Result},
    render::out,
};
use std::{fs::OpenOptions, io::Write as _, path::Path};

pub(crate) fn run(arguments: &InitArguments, _global: &Global) -> Result<Exit> {
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
