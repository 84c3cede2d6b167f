//! `restore`: bring a recovery point back, and say what was restored, how long each phase took and how old the data is.

mod choice;
mod fit;
mod temporary;

use super::{planning, running};
use crate::{
    arguments::{Global, RestoreArguments, ThawChoice},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{bar::Bar, out, restore as words},
    session, settings, wiring,
};
use catalog::Catalog;
use choice::{Asked, Choice};
use executor::{
    Clock, RecoveryWish, Refresh, RestoreError, RestoreOrder, ThawPolicy, Wiring, find_manifest,
    observe, restore_until,
};
use jiff::Timestamp;
use model::{CopyState, DatabaseName, Disposition, RecoveryPoint, RecoveryTarget};
use policy_schema::Policy;
use providers::api::{AfterRecovery, RestoreTarget, Selection};
use std::{
    fmt::Write as _,
    io::{BufRead as _, IsTerminal as _},
    path::Path,
    sync::Arc,
    time::Duration,
};
use temporary::Temporary;

pub(crate) async fn run(arguments: RestoreArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let from = match &arguments.from {
        Some(name) => Some(planning::declared_tier(&policy, name)?.clone()),
        None => None,
    };
    let catalog = if Catalog::exists(&settings::state_url(global, &path)).await? {
        Some(session::catalog(global, &path).await?)
    } else {
        None
    };
    let mut wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    let points = known_points(catalog.as_ref(), &wiring, now).await?;
    let Some(database) = database(&arguments, &policy, &points) else {
        return Err(planning::undeclared(&policy, &arguments.database));
    };
    if !policy.databases.contains_key(database.as_str()) {
        declare(
            &mut wiring,
            &arguments,
            &database,
            &points,
            catalog.as_ref(),
        )
        .await?;
    }
    let clock: Arc<dyn Clock> = Arc::new(running::RealClock);
    let asked = Asked {
        arguments: &arguments,
        database: &database,
        from: from.as_ref(),
        points: &points,
        wiring: &wiring,
        catalog: catalog.as_ref(),
        clock: &clock,
        zone: &policy.timezone,
    };
    let choice = asked.choose().await?;
    fit::check(&arguments, &choice, &points)?;
    let target = fit::target(&arguments, &choice)?;
    if arguments.replace && !arguments.yes {
        confirm(&arguments)?;
    }
    if !global.json {
        out::words(&words::chosen(&choice_words(&choice), &policy.timezone));
    }
    let temporary = (arguments.scratch && !arguments.check)
        .then(|| Arc::new(Temporary::new(arguments.run_for, global.json)));
    let bar = Bar::new(&format!("restoring {}", choice.point()));
    let mut order = RestoreOrder::new(
        choice.point().clone(),
        target,
        settings::who(),
        running::run_name(now).replace("run-", "restore-"),
    );
    order.from = from;
    order.replace = arguments.replace;
    order.selection = Selection {
        tables: arguments.table.clone(),
        schemas: arguments.schema.clone(),
        paths: arguments.path.clone(),
    };
    order.why = arguments.reason.clone().unwrap_or_default();
    order.progress = bar.progress();
    order.thaw = thaw(arguments.thaw);
    order.policy_digest = Some(policy.digest.clone());
    order.recovery = wish(
        &choice,
        &arguments,
        &policy,
        &path,
        global,
        temporary.clone(),
    )?;
    let restored = restore_from_any(
        &mut order,
        &choice,
        &wiring,
        catalog.as_ref(),
        &clock,
        temporary.as_deref(),
    )
    .await;
    bar.finish();
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    let report = restored.map_err(failed)?;
    if global.json {
        out::json(&words::as_json(&report))?;
    } else {
        out::data(&words::text(&report, &policy.timezone))?;
        if let Some(left) = left(&choice, &order)
            && let RestoreTarget::Named(folder) = &order.target
        {
            out::words(&words::next_steps(&arguments.database, folder, &left));
        }
    }
    Ok(if report.passed() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// A base that no tier has a good copy of any more is not the end: an older one reaches the same moment over more log.
async fn restore_from_any(
    order: &mut RestoreOrder,
    choice: &Choice,
    wiring: &Wiring,
    catalog: Option<&Catalog>,
    clock: &Arc<dyn Clock>,
    temporary: Option<&Temporary>,
) -> Result<executor::RestoreReport, RestoreError> {
    let others = match choice {
        Choice::Recover(_, way) => way.others.as_slice(),
        Choice::Point(_) | Choice::OwnLog(..) => &[],
    };
    let once = async |order: &RestoreOrder| {
        restore_until(order, wiring, catalog, clock, stopped(temporary)).await
    };
    let mut result = once(order).await;
    for other in others {
        match &result {
            Err(error) if NO_GOOD_COPY.contains(&error.failure.code.as_str()) => {
                out::words(&format!(
                    "{} cannot be used ({}); starting from the older {other}.\n",
                    order.point, error.failure.message
                ));
            }
            _ => break,
        }
        order.point = other.clone();
        order.run = format!("{}-older", order.run);
        result = once(order).await;
    }
    result
}

/// In which state a data directory was left for a person; `None`: there is none, or the engine tells itself what comes next.
fn left(choice: &Choice, order: &RestoreOrder) -> Option<words::Left> {
    let (Choice::Recover(target, _), Some(wish)) = (choice, &order.recovery) else {
        return None;
    };
    if !order.selection.is_all() {
        return None;
    }
    Some(match wish.after {
        AfterRecovery::Leave => words::Left::Unstarted {
            fetches: !wish.restore_command.is_empty(),
        },
        // At the end of the log there is nothing to pause at: the recovery has ended there.
        AfterRecovery::Start if *target != RecoveryTarget::Latest => words::Left::AtItsMoment,
        AfterRecovery::Start | AfterRecovery::Promote => words::Left::Promoted,
    })
}

/// Ends with the reason when somebody says stop.
async fn stopped(temporary: Option<&Temporary>) -> model::event::Failure {
    Temporary::stopped(temporary).await;
    model::event::Failure {
        code: "mainstay::restore::stopped".to_owned(),
        message: "stopped; the target is as it was before, or whole if it was in its last moment"
            .to_owned(),
        help: Some(
            "temporary databases or files of an interrupted restore are removed by the next apply"
                .to_owned(),
        ),
        disposition: Disposition::NeedsOperator,
    }
}

/// What the catalog knows; a new machine has none, and then the tiers tell.
async fn known_points(
    catalog: Option<&Catalog>,
    wiring: &Wiring,
    now: Timestamp,
) -> Result<Vec<RecoveryPoint>> {
    if let Some(catalog) = catalog {
        return Ok(catalog.inventory(now).await?.recovery_points);
    }
    out::words("There is no catalog; looking at the tiers themselves.\n");
    let observed = observe(None, &wiring.tiers, now, Refresh::Full).await?;
    for (tier, failure) in &observed.unreachable {
        out::words(&format!("{tier} could not be read: {}\n", failure.message));
    }
    let mut points = observed.inventory.recovery_points;
    for copy in points.iter_mut().flat_map(|point| &mut point.copies) {
        // Nobody knows anything better of it.
        if copy.state == CopyState::Foreign {
            copy.state = CopyState::Present;
        }
    }
    if points.is_empty() {
        return Err(session::no_catalog());
    }
    Ok(points)
}

/// The database as the policy names it, or as its points do.
fn database(
    arguments: &RestoreArguments,
    policy: &Policy,
    points: &[RecoveryPoint],
) -> Option<DatabaseName> {
    let declared = policy.databases.get(arguments.database.as_str());
    let known = || {
        points
            .iter()
            .map(|point| &point.database)
            .find(|name| name.as_str() == arguments.database)
    };
    declared
        .map(|declared| &declared.name)
        .or_else(known)
        .cloned()
}

/// Makes a database that only its points know one that can be restored.
async fn declare(
    wiring: &mut Wiring,
    arguments: &RestoreArguments,
    database: &DatabaseName,
    points: &[RecoveryPoint],
    catalog: Option<&Catalog>,
) -> Result<()> {
    let newest = points
        .iter()
        .filter(|point| point.database == *database)
        .max_by_key(|point| point.captured_at);
    let id = arguments.point.as_ref().or(newest.map(|point| &point.id));
    let manifest = match id {
        Some(id) => find_manifest(id, wiring, catalog).await,
        None => None,
    };
    let engine = manifest.map_or_else(String::new, |manifest| manifest.engine);
    let target = arguments.to.as_deref().unwrap_or_default();
    wiring::add_for_restore(wiring, database, &engine, target)
}

/// What the engine shall do with a physical point; `None` for any other.
fn wish(
    choice: &Choice,
    arguments: &RestoreArguments,
    policy: &Policy,
    path: &Path,
    global: &Global,
    temporary: Option<Arc<Temporary>>,
) -> Result<Option<RecoveryWish>> {
    let (target, way) = match choice {
        Choice::Point(_) => return Ok(None),
        Choice::Recover(target, way) => (target, Some((**way).clone())),
        Choice::OwnLog(target, _) => (target, None),
    };
    let mut wish = RecoveryWish::to(target.clone());
    wish.timeline = arguments.timeline;
    let is_ours = way.is_some();
    wish.way = way;
    wish.after = match (arguments.promote, arguments.start) {
        (true, _) => AfterRecovery::Promote,
        (false, true) => AfterRecovery::Start,
        (false, false) => AfterRecovery::Leave,
    };
    wish.amcheck = arguments.amcheck;
    let moves = arguments.tablespace_map.iter();
    wish.tablespaces = moves.map(|m| (m.old.clone(), m.new.clone())).collect();
    // A point that carries its log needs no command, and one that can only fail would stop its server.
    let declared = policy.databases.get(arguments.database.as_str());
    if is_ours && declared.is_some_and(|database| database.wal.is_some()) {
        wish.restore_command = restore_command(&arguments.database, path, global)?;
    }
    wish.observer = temporary.map(|temporary| temporary as _);
    Ok(Some(wish))
}

/// What a server that a person starts calls for each file of the log. Absolute, because a server runs it from its own folder.
fn restore_command(database: &str, path: &Path, global: &Global) -> Result<Vec<String>> {
    let unknown = |error: std::io::Error| {
        Failure::from_error("mainstay::restore::restore-command", None, &error)
            .help("give the policy by an absolute path with `--policy`")
    };
    let program = std::env::current_exe().map_err(unknown)?;
    let policy = std::path::absolute(path).map_err(unknown)?;
    let mut words = vec![
        program.display().to_string(),
        "--policy".to_owned(),
        policy.display().to_string(),
    ];
    if let Some(state) = &global.state {
        words.extend(["--state".to_owned(), state.clone()]);
    }
    for word in ["wal", "fetch", "--database", database, "%f", "%p"] {
        words.push(word.to_owned());
    }
    Ok(words)
}

fn choice_words(choice: &Choice) -> words::Chosen<'_> {
    match choice {
        Choice::Point(point) => words::Chosen::Point(point),
        Choice::Recover(target, way) => words::Chosen::Recover(target, way),
        Choice::OwnLog(target, point) => words::Chosen::OwnLog(target, point),
    }
}

fn failed(error: RestoreError) -> Failure {
    let mut message = error.failure.message.clone();
    for (tier, failure) in &error.given_up {
        let _ = write!(
            message,
            "\n  before that, the copy on {tier} was tried and given up: {}",
            failure.message
        );
    }
    let mut failure = Failure::new(&error.failure.code, message);
    if ARCHIVED.contains(&error.failure.code.as_str()) {
        failure = failure.exit(Exit::Blocked);
    }
    match error.failure.help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Replacing data needs the database's name typed: a `y` is typed too easily.
fn confirm(arguments: &RestoreArguments) -> Result<()> {
    let stdin = std::io::stdin();
    let refused = |message: &str| {
        Failure::new("mainstay::restore::not-confirmed", message.to_owned())
            .exit(Exit::NeedsApproval)
    };
    if !stdin.is_terminal() {
        return Err(refused(
            "replacing existing data needs confirmation, and there is no terminal to ask on",
        )
        .help("give `--yes` if you are sure"));
    }
    out::words(&format!(
        "This replaces what is in the target of `--to`. Type the database's name ({}) to go on: ",
        arguments.database
    ));
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer).is_err() || answer.trim() != arguments.database {
        return Err(refused("nothing was restored: the name was not typed"));
    }
    Ok(())
}

/// Nothing is wrong with the copy; it cannot be read yet.
const ARCHIVED: [&str; 2] = ["mainstay::restore::archived", "mainstay::restore::thawing"];

/// Another base may serve.
const NO_GOOD_COPY: [&str; 4] = [
    "mainstay::restore::no-copy",
    "mainstay::copy::damaged",
    "mainstay::run::copy-missing",
    "mainstay::run::broken-chain",
];

/// An archive is looked at again after so long; it takes hours.
const THAW_POLL: Duration = Duration::from_mins(1);

fn thaw(choice: Option<ThawChoice>) -> ThawPolicy {
    match choice {
        None => ThawPolicy::Refuse,
        Some(ThawChoice::Ask) => ThawPolicy::Ask,
        Some(ThawChoice::Wait) => ThawPolicy::AskAndWait {
            poll: THAW_POLL,
            tell: Arc::new(|words| out::words(&format!("{words}\n"))),
        },
    }
}
