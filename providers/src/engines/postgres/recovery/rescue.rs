//! Row rescue: tables as they were at a moment, copied out of a scratch server into a database that lives.
//!
//! The scratch server is dumped (`pg_dump`, custom format) and the dump is restored like a logical point with a selection: existing tables are refused
//! without `replace`, everything goes in as one transaction, and rows are compared with what was counted in the scratch server.

use super::{
    Setting, Work, check_version, files, known_major,
    run::{self, Up, until_archive_fails},
    scratch_session, span,
};
use crate::{
    api::{PlainObject, ProviderError, Recovery, RestoreRequest, Restored, Result},
    engines::{
        phases::Phases,
        postgres::{
            binaries,
            connection::{Address, texts},
            names::{literal, qualified, read_table},
            restore,
        },
    },
};
use model::{Disposition, Expectations, Manifest, MethodName, manifest::TableExpectation};
use std::{fs::File, path::Path, pin::pin};

/// Copies the selected tables of a moment into the target database.
pub(super) async fn rescue(
    setting: Setting,
    request: RestoreRequest,
    recovery: Recovery,
    mut phases: Phases,
) -> Result<Restored> {
    let wal = span(&request.manifest)?;
    let work = Work {
        starts: true,
        recovery: &recovery,
        wal,
        manifest: &request.manifest,
    };
    work.check_log()?;
    let source = match &setting.source {
        Ok(source) => source.clone(),
        Err(error) => {
            return Err(ProviderError::new(
                "mainstay::postgres::url",
                Disposition::NeedsOperator,
                format!("tables can only be copied when the database's URL is known: {error}"),
            ));
        }
    };
    if let Some(major) = known_major(&request.manifest) {
        check_version(major)?;
    }
    let (session, parent) = scratch_session(&request.scratch).await?;
    phases.end("prepare");
    let streams = files::Streams {
        chain: request.chain,
        objects: request.objects,
    };
    let built = files::build(
        &session,
        &setting,
        None,
        &parent,
        streams,
        &work,
        &mut phases,
    )
    .await?;
    let feed = run::feed(&built, &work)?;
    let mut feeding = pin!(feed.run());
    let wanted = run::Wanted {
        asserts: &[],
        source: Some(&source),
    };
    let up = Up::start(
        &session,
        &built,
        &work,
        &wanted,
        &feed,
        feeding.as_mut(),
        &mut phases,
    )
    .await?;
    let mut checks = vec![super::checks::of_target(
        &recovery.target,
        &up.reached,
        &up.log.said,
    )];
    let from = up.server.address(&up.superuser, &up.database);
    let file = request.scratch.join("rescue.dump");
    let dumped = async {
        let tables = tables(&from, &request.selection).await?;
        dump(&from, &setting, &tables, &file).await?;
        Ok(tables)
    };
    let tables = until_archive_fails(feeding.as_mut(), dumped).await?;
    phases.end("dump");
    up.server.stop().await?;
    let mut notes = built.notes.clone();
    notes.extend(up.notes);
    drop(built);
    phases.end("stop");
    let manifest = as_logical(&request.manifest, &setting, &up.database, &tables).await?;
    let inner = RestoreRequest {
        objects: vec![PlainObject {
            role: "data".to_owned(),
            content: "pg-custom".to_owned(),
            stream: Box::new(File::open(&file).map_err(|error| {
                crate::engines::postgres::directory_tar::cannot_stage(&file, error)
            })?),
        }],
        manifest,
        target: request.target,
        replace: request.replace,
        selection: request.selection,
        asserts: request.asserts,
        chain: Vec::new(),
        recovery: None,
        scratch: request.scratch,
    };
    let inner_setting = restore::Setting {
        source,
        bin_dir: setting.bin_dir,
        maintenance: setting.maintenance,
    };
    let copied = restore::restore(inner_setting, inner).await?;
    checks.extend(copied.checks);
    notes.extend(copied.notes);
    let mut all = phases.done;
    all.extend(copied.phases.into_iter().map(|(name, milliseconds)| {
        let name = if name == "prepare" {
            "connect".to_owned()
        } else {
            format!("copy-{name}")
        };
        (name, milliseconds)
    }));
    Ok(Restored {
        target: copied.target,
        phases: all,
        reached: up.reached,
        checks,
        notes,
    })
}

/// One table of the moment.
#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    rows: Option<u64>,
}

/// The tables that are meant, with their rows. Replay is paused, so nothing changes between counting and dumping.
async fn tables(from: &Address, selection: &crate::api::Selection) -> Result<Vec<Table>> {
    let mut connection = from.connect().await?;
    let failed = |error| from.failed("look for the tables in", error);
    let mut conditions: Vec<_> = selection
        .schemas
        .iter()
        .map(|schema| format!("n.nspname = {}", literal(schema)))
        .collect();
    for table in &selection.tables {
        let Some((schema, name)) = read_table(table) else {
            return Err(missing(table, from));
        };
        let schema = schema.map_or("pg_table_is_visible(c.oid)".to_owned(), |schema| {
            format!("n.nspname = {}", literal(&schema))
        });
        let condition = format!("({schema} AND c.relname = {})", literal(&name));
        let sql = format!("{RELATIONS} AND {condition}");
        if texts(&mut connection, &sql)
            .await
            .map_err(failed)?
            .is_empty()
        {
            return Err(missing(table, from));
        }
        conditions.push(condition);
    }
    let sql = format!("{RELATIONS} AND ({})", conditions.join(" OR "));
    let mut found = Vec::new();
    for row in texts(&mut connection, &sql).await.map_err(failed)? {
        let mut values = row.into_iter().flatten();
        let (Some(schema), Some(name), Some(kind)) = (values.next(), values.next(), values.next())
        else {
            continue;
        };
        let rows = if kind == "r" {
            let counted =
                crate::engines::postgres::expectations::rows_of(&mut connection, &schema, &name);
            Some(counted.await.map_err(failed)?)
        } else {
            None
        };
        found.push(Table { schema, name, rows });
    }
    Ok(found)
}

const RELATIONS: &str = "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')";

fn missing(table: &str, from: &Address) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::not-in-point",
        Disposition::Permanent,
        format!(
            "there was no table `{table}` in database `{}` at that moment",
            from.database
        ),
    )
    .help("choose another moment, or look what there was: mainstay restore … --scratch")
}

/// Dumps the schemas' and tables' definitions and rows.
async fn dump(from: &Address, setting: &Setting, tables: &[Table], file: &Path) -> Result<()> {
    let installed = binaries::installed(setting.bin_dir.as_deref(), "pg_dump").await;
    let mut connection = from.connect().await?;
    let facts = crate::engines::postgres::facts::of_server(&mut connection, from).await?;
    let set = binaries::for_dump(&installed, facts.major, setting.bin_dir.as_deref())?;
    drop(connection);
    let mut program = from
        .program(set.program("pg_dump"))
        .args([
            "--format=custom",
            "--compress=0",
            "--no-password",
            "--no-unlogged-table-data",
        ])
        .arg(format!("--file={}", file.display()));
    for table in tables {
        let quoted = |name: &str| crate::engines::postgres::names::quoted(name);
        program = program.arg(format!(
            "--table={}.{}",
            quoted(&table.schema),
            quoted(&table.name)
        ));
    }
    program.start()?.wait().await
}

/// The manifest of the dump, for the restore of logical points.
async fn as_logical(
    physical: &Manifest,
    setting: &Setting,
    database: &str,
    tables: &[Table],
) -> Result<Manifest> {
    let installed = binaries::installed(setting.bin_dir.as_deref(), "pg_dump").await;
    let major = known_major(physical).unwrap_or(0);
    let tool = binaries::for_dump(&installed, major, setting.bin_dir.as_deref())?;
    let mut manifest = physical.clone();
    if let Ok(logical) = MethodName::new("logical") {
        manifest.method = logical;
    }
    manifest.source.remove("content");
    manifest
        .source
        .insert("tool_version".to_owned(), tool.version);
    manifest
        .source
        .insert("database".to_owned(), database.to_owned());
    manifest.expectations = Expectations {
        tables: tables
            .iter()
            .filter_map(|table| {
                let expected = TableExpectation {
                    rows: Some(table.rows?),
                    exact: true,
                };
                Some((qualified(&table.schema, &table.name), expected))
            })
            .collect(),
    };
    Ok(manifest)
}
