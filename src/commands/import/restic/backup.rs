//! `restic backup`: what is stored, under which tags, and whether a dump is piped into it.

use super::VALUED;
use crate::commands::import::{
    found::{Place, Reading},
    options,
    shell::{Command, Word, base},
};

/// One `backup`.
#[derive(Debug, Default)]
pub(super) struct Backup {
    pub(super) paths: Vec<String>,
    pub(super) tags: Vec<String>,
    /// The name of the database whose dump it stores.
    pub(super) dumps: Option<String>,
    /// The line of the last `--exclude`.
    pub(super) excludes: Option<usize>,
    pub(super) schedule: Option<(String, usize)>,
    pub(super) repository: Option<(String, usize)>,
}

/// Reads the options; `piped_from` is the command whose output it stores.
pub(super) fn backup(
    command: &Command,
    arguments: &[Word],
    piped_from: Option<&Command>,
) -> Backup {
    let mut backup = Backup {
        schedule: command.schedule.clone(),
        ..Backup::default()
    };
    let stdin = options(arguments, &mut backup);
    if let Some(file) = stdin.filter(|_| piped_from.is_some_and(is_dump)) {
        let name = base(&file).split('.').next().unwrap_or_default();
        let name = if name.is_empty() { "database" } else { name };
        backup.dumps = Some(name.to_owned());
        backup.paths.clear();
    }
    backup
}

/// Fills the backup; returns what standard input shall be called, where that is stored.
fn options(arguments: &[Word], backup: &mut Backup) -> Option<String> {
    // What `backup` says has no part in retention: mistakes in it are restic's to report.
    let mut ignored = Reading::default();
    let mut stdin = None;
    let mut words = options::Options::new(arguments, &["-r", "-p", "-o", "-e"]);
    while let Some(option) = words.next() {
        let nowhere = Place::nowhere(option.line);
        let mut value = || words.value(&option, &nowhere, &mut ignored);
        match option.name.as_str() {
            "backup" => {}
            "--stdin" | "--stdin-from-command" => stdin = stdin.or(Some(String::new())),
            "--stdin-filename" => stdin = value(),
            "--tag" => {
                let tags = value();
                let tags = tags.iter().flat_map(|tags| tags.split(','));
                backup.tags.extend(tags.map(str::to_owned));
            }
            "-r" | "--repo" => backup.repository = value().map(|value| (value, option.line)),
            "--exclude-caches" => backup.excludes = Some(option.line),
            name if name == "-e"
                || name.starts_with("--exclude")
                || name.starts_with("--iexclude") =>
            {
                backup.excludes = Some(option.line);
                value();
            }
            name if VALUED.contains(&name) => {
                value();
            }
            name if name.starts_with('-') || option.is_open => {}
            path => backup.paths.push(path.to_owned()),
        }
    }
    stdin
}

fn is_dump(command: &Command) -> bool {
    let mut words = command.words.iter();
    words.any(|word| matches!(base(&word.text), "pg_dump" | "pg_dumpall"))
}
