//! Whether what was asked fits what was chosen: an option that would mean nothing is refused before anything is done, and so is a
//! target that would not be what a person means by it.
//!
//! Not here: which options exclude each other whatever the database is (`arguments/restore.rs`); choosing (`choice.rs`).

use super::choice::Choice;
use crate::{
    arguments::RestoreArguments,
    failure::{Failure, Result},
};
use model::{PointState, RecoveryPoint};
use providers::api::RestoreTarget;
use std::path::Path;

/// Refuses options that would be ignored. `points`: all that are known.
pub(super) fn check(
    arguments: &RestoreArguments,
    choice: &Choice,
    points: &[RecoveryPoint],
) -> Result<()> {
    let starts = [
        ("--promote", arguments.promote),
        ("--start", arguments.start),
    ];
    let amcheck = ("--amcheck", arguments.amcheck);
    let moves = ("--tablespace-map", !arguments.tablespace_map.is_empty());
    let all = [starts[0], starts[1], amcheck, moves];
    let looks = ("--scratch", arguments.scratch && !arguments.check);
    match choice {
        Choice::Point(id) if looks.1 => refuse(
            &[looks],
            &format!("`{id}` is no physical point, and no server is started on it to look into"),
            || {
                format!(
                    "add `--check` to restore it for a check and end, or restore it beside the others: `mainstay restore {} --to NAME`",
                    arguments.database
                )
            },
        ),
        Choice::Point(id) => refuse(
            &all,
            &format!(
                "`{id}` is no physical point: it goes as it is into a database or file, and no server is started on it"
            ),
            || physical_instead(arguments, points),
        ),
        Choice::OwnLog(..) => refuse(
            &[amcheck],
            "the software that keeps these backups checks them its own way",
            || "leave it out; `assert` in the database's table checks what was restored".to_owned(),
        ),
        Choice::Recover(..) if copies_tables(arguments) => refuse(
            &all,
            "tables are copied out of a temporary server into a database that runs already",
            || {
                "leave it out, or leave out `--table` and `--schema` to restore the whole server into a folder".to_owned()
            },
        ),
        Choice::Recover(..) if arguments.scratch => refuse(
            &[moves],
            "a temporary server keeps its tablespaces in its own folder",
            || "leave it out, or restore into a folder with `--to /FOLDER`".to_owned(),
        ),
        Choice::Recover(..) if !arguments.start && !arguments.promote => refuse(
            &[amcheck],
            "only a server that is started can be checked",
            || {
                "add `--start` or `--promote`, or check without keeping it: `--scratch --check` in place of `--to`".to_owned()
            },
        ),
        Choice::Recover(..) => Ok(()),
    }
}

fn refuse(options: &[(&str, bool)], why: &str, way_out: impl FnOnce() -> String) -> Result<()> {
    let given: Vec<String> = options
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let fits = match given.len() {
        0 => return Ok(()),
        1 => "does not fit",
        _ => "do not fit",
    };
    Err(Failure::new(
        "mainstay::restore::unfit-option",
        format!("{} {fits}: {why}", given.join(" and ")),
    )
    .help(way_out()))
}

/// What these options would fit.
fn physical_instead(arguments: &RestoreArguments, points: &[RecoveryPoint]) -> String {
    let database = &arguments.database;
    let newest = points
        .iter()
        .filter(|point| {
            point.database.as_str() == database
                && point.wal.is_some()
                && point.state == PointState::Complete
        })
        .max_by_key(|point| point.captured_at);
    match newest {
        Some(point) => format!(
            "leave it out, or take a physical point: `mainstay restore {database} --series {} --to /FOLDER`",
            point.series
        ),
        None => format!(
            "leave it out; `{database}` has no physical point, and gets them from a series with `method = \"physical\"`, if its engine has that method"
        ),
    }
}

/// Where to. A folder for a server is absolute, because servers run in folders of their own, and looks like one: a bare word is
/// more likely to be meant as the name of a database.
pub(super) fn target(arguments: &RestoreArguments, choice: &Choice) -> Result<RestoreTarget> {
    let Some(to) = &arguments.to else {
        return Ok(RestoreTarget::Scratch);
    };
    let is_whole = matches!(choice, Choice::Recover(..)) && !copies_tables(arguments);
    if !is_whole {
        return Ok(RestoreTarget::Named(to.clone()));
    }
    let is_url = to.contains("://");
    if is_url || (!to.contains('/') && !Path::new(to).is_dir()) {
        return Err(not_a_folder(arguments, to, is_url));
    }
    let whole = std::path::absolute(to);
    Ok(RestoreTarget::Named(whole.map_or_else(
        |_| to.clone(),
        |path| path.display().to_string(),
    )))
}

fn not_a_folder(arguments: &RestoreArguments, to: &str, is_url: bool) -> Failure {
    // An address may hold a password.
    let what = if is_url {
        "the address of a database is none".to_owned()
    } else {
        format!("`{to}` is no path and no folder that exists")
    };
    let folder = if is_url {
        "give a folder with `--to /FOLDER`".to_owned()
    } else {
        format!("`--to ./{to}` makes a folder of that name here")
    };
    Failure::new(
        "mainstay::restore::not-a-folder",
        format!("a physical point is a whole server and goes into a folder; {what}"),
    )
    .help(format!(
        "{folder}; `mainstay restore {} --table TABLE --to …` copies tables of it into a database",
        arguments.database
    ))
}

/// Whether only a part is wanted.
fn copies_tables(arguments: &RestoreArguments) -> bool {
    arguments.to.is_some()
        && !(arguments.table.is_empty() && arguments.schema.is_empty() && arguments.path.is_empty())
}
