//! restic: `restic forget …` in a shell script, a crontab or a systemd unit, and `restic backup …` beside it.
//!
//! Here the two are found and brought together; what their options say is read in `forget` and `backup`.

mod backup;
mod databases;
mod forget;

use super::{
    found::{Fate, Found, Reading},
    repository,
    schedule::Schedules,
    shell::{self, Command, Script},
    source::{self, Text},
};
use crate::failure::Result;
use backup::Backup;
use forget::Forget;

/// Options with a value that have no part in retention.
const VALUED: [&str; 45] = [
    "-r",
    "--repo",
    "--repository-file",
    "-p",
    "--password-file",
    "--password-command",
    "-o",
    "--option",
    "--cache-dir",
    "--cacert",
    "--tls-client-cert",
    "--limit-upload",
    "--limit-download",
    "--key-hint",
    "--pack-size",
    "--compression",
    "--retry-lock",
    "--http-user-agent",
    "--stuck-request-timeout",
    "-e",
    "--exclude",
    "--iexclude",
    "--exclude-file",
    "--iexclude-file",
    "--exclude-larger-than",
    "--exclude-if-present",
    "--files-from",
    "--files-from-verbatim",
    "--files-from-raw",
    "--parent",
    "--time",
    "--stdin-filename",
    "--read-concurrency",
    "--max-unused",
    "--max-repack-size",
    "--repack-uncompressed-size",
    "--group-by",
    "-g",
    "--tag",
    "--host",
    "-H",
    "--hostname",
    "--path",
    "--verbose-level",
    "--keep-tag",
];

pub(crate) fn read(text: &Text, schedules: &Schedules, reading: &mut Reading) -> Result<Found> {
    let script = shell::read(&text.text);
    let (mut forgets, backups) = runs(text, &script, reading);
    if forgets.is_empty() && backups.is_empty() && reading.problems.is_empty() {
        return Err(source::nothing(
            text,
            "no `restic forget` and no `restic backup`",
            "name the shell script, crontab or systemd unit that runs `restic forget --keep-…`; of resticprofile or autorestic, save the command that they show (`resticprofile --dry-run forget`) and name that",
        ));
    }
    conflicts(text, &mut forgets, reading);
    let named = forgets.iter().find_map(|one| one.repository.clone());
    let named = named.or_else(|| backups.iter().find_map(|one| one.repository.clone()));
    let repository = named.or_else(|| script.variable("RESTIC_REPOSITORY"));
    let mut found = repository::only(text, repository.as_ref(), reading);
    found
        .remarks
        .push("restic encrypts whatever it stores, so this policy does too.".to_owned());
    if forgets.is_empty() {
        let says =
            "no `restic forget` was found: restic keeps everything, and so does `forever = true`";
        reading.note(None, Fate::Assumed, "retention", says);
    }
    let unknown = Backup::default();
    for (backup, forget) in databases::pairs(&backups, &forgets) {
        let backup = backup.unwrap_or(&unknown);
        let schedule = backup.schedule.clone();
        let schedule = schedule.or_else(|| forget.and_then(|forget| forget.schedule.clone()));
        let schedule = schedules.of(reading, text, "restic", schedule, &script.on_calendar);
        let database = databases::database(text, backup, forget, schedule, &found, reading);
        found.databases.push(database);
    }
    Ok(found)
}

/// Every `forget` and every `backup`, in the order of the script.
fn runs(text: &Text, script: &Script, reading: &mut Reading) -> (Vec<Forget>, Vec<Backup>) {
    let runs = shell::runs_of(script, "restic");
    let (mut forgets, mut backups) = (Vec::new(), Vec::new());
    let mut before: Option<&Command> = None;
    for command in &script.commands {
        let piped_from = before.filter(|before| before.piped);
        before = Some(command);
        let Some((_, arguments)) = runs.iter().find(|(one, _)| std::ptr::eq(*one, command)) else {
            continue;
        };
        let verb = arguments
            .iter()
            .position(|word| matches!(word.text.as_str(), "forget" | "backup"));
        let Some(verb) = verb else { continue };
        if arguments[verb].text == "forget" {
            forgets.extend(forget::forget(text, command, arguments, verb, reading));
        } else {
            backups.push(backup::backup(command, arguments, piped_from));
        }
    }
    (forgets, backups)
}

/// Two that look at the same snapshots: what one keeps the other may delete.
fn conflicts(text: &Text, forgets: &mut Vec<Forget>, reading: &mut Reading) {
    let mut different: Vec<Forget> = Vec::new();
    for forget in forgets.drain(..) {
        let same = different
            .iter()
            .find(|one| one.filters == forget.filters && one.repository == forget.repository);
        match same {
            Some(first) if first.rules != forget.rules => reading.problem(
                forget.place.clone(),
                format!(
                    "this `restic forget` looks at the same snapshots as {} and keeps others: both together keep only what both keep; leave one of them",
                    text.at(first.place.line)
                ),
            ),
            Some(_) => {}
            None => different.push(forget),
        }
    }
    *forgets = different;
}
