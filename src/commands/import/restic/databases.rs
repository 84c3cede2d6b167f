//! What restic stores and forgets as databases of a policy: which `forget` a `backup` belongs to, and what the database is called.

use super::{
    backup::Backup,
    forget::{Forget, is_set},
};
use crate::commands::import::{
    engines,
    found::{Database, Fate, Found, Reading},
    keeps,
    shell::base,
    source::Text,
};
use planner::foreign::Rules;

/// A `backup` with the `forget` that looks at its snapshots; one of them may be missing.
pub(super) type Pair<'a> = (Option<&'a Backup>, Option<&'a Forget>);

/// Each backup with the `forget` of its tag, or else with that of all snapshots; then those that no backup belongs to.
pub(super) fn pairs<'a>(backups: &'a [Backup], forgets: &'a [Forget]) -> Vec<Pair<'a>> {
    let of_all = forgets.iter().find(|forget| forget.filters.is_empty());
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    for backup in backups {
        let tagged = forgets.iter().find(|forget| is_tagged(backup, forget));
        pairs.push((Some(backup), tagged.or(of_all)));
    }
    for forget in forgets {
        let used = pairs
            .iter()
            .any(|(_, used)| used.is_some_and(|used| std::ptr::eq(used, forget)));
        if !used {
            pairs.push((None, Some(forget)));
        }
    }
    pairs
}

fn is_tagged(backup: &Backup, forget: &Forget) -> bool {
    let mut filters = forget.filters.iter();
    filters.any(|filter| {
        filter.strip_prefix("--tag ").is_some_and(|tags| {
            tags.split(',')
                .any(|tag| backup.tags.iter().any(|one| one == tag))
        })
    })
}

/// The database of one pair.
pub(super) fn database(
    text: &Text,
    backup: &Backup,
    forget: Option<&Forget>,
    schedule: String,
    found: &Found,
    reading: &mut Reading,
) -> Database {
    let name = found.free_name(&wish(backup, forget), "files");
    let (keep, rules) = match forget.map(|forget| &forget.rules) {
        Some(rules) if is_set(rules) => (keeps::of_restic(rules), Rules::Restic(rules.clone())),
        _ => (keeps::FOREVER.to_owned(), Rules::Everything),
    };
    if let Some(line) = backup.excludes {
        let says =
            "patterns of restic are not those of `exclude`; write `exclude = [\"…\"]` yourself";
        reading.note(Some(text.at(line)), Fate::NotExpressed, "--exclude", says);
    }
    let table = table(&name, backup, reading);
    Database::of_one_series(name, table, schedule, &found.tiers, &keep, &rules)
}

/// What it might be called: after its dump, its tag or its first folder.
fn wish(backup: &Backup, forget: Option<&Forget>) -> String {
    let filter = forget.and_then(|forget| forget.filters.first());
    let tag = filter.and_then(|filter| filter.rsplit([' ', ',']).next());
    let wish = backup.dumps.as_deref();
    let wish = wish.or_else(|| backup.tags.first().map(String::as_str));
    let folder = || Some(base(backup.paths.first()?.trim_end_matches('/')));
    wish.or(tag).or_else(folder).unwrap_or_default().to_owned()
}

fn table(name: &str, backup: &Backup, reading: &mut Reading) -> Vec<String> {
    if backup.dumps.is_none() {
        return engines::files(&backup.paths, reading);
    }
    let variable = engines::url_variable(name);
    let says = format!(
        "Mainstay makes the dump itself: `engine = \"postgres\"`; put the connection URL into {variable}"
    );
    let setting = "pg_dump … | restic backup --stdin";
    reading.note(None, Fate::Changed, setting, says);
    let url = "postgres://host/database, kept out of this file";
    engines::postgres(&variable, url)
}
