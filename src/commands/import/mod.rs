//! `import`: the retention of restic, borg, pgBackRest or Barman as a policy, with the proof that the policy keeps the same points.
//!
//! A reader for each tool turns what is written into the words of a policy (`found`), naming the place of each setting; `write` makes the text, which must pass the same
//! validation as any policy before it is shown; `proof` lets the tool's rules (`planner::foreign`) and the policy run side by side. Nothing is stored and no server is asked.
//!
//! Invariants: nothing that has to do with retention is dropped in silence; no secret is copied; an existing file is not overwritten.

mod barman;
mod borg;
mod borgmatic;
mod calendar;
mod engines;
pub(crate) mod found;
mod ini;
mod keeps;
mod options;
mod pgbackrest;
pub(crate) mod proof;
mod repository;
mod restic;
mod schedule;
mod shell;
mod source;
mod write;
mod yaml;

use crate::{
    arguments::{Global, ImportArguments, ImportTool},
    clock,
    exit::Exit,
    failure::{Because, Failure, Result},
    render::{findings, import as render, out},
    wiring,
};
use found::{Found, Reading};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use policy_schema::{Loaded, Policy};
use schedule::{Schedules, When};
use source::Text;
use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The zone of this machine has no name that a policy could be told.
const NO_ZONE: &str = "UTC";

pub(crate) fn run(arguments: &ImportArguments, global: &Global) -> Result<Exit> {
    let tool = arguments.tool.name();
    if let Some(file) = &arguments.out
        && file.exists()
    {
        // Before years are simulated in vain; `save` makes sure.
        return Err(unwritable(
            file,
            std::io::Error::from(std::io::ErrorKind::AlreadyExists),
        ));
    }
    let text = source::read(&arguments.config)?;
    let mut reading = Reading::default();
    let (zone, zone_name) = zone(arguments, &mut reading);
    let from = arguments.now.unwrap_or_else(clock::now);
    let when = When {
        zone: zone.clone(),
        from,
    };
    let schedules = schedules(arguments)?;
    let found = find(arguments, &text, &schedules, &when, &mut reading)?;
    if !reading.problems.is_empty() {
        return Err(not_understood(tool, &text, &reading));
    }
    reading.sort();
    let heading = |proof| write::Heading {
        tool,
        config: &text.name,
        zone: &zone_name,
        proof,
    };
    let file = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("mainstay.toml"));
    let (first, _) =
        formatted_and_loaded(write::policy(&found, &reading.notes, &heading(&[])), &file)?;
    let until = from
        .to_zoned(zone)
        .checked_add(i64::from(arguments.years).years())
        .map_or(Timestamp::MAX, |end| end.timestamp());
    let proofs = proof::prove(&found, &first, from, until);
    let words: Vec<String> = proofs
        .iter()
        .map(|proof| render::in_one_line(tool, proof, arguments.years))
        .collect();
    let (_, loaded) = formatted_and_loaded(
        write::policy(&found, &reading.notes, &heading(&words)),
        &file,
    )?;
    let policy = loaded
        .sources
        .first()
        .map_or("", |source| source.text.as_str());

    if let Some(file) = &arguments.out {
        save(file, policy)?;
    }
    let fewer = proofs
        .iter()
        .any(|proof| !proof.pointers && !proof.comparison.never_fewer());
    if global.json {
        out::json(&render::json(&render::Report {
            tool,
            config: &text.name,
            policy,
            notes: &reading.notes,
            proofs: &proofs,
            findings: &loaded.findings,
            from,
            until,
        }))?;
    } else {
        if arguments.out.is_none() {
            out::data(policy)?;
        }
        out::words(&render::text(
            tool,
            &reading.notes,
            &proofs,
            from,
            arguments.years,
        ));
        if !loaded.findings.is_empty() {
            out::words(&render::findings(&loaded.findings));
        }
        if let Some(file) = &arguments.out {
            out::words(&format!(
                "\nWrote {}. Read it, then: mainstay validate -p {} && mainstay plan -p {}\n",
                file.display(),
                file.display(),
                file.display()
            ));
        }
    }
    Ok(if fewer {
        Exit::NeedsApproval
    } else {
        Exit::Done
    })
}

fn find(
    arguments: &ImportArguments,
    text: &Text,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    match arguments.tool {
        ImportTool::Restic => restic::read(text, schedules, reading),
        ImportTool::Borg => borg::read(text, schedules, when, reading),
        ImportTool::Pgbackrest => pgbackrest::read(text, schedules, when, reading),
        ImportTool::Barman => {
            let mut texts = vec![text.clone()];
            for file in barman::beside(text) {
                texts.push(source::read(&file)?);
            }
            let engine = if arguments.replace {
                barman::Engine::Postgres
            } else {
                barman::Engine::Barman
            };
            barman::read(&texts, engine, schedules, when, reading)
        }
    }
}

/// Tools reckon with the zone of the machine that they run on.
fn zone(arguments: &ImportArguments, reading: &mut Reading) -> (TimeZone, String) {
    if let Some(name) = &arguments.timezone
        && let Ok(zone) = TimeZone::get(name)
    {
        return (zone, name.clone());
    }
    let system = TimeZone::system();
    let (zone, name) = match system.iana_name() {
        Some(name) if TimeZone::get(name).is_ok() => (system.clone(), name.to_owned()),
        _ => (TimeZone::UTC, NO_ZONE.to_owned()),
    };
    reading.note(
        None,
        found::Fate::Assumed,
        "time zone",
        format!("that of this machine: `timezone = \"{name}\"`; give --timezone"),
    );
    (zone, name)
}

fn schedules(arguments: &ImportArguments) -> Result<Schedules> {
    let timer = schedule::timer_of(&arguments.config).filter(|timer| timer.exists());
    Ok(Schedules {
        given: arguments.schedule.clone(),
        crontab: arguments.crontab.as_deref().map(source::read).transpose()?,
        timer: timer.as_deref().map(source::read).transpose()?,
    })
}

fn not_understood(tool: &str, text: &Text, reading: &Reading) -> Failure {
    let list = reading
        .problems
        .iter()
        .fold(String::new(), |mut list, problem| {
            let _ = write!(list, "\n  {}: {}", problem.place, problem.says);
            list
        });
    Failure::new(
        "mainstay::import::not-understood",
        format!("`{}` cannot be taken over as it is:{list}", text.name),
    )
    .help(format!("mend these places (or a copy of the file) and run `mainstay import {tool}` again; nothing was written"))
}

/// Passes the text through the formatter and the validation that every policy passes.
fn formatted_and_loaded(text: String, file: &Path) -> Result<(Policy, Loaded)> {
    let text = policy_schema::fmt(&text).unwrap_or(text);
    let source = policy_schema::Source {
        path: file.to_owned(),
        text,
    };
    let loaded = policy_schema::load(vec![source], &wiring::kinds());
    if let Some(policy) = loaded.policy.clone() {
        return Ok((policy, loaded));
    }
    let mut sources = findings::Sources::default();
    for source in &loaded.sources {
        let shown = loaded.shown_text(&source.path).unwrap_or_default();
        sources.add(&source.path, shown);
    }
    out::words(&findings::text(&loaded.findings, &sources, 100));
    let message = "what was found makes no valid policy; see above";
    Err(Failure::new("mainstay::import::invalid", message).help(
        "mend what the findings name in the configuration (or a copy of it); nothing was written",
    ))
}

fn save(file: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).open(file);
    new.and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()
    })
    .map_err(|error| unwritable(file, error))
}

fn unwritable(file: &Path, error: std::io::Error) -> Failure {
    let help = if error.kind() == std::io::ErrorKind::AlreadyExists {
        "name another file with `--out`; nothing is overwritten"
    } else {
        "check the folder"
    };
    Failure::from_error(
        "mainstay::import::write",
        Some(help.to_owned()),
        &Because(
            format!("cannot write `{}`", file.display()),
            Box::new(error),
        ),
    )
}
