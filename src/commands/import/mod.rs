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
use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path};

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
    let when = When {
        zone,
        from: arguments.now.unwrap_or_else(clock::now),
    };
    let schedules = schedules(arguments)?;
    let found = find(arguments, &text, &schedules, &when, &mut reading)?;
    if !reading.problems.is_empty() {
        return Err(not_understood(tool, &text, &reading));
    }
    reading.sort();
    let import = Import {
        arguments,
        config: &text.name,
        zone: &zone_name,
        found,
        reading,
    };
    let (proofs, loaded, until) = import.prove(&when)?;
    let policy = (loaded.sources.first()).map_or("", |source| source.text.as_str());
    if let Some(file) = &arguments.out {
        save(file, policy)?;
    }
    let report = render::Report {
        tool,
        config: &text.name,
        policy,
        notes: &import.reading.notes,
        proofs: &proofs,
        findings: &loaded.findings,
        from: when.from,
        until,
    };
    if global.json {
        out::json(&render::json(&report))?;
    } else {
        show(&report, arguments)?;
    }
    let fewer = proofs
        .iter()
        .any(|proof| !proof.pointers && !proof.comparison.never_fewer());
    Ok(if fewer {
        Exit::NeedsApproval
    } else {
        Exit::Done
    })
}

/// A configuration that was understood.
struct Import<'a> {
    arguments: &'a ImportArguments,
    config: &'a str,
    zone: &'a str,
    found: Found,
    reading: Reading,
}

impl Import<'_> {
    /// Lets the tool and the policy run side by side, and writes what came of it into the policy; also returns until when they ran.
    fn prove(&self, when: &When) -> Result<(Vec<proof::Proof>, Loaded, Timestamp)> {
        let years = self.arguments.years;
        let (policy, _) = self.policy(&[])?;
        let until = when
            .from
            .to_zoned(when.zone.clone())
            .checked_add(i64::from(years).years())
            .map_or(Timestamp::MAX, |end| end.timestamp());
        let proofs = proof::prove(&self.found, &policy, when.from, until);
        let tool = self.arguments.tool.name();
        let words: Vec<String> = proofs
            .iter()
            .map(|proof| render::in_one_line(tool, proof, years))
            .collect();
        let (_, loaded) = self.policy(&words)?;
        Ok((proofs, loaded, until))
    }

    /// The policy, with what was proved of it in its header.
    fn policy(&self, proof: &[String]) -> Result<(Policy, Loaded)> {
        let heading = write::Heading {
            tool: self.arguments.tool.name(),
            config: self.config,
            zone: self.zone,
            proof,
        };
        let text = write::policy(&self.found, &self.reading.notes, &heading);
        let fallback = Path::new("mainstay.toml");
        let file = self.arguments.out.as_deref().unwrap_or(fallback);
        formatted_and_loaded(text, file)
    }
}

/// The policy goes to standard output, unless a file was named for it; the rest is words.
fn show(report: &render::Report<'_>, arguments: &ImportArguments) -> Result<()> {
    if arguments.out.is_none() {
        out::data(report.policy)?;
    }
    out::words(&render::text(
        report.tool,
        report.notes,
        report.proofs,
        report.from,
        arguments.years,
    ));
    if !report.findings.is_empty() {
        out::words(&render::findings(report.findings));
    }
    if let Some(file) = &arguments.out {
        let file = file.display();
        out::words(&format!(
            "\nWrote {file}. Read it, then: mainstay validate -p {file} && mainstay plan -p {file}\n"
        ));
    }
    Ok(())
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
