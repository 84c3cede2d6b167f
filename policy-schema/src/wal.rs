//! Reads `wal`: who archives the log, where it stays and for how long; and whether that can ever bring a moment back.
//!
//! Log alone restores nothing: every window needs a base from which it is rolled forward. Not here: which pieces of log go
//! (`planner`), how they come (`executor`).

use crate::{
    archives::tier_place,
    keep::words,
    meaning,
    objective::gap,
    policy::{Objective, Series, TierDeclaration, WalDeclaration, WalMode},
    providers::EngineKind,
    recipients::Whole,
    report::{Draft, Report},
    sections::{Item, Sections},
    shape::At,
    tree::{Entry, Node, Place},
    written::{WrittenWal, WrittenWalMode},
};
use jiff::{SignedDuration, tz::TimeZone};
use model::{ByteCount, MethodName, Period, SeriesName, TierName};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

/// Reads `wal` of a database, a profile or the defaults; `None` when nothing would be archived.
pub(crate) fn read_wal(
    report: &mut Report<'_>,
    database: &Node,
    at: At<'_>,
    written: &WrittenWal,
    sections: &Sections,
    engine: Option<&EngineKind>,
) -> Option<WalDeclaration> {
    let node = database.get("wal")?;
    node.table()?;
    let here = at.key("wal");
    if engine.is_some_and(|engine| engine.rolls_forward.is_empty()) {
        let place = database.get("engine").map(|engine| engine.place);
        let draft = Draft::error(
            "policy::no-log",
            format!("`{here}`: this engine has no log that could be archived"),
        )
        .at(node.place, "an archive of the log")
        .help("remove it; a series that runs more often loses less");
        let draft = place.into_iter().fold(draft, |draft, place| {
            draft.at(place, "an engine without a log")
        });
        report.add_each(draft, &at.to_string());
        return None;
    }
    let mode = match written.mode {
        Some(WrittenWalMode::Stream) => WalMode::Stream,
        Some(WrittenWalMode::Archive) | None => WalMode::Archive,
    };
    check_slot(report, node, here, written.slot.as_deref(), mode);
    if let (Some(limit), None) = (node.get("spool-limit"), node.get("spool")) {
        let draft = Draft::warning(
            "policy::no-effect",
            format!("`{here}.spool-limit` has no effect without a spool"),
        )
        .at(limit.place, "nothing waits here")
        .help("add `spool = \"spool\"`, or remove this");
        report.add(draft);
    }
    let limit = written.spool_limit.as_deref();
    let limit = limit.and_then(|text| ByteCount::parse(text).ok());
    Some(WalDeclaration {
        mode,
        bases: Vec::new(),
        keep: read_keep(report, node, here, written, sections),
        slot: written.slot.clone().unwrap_or_default(),
        compression_level: written.compression_level.unwrap_or(1),
        parallel: written.parallel.unwrap_or(4),
        spool: written.spool.as_ref().map(PathBuf::from),
        spool_limit: limit.unwrap_or(ByteCount(1 << 30)),
    })
}

impl WalDeclaration {
    /// With the series that it rolls forward, and the slot that a database of this name has unless another is given.
    pub(crate) fn of<'s>(
        mut self,
        database: &str,
        bases: impl Iterator<Item = &'s Series>,
    ) -> Self {
        self.bases = bases.map(|series| series.name.clone()).collect();
        if self.slot.is_empty() {
            // A slot's name has no hyphens and 63 characters at most.
            let name = format!("mainstay_{}", database.replace('-', "_"));
            self.slot = name.chars().take(63).collect();
        }
        self
    }
}

fn check_slot(report: &mut Report<'_>, node: &Node, at: At<'_>, slot: Option<&str>, mode: WalMode) {
    let (Some(slot), Some(place)) = (slot, node.get("slot").map(|node| node.place)) else {
        return;
    };
    if mode == WalMode::Archive {
        let draft = Draft::warning(
            "policy::no-effect",
            format!("`{at}.slot` has no effect: the server's `archive_command` uses no slot"),
        )
        .at(place, "only of a stream")
        .help("write `mode = \"stream\"`, or remove this");
        return report.add(draft);
    }
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if slot.len() > 63 || !slot.chars().all(fine) {
        let draft = Draft::error(
            "policy::bad-name",
            format!("`{slot}` is not a valid name of a replication slot"),
        )
        .at(place, "this name")
        .help("use lower-case letters, digits and `_`, 63 at most");
        report.add(draft);
    }
}

fn read_keep(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    written: &WrittenWal,
    sections: &Sections,
) -> Vec<(TierName, Period)> {
    let entries = node
        .get("keep")
        .and_then(|keep| keep.table())
        .map(|table| table.entries.as_slice())
        .unwrap_or_default();
    let mut keep = Vec::new();
    for entry in entries {
        if !sections.tiers.contains_key(&entry.key) {
            let draft = Draft::error(
                "policy::undeclared-tier",
                format!("tier `{}` is not declared", entry.key),
            )
            .at(entry.key_place, "no [tier.…] of this name")
            .help(meaning::declared_help(&entry.key, &sections.tiers, "tiers"));
            report.add(draft);
        }
        let window = written.keep.as_ref().and_then(|keep| keep.get(&entry.key));
        let Some(window) = window.copied() else {
            continue;
        };
        if window.is_zero() {
            let draft = Draft::error(
                "policy::keep-never-holds",
                format!("`{at}.keep.{}` holds nothing", entry.key),
            )
            .at(entry.node.place, "zero")
            .help("give a window such as \"14d\"");
            report.add(draft);
        }
        keep.extend(TierName::new(&entry.key).ok().map(|tier| (tier, window)));
    }
    keep
}

/// What an archive of the log must know of the rest of its database.
pub(crate) struct Surroundings<'a> {
    pub(crate) objective: &'a Objective,
    pub(crate) series: &'a BTreeMap<SeriesName, Series>,
    /// Declared tiers.
    pub(crate) tiers: &'a BTreeMap<String, Item>,
    /// Where the rhythm of each series is written.
    pub(crate) places: &'a BTreeMap<SeriesName, Place>,
    /// Methods whose points are rolled forward over a log.
    pub(crate) rolls_forward: &'a [MethodName],
    pub(crate) zone: &'a TimeZone,
}

/// Checks the archive of a log together with the rest of its database.
pub(crate) fn check_wal(
    report: &mut Report<'_>,
    database: &Node,
    at: At<'_>,
    wal: Option<&WalDeclaration>,
    around: &Surroundings<'_>,
    gaps: &mut HashMap<String, SignedDuration>,
) {
    let (Some(wal), Some(node)) = (wal, database.get("wal")) else {
        return;
    };
    let here = at.key("wal");
    if wal.keep.is_empty() && !node.holds_any(&report.wrong) {
        let draft = Draft::error("policy::empty-keep", format!("`{here}` keeps nothing"))
            .at(node.place, "no tier keeps the log")
            .help("name a tier and a window, as in `keep.nas = \"14d\"`");
        report.add_absence(draft, "keep");
        return;
    }
    if wal.spool.is_some() && around.objective.rpo.is_none() {
        let place = node.get("spool").map_or(node.place, |node| node.place);
        let draft = Draft::warning(
            "policy::no-effect",
            format!("`{here}.spool` has no effect: no largest loss is promised that would allow it"),
        )
        .at(place, "files never wait here")
        .help("what waits in a spool is on this machine only: declare `objective = { rpo = \"…\" }`, which limits for how long");
        report.add(draft);
    }
    // A series that could not be read might have been the base.
    let written = database.get("series").and_then(|list| list.list());
    if written.is_some_and(|list| list.len() != around.series.len()) {
        return;
    }
    let bases: Vec<&Series> = around
        .series
        .values()
        .filter(|series| around.rolls_forward.contains(&series.method))
        .collect();
    if bases.is_empty() {
        let methods: Vec<&str> = around
            .rolls_forward
            .iter()
            .map(MethodName::as_str)
            .collect();
        let methods = methods.join("\"` or `method = \"");
        let draft = Draft::error(
            "policy::log-without-base",
            format!("the archived log of `{at}` has nothing to start from"),
        )
        .at(node.place, "log alone restores nothing")
        .help(format!("add a series with `method = \"{methods}\"`"));
        report.add_each(draft, &at.to_string());
        return;
    }
    check_bases(report, node, here, wal, &bases, around, gaps);
}

fn check_bases(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    wal: &WalDeclaration,
    bases: &[&Series],
    around: &Surroundings<'_>,
    gaps: &mut HashMap<String, SignedDuration>,
) {
    let names: Vec<String> = bases.iter().map(|one| format!("`{}`", one.name)).collect();
    for (tier, window) in &wal.keep {
        let Some(entry) = node
            .get("keep")
            .and_then(|keep| keep.table()?.entry(tier.as_str()))
            .filter(|_| !window.is_zero() && around.tiers.contains_key(tier.as_str()))
        else {
            continue;
        };
        let here: Vec<&&Series> = bases
            .iter()
            .filter(|series| series.keep.iter().any(|(kept, _)| kept == tier))
            .collect();
        if here.is_empty() {
            let draft = Draft::warning(
                "policy::log-tier-without-base",
                format!("tier `{tier}` keeps log, but no base backup to start from: alone it restores nothing"),
            )
            .at(entry.key_place, "log only")
            .help(format!(
                "add `keep.{tier}` to a series of base backups ({})",
                names.join(", ")
            ));
            report.add_each(draft, &at.to_string());
            continue;
        }
        let often = here
            .iter()
            .map(|series| (gap(series, around.zone, gaps), &series.name))
            .min();
        let Some((gap, series)) = often else { continue };
        if window.approximate() < gap {
            let draft = Draft::warning(
                "policy::window-below-base-gap",
                format!("`{at}.keep.{tier}` is shorter than the time between two base backups"),
            )
            .at(entry.node.place, format!("any moment of {window}"));
            let draft = around
                .places
                .get(series)
                .into_iter()
                .fold(draft, |draft, place| {
                    let text = format!("base backups of `{series}` are up to {} apart", words(gap));
                    draft.at(*place, text)
                });
            let whole = gap.saturating_add(window.approximate());
            report.add_each(
                draft.help(format!(
                    "such a window needs up to {} of log, and as much is replayed: make base backups more often, or keep the window longer",
                    words(whole)
                )),
                &at.to_string(),
            );
        }
    }
}

/// Checks, in a whole policy, that log lies where it can be read at once and deleted without paying for it on.
pub(crate) fn check_log_tiers(
    report: &mut Report<'_>,
    whole: &Whole<'_>,
    tiers: &BTreeMap<TierName, TierDeclaration>,
) {
    for (database, node) in whole.databases() {
        for (tier, window) in database.wal.iter().flat_map(|wal| &wal.keep) {
            let entry = log_entry(node, tier);
            let (Some(tier), Some(entry)) = (tiers.get(tier), entry) else {
                continue;
            };
            let class = tier_place(whole, tier, &["storage-class"]);
            if tier.capabilities.needs_thaw() {
                let draft = Draft::error(
                    "policy::log-in-archive",
                    format!("tier `{}` must be thawed before it can be read, so no recovery could use log that lies there", tier.name),
                )
                .at(entry.key_place, "log in an archive")
                .at(class, format!("tier `{}`", tier.name))
                .help("a recovery asks for thousands of small files, one after the other: keep log in a class that is read at once, such as `standard`");
                report.add(draft);
                continue;
            }
            let paid = i64::from(tier.capabilities.minimum_storage_days);
            let stays = window.approximate().as_hours() / 24;
            if stays < paid && !window.is_zero() {
                let draft = Draft::warning(
                    "policy::early-deletion",
                    format!(
                        "log is deleted from tier `{}` while it is paid for longer",
                        tier.name
                    ),
                )
                .at(entry.node.place, format!("log goes after {window}"))
                .at(
                    class,
                    format!("every object is paid for {paid} days at least"),
                )
                .help("keep log in the class `standard`, or for longer");
                report.add(draft);
            }
        }
    }
}

/// `wal.keep.<tier>` of a database.
pub(crate) fn log_entry<'n>(database: &'n Node, tier: &TierName) -> Option<&'n Entry> {
    let keep = database.at(&["wal", "keep"])?;
    keep.table()?.entry(tier.as_str())
}
