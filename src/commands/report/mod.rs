//! `report`: documents for auditors, from what the catalog remembers.

mod bundle;
mod copies;
mod gather;
mod look;
mod recoveries;
mod write;

use crate::{
    arguments::{Global, PeriodArguments, ReportCommand, SampleArguments},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::out,
    settings,
};
use bundle::Inputs;
use executor::audit::SigningKey;
use gather::{Gathered, Proved, Span};
use jiff::{Timestamp, ToSpan as _};
use model::audit::SigningKeyName;
use model::evidence::{Assessment, ControlVerdict, EvidenceFacts};
use planner::controls;
use policy_schema::Policy;
use reports::Document;
use std::path::Path;
use write::Kind;

pub(crate) async fn run(command: ReportCommand, global: &Global) -> Result<Exit> {
    match command {
        ReportCommand::Recoveries {
            database,
            since,
            format,
        } => recoveries::run(database.as_deref(), since, format, global).await,
        ReportCommand::Template { folder } => {
            write::templates(&folder)?;
            Ok(Exit::Done)
        }
        ReportCommand::Retention(arguments) => {
            let (Gathered { facts, proved }, policy) = facts(&arguments, global).await?;
            let assessment = controls::assess(&facts);
            let document = reports::retention(&facts, &assessment, &policy.timezone);
            finish(
                Kind::Retention,
                &facts,
                proved,
                &assessment,
                &document,
                &arguments,
                global,
            )
        }
        ReportCommand::Compliance { period, sample } => {
            let (Gathered { facts, proved }, policy) = facts(&period, global).await?;
            let assessment = with_sample(controls::assess(&facts), &facts, &sample);
            let document = reports::compliance(&facts, &assessment, &policy.timezone);
            finish(
                Kind::Compliance,
                &facts,
                proved,
                &assessment,
                &document,
                &period,
                global,
            )
        }
    }
}

/// Computes a bundle again; exit 1 when anything differs.
pub(crate) fn recompute(
    path: &Path,
    key: Option<&SigningKeyName>,
    global: &Global,
) -> Result<Exit> {
    let recomputed = bundle::recompute(path, key)?;
    let agrees = recomputed.differences.is_empty();
    if global.json {
        out::json(&recomputed)?;
    } else {
        out::data(&recomputed.words())?;
    }
    Ok(if agrees { Exit::Done } else { Exit::Failed })
}

async fn facts(arguments: &PeriodArguments, global: &Global) -> Result<(Gathered, Policy)> {
    let (path, policy) = policy::load(global)?;
    let now = clock::now();
    let span = span(arguments, &policy, now)?;
    let facts = gather::gather(global, &path, &policy, span, now, arguments.trust_catalog).await?;
    Ok((facts, policy))
}

/// The period that was asked for; without an answer the last three months.
fn span(arguments: &PeriodArguments, policy: &Policy, now: Timestamp) -> Result<Span> {
    let until = arguments.to.unwrap_or(now).min(now);
    let three_months_before = until
        .to_zoned(policy.timezone.clone())
        .checked_sub(3.months())
        .map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp());
    let from = arguments.from.unwrap_or(three_months_before);
    if from >= until {
        return Err(Failure::new(
            "mainstay::report::period",
            format!("the period from {from} to {until} is empty"),
        )
        .help("give `--from` and `--to` as times in the past, the earlier one first"));
    }
    Ok(Span { from, until })
}

fn with_sample(
    mut assessment: Assessment,
    facts: &EvidenceFacts,
    sample: &SampleArguments,
) -> Assessment {
    if let (Some(size), Some(seed)) = (sample.sample, &sample.seed) {
        assessment.sample = controls::draw(facts, size, seed);
        assessment.sample_seed = Some(seed.clone());
    }
    assessment
}

fn finish(
    kind: Kind,
    facts: &EvidenceFacts,
    proved: Option<Proved>,
    assessment: &Assessment,
    document: &Document,
    arguments: &PeriodArguments,
    global: &Global,
) -> Result<Exit> {
    if let Some(bundle) = &arguments.bundle {
        let policy = settings::policy_path(global)?;
        let key = SigningKey::open(&settings::audit_key(global, &policy))?;
        let loaded = policy::check(&policy).loaded;
        let inputs =
            proved.map(|proved| Inputs::new(proved.facts, proved.inventory, facts.until, &loaded));
        let left_out = bundle::write(bundle, kind, facts, assessment, inputs, key.as_ref())?;
        if let Some(why) = left_out {
            out::words(&format!(
                "The proofs in the bundle cannot be computed again elsewhere: {why}\n"
            ));
        }
        if key.is_none() {
            out::words(
                "The bundle is not signed: no run from here has made the key that signs the audit.\n",
            );
        }
    }
    write::write(kind, facts, assessment, document, arguments, global)?;
    let of_interest =
        |id: &str| kind == Kind::Compliance || reports::RETENTION_CONTROLS.contains(&id);
    let broken = assessment
        .controls
        .iter()
        .any(|control| control.verdict == ControlVerdict::NotMet && of_interest(&control.id));
    Ok(if broken && arguments.check {
        Exit::ObjectiveViolated
    } else {
        Exit::Done
    })
}
