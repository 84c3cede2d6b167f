//! borg: `borg prune …` and `borg create …` in a shell script, a crontab or a systemd unit. The rules are shared with borgmatic.
//!
//! Here the commands are found and brought together; what their options say is read in `prune`, what a rule keeps in `rules`.

mod prune;
pub(crate) mod rules;

use super::{
    borgmatic, engines,
    found::{Database, Fate, Found, Reading},
    repository,
    schedule::{Schedules, When},
    shell::{self, Script, base},
    source::{self, Text},
};
use crate::failure::Result;
use prune::Prune;

/// What the commands of a script say.
#[derive(Default)]
struct Commands {
    prunes: Vec<Prune>,
    /// What `create` stores, and where.
    sources: Vec<String>,
    repository: Option<(String, usize)>,
    /// Of the first command that has one.
    schedule: Option<(String, usize)>,
    /// There is a `prune` or a `create`.
    is_any: bool,
}

pub(crate) fn read(
    text: &Text,
    schedules: &Schedules,
    when: &When,
    reading: &mut Reading,
) -> Result<Found> {
    let is_yaml = [".yaml", ".yml"].iter().any(|end| text.name.ends_with(end));
    if is_yaml {
        return borgmatic::read(text, schedules, when, reading);
    }
    let script = shell::read(&text.text);
    let mut commands = commands(text, &script, reading);
    if !commands.is_any && reading.problems.is_empty() {
        return Err(source::nothing(
            text,
            "no `borg prune` and no `borg create`",
            "name the script that runs `borg prune --keep-…`, or borgmatic's config.yaml",
        ));
    }
    let mut prunes = commands.prunes.iter();
    let repository = prunes.find_map(|one| one.repository.clone());
    let repository = repository.or_else(|| commands.repository.clone());
    let repository = repository.or_else(|| script.variable("BORG_REPO"));
    let mut found = repository::only(text, repository.as_ref(), reading);
    if commands.prunes.is_empty() {
        let says = "no `borg prune` was found: borg keeps everything, and so does `forever = true`";
        reading.note(None, Fate::Assumed, "retention", says);
        commands.prunes.push(Prune::at(text.at(1), None));
    }
    for prune in different(&commands.prunes, reading) {
        let own = prune.schedule.clone();
        let own = own.or_else(|| commands.schedule.clone());
        let schedule = schedules.of(reading, text, "borg", own, &script.on_calendar);
        let database = database(prune, &commands.sources, schedule, when, &found, reading);
        found.databases.push(database);
    }
    Ok(found)
}

fn commands(text: &Text, script: &Script, reading: &mut Reading) -> Commands {
    let mut all = Commands::default();
    for (command, arguments) in shell::runs_of(script, "borg") {
        let verb = arguments
            .iter()
            .position(|word| matches!(word.text.as_str(), "prune" | "create"));
        let Some(verb) = verb else { continue };
        all.is_any = true;
        let schedule = command.schedule.clone();
        if arguments[verb].text == "prune" {
            let prune = prune::prune(text, arguments, verb, schedule.clone(), reading);
            all.prunes.push(prune);
        } else {
            let (archive, paths) = prune::create(arguments);
            all.sources.extend(paths);
            all.repository = all.repository.or(archive);
        }
        all.schedule = all.schedule.or(schedule);
    }
    all
}

/// Those that look at archives of their own; what one of two keeps the other may delete.
fn different<'p>(prunes: &'p [Prune], reading: &mut Reading) -> Vec<&'p Prune> {
    let mut different: Vec<&Prune> = Vec::new();
    for prune in prunes {
        let same = different
            .iter()
            .find(|one| one.archives == prune.archives && one.repository == prune.repository);
        match same {
            Some(first) if first.rules != prune.rules => reading.problem(
                prune.place.clone(),
                format!("this `borg prune` looks at the same archives as {} and keeps others: both together keep only what both keep; leave one of them", first.place),
            ),
            Some(_) => {}
            None => different.push(prune),
        }
    }
    different
}

fn database(
    prune: &Prune,
    sources: &[String],
    schedule: String,
    when: &When,
    found: &Found,
    reading: &mut Reading,
) -> Database {
    let archives = prune.archives.as_deref();
    let wish = archives
        .map(|glob| glob.trim_end_matches('*'))
        .filter(|glob| !glob.contains(['{', '$']));
    let folder = || Some(base(sources.first()?.trim_end_matches('/')));
    let name = found.free_name(wish.or_else(folder).unwrap_or_default(), "files");
    let table = engines::files(sources, reading);
    let (keep, rules) = rules::keep(&prune.rules, &schedule, when, &prune.place, reading);
    Database::of_one_series(name, table, schedule, &found.tiers, &keep, &rules)
}
