//! Reads `[[check]]` and `[[exception]]`, and says what is wrong with them at its bytes.
//!
//! Not here: what they mean (`checks`).

use super::{CheckDeclaration, CheckId, ExceptionDeclaration, rule};
use crate::{
    meaning::{declared_help, read},
    policy::CheckSeverity,
    report::{Draft, Report},
    sections::Sections,
    shape::{At, Schema},
    tree::{Entry, Node, Place},
    written::{Language, WrittenCheck, WrittenException},
};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use model::{DatabaseName, Period};

/// The parameters that a check has.
fn parameters(id: CheckId) -> &'static [&'static str] {
    match id {
        CheckId::Rpo | CheckId::Rto => &[],
        CheckId::ThreeTwoOneOneZero => &[
            "copies",
            "count-source",
            "media",
            "off-site",
            "immutable",
            "errors",
        ],
        CheckId::KeyCustody => &["recipients"],
        CheckId::RestoreTestedWithin => &["within"],
        CheckId::Encryption => &["off-site-only"],
        CheckId::MinimumFrequency => &["every"],
        CheckId::MinimumRetention => &["keep-for"],
        CheckId::NewestWithin => &["age"],
        CheckId::MinimumLock => &["lock-for"],
    }
}

/// What to write when a parameter stands beside `id`, where it is no key.
pub(crate) fn misplaced_parameter(key: &str) -> Option<String> {
    let has = |id: &CheckId| parameters(*id).contains(&key);
    let id = CheckId::ALL.into_iter().find(has)?;
    Some(format!(
        "it is a parameter of check `{id}`: write `parameters = {{ {key} = … }}`"
    ))
}

/// Reads `[[check]]`.
pub(crate) fn read_checks(
    report: &mut Report<'_>,
    sections: &Sections,
    language: &Language,
) -> Vec<CheckDeclaration> {
    let mut all: Vec<(CheckDeclaration, Place)> = Vec::new();
    for node in readable(report, &sections.checks) {
        let written: WrittenCheck = read(report, node, Schema::of(&language.check), &[]);
        let Some(id) = written.id else {
            missing(report, node, "check", "id");
            continue;
        };
        let given = written.parameters.unwrap_or_default();
        check_parameters(report, node, id);
        let check = CheckDeclaration {
            id,
            severity: written.severity.unwrap_or(CheckSeverity::Error),
            scope: written.scope.unwrap_or_default(),
            rule: rule(id, &given),
            enabled: written.enabled.unwrap_or(true),
        };
        let place = node.get("id").map_or(node.place, |node| node.place);
        let same = |other: &&(CheckDeclaration, Place)| {
            (other.0.id, &other.0.scope) == (check.id, &check.scope)
        };
        if let Some((_, first)) = all.iter().find(same) {
            let draft = Draft::error(
                "policy::declared-twice",
                format!("check `{id}` is declared twice for the same scope"),
            )
            .at(place, "declared again here")
            .at(*first, "first declared here")
            .help("give one of them another `scope`, or join them");
            report.add(draft);
            continue;
        }
        all.push((check, place));
    }
    all.into_iter().map(|(check, _)| check).collect()
}

/// A parameter of another check would be read by nobody.
fn check_parameters(report: &mut Report<'_>, node: &Node, id: CheckId) {
    let written = node.get("parameters").and_then(|node| node.table());
    for entry in written.into_iter().flat_map(|table| &table.entries) {
        if report.wrong.contains(&entry.key_place) {
            continue;
        }
        if parameters(id).contains(&entry.key.as_str()) {
            check_not_zero(report, entry, id);
            continue;
        }
        let help = match parameters(id) {
            [] => "it has none; what is promised stands in `objective` of the database".to_owned(),
            own => format!("it has: {}", own.join(", ")),
        };
        let draft = Draft::error(
            "policy::no-effect",
            format!("check `{id}` has no parameter `{}`", entry.key),
        )
        .at(entry.key_place, "a parameter of another check")
        .help(help);
        report.add(draft);
    }
}

/// A minimum of nothing asks nothing, and nothing is made every no time; a lock of any length is what `minimum-lock` asks without its parameter.
fn check_not_zero(report: &mut Report<'_>, entry: &Entry, id: CheckId) {
    let zero = entry.node.text().and_then(|text| Period::parse(text).ok());
    if !id.sets_control() || !zero.is_some_and(Period::is_zero) {
        return;
    }
    let draft = Draft::error(
        "policy::zero-duration",
        format!("`{}` must not be zero", entry.key),
    )
    .at(entry.node.place, "zero")
    .help("leave the entry out where the default will do; `[[exception]]` accepts a failure, with an owner and an end");
    report.add(draft);
}

/// Reads `[[exception]]`.
pub(crate) fn read_exceptions(
    report: &mut Report<'_>,
    sections: &Sections,
    language: &Language,
    zone: &TimeZone,
) -> Vec<ExceptionDeclaration> {
    let mut all = Vec::new();
    for node in readable(report, &sections.exceptions) {
        all.extend(read_exception(report, node, sections, language, zone));
    }
    all
}

fn read_exception(
    report: &mut Report<'_>,
    node: &Node,
    sections: &Sections,
    language: &Language,
    zone: &TimeZone,
) -> Option<ExceptionDeclaration> {
    let before = report.len();
    let written: WrittenException = read(report, node, Schema::of(&language.exception), &[]);
    check_complete(report, node, &written);
    let database = written
        .database
        .and_then(|name| declared(report, node, &name, sections));
    let until = written
        .until
        // What the parser could not read is empty, and was reported.
        .filter(|text| !text.is_empty())
        .and_then(|text| read_until(report, node, &text, zone));
    if report.len() > before {
        return None;
    }
    Some(ExceptionDeclaration {
        check: written.check?,
        database,
        scope: written.scope.unwrap_or_default(),
        owner: written.owner?,
        why: written.why?,
        until: until?,
    })
}

/// An exception without an owner or an end would be the rule.
fn check_complete(report: &mut Report<'_>, node: &Node, written: &WrittenException) {
    let whom = written.database.is_some() || written.scope.is_some();
    for (key, there) in [
        ("check", written.check.is_some()),
        ("owner", written.owner.is_some()),
        ("why", written.why.is_some()),
        ("until", written.until.is_some()),
        ("database", whom),
    ] {
        if !there {
            missing(report, node, "exception", key);
        }
    }
    if let (Some(scope), Some(_)) = (node.get("scope"), node.get("database")) {
        let draft = Draft::error(
            "policy::no-effect",
            "an exception names a database, so its `scope` has no effect",
        )
        .at(scope.place, "not looked at")
        .help("write one of `database` and `scope`");
        report.add(draft);
    }
}

fn declared(
    report: &mut Report<'_>,
    node: &Node,
    name: &str,
    sections: &Sections,
) -> Option<DatabaseName> {
    if !sections.databases.contains_key(name) {
        let place = node.get("database").map_or(node.place, |node| node.place);
        let draft = Draft::error(
            "policy::undeclared-database",
            format!("database `{name}` is not declared"),
        )
        .at(place, "no [database.…] of this name")
        .help(declared_help(name, &sections.databases, "databases"));
        report.add(draft);
        return None;
    }
    DatabaseName::new(name).ok()
}

/// A day holds to its end; an instant is an instant.
fn read_until(
    report: &mut Report<'_>,
    node: &Node,
    text: &str,
    zone: &TimeZone,
) -> Option<Timestamp> {
    let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let until = match day {
        Some(day) => day
            .checked_add(1.day())
            .and_then(|next| next.to_zoned(zone.clone()))
            .map(|zoned| zoned.timestamp())
            .ok(),
        None => text.parse().ok(),
    };
    if until.is_none() {
        let place = node.get("until").map_or(node.place, |node| node.place);
        let draft = Draft::error("policy::bad-until", format!("`{text}` is no day"))
            .at(place, "neither a day nor an instant")
            .help("write the last day, as in `until = 2027-01-31`");
        report.add(draft);
    }
    until
}

/// Entries that were not rejected.
fn readable<'a>(report: &Report<'_>, entries: &'a [std::sync::Arc<Node>]) -> Vec<&'a Node> {
    entries
        .iter()
        .map(AsRef::as_ref)
        .filter(|node| node.table().is_some() && !report.wrong.contains(&node.place))
        .collect()
}

fn missing(report: &mut Report<'_>, node: &Node, section: &str, key: &str) {
    // What was written wrongly was reported there.
    if !node.holds_any(&report.wrong) || node.get(key).is_none() {
        crate::shape::missing(report, node, At::top(section), key);
    }
}
