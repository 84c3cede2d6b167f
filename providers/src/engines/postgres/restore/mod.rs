//! Restores a dump: into a new database that is renamed when it is whole, in place of an existing one, as selected tables
//! beside existing data, or into a scratch database that is always dropped.
//!
//! Invariants: an existing database is never changed before its successor is loaded and checked; both renames of a
//! replacement are one transaction; what goes into an existing database goes in as one transaction.
//! Failed checks are reported; but data that does not meet its expectations never replaces an existing database
//! (`mainstay::restore::checks-failed`). Under a new name it is put in place all the same: a doubtful copy may be the last.
//! Not here: roles and tablespaces (`globals.sql` beside the data is for `psql`, by hand, because it changes the server).

mod database;
mod load;
mod selection;

use super::{
    archive::{self, ArchiveKind},
    binaries, checks,
    config::{Content, text_url},
    connection::{Address, texts},
    facts, leftovers,
};
use crate::{
    api::{Check, ProviderError, RestoreRequest, RestoreTarget, Restored, Result},
    engines::phases::Phases,
};
use database::Temporary;
use load::{Loader, Owners};
use model::{Assertion, Disposition, Manifest};
use sqlx::{Connection, PgConnection};
use std::{fmt::Write, path::PathBuf};

/// Where the engine's own database is, and how to work on servers.
#[derive(Debug)]
pub(super) struct Setting {
    /// The declared database.
    pub(super) source: Address,
    /// Folder of the programs, if given.
    pub(super) bin_dir: Option<PathBuf>,
    /// Maintenance database, if given.
    pub(super) maintenance: Option<String>,
}

/// See [`crate::api::Engine::restore`].
pub(super) async fn restore(setting: Setting, request: RestoreRequest) -> Result<Restored> {
    let mut phases = Phases::start();
    let RestoreRequest {
        manifest,
        objects,
        target,
        replace,
        selection,
        asserts,
        scratch,
        chain: _,
        recovery: _,
    } = request;
    let (data, _globals) = archive::take_data(objects)?;
    let kind = ArchiveKind::of(&data.content)?;
    let content = Content::of_word(manifest.source.get("content").map(String::as_str));
    if kind == ArchiveKind::Plain && !selection.is_all() {
        return Err(selection::impossible_in_plain());
    }
    let goal = match &target {
        RestoreTarget::Scratch => setting.source.clone(),
        RestoreTarget::Named(text) if text.contains("://") => Address::of_url(&text_url(text))?,
        RestoreTarget::Named(text) if may_hold_a_password(text) => return Err(no_name()),
        RestoreTarget::Named(name) => setting.source.with_database(name),
    };
    let place = Place::find(&setting, &goal, target == RestoreTarget::Scratch).await?;
    if content == Content::Data && !place.exists {
        return Err(data_only(&goal));
    }
    let mut connection = place.any_connection(&goal).await?;
    let server = facts::of_server(&mut connection, &goal).await?;
    let owners = load::owners(&mut connection, &goal, &manifest, server.superuser).await?;
    if kind == ArchiveKind::Plain
        && let Owners::Without(missing) = &owners
    {
        return Err(load::roles_missing(&goal, missing));
    }
    drop(connection);
    let program = if kind == ArchiveKind::Plain {
        "psql"
    } else {
        "pg_restore"
    };
    let installed = binaries::installed(setting.bin_dir.as_deref(), program).await;
    // psql of any version speaks to any server; pg_restore must not be older than the archive.
    let archive_major = if kind == ArchiveKind::Plain {
        0
    } else {
        archive::tool_major(&manifest)
    };
    let set = binaries::for_restore(
        &installed,
        archive_major,
        server.major,
        setting.bin_dir.as_deref(),
    )?;
    let mut notes = Vec::new();
    if let Owners::Without(missing) = &owners {
        notes.push(Check {
            what: "owners and privileges".to_owned(),
            passed: true,
            detail: format!(
                "not restored: the server has not, or this user may not use, the roles {missing}"
            ),
        });
    }
    let mut loader = Loader {
        kind,
        content,
        set,
        owners,
        superuser: server.superuser,
        single_transaction: false,
        selected: None,
        drops: None,
    };
    let work = Work {
        manifest: &manifest,
        asserts: &asserts,
    };
    phases.end("prepare");
    if place.exists && !selection.is_all() {
        let staged = selection::stage(&loader, data.stream, &scratch).await?;
        phases.end("stage");
        let mut into = goal.connect().await?;
        let chosen = selection::choose(&loader, &staged, &selection, Some(&mut into)).await?;
        loader.drops = selection::drops(&mut into, &goal, &chosen, replace).await?;
        loader.single_transaction = true;
        notes.extend(chosen.notes.clone());
        let tables = chosen.expected(&manifest.expectations);
        loader.selected = Some(chosen.write_list(&scratch)?);
        loader.load_staged(&goal, &staged).await?;
        phases.end("load");
        let mut found = checks::expectations(&mut into, &goal, &tables).await?;
        found.extend(checks::assertions(&mut into, &goal, &asserts, manifest.captured_at).await?);
        phases.end("checks");
        notes.extend(found);
        return Ok(restored(
            format!("selected tables in {goal}"),
            phases,
            notes,
        ));
    }
    if place.exists && (content == Content::Data || place.empty) {
        let mut into = goal.connect().await?;
        if content == Content::Data {
            load::check_empty(&mut into, &goal, &manifest).await?;
        }
        loader.single_transaction = true;
        loader.load(&goal, data.stream, &scratch).await?;
        phases.end("load");
        notes.extend(work.check(&mut into, &goal).await?);
        phases.end("checks");
        return Ok(restored(format!("existing database {goal}"), phases, notes));
    }
    if place.exists && !replace {
        return Err(target_exists(&goal));
    }
    let temporary =
        Temporary::create(&place, &goal, &manifest, target == RestoreTarget::Scratch).await?;
    notes.extend(temporary.notes.clone());
    phases.end("create");
    let build = async {
        let mut tables = checks::all(&manifest.expectations);
        if selection.is_all() {
            loader
                .load(&temporary.address, data.stream, &scratch)
                .await?;
        } else {
            let staged = selection::stage(&loader, data.stream, &scratch).await?;
            phases.end("stage");
            let chosen = selection::choose(&loader, &staged, &selection, None).await?;
            tables = chosen.expected(&manifest.expectations);
            notes.extend(chosen.notes.clone());
            loader.selected = Some(chosen.write_list(&scratch)?);
            loader.load_staged(&temporary.address, &staged).await?;
        }
        phases.end("load");
        let mut into = temporary.address.connect().await?;
        let mut found = checks::expectations(&mut into, &temporary.address, &tables).await?;
        found.extend(
            checks::assertions(
                &mut into,
                &temporary.address,
                &asserts,
                manifest.captured_at,
            )
            .await?,
        );
        // A rename needs a database that nobody is connected to.
        let _ = into.close().await;
        phases.end("checks");
        Ok::<_, ProviderError>(found)
    };
    let found = match build.await {
        Ok(found) => found,
        Err(error) => {
            temporary.discard().await;
            return Err(error);
        }
    };
    let failed = found
        .iter()
        .any(|check| !check.passed && !check.what.starts_with(checks::ASSERT));
    notes.extend(found);
    if target == RestoreTarget::Scratch {
        let name = temporary.address.to_string();
        temporary.discard_surely().await?;
        phases.end("drop");
        return Ok(restored(format!("scratch database {name}"), phases, notes));
    }
    if failed && place.exists {
        temporary.discard().await;
        return Err(checks_failed(&goal, &notes));
    }
    if place.exists {
        let replaced = temporary.swap(&goal).await?;
        phases.end("swap");
        notes.extend(replaced.drop_old().await);
        phases.end("drop-replaced");
        return Ok(restored(format!("{goal}, replaced"), phases, notes));
    }
    temporary.rename(&goal).await?;
    phases.end("rename");
    Ok(restored(format!("new database {goal}"), phases, notes))
}

/// What every way of restoring needs for its checks.
struct Work<'a> {
    manifest: &'a Manifest,
    asserts: &'a [Assertion],
}

impl Work<'_> {
    async fn check(&self, into: &mut PgConnection, goal: &Address) -> Result<Vec<Check>> {
        let tables = checks::all(&self.manifest.expectations);
        let mut found = checks::expectations(into, goal, &tables).await?;
        found
            .extend(checks::assertions(into, goal, self.asserts, self.manifest.captured_at).await?);
        Ok(found)
    }
}

fn restored(target: String, phases: Phases, checks: Vec<Check>) -> Restored {
    Restored {
        reached: model::recovery_record::Reached::default(),
        target,
        phases: phases.done,
        checks,
        notes: Vec::new(),
    }
}

/// The target as it is before a restore.
#[derive(Debug)]
struct Place {
    /// Where databases can be created; `None` when only the target itself can be reached (hosted databases).
    maintenance: Option<Address>,
    /// Whether the target database is there.
    exists: bool,
    /// Whether it holds no tables of anybody.
    empty: bool,
}

impl Place {
    async fn find(setting: &Setting, goal: &Address, scratch: bool) -> Result<Self> {
        let given = setting
            .maintenance
            .as_deref()
            .filter(|_| goal.same_server(&setting.source));
        let (mut connection, there) = match leftovers::maintenance(goal, given).await {
            Ok(found) => found,
            Err(error) if scratch || error.code == "mainstay::postgres::unreachable" => {
                return Err(error);
            }
            Err(error) => {
                let Ok(mut connection) = goal.connect().await else {
                    return Err(error);
                };
                let empty = is_empty(&mut connection, goal).await?;
                return Ok(Self {
                    maintenance: None,
                    exists: true,
                    empty,
                });
            }
        };
        if scratch {
            return Ok(Self {
                maintenance: Some(there),
                exists: false,
                empty: false,
            });
        }
        let sql = format!(
            "SELECT 1 FROM pg_database WHERE datname = {}",
            super::names::literal(&goal.database)
        );
        let rows = texts(&mut connection, &sql)
            .await
            .map_err(|error| there.failed("list the databases beside", error))?;
        let exists = !rows.is_empty();
        let empty = exists && is_empty(&mut goal.connect().await?, goal).await?;
        Ok(Self {
            maintenance: Some(there),
            exists,
            empty,
        })
    }

    async fn any_connection(&self, goal: &Address) -> Result<PgConnection> {
        match &self.maintenance {
            Some(there) => there.connect().await,
            None => goal.connect().await,
        }
    }
}

async fn is_empty(connection: &mut PgConnection, goal: &Address) -> Result<bool> {
    let sql = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' \
               AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d \
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
               UNION ALL SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' \
               AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d \
               WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') LIMIT 1";
    let rows = texts(connection, sql)
        .await
        .map_err(|error| goal.failed("look into", error))?;
    Ok(rows.is_empty())
}

/// A connection string of libpq, or a URL with a slip in it. As the name of a database it would stand in messages, in the
/// audit and on the server.
fn may_hold_a_password(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["password", "host", "dbname", "user"]
        .iter()
        .any(|key| text.contains(&format!("{key}=")) || text.contains(&format!("{key} =")))
        || text.contains(":/")
        || (text.contains('@') && text.contains(':'))
}

fn no_name() -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::url",
        Disposition::NeedsOperator,
        "the target is neither the name of a database nor a URL; it is not shown, because it may hold a password",
    )
    .help("write `postgres://user@host:5432/database`, or the name of a database alone")
}

fn target_exists(goal: &Address) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::target-exists",
        Disposition::NeedsOperator,
        format!("the target {goal} exists and is not empty"),
    )
    .help("name a database that does not exist, or add --replace: the restored one is then checked first and swapped in")
}

fn data_only(goal: &Address) -> ProviderError {
    ProviderError::new(
        "mainstay::restore::data-only",
        Disposition::NeedsOperator,
        format!("the recovery point holds rows without definitions and cannot become the new database {goal}"),
    )
    .help("restore a point with `content = \"schema\"` into the target first, or choose a point with everything")
}

pub(super) fn checks_failed(goal: &dyn std::fmt::Display, checks: &[Check]) -> ProviderError {
    let failed: Vec<_> = checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.what, check.detail))
        .collect();
    let more = failed.len().saturating_sub(5);
    let mut list = failed.into_iter().take(5).collect::<Vec<_>>().join("; ");
    if more > 0 {
        let _ = write!(list, "; and {more} more");
    }
    ProviderError::new(
        "mainstay::restore::checks-failed",
        Disposition::Permanent,
        format!("the restored data for {goal} does not pass its checks: {list}"),
    )
    .help("nothing was changed under the asked name; restore another recovery point, or into a scratch database to look at it")
}

#[cfg(test)]
mod tests {
    use super::may_hold_a_password;

    #[test]
    fn what_looks_like_a_connection_string_is_no_name_of_a_database() {
        for text in [
            "host=db password=hunter2 dbname=orders",
            "PASSWORD = hunter2",
            "postgres:/user:hunter2@db/orders",
            "user:hunter2@db/orders",
        ] {
            assert!(may_hold_a_password(text), "{text}");
        }
        for name in ["orders", "orders check", "a=b", "r@h", "Bücher-2026", "x:y"] {
            assert!(!may_hold_a_password(name), "{name}");
        }
    }
}
