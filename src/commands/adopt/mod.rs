//! `catalog adopt`: recovery points of files that somebody's script has made.
//!
//! Each is an ordinary backup step whose capture reads the file (`providers::adopt`): with a lease, encryption, a manifest, a
//! verification, events and audit. Its slot is the time of the file, so doing it again finds it done.
//! Invariants: a file is only read; all files are judged together by the keep rules, and what none keeps is left where it is;
//! nothing that is kept today is let go without `--displace`. Not here: looking for files and into them (`files`).

mod files;

use super::{planning, running};
use crate::{
    arguments::{AdoptArguments, Global, RunArguments},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{
        adopt::{Account, Fate, Row},
        out,
    },
    session, settings, wiring,
};
use catalog::Catalog;
use executor::Wiring;
use jiff::Timestamp;
use model::{
    Action, StepId,
    event::{Outcome, What},
};
use planner::adoption::{Adoption, ExistingState};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Series},
};
use providers::{
    adopt::{AdoptingEngine, FileOfPoint, Unfit, UnfitKind},
    registry,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

pub(crate) async fn run(arguments: AdoptArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let database = planning::declared(&policy, &arguments.database)?;
    let work = Work {
        series: choose(database, arguments.series.as_deref())?,
        wiring: wiring::wire(&policy, settings::scratch(global, &path))?,
        arguments: &arguments,
        global,
        path: &path,
        policy: &policy,
        database,
    };
    let now = clock::now();
    let of = (database, work.series);
    let mut account = files::look(&arguments, &policy, of, &work.wiring, now).await?;
    let mut adoption = work.judge(&mut account).await?;
    let withheld = !adoption.displaced.is_empty() && !arguments.displace;
    if !global.json {
        out::data(&account.text(
            &adoption.displaced,
            &policy.timezone,
            database.encrypt_with.is_empty(),
        ))?;
    }
    let displaced = std::mem::take(&mut adoption.displaced);
    let mut ended = Exit::Done;
    // A file that turns out to be damaged must not keep out another one of its month: what is left is judged again.
    while !withheld && !arguments.dry_run && !adoption.plan.steps.is_empty() {
        let this = work.carry_out(&adoption, &mut account).await?;
        ended = if ended == Exit::Done { this } else { ended };
        if !account.reconsider() {
            break;
        }
        adoption = work.judge(&mut account).await?;
        if !adoption.displaced.is_empty() && !arguments.displace {
            break;
        }
        if !global.json && !adoption.plan.steps.is_empty() {
            out::data(&account.instead(&policy.timezone))?;
        }
    }
    if global.json {
        out::json(&account.json(&displaced, arguments.dry_run || withheld))?;
    } else if !withheld {
        out::data(&account.closing(arguments.dry_run))?;
    }
    if withheld {
        return Err(displaces(displaced.len(), arguments.dry_run));
    }
    Ok(exit(&account, ended))
}

/// What all rounds share.
struct Work<'a> {
    arguments: &'a AdoptArguments,
    global: &'a Global,
    path: &'a Path,
    policy: &'a Policy,
    database: &'a DatabaseDeclaration,
    series: &'a Series,
    wiring: Wiring,
}

impl Work<'_> {
    /// What the keep rules say of all files that fit, and of what exists now.
    async fn judge(&self, account: &mut Account) -> Result<Adoption> {
        let now = clock::now();
        let looked = planning::look(self.global, self.path, self.policy, now, false).await?;
        let catalog = session::catalog_if_any(self.global, self.path).await?;
        let of = (self.database, self.series);
        let any_database = self.arguments.any_database;
        files::compare(
            account,
            &looked.inventory,
            catalog.as_ref(),
            of,
            any_database,
        )
        .await?;
        if let Some(catalog) = catalog {
            catalog.close().await;
        }
        let candidates: Vec<(usize, ExistingState)> = account
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| matches!(row.fate, Fate::Fits))
            .filter_map(|(index, row)| {
                let bytes = row.file.bytes;
                Some((
                    index,
                    ExistingState {
                        slot: row.slot()?,
                        bytes,
                    },
                ))
            })
            .collect();
        let (rows, states): (Vec<usize>, Vec<ExistingState>) = candidates.into_iter().unzip();
        let capabilities = wiring::capabilities(self.policy);
        let mut adoption = planner::adoption(
            self.policy,
            &looked.inventory,
            &capabilities,
            now,
            of,
            &states,
        );
        for (row, verdict) in rows.into_iter().zip(adoption.verdicts.drain(..)) {
            let row = &mut account.rows[row];
            row.point = Some(verdict.point);
            row.fate = match verdict.waits {
                Some(reason) => Fate::Waits(reason),
                None if verdict.tiers.is_empty() => Fate::NotKept,
                None => Fate::Adopt(verdict.tiers),
            };
        }
        Ok(adoption)
    }

    /// Carries out one round and notes what became of each file.
    async fn carry_out(&self, adoption: &Adoption, account: &mut Account) -> Result<Exit> {
        let prepared = self.adopting(account)?;
        let run = RunArguments {
            auto_approve: true,
            approve: None,
            parallel: self.arguments.parallel,
            lease_wait: self.arguments.lease_wait,
        };
        let brought = running::Brought::default();
        let (plan, path, global) = (&adoption.plan, self.path, self.global);
        let ended = running::carry_out_with(plan, brought, path, &prepared, &run, global).await?;
        if let Some(catalog) = session::catalog_if_any(global, path).await? {
            settle(account, &catalog).await?;
            catalog.close().await;
        }
        Ok(ended)
    }

    /// Engines of which that of the database reads the files.
    fn adopting(&self, account: &Account) -> Result<Wiring> {
        let files: BTreeMap<Timestamp, FileOfPoint> = account
            .rows
            .iter()
            .filter(|row| matches!(row.fate, Fate::Adopt(_)) && row.exists.is_none())
            .filter_map(|row| {
                let inspected = row.inspected.clone()?;
                let file = row.file.clone();
                Some((inspected.captured.at, FileOfPoint { file, inspected }))
            })
            .collect();
        let mut prepared = self.wiring.clone();
        let wired = prepared.databases.get_mut(&self.database.name);
        let wired =
            wired.ok_or_else(|| planning::undeclared(self.policy, &self.arguments.database))?;
        wired.engine = Arc::new(AdoptingEngine::new(
            Arc::clone(&wired.engine),
            self.database.name.clone(),
            self.series.name.clone(),
            files,
        ));
        // Reading files is no load for the database.
        wired.concurrency = usize::from(self.arguments.parallel);
        Ok(prepared)
    }
}

/// Asks the catalog which points exist now, and why the others do not.
async fn settle(account: &mut Account, catalog: &Catalog) -> Result<()> {
    let mut failures = BTreeMap::new();
    for run in catalog.runs(1).await? {
        for event in catalog.events(&run.id).await? {
            if let What::StepFinished {
                step,
                outcome: Outcome::Failed { error },
                ..
            } = event.what
            {
                failures.insert(step.as_str().to_owned(), error);
            }
        }
    }
    for row in &mut account.rows {
        let (Fate::Adopt(tiers), Some(point), None) = (&row.fate, &row.point, row.exists) else {
            continue;
        };
        let exists = catalog.manifest(point).await?.is_some();
        row.exists = Some(exists);
        if exists {
            continue;
        }
        let mut steps = tiers
            .iter()
            .map(|stay| StepId::new(Action::Backup, point, &stay.tier));
        let failure = steps.find_map(|step| failures.get(step.as_str()));
        match failure {
            // The file's own fault: it is no candidate any more.
            Some(error) if error.code.starts_with("mainstay::adopt::") => {
                row.fate = Fate::Unfit(Unfit::new(UnfitKind::Damaged, error.message.clone()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn displaces(count: usize, dry_run: bool) -> Failure {
    let plural = if count == 1 {
        "copy that is kept today"
    } else {
        "copies that are kept today"
    };
    let nothing = if dry_run {
        ""
    } else {
        ", so nothing was adopted"
    };
    Failure::new(
        "mainstay::adopt::displaces",
        format!("{count} {plural} would be let go by the next apply{nothing}"),
    )
    .help("read above which; add --displace if the files shall take their place, or adopt only older ones with --before")
    .exit(Exit::NeedsApproval)
}

/// The series whose points are such files: the named one, or the only one.
fn choose<'a>(database: &'a DatabaseDeclaration, name: Option<&str>) -> Result<&'a Series> {
    let entries = registry::engines();
    let entry = entries.iter().find(|entry| entry.kind == database.engine);
    let methods = entry.map_or(&[][..], |entry| entry.adopts);
    let adopts = |series: &&Series| methods.contains(&series.method.as_str());
    let list = |fitting: Vec<&Series>| {
        let names: Vec<&str> = fitting.iter().map(|series| series.name.as_str()).collect();
        names.join(", ")
    };
    let fitting: Vec<&Series> = database.series.values().filter(adopts).collect();
    let fail = |message: String| Failure::new("mainstay::adopt::series", message);
    if let Some(name) = name {
        let named = database.series.get(name).ok_or_else(|| {
            let all = database.series.values().collect();
            fail(format!("`{}` has no series `{name}`", database.name))
                .help(format!("it has: {}", list(all)))
        })?;
        return Some(named).filter(adopts).ok_or_else(|| {
            let failure = fail(format!(
                "points of `{}.{name}` are made by method `{}`, and no file can be one",
                database.name, named.method
            ));
            if fitting.is_empty() {
                failure.help("declare a series of the method that the files were made with: `logical` for dumps of pg_dump, `snapshot` for SQLite files")
            } else {
                failure.help(format!("name another one with --series: {}", list(fitting)))
            }
        });
    }
    match fitting.as_slice() {
        [only] => Ok(only),
        [] => Err(fail(format!(
            "`{}` has no series whose points could be files",
            database.name
        ))
        .help("declare one: method `logical` for dumps of pg_dump, `snapshot` for SQLite files")),
        _ => Err(fail(format!(
            "several series of `{}` could get the files",
            database.name
        ))
        .help(format!(
            "name the one whose keep rules shall hold for them with --series: {}",
            list(fitting)
        ))),
    }
}

fn exit(account: &Account, ended: Exit) -> Exit {
    let failed = account.rows.iter().any(Row::is_failure);
    let waits = account
        .rows
        .iter()
        .any(|row| matches!(row.fate, Fate::Waits(_)));
    let good = account.rows.iter().any(Row::is_good);
    if account.rows.is_empty() && !account.passed_over.is_empty() {
        return Exit::Failed;
    }
    match ended {
        Exit::Done => {}
        Exit::Failed | Exit::PartlyFailed if good => return Exit::PartlyFailed,
        other => return other,
    }
    match (failed || waits, good) {
        (true, true) => Exit::PartlyFailed,
        (true, false) if failed => Exit::Failed,
        (true, false) => Exit::Blocked,
        (false, _) => Exit::Done,
    }
}
