//! `drill`: restores for a test now, outside the schedule; shows earlier ones; proves that a drill can fail.
//!
//! Which point a declared drill takes is the planner's choice, as on schedule. Exit 1 when a drill fails, 9 when others passed.

use super::{planning, recovery_log, running};
use crate::{
    arguments::{DrillArguments, DrillCommand, Global, LogFormat},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{bar::Bar, color, drill as words, out, recovery},
    session::{self, UnknownPoint},
    settings, wiring,
};
use catalog::Catalog;
use executor::{
    Clock, Wiring,
    drill::{self, Occasion},
};
use jiff::Timestamp;
use model::{
    Action, Disposition, Inventory, PointState, ReasonCode, RecoveryPoint, RecoveryPointId,
    RecoveryTarget, TierName, step::DrillOrder,
};
use planner::Options;
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, DrillPick},
};
use serde_json::json;
use std::{path::Path, sync::Arc};

pub(crate) async fn run(arguments: DrillArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    match &arguments.command {
        Some(DrillCommand::List { database, limit }) => {
            list(database.as_deref(), *limit, &path, &policy, global).await
        }
        Some(DrillCommand::Show { id, format }) => show(id, *format, &path, &policy, global).await,
        None => drill_all(&arguments, &path, &policy, global).await,
    }
}

async fn list(
    database: Option<&str>,
    limit: u32,
    path: &Path,
    policy: &Policy,
    global: &Global,
) -> Result<Exit> {
    let database = match database {
        Some(name) => Some(planning::declared(policy, name)?.name.clone()),
        None => None,
    };
    let catalog = session::catalog_or_fail(global, path).await?;
    let records = catalog
        .recoveries(database.as_ref(), u64::from(limit))
        .await?;
    catalog.close().await;
    if global.json {
        out::json(&json!({"format": "mainstay.recoveries.v1", "recoveries": records}))?;
    } else {
        out::data(&recovery::list(&records, &policy.timezone))?;
    }
    Ok(Exit::Done)
}

async fn show(
    id: &str,
    format: LogFormat,
    path: &Path,
    policy: &Policy,
    global: &Global,
) -> Result<Exit> {
    let catalog = session::catalog_or_fail(global, path).await?;
    let record = catalog.recovery(id).await?;
    catalog.close().await;
    let Some(record) = record else {
        return Err(Failure::new(
            "mainstay::drill::unknown",
            format!("there is no restore or drill `{id}`"),
        )
        .help("`mainstay drill list` shows their ids"));
    };
    let format = if global.json { LogFormat::Json } else { format };
    recovery_log::show(&record, format, &policy.timezone)?;
    Ok(Exit::Done)
}

/// What all drills of one call share.
struct Session<'a> {
    arguments: &'a DrillArguments,
    path: &'a Path,
    policy: &'a Policy,
    global: &'a Global,
    now: Timestamp,
    inventory: Inventory,
    wiring: Wiring,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
}

/// What is drilled.
struct Chosen {
    point: RecoveryPointId,
    tier: TierName,
    order: DrillOrder,
}

async fn drill_all(
    arguments: &DrillArguments,
    path: &Path,
    policy: &Policy,
    global: &Global,
) -> Result<Exit> {
    if let Some(from) = &arguments.from {
        planning::declared_tier(policy, from)?;
    }
    let databases: Vec<&DatabaseDeclaration> = match &arguments.database {
        Some(name) => vec![planning::declared(policy, name)?],
        None => policy.databases.values().collect(),
    };
    let now = clock::now();
    let catalog = session::catalog_or_fail(global, path).await?;
    let looked = planning::look(global, path, policy, now, false).await?;
    let session = Session {
        arguments,
        path,
        policy,
        global,
        now,
        inventory: looked.inventory,
        wiring: wiring::wire(policy, settings::scratch(global, path))?,
        catalog,
        clock: Arc::new(running::RealClock),
    };
    let total = databases.len();
    let (mut failed, mut blocked) = (0, 0);
    for database in databases {
        let result = if arguments.prove_it_can_fail {
            session.prove(database).await
        } else {
            session.drill(database).await
        };
        match result {
            Ok(true) => {}
            Ok(false) => failed += 1,
            Err(failure) if total == 1 => return Err(failure),
            Err(failure) => {
                out::words(&crate::render::findings::failure(&failure));
                blocked += usize::from(failure.exit == Exit::Blocked);
                failed += 1;
            }
        }
    }
    session.catalog.close().await;
    Ok(match failed {
        0 => Exit::Done,
        all if all == blocked => Exit::Blocked,
        all if all == total => Exit::Failed,
        _ => Exit::PartlyFailed,
    })
}

impl Session<'_> {
    /// Whether the drill passed.
    async fn drill(&self, database: &DatabaseDeclaration) -> Result<bool> {
        let chosen = self.choose(database).await?;
        let bar = Bar::new(&format!("drill {} of {}", chosen.order.name, chosen.point));
        let mut order = self.restore_order(&chosen);
        order.progress = bar.progress();
        let result =
            drill::drill_now(&order, &self.wiring, &self.catalog, &self.clock, stopped()).await;
        bar.finish();
        let failure = drill::failure(&result);
        let (record, gaps) = match result {
            Ok(report) => (report.record, report.gaps),
            Err(error) => (error.record, Vec::new()),
        };
        for gap in gaps {
            out::words(&format!(
                "{} not recorded: {}\n",
                color::paint(color::WARN, "!"),
                gap.message
            ));
        }
        if let Some(failure) = &failure
            && WAITS.contains(&failure.code.as_str())
        {
            let waits = Failure::new(&failure.code, failure.message.clone()).exit(Exit::Blocked);
            return Err(match &failure.help {
                Some(help) => waits.help(help),
                None => waits,
            });
        }
        let Some(record) = record else {
            // Without a record there is only the failure to tell.
            return match failure {
                Some(failure) => Err(Failure::new(&failure.code, failure.message)),
                None => Ok(true),
            };
        };
        let format = if self.global.json {
            LogFormat::Json
        } else {
            LogFormat::Text
        };
        recovery_log::show(&record, format, &self.policy.timezone)?;
        let folder = recovery_log::folder(self.arguments.log.as_deref(), self.path);
        recovery_log::write(&record, &folder, &self.policy.timezone, self.global);
        Ok(record.passed)
    }

    /// Whether everything that was planted was found.
    async fn prove(&self, database: &DatabaseDeclaration) -> Result<bool> {
        let chosen = self.choose(database).await?;
        let Some(manifest) = self.catalog.manifest(&chosen.point).await? else {
            let what = UnknownPoint::Id(&chosen.point);
            return Err(session::unknown_point(&self.catalog, what, self.now).await);
        };
        let order = self.restore_order(&chosen);
        let (wiring, tier) = (&self.wiring, &chosen.tier);
        let proof =
            drill::prove_it_can_fail(&order, tier, &manifest, wiring, &self.catalog, &self.clock)
                .await?;
        if self.global.json {
            out::json(&words::proof_json(&proof))?;
        } else {
            out::data(&words::proof_text(&proof))?;
        }
        Ok(proof.holds())
    }

    fn restore_order(&self, chosen: &Chosen) -> executor::RestoreOrder {
        let why = match &self.arguments.reason {
            Some(reason) => reason.clone(),
            None => "drill asked for by hand, outside the schedule".to_owned(),
        };
        let mut order = drill::restore_order(
            &chosen.order,
            Occasion {
                point: chosen.point.clone(),
                only_from: self.arguments.from.as_ref().map(|_| chosen.tier.clone()),
                prefer: Some(chosen.tier.clone()),
                who: settings::who(),
                why,
                at: self.now,
            },
        );
        order.policy_digest = Some(self.policy.digest.clone());
        order
    }

    async fn choose(&self, database: &DatabaseDeclaration) -> Result<Chosen> {
        let mut order = self.order(database)?;
        let from = self.arguments.from.as_deref();
        if let Some(at) = self.arguments.at {
            order.target = self.moment(database, at);
        }
        if let Some(id) = &self.arguments.point {
            let known = self.inventory.recovery_points.iter();
            let Some(point) = known.into_iter().find(|point| point.id == *id) else {
                let what = UnknownPoint::Id(id);
                return Err(session::unknown_point(&self.catalog, what, self.now).await);
            };
            let tier = best_copy(point, from).ok_or_else(|| self.no_copy(database))?;
            let point = id.clone();
            return Ok(Chosen { point, tier, order });
        }
        if self.arguments.at.is_none()
            && let Some(chosen) = self.as_planned(database, &order.name)?
        {
            return Ok(chosen);
        }
        let at = self.arguments.at.unwrap_or(self.now);
        let complete = self.inventory.recovery_points.iter().filter(|point| {
            point.database == database.name
                && point.state == PointState::Complete
                && point.captured_at <= at
                && (order.target.is_none() || point.wal.is_some())
        });
        let newest = complete
            .filter_map(|point| Some((point, best_copy(point, from)?)))
            .max_by_key(|(point, _)| (point.captured_at, point.id.clone()));
        let (point, tier) = newest.ok_or_else(|| self.no_copy(database))?;
        Ok(Chosen {
            point: point.id.clone(),
            tier,
            order,
        })
    }

    /// A moment can be reached exactly where there is a physical point before it; else the newest point before it is meant.
    fn moment(&self, database: &DatabaseDeclaration, at: Timestamp) -> Option<RecoveryTarget> {
        let mut points = self.inventory.recovery_points.iter();
        let reachable = database.wal.is_some()
            && points.any(|point| {
                point.database == database.name && point.wal.is_some() && point.captured_at <= at
            });
        reachable.then_some(RecoveryTarget::Time(at))
    }

    /// The declared drill that was meant, or one that the policy does not declare.
    fn order(&self, database: &DatabaseDeclaration) -> Result<DrillOrder> {
        let named = self.arguments.name.as_deref();
        let declared = match (named, database.drills.as_slice()) {
            (Some(name), drills) => {
                let found = drills.iter().find(|drill| drill.name == name);
                Some(found.ok_or_else(|| unknown_drill(database, name))?)
            }
            (None, [only]) => Some(only),
            (None, []) => None,
            (None, [first, ..]) if self.arguments.prove_it_can_fail => Some(first),
            (None, _) => return Err(which_drill(database)),
        };
        let wired = self.wiring.databases.get(&database.name);
        Ok(DrillOrder {
            amcheck: declared.is_some_and(|drill| drill.amcheck),
            asserts: declared.map_or_else(Vec::new, |drill| drill.asserts.clone()),
            name: declared.map_or("by-hand", |drill| &drill.name).to_owned(),
            rpo: wired.and_then(|wired| wired.rpo),
            rto: wired.and_then(|wired| wired.rto),
            seed: None,
            slot: Timestamp::from_second(self.now.as_second()).unwrap_or(self.now),
            target: None,
        })
    }

    /// As the schedule would choose, if what it would choose exists already. A point is no stand-in for a moment: that fails.
    fn as_planned(&self, database: &DatabaseDeclaration, name: &str) -> Result<Option<Chosen>> {
        let options = Options {
            drills: vec![(database.name.clone(), Some(name.to_owned()))],
            ..Options::default()
        };
        let plan = planner::draft_plan(
            self.policy,
            &self.inventory,
            &wiring::capabilities(self.policy),
            self.now,
            &options,
        );
        let step = plan.steps.into_iter().find(|step| {
            step.action == Action::Drill
                && step.database == database.name
                && step.reason.code == ReasonCode::Requested
        });
        let Some(step) = step else {
            let wants_moment = database.drills.iter().any(|drill| {
                drill.name == name && matches!(drill.pick, DrillPick::RandomMoment(_))
            });
            if !wants_moment {
                return Ok(None);
            }
            let what = format!("drill {name} of {}", database.name);
            let mut waits = plan.not_planned.into_iter();
            let why = waits.find(|waits| waits.what == what).map_or_else(
                || "there is no moment to restore".to_owned(),
                |waits| waits.reason.text.into_owned(),
            );
            return Err(Failure::new("mainstay::drill::nothing-to-restore", format!("{what}: {why}")).help(format!(
                "`mainstay wal status {0}` shows the moments that can be recovered; the last minute of the log is left out; `mainstay drill {0} --at TIME` takes one of yours",
                database.name
            )));
        };
        let mut points = self.inventory.recovery_points.iter();
        let known = points.find(|point| point.id == step.recovery_point);
        let tier = known.and_then(|known| match self.arguments.from.as_deref() {
            Some(from) => best_copy(known, Some(from)),
            None => Some(step.tier),
        });
        Ok(tier.zip(step.drill).map(|(tier, order)| Chosen {
            point: step.recovery_point,
            tier,
            order,
        }))
    }

    fn no_copy(&self, database: &DatabaseDeclaration) -> Failure {
        let from = self.arguments.from.as_ref();
        let on = from.map_or_else(String::new, |from| format!(" on {from}"));
        Failure::new(
            "mainstay::drill::nothing-to-restore",
            format!(
                "there is no readable copy{on} of a recovery point of `{}` to drill with",
                database.name
            ),
        )
        .help(format!(
            "make one with `mainstay backup {0}`, or see what exists with `mainstay list {0}`",
            database.name
        ))
    }
}

/// Nothing is wrong with the copy; it cannot be read yet.
const WAITS: [&str; 2] = ["mainstay::restore::archived", "mainstay::restore::thawing"];

/// The copy to read: the best verified, of those that are there.
fn best_copy(point: &RecoveryPoint, from: Option<&str>) -> Option<TierName> {
    let copies = point
        .copies
        .iter()
        .filter(|copy| copy.is_present() && from.is_none_or(|from| from == copy.tier.as_str()));
    copies
        .max_by_key(|copy| copy.verified.map(|verified| verified.level))
        .map(|copy| copy.tier.clone())
}

async fn stopped() -> model::event::Failure {
    running::stop_signal().await;
    model::event::Failure {
        code: "mainstay::drill::stopped".to_owned(),
        message: "the drill was stopped by a person".to_owned(),
        help: Some(
            "run it again; what it had made is removed by the next drill or apply".to_owned(),
        ),
        disposition: Disposition::NeedsOperator,
    }
}

fn unknown_drill(database: &DatabaseDeclaration, name: &str) -> Failure {
    Failure::new(
        "mainstay::arguments::drill",
        format!("`{}` declares no drill `{name}`", database.name),
    )
    .help(names(database))
}

fn which_drill(database: &DatabaseDeclaration) -> Failure {
    Failure::new(
        "mainstay::arguments::drill",
        format!("`{}` declares several drills", database.name),
    )
    .help(format!("say which with `--name`; {}", names(database)))
}

fn names(database: &DatabaseDeclaration) -> String {
    let names: Vec<&str> = database
        .drills
        .iter()
        .map(|drill| drill.name.as_str())
        .collect();
    if names.is_empty() {
        "it declares none; without `--name` its newest point is drilled".to_owned()
    } else {
        format!("it declares: {}", names.join(", "))
    }
}
