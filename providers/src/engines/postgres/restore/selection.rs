//! Chooses the entries of an archive that make up selected tables or schemas: the tables with their rows, indexes,
//! constraints, defaults, triggers and own sequences.
//!
//! `pg_restore --table` alone would leave out indexes and primary keys. So the archive's entries and their dependencies are
//! read from `pg_restore`'s verbose SQL comments, and the choice is handed back with `--use-list`.

use super::load::Loader;
use crate::{
    api::{Check, ProviderError, Result, Selection},
    engines::postgres::{
        archive::{self, ArchiveKind, blocking, stage_file},
        checks,
        connection::{Address, text, texts},
        directory_tar::cannot_stage,
        names::{literal, qualified, quoted, read_table},
    },
};
use model::{Disposition, Expectations, manifest::TableExpectation};
use sqlx::PgConnection;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io::Read,
    path::{Path, PathBuf},
};

/// What people mean by a table when they name one.
const RELATIONS: [&str; 5] = [
    "TABLE",
    "FOREIGN TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
];
/// What goes with a table that it depends on.
const ATTACHED: [&str; 16] = [
    "ACL",
    "CHECK CONSTRAINT",
    "COMMENT",
    "CONSTRAINT",
    "DEFAULT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "POLICY",
    "ROW SECURITY",
    "RULE",
    "SECURITY LABEL",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "STATISTICS",
    "TRIGGER",
];

/// One entry of an archive's table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: u32,
    kind: String,
    schema: String,
    name: String,
    owner: String,
    needs: Vec<u32>,
}

/// The choice.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What is left out, in words.
    pub(super) notes: Vec<Check>,
    /// Ids in the archive's order.
    ids: Vec<u32>,
    relations: Vec<(String, String)>,
}

impl Chosen {
    /// The expectations of the chosen tables.
    pub(super) fn expected<'a>(
        &self,
        all: &'a Expectations,
    ) -> BTreeMap<&'a String, TableExpectation> {
        let names: BTreeSet<_> = self
            .relations
            .iter()
            .map(|(schema, name)| qualified(schema, name))
            .collect();
        let mut expected = checks::all(all);
        expected.retain(|name, _| names.contains(*name));
        expected
    }

    /// Writes the list for `pg_restore --use-list`.
    pub(super) fn write_list(&self, scratch: &Path) -> Result<PathBuf> {
        let path = scratch.join("chosen.list");
        let lines = self
            .ids
            .iter()
            .fold(String::new(), |lines, id| lines + &format!("{id};\n"));
        std::fs::write(&path, lines).map_err(|error| cannot_stage(&path, error))?;
        Ok(path)
    }
}

/// The plain format is one text that nothing can be picked from.
pub(super) fn impossible_in_plain() -> ProviderError {
    ProviderError::new(
        "mainstay::restore::selection-in-plain",
        Disposition::Permanent,
        "tables cannot be selected from a dump in the plain format",
    )
    .help("restore everything into a new database and copy the tables from there (pg_dump --table … | psql), and use format = \"custom\" from now on")
}

/// Puts the archive where `pg_restore` can look into it more than once.
pub(super) async fn stage(
    loader: &Loader,
    stream: Box<dyn Read + Send>,
    scratch: &Path,
) -> Result<PathBuf> {
    if loader.kind == ArchiveKind::DirectoryTar {
        return archive::stage_folder(stream, scratch).await;
    }
    let path = scratch.join("archive.dump");
    blocking(move || stage_file(stream, &path).map(|()| path)).await
}

/// Chooses. With a connection to an existing target only what belongs to the tables is taken; without (a new database)
/// whatever they need as well.
pub(super) async fn choose(
    loader: &Loader,
    staged: &Path,
    selection: &Selection,
    existing: Option<&mut PgConnection>,
) -> Result<Chosen> {
    let definitions = loader
        .reader()
        .args([
            "--verbose",
            "--file=-",
            "--section=pre-data",
            "--section=post-data",
        ])
        .arg(staged)
        .output()
        .await?;
    let list = loader.reader().arg("--list").arg(staged).output().await?;
    let entries = entries(&String::from_utf8_lossy(&definitions));
    let contents = String::from_utf8_lossy(&list).into_owned();
    let mut absent = BTreeSet::new();
    let is_new = existing.is_none();
    if let Some(connection) = existing {
        for entry in entries.iter().filter(|entry| entry.kind == "SCHEMA") {
            let sql = format!(
                "SELECT 1 FROM pg_namespace WHERE nspname = {}",
                literal(&entry.name)
            );
            let found = texts(connection, &sql).await.map_err(|error| {
                ProviderError::new(
                    "mainstay::postgres::interrupted",
                    Disposition::Retry,
                    "cannot list the schemas of the target",
                )
                .source(error)
            })?;
            if found.is_empty() {
                absent.insert(entry.id);
            }
        }
    }
    select(&entries, &contents, selection, is_new, &absent)
}

fn select(
    entries: &[Entry],
    contents: &str,
    selection: &Selection,
    is_new: bool,
    absent_schemas: &BTreeSet<u32>,
) -> Result<Chosen> {
    let by_id: BTreeMap<u32, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut chosen = BTreeSet::new();
    for text in &selection.tables {
        let wanted = read_table(text);
        let fits = |entry: &&Entry| {
            RELATIONS.contains(&entry.kind.as_str())
                && wanted.as_ref().is_some_and(|(schema, name)| {
                    &entry.name == name
                        && schema.as_ref().is_none_or(|schema| &entry.schema == schema)
                })
        };
        let found: Vec<u32> = entries.iter().filter(fits).map(|entry| entry.id).collect();
        if found.is_empty() {
            return Err(not_in_point("table", text));
        }
        chosen.extend(found);
    }
    for schema in &selection.schemas {
        let found: Vec<u32> = entries
            .iter()
            .filter(|entry| &entry.schema == schema)
            .map(|entry| entry.id)
            .collect();
        if found.is_empty() {
            return Err(not_in_point("schema", schema));
        }
        chosen.extend(found);
    }
    let mut skipped = BTreeSet::new();
    attach(entries, &by_id, &mut chosen, &mut skipped);
    if is_new {
        need(&by_id, &mut chosen);
    }
    let schemas: BTreeSet<&str> = chosen
        .iter()
        .filter_map(|id| by_id.get(id))
        .map(|entry| entry.schema.as_str())
        .collect();
    let of_schema = |entry: &&Entry| {
        entry.kind == "SCHEMA"
            && schemas.contains(entry.name.as_str())
            && (is_new || absent_schemas.contains(&entry.id))
    };
    let containers: Vec<u32> = entries
        .iter()
        .filter(of_schema)
        .map(|entry| entry.id)
        .collect();
    if !is_new {
        // A schema that is there must not be made, or dropped, again.
        chosen.retain(|id| by_id.get(id).is_some_and(|entry| entry.kind != "SCHEMA"));
    }
    chosen.extend(containers);
    let relations = chosen
        .iter()
        .filter_map(|id| by_id.get(id))
        .filter(|entry| RELATIONS.contains(&entry.kind.as_str()))
        .map(|entry| (entry.schema.clone(), entry.name.clone()))
        .collect();
    let data: BTreeSet<String> = chosen
        .iter()
        .filter_map(|id| by_id.get(id))
        .filter_map(|entry| {
            let kind = match entry.kind.as_str() {
                "TABLE" => "TABLE DATA",
                "SEQUENCE" => "SEQUENCE SET",
                "MATERIALIZED VIEW" => "MATERIALIZED VIEW DATA",
                _ => return None,
            };
            Some(format!(
                "{kind} {} {} {}",
                entry.schema, entry.name, entry.owner
            ))
        })
        .collect();
    // The archive's own order: `id; catalog oid KIND schema name owner`.
    let ids = contents.lines().filter_map(|line| {
        let (id, rest) = line.split_once("; ")?;
        let id: u32 = id.parse().ok()?;
        let words = rest.splitn(3, ' ').nth(2)?;
        (chosen.contains(&id) || data.contains(words)).then_some(id)
    });
    let notes = skipped.into_iter().map(|what| Check {
        what,
        passed: true,
        detail: "left out: it refers to a table that is not selected".to_owned(),
    });
    Ok(Chosen {
        ids: ids.collect(),
        notes: notes.collect(),
        relations,
    })
}

/// Adds what belongs to chosen tables, until nothing more does.
fn attach(
    entries: &[Entry],
    by_id: &BTreeMap<u32, &Entry>,
    chosen: &mut BTreeSet<u32>,
    skipped: &mut BTreeSet<String>,
) {
    loop {
        let before = chosen.len();
        for entry in entries {
            let belongs = ATTACHED.contains(&entry.kind.as_str())
                && entry.needs.iter().any(|id| chosen.contains(id));
            if chosen.contains(&entry.id) || !belongs {
                continue;
            }
            let tables = entry.needs.iter().filter_map(|id| by_id.get(id));
            let all_chosen = tables
                .filter(|needed| needed.kind == "TABLE")
                .all(|needed| chosen.contains(&needed.id));
            if entry.kind == "FK CONSTRAINT" && !all_chosen {
                skipped.insert(format!("foreign key {}.{}", entry.schema, entry.name));
                continue;
            }
            chosen.insert(entry.id);
            if entry.kind == "SEQUENCE OWNED BY" {
                let sequences = entry.needs.iter().filter(|id| {
                    by_id
                        .get(id)
                        .is_some_and(|needed| needed.kind == "SEQUENCE")
                });
                chosen.extend(sequences);
            }
        }
        if chosen.len() == before {
            return;
        }
    }
}

/// Adds what the chosen entries need, until nothing is missing.
fn need(by_id: &BTreeMap<u32, &Entry>, chosen: &mut BTreeSet<u32>) {
    let mut open: Vec<u32> = chosen.iter().copied().collect();
    while let Some(id) = open.pop() {
        let needs = by_id.get(&id).map(|entry| entry.needs.as_slice());
        for needed in needs.unwrap_or_default() {
            if by_id.contains_key(needed) && chosen.insert(*needed) {
                open.push(*needed);
            }
        }
    }
}

fn not_in_point(what: &str, name: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::not-in-point",
        Disposition::NeedsOperator,
        format!("the recovery point holds no {what} `{name}`"),
    )
    .help("write it as in SQL (`schema.table`, quoted if it needs quotes); mainstay info shows the tables of a point")
}

/// Statements that drop what is there already of the chosen relations; `None`, or an error if there is something, when
/// nothing may be replaced.
pub(super) async fn drops(
    connection: &mut PgConnection,
    target: &Address,
    chosen: &Chosen,
    replace: bool,
) -> Result<Option<String>> {
    let (mut relations, mut sequences) = (String::new(), String::new());
    for (schema, name) in &chosen.relations {
        let sql = format!(
            "SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {} AND c.relname = {}",
            literal(schema),
            literal(name)
        );
        let found = text(connection, &sql)
            .await
            .map_err(|error| target.failed("look for tables in", error))?;
        let word = match found.as_deref() {
            None => continue,
            Some("v") => "VIEW",
            Some("m") => "MATERIALIZED VIEW",
            Some("f") => "FOREIGN TABLE",
            Some("S") => "SEQUENCE",
            Some(_) => "TABLE",
        };
        if !replace {
            return Err(ProviderError::new(
                "mainstay::restore::target-exists",
                Disposition::NeedsOperator,
                format!("`{}` exists in {target}", qualified(schema, name)),
            )
            .help("add --replace to drop it in favour of the restored one, or restore into a new database and copy rows from there"));
        }
        // Never CASCADE: what else depends on it is not ours to drop. A table takes its own sequences with it.
        let place = if word == "SEQUENCE" {
            &mut sequences
        } else {
            &mut relations
        };
        let _ = writeln!(
            place,
            "DROP {word} IF EXISTS {}.{};",
            quoted(schema),
            quoted(name)
        );
    }
    Ok(replace.then(|| relations + &sequences))
}

/// Reads the comments that `pg_restore --verbose` puts before each entry.
fn entries(sql: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut id: Option<u32> = None;
    let mut needs = Vec::new();
    for line in sql.lines() {
        let Some(comment) = line.strip_prefix("-- ") else {
            continue;
        };
        if let Some(rest) = comment.strip_prefix("TOC entry ") {
            id = rest.split(' ').next().and_then(|word| word.parse().ok());
            needs.clear();
        } else if let Some(rest) = comment.strip_prefix("Dependencies: ") {
            needs = rest
                .split(' ')
                .filter_map(|word| word.parse().ok())
                .collect();
        } else if let (Some(found), Some(rest)) = (id, comment.strip_prefix("Name: "))
            && let Some((name, rest)) = rest.split_once("; Type: ")
            && let Some((kind, rest)) = rest.split_once("; Schema: ")
            && let Some((schema, owner)) = rest.split_once("; Owner: ")
        {
            entries.push(Entry {
                id: found,
                kind: kind.to_owned(),
                schema: schema.to_owned(),
                name: name.to_owned(),
                owner: owner
                    .split("; Tablespace: ")
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                needs: std::mem::take(&mut needs),
            });
            id = None;
        }
    }
    entries
}
