//! Restores selected tables: into a new file, or in one transaction into an existing database.
//!
//! A table comes with its rows, indexes, triggers and AUTOINCREMENT counter. Views and other tables stay as they are.

use super::{
    Stop, checks, errors, open,
    open::quoted,
    restore::{Target, check_free, put_in_place},
    staging,
};
use crate::{
    api::{RestoreRequest, Restored, Result},
    engines::phases::Phases,
};
use model::Expectations;
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::BTreeSet, fs::File, path::Path, time::Duration};

const PATIENCE: Duration = Duration::from_secs(30);

/// Restores `request.selection.tables`.
pub(super) fn restore(
    mut request: RestoreRequest,
    target: &Target,
    mut phases: Phases,
    stop: &Stop,
) -> Result<Restored> {
    let full = request.scratch.join("selection.sqlite");
    let mut file = File::create_new(&full)
        .map_err(|error| errors::file("make a scratch copy of a database", error))?;
    let objects = std::mem::take(&mut request.objects);
    let written = staging::write(objects, &mut file, stop);
    drop(file);
    phases.end("load");
    let restored = written.and_then(|()| from_full(&request, &full, target, phases));
    let _ = std::fs::remove_file(&full);
    restored
}

fn from_full(
    request: &RestoreRequest,
    full: &Path,
    target: &Target,
    mut phases: Phases,
) -> Result<Restored> {
    let names = selected(full, &request.selection.tables)?;
    let expectations = Expectations {
        tables: request
            .manifest
            .expectations
            .tables
            .iter()
            .filter(|(name, _)| names.contains(*name))
            .map(|(name, rows)| (name.clone(), *rows))
            .collect(),
    };
    let checks = if target.exists() {
        into_existing(full, &names, target, request.replace)?;
        phases.end("tables");
        let connection = open::source(&target.path)?;
        let mut found = checks::expected(&connection, &expectations);
        found.extend(checks::assertions(
            &connection,
            &request.asserts,
            request.manifest.captured_at,
        ));
        phases.end("checks");
        found
    } else {
        check_free(target, false)?;
        let (mut temporary, path) = target.temporary()?;
        let fail = |error| {
            errors::sqlite(
                &format!("write the tables to `{}`", target.path.display()),
                error,
            )
        };
        into_new(full, &names, &path).map_err(fail)?;
        temporary
            .file
            .sync_all()
            .map_err(|error| errors::file("write the restored tables", error))?;
        phases.end("tables");
        let found = super::restore::all_checks(
            &path,
            &expectations,
            &request.asserts,
            request.manifest.captured_at,
        )?;
        phases.end("checks");
        put_in_place(&mut temporary, target, false, &found)?;
        phases.end("rename");
        found
    };
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(Restored {
        reached: model::recovery_record::Reached::default(),
        target: format!("{} in {}", list.join(", "), target.path.display()),
        phases: phases.done,
        checks,
        notes: Vec::new(),
    })
}

/// The tables meant, under the names they have; `main.` in front may be written.
fn selected(full: &Path, asked: &[String]) -> Result<BTreeSet<String>> {
    let fail = |error| errors::sqlite("read the tables of the recovery point", error);
    let there = open::finished(full)
        .and_then(|connection| checks::tables(&connection))
        .map_err(fail)?;
    asked
        .iter()
        .map(|name| {
            let bare = name.strip_prefix("main.").unwrap_or(name);
            // SQLite's names do not differ by case.
            there
                .iter()
                .find(|(there, kind)| {
                    **kind == checks::TableKind::Ordinary
                        && (there.eq_ignore_ascii_case(name) || there.eq_ignore_ascii_case(bare))
                })
                .map(|(there, _)| there.clone())
                .ok_or_else(|| errors::no_table(name))
        })
        .collect()
}

fn attach(connection: &Connection, full: &Path) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS point", params![full.to_string_lossy()])?;
    connection.execute_batch("PRAGMA foreign_keys = OFF;")
}

fn into_new(full: &Path, names: &BTreeSet<String>, path: &Path) -> rusqlite::Result<()> {
    let settings = open::finished(full)?;
    let connection = open::fresh(path)?;
    for pragma in ["page_size", "encoding", "application_id", "user_version"] {
        let value: rusqlite::types::Value =
            settings.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        let value = match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => format!("'{text}'"),
            _ => continue,
        };
        connection.execute_batch(&format!("PRAGMA {pragma} = {value};"))?;
    }
    drop(settings);
    attach(&connection, full)?;
    connection.execute_batch("BEGIN")?;
    for name in names {
        copy_table(&connection, name)?;
    }
    connection.execute_batch("COMMIT; DETACH point;")
}

fn into_existing(
    full: &Path,
    names: &BTreeSet<String>,
    target: &Target,
    replace: bool,
) -> Result<()> {
    let path = target.path.display();
    let fail = |error| errors::sqlite(&format!("write the tables to `{path}`"), error);
    let connection = open::writable(&target.path).map_err(fail)?;
    connection.busy_timeout(PATIENCE).map_err(fail)?;
    attach(&connection, full).map_err(fail)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
    for name in names {
        // Dropping the connection rolls everything back.
        let taken: Option<String> = connection
            .query_row(
                "SELECT type FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE",
                [name],
                |row| row.get(0),
            )
            .optional()
            .map_err(fail)?;
        match taken.as_deref() {
            None => {}
            Some("table") if replace => connection
                .execute_batch(&format!("DROP TABLE main.{}", quoted(name)))
                .map_err(fail)?,
            Some(kind) => {
                return Err(errors::target_exists(&format!(
                    "the {kind} `{name}` in `{path}`"
                )));
            }
        }
        copy_table(&connection, name).map_err(fail)?;
    }
    connection.execute_batch("COMMIT").map_err(fail)
}

/// Makes and fills one table of `main` from `point`; then what belongs to it, so that triggers do not fire while filling.
fn copy_table(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    let create: String = connection.query_row(
        "SELECT sql FROM point.sqlite_schema WHERE type = 'table' AND name = ?1",
        [name],
        |row| row.get(0),
    )?;
    connection.execute_batch(&create)?;
    let table = quoted(name);
    // Generated columns (hidden 2 and 3) are computed, not written.
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_xinfo(?1, 'point') WHERE hidden = 0")?
        .query_map([name], |row| {
            row.get::<_, String>(0).map(|name| quoted(&name))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let columns = columns.join(", ");
    connection.execute_batch(&format!(
        "INSERT INTO main.{table} ({columns}) SELECT {columns} FROM point.{table}"
    ))?;
    let belongings: Vec<String> = connection
        .prepare(
            "SELECT sql FROM point.sqlite_schema WHERE type IN ('index', 'trigger') AND tbl_name = ?1 \
             AND sql IS NOT NULL ORDER BY type, name",
        )?
        .query_map([name], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for sql in belongings {
        connection.execute_batch(&sql)?;
    }
    let counted: bool = connection.query_row(
        "SELECT count(*) > 0 FROM point.sqlite_schema WHERE name = 'sqlite_sequence'",
        [],
        |row| row.get(0),
    )?;
    if counted {
        let seq: Option<i64> = connection
            .query_row(
                "SELECT seq FROM point.sqlite_sequence WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(seq) = seq {
            connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [name])?;
            connection.execute(
                "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)",
                params![name, seq],
            )?;
        }
    }
    Ok(())
}
