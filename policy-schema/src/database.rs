//! Reads one database table, with everything inherited, into its declaration.
//!
//! Not here: series (`series`), retention (`keep`), drills (`drill`), the archive of the log (`wal`), whether schedules can keep promises (`objective`).

use crate::{
    drill::{check_drills, read_drills},
    inherit::series_name,
    meaning::{self, base_of, foreign_table, provider_findings, read, strangers, walk_shared},
    objective,
    policy::{Assertion, DatabaseDeclaration, Expect, Series},
    providers::{EngineKind, ProviderKinds},
    report::{Draft, Report, near},
    sections::Sections,
    series::{Schedules, SeriesContext, read_series},
    shape::{self, At, Schema},
    tree::{Node, Place},
    wal::{Surroundings, check_wal, read_wal},
    written::{Language, WrittenAssertion, WrittenDatabase},
};
use jiff::{SignedDuration, tz::TimeZone};
use model::{DatabaseName, KeyName, SeriesName};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

/// Reads databases one after the other; remembers what equal schedules have in common.
pub(crate) struct DatabaseReader<'a> {
    language: &'a Language,
    kinds: &'a ProviderKinds,
    sections: &'a Sections,
    timezone: TimeZone,
    /// Largest gap by schedule: thousands of databases share a few schedules.
    gaps: HashMap<String, SignedDuration>,
    schedules: Schedules,
}

impl<'a> DatabaseReader<'a> {
    pub(crate) fn new(
        language: &'a Language,
        kinds: &'a ProviderKinds,
        sections: &'a Sections,
        timezone: TimeZone,
    ) -> Self {
        Self {
            language,
            kinds,
            sections,
            timezone,
            gaps: HashMap::new(),
            schedules: Schedules::default(),
        }
    }

    /// Checks a profile or the defaults, which need not be complete and may be used by nobody.
    pub(crate) fn check_inheritable(&mut self, report: &mut Report<'_>, node: &Node, at: At<'_>) {
        let engine = self.check_shape(report, node, at);
        let own = Schema::of(&self.language.database);
        let written: WrittenDatabase = read(report, node, own, &["series"]);
        self.encrypt_with(report, node);
        objective::read_objective(report, node, written.objective.as_ref());
        objective::read_declared_restore(report, node, written.declared_restore);
        assertions(report, node, at, written.assert.unwrap_or_default());
        let drill = written.drill.unwrap_or_default();
        read_drills(report, node, at, drill, self.sections, &mut self.schedules);
        let engine_kind = engine.map(|(_, kind)| kind);
        if let Some(wal) = &written.wal {
            read_wal(report, node, at, wal, self.sections, engine_kind);
        }
        let context = SeriesContext {
            language: self.language,
            sections: self.sections,
            engine: engine.map(|(_, kind)| kind),
            at,
            database: "",
            partial: true,
            base: Path::new(""),
            timezone: &self.timezone.clone(),
        };
        for (_, item) in readable_items(report, node, "series") {
            read_series(report, &item, &context, &mut self.schedules);
        }
    }

    /// Checks the form of a database table and gives its engine, if that is known.
    fn check_shape(
        &mut self,
        report: &mut Report<'_>,
        node: &Node,
        at: At<'_>,
    ) -> Option<(&'a str, &'a EngineKind)> {
        node.table()?;
        let mut alien = false;
        let engine = node.get("engine").and_then(|engine| {
            let text = engine.text()?;
            let found = self.kinds.engines.get_key_value(text);
            if found.is_none() {
                let known: Vec<&str> = self.kinds.engines.keys().map(String::as_str).collect();
                alien = near(text, known.iter().copied()).is_none();
                shape::unknown_value(report, engine, at.key("engine"), text, &known);
            }
            found.map(|(name, kind)| (name.as_str(), kind))
        });
        let engines: Vec<&EngineKind> = match engine {
            Some((_, kind)) => vec![kind],
            None => self.kinds.engines.values().collect(),
        };
        let foreign: Vec<Schema<'_>> = engines
            .iter()
            .map(|kind| Schema::of(&kind.database_schema))
            .collect();
        let own = Schema::of(&self.language.database);
        let mut skip = vec!["series"];
        if alien {
            skip.extend(strangers(node, own, &foreign));
        }
        walk_shared(report, node, at, own, &foreign, &skip);
        let series = at.key("series");
        let Some(list) = node.get("series") else {
            return engine;
        };
        if let Some(items) = list.list() {
            for (index, item) in items.iter().enumerate() {
                match series_name(item) {
                    Some(name) => {
                        self.check_series_shape(report, item, series.key(name), &engines, alien);
                    }
                    None => {
                        self.check_series_shape(report, item, series.item(index), &engines, alien);
                    }
                }
            }
        } else if let Some(property) = own.property("series") {
            shape::walk(report, list, series, property);
        }
        engine
    }

    fn check_series_shape(
        &self,
        report: &mut Report<'_>,
        node: &Node,
        at: At<'_>,
        engines: &[&EngineKind],
        alien: bool,
    ) {
        if node.table().is_none() {
            shape::walk(report, node, at, Schema::of(&self.language.series));
            return;
        }
        let method = node
            .get("method")
            .and_then(|method| Some((method, method.text()?)));
        let mut foreign = Vec::new();
        for engine in engines {
            match method {
                Some((_, name)) => foreign.extend(engine.methods.get(name).map(Schema::of)),
                None if engines.len() == 1 => {
                    foreign.extend(engine.methods.get(&engine.default_method).map(Schema::of));
                }
                None => foreign.extend(engine.methods.values().map(Schema::of)),
            }
        }
        if let Some((method, name)) = method
            && foreign.is_empty()
        {
            let mut known: Vec<&str> = engines
                .iter()
                .flat_map(|engine| engine.methods.keys().map(model::MethodName::as_str))
                .collect();
            known.sort_unstable();
            known.dedup();
            if !alien {
                shape::unknown_value(report, method, at.key("method"), name, &known);
            }
            foreign.extend(
                engines
                    .iter()
                    .flat_map(|engine| engine.methods.values().map(Schema::of)),
            );
        }
        let own = Schema::of(&self.language.series);
        let skip = if alien {
            strangers(node, own, &foreign)
        } else {
            Vec::new()
        };
        walk_shared(report, node, at, own, &foreign, &skip);
    }

    /// Reads a database.
    pub(crate) fn database(
        &mut self,
        report: &mut Report<'_>,
        name: &str,
        key_place: Place,
        node: &Node,
    ) -> Option<DatabaseDeclaration> {
        let top = At::top("database");
        let at = top.key(name);
        let valid = meaning::check_name(report, "database", name, key_place);
        node.table()?;
        let before = report.len();
        let engine = self.check_shape(report, node, at);
        if node.get("engine").is_none() {
            shape::missing(report, node, at, "engine");
        }
        let own = Schema::of(&self.language.database);
        let written: WrittenDatabase = read(report, node, own, &["series"]);
        let table = foreign_table(report, node, own);
        let base = base_of(report, key_place);
        if let Some((_, kind)) = engine {
            shape::check_required(report, node, at, Schema::of(&kind.database_schema));
            if report.len() == before {
                provider_findings(report, node, (kind.check_database)(&table, &base));
            }
        }
        let encrypt_with = self.encrypt_with(report, node);
        let objective = objective::read_objective(report, node, written.objective.as_ref());
        let declared_restore =
            objective::read_declared_restore(report, node, written.declared_restore);
        let asserts = assertions(report, node, at, written.assert.unwrap_or_default());
        let (series, places) = self.series(
            report,
            name,
            key_place,
            node,
            engine.map(|(_, kind)| kind),
            &base,
        );
        let wal = written.wal.as_ref().and_then(|wal| {
            let kind = engine.map(|(_, kind)| kind);
            let wal = read_wal(report, node, at, wal, self.sections, kind)?;
            let bases = series.values().filter(|series| {
                kind.is_some_and(|kind| kind.rolls_forward.contains(&series.method))
            });
            Some(wal.of(name, bases))
        });
        // Between two points the log carries every commit: then no schedule, but the lag of the archive is the loss.
        if node.get("wal").is_none() {
            objective::check_rpo(
                report,
                node,
                &objective,
                &series,
                &places,
                &self.timezone,
                &mut self.gaps,
            );
        }
        let drills = read_drills(
            report,
            node,
            at,
            written.drill.unwrap_or_default(),
            self.sections,
            &mut self.schedules,
        );
        let (engine, kind) = engine?;
        let surroundings = Surroundings {
            objective: &objective,
            series: &series,
            tiers: &self.sections.tiers,
            places: &places,
            rolls_forward: &kind.rolls_forward,
            zone: &self.timezone,
        };
        check_wal(
            report,
            node,
            at,
            wal.as_ref(),
            &surroundings,
            &mut self.gaps,
        );
        check_drills(report, node, at, &drills, wal.as_ref());
        if !valid {
            return None;
        }
        Some(DatabaseDeclaration {
            name: DatabaseName::new(name).ok()?,
            engine: engine.to_owned(),
            table,
            base,
            labels: written.labels.unwrap_or_default(),
            objective,
            encrypt_with,
            asserts,
            series,
            drills,
            wal,
            declared_restore,
        })
    }

    fn encrypt_with(&self, report: &mut Report<'_>, node: &Node) -> Vec<KeyName> {
        let Some(items) = node.get("encrypt-with").and_then(|list| list.list()) else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        for item in items {
            let Some(name) = item.text() else { continue };
            if !self.sections.keys.contains_key(name) {
                let draft = Draft::error(
                    "policy::undeclared-key",
                    format!("key `{name}` is not declared"),
                )
                .at(item.place, "no [key.…] of this name")
                .help(meaning::declared_help(name, &self.sections.keys, "keys"));
                report.reject(item.place, draft);
            } else if let Ok(key) = KeyName::new(name)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        keys
    }

    fn series(
        &mut self,
        report: &mut Report<'_>,
        database: &str,
        key_place: Place,
        node: &Node,
        engine: Option<&EngineKind>,
        base: &Path,
    ) -> (BTreeMap<SeriesName, Series>, BTreeMap<SeriesName, Place>) {
        let (mut all, mut places) = (BTreeMap::new(), BTreeMap::new());
        let mut names: BTreeMap<String, Place> = BTreeMap::new();
        let list = node.get("series");
        let items = list.and_then(|list| list.list()).unwrap_or_default();
        if items.is_empty() && !list.is_some_and(|list| report.wrong.contains(&list.place)) {
            let draft = Draft::warning(
                "policy::no-series",
                format!("database `{database}` declares no series, so nothing is backed up"),
            )
            .at(key_place, "no series here or in its profiles")
            .help(format!(
                "add `[[database.{database}.series]]` with a name, a schedule and a keep"
            ));
            report.add_absence(draft, "series");
        }
        let top = At::top("database");
        let context = SeriesContext {
            language: self.language,
            sections: self.sections,
            engine,
            at: top.key(database),
            database,
            partial: false,
            base,
            timezone: &self.timezone.clone(),
        };
        for item in items {
            if let Some(name) = item.get("name")
                && let Some(text) = name.text()
            {
                if let Some(first) = names.get(text) {
                    let draft = Draft::error(
                        "policy::declared-twice",
                        format!("series `{text}` is declared twice in database `{database}`"),
                    )
                    .at(name.place, "declared again here")
                    .at(*first, "first declared here");
                    report.add(draft);
                    continue;
                }
                names.insert(text.to_owned(), name.place);
            }
            if let Some(series) = read_series(report, item, &context, &mut self.schedules) {
                let rhythm = item.get("schedule").or_else(|| item.get("every"));
                places.insert(
                    series.name.clone(),
                    rhythm.map_or(item.place, |node| node.place),
                );
                all.insert(series.name.clone(), series);
            }
        }
        (all, places)
    }
}

/// The items of a list that were not rejected, from which its own type was read; each with its number in the list.
pub(crate) fn readable_items(
    report: &Report<'_>,
    node: &Node,
    key: &str,
) -> Vec<(usize, Arc<Node>)> {
    let list = node
        .get(key)
        .filter(|list| !report.wrong.contains(&list.place));
    list.and_then(|list| list.list())
        .unwrap_or_default()
        .iter()
        .cloned()
        .enumerate()
        .filter(|(_, item)| !report.wrong.contains(&item.place))
        .collect()
}

pub(crate) fn assertions(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    written: Vec<WrittenAssertion>,
) -> Vec<Assertion> {
    let items = readable_items(report, node, "assert");
    let list = at.key("assert");
    let mut all = Vec::new();
    for ((index, item), one) in items.iter().zip(written) {
        if item.holds_any(&report.wrong) {
            continue;
        }
        let equals = one.equals.map(|value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        });
        let mut expectations: Vec<Expect> = Vec::new();
        expectations.extend(one.at_least.map(Expect::AtLeast));
        expectations.extend(equals.map(Expect::Equals));
        expectations.extend(one.newer_than.map(Expect::NewerThan));
        let Some(sql) = one.sql else {
            shape::missing(report, item, list.item(*index), "sql");
            continue;
        };
        if expectations.len() == 1 {
            all.extend(expectations.pop().map(|expect| Assertion { sql, expect }));
        } else {
            let draft = Draft::error(
                "policy::bad-assertion",
                "an assertion needs exactly one expectation",
            )
            .at(item.place, format!("{} expectations", expectations.len()))
            .help("give one of `at-least`, `equals` and `newer-than`");
            report.add(draft);
        }
    }
    all
}
