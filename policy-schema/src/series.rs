//! Reads one series: its rhythm, its method, its window, and what it keeps where.

use crate::{
    keep,
    meaning::{self, foreign_table, provider_findings, read},
    policy::{Series, Window},
    providers::EngineKind,
    report::{Draft, Report},
    schedule::{Schedule, ScheduleError, ScheduleProblem},
    sections::Sections,
    shape::{self, At, Schema},
    tree::Node,
    written::{Language, WrittenSeries, WrittenWindow, fixed},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use model::{MethodName, Period, SeriesName, VerifyLevel};
use std::{collections::HashMap, path::Path};

/// What a series must know of its surroundings.
pub(crate) struct SeriesContext<'a> {
    pub(crate) language: &'a Language,
    pub(crate) sections: &'a Sections,
    pub(crate) engine: Option<&'a EngineKind>,
    /// Where the series stands, such as `database.orders`.
    pub(crate) at: At<'a>,
    /// Name of the database; of a profile, which shares no jitter, empty.
    pub(crate) database: &'a str,
    /// A profile or the defaults: what is missing may be added by who inherits.
    pub(crate) partial: bool,
    pub(crate) base: &'a Path,
    pub(crate) timezone: &'a TimeZone,
}

/// Cron schedules by their text: thousands of databases share a few.
#[derive(Default)]
pub(crate) struct Schedules(HashMap<String, Schedule>);

impl Schedules {
    fn cron(&mut self, text: &str) -> Result<Schedule, ScheduleError> {
        if let Some(known) = self.0.get(text) {
            return Ok(known.clone());
        }
        let schedule = Schedule::cron(text)?;
        self.0.insert(text.to_owned(), schedule.clone());
        Ok(schedule)
    }
}

/// Reads a series whose form was checked; `None` when something that it needs is missing or wrong.
pub(crate) fn read_series(
    report: &mut Report<'_>,
    node: &Node,
    context: &SeriesContext<'_>,
    schedules: &mut Schedules,
) -> Option<Series> {
    node.table()?;
    let before = report.len();
    let own = Schema::of(&context.language.series);
    let list = context.at.key("series");
    let written: WrittenSeries = read(report, node, own, &[]);
    let name = written.name.as_deref().unwrap_or("…");
    let at = list.key(name);
    let named = check_series_name(report, node, at, written.name.as_deref());
    let unsaid = node.get("schedule").is_none() && node.get("every").is_none();
    let schedule = if context.partial && unsaid {
        None
    } else {
        read_rhythm(
            report,
            node,
            at,
            written.schedule.as_deref(),
            written.every,
            written.anchor.as_deref(),
            schedules,
        )
    };
    let schedule = schedule.map(|schedule| {
        let jitter =
            length(report, node, "jitter", written.jitter, true).unwrap_or(SignedDuration::ZERO);
        schedule.with_jitter(jitter, &format!("{}/{name}", context.database))
    });
    let window = read_window(report, node, &written.window.unwrap_or_default());
    let keep = keep::read_keeps(
        report,
        node,
        at,
        written.keep.as_ref(),
        context,
        schedule.as_ref(),
    );
    let full_every = length(report, node, "full-every", written.full_every, false);
    let incremental = written.incremental.unwrap_or(false);
    if let (Some(full), false) = (node.get("full-every"), incremental || context.partial) {
        let draft = Draft::warning(
            "policy::no-effect",
            format!("`{at}.full-every` has no effect: every point is a full one"),
        )
        .at(full.place, "only of incremental points")
        .help("add `incremental = true`, or remove this");
        report.add(draft);
    }
    let engine = context.engine?;
    let method = match &written.method {
        Some(method) => MethodName::new(method).ok()?,
        None => engine.default_method.clone(),
    };
    let schema = engine.methods.get(&method)?;
    if incremental && !engine.incremental.contains(&method) {
        not_incremental(report, node, at, &method, engine);
    }
    if context.partial {
        return None;
    }
    shape::check_required(report, node, at, Schema::of(schema));
    let table = foreign_table(report, node, own);
    if report.len() == before && !node.holds_any(&report.wrong) {
        provider_findings(report, node, (engine.check_series)(&table, context.base));
    }
    Some(Series {
        full_every: full_every.unwrap_or(SignedDuration::from_hours(7 * 24)),
        incremental,
        name: named?,
        method,
        table,
        schedule: schedule?,
        keep,
        verify: written.verify.unwrap_or(VerifyLevel::Checksum),
        window,
    })
}

fn not_incremental(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    method: &MethodName,
    engine: &EngineKind,
) {
    let Some(place) = node.get("incremental").map(|node| node.place) else {
        return;
    };
    let can: Vec<String> = engine
        .incremental
        .iter()
        .map(|m| format!("`{m}`"))
        .collect();
    let help = if can.is_empty() {
        "remove it: this engine has no method with incremental points".to_owned()
    } else {
        format!("remove it, or use a method that can: {}", can.join(", "))
    };
    let draft = Draft::error(
        "policy::not-incremental",
        format!("points of `{at}` cannot be incremental"),
    )
    .at(place, format!("method `{method}` makes full points only"))
    .help(help);
    let draft = match node.get("method") {
        Some(method) => draft.at(method.place, "this method"),
        None => draft,
    };
    report.add(draft);
}

fn check_series_name(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    name: Option<&str>,
) -> Option<SeriesName> {
    let Some(place) = node.get("name").map(|name| name.place) else {
        shape::missing(report, node, at, "name");
        return None;
    };
    let name = name?;
    if name == "wal" {
        let draft = Draft::error(
            "policy::reserved-name",
            "the series name `wal` is reserved for the write-ahead log",
        )
        .at(place, "reserved")
        .help("choose another name");
        report.add(draft);
        return None;
    }
    meaning::check_name(report, "series", name, place).then(|| SeriesName::new(name).ok())?
}

/// Reads `schedule`, or `every` with its anchor.
pub(crate) fn read_rhythm(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    cron: Option<&str>,
    every: Option<Period>,
    anchor: Option<&str>,
    schedules: &mut Schedules,
) -> Option<Schedule> {
    let (cron_node, every_node) = (node.get("schedule"), node.get("every"));
    if let (Some(cron), Some(every)) = (cron_node, every_node) {
        let draft = Draft::error(
            "policy::two-rhythms",
            format!("`{at}` has both `schedule` and `every`"),
        )
        .at(every.place, "an interval")
        .at(cron.place, "and a cron schedule")
        .help("keep one of them, or make two series");
        report.add(draft);
    }
    if let Some(cron_node) = cron_node {
        let text = cron?;
        return schedules
            .cron(text)
            .map_err(|error| {
                let code = match error.problem {
                    ScheduleProblem::Syntax => "policy::bad-schedule",
                    ScheduleProblem::SixFields => "policy::six-fields",
                    ScheduleProblem::NeverFires => "policy::never-fires",
                };
                let place = report.inside(cron_node.place, text, error.bytes);
                let label = match error.problem {
                    ScheduleProblem::Syntax => "this part",
                    ScheduleProblem::SixFields => "one field too many",
                    ScheduleProblem::NeverFires => "no such date",
                };
                report.add(
                    Draft::error(code, error.message)
                        .at(place, label)
                        .maybe_help(error.help),
                );
            })
            .ok();
    }
    if every_node.is_none() {
        let draft = Draft::error(
            "policy::missing-key",
            format!("`{at}` lacks `schedule` (or `every`)"),
        )
        .at(node.place, "when does it run?")
        .help("add `schedule = \"0 2 * * *\"` or `every = \"15m\"`");
        report.add_absence(draft, "schedule");
        return None;
    }
    let interval = length(report, node, "every", every, false)?;
    Schedule::every(interval, read_anchor(report, node, anchor)?)
}

fn read_anchor(report: &mut Report<'_>, node: &Node, anchor: Option<&str>) -> Option<Timestamp> {
    let (Some(place), Some(text)) = (node.get("anchor").map(|node| node.place), anchor) else {
        return Some(Timestamp::UNIX_EPOCH);
    };
    text.parse()
        .map_err(|_| {
            let draft = Draft::error("policy::bad-anchor", "the anchor is no instant")
                .at(place, "cannot be read, or has no offset")
                .help("write it with its offset, as in 2026-01-01T00:00:00Z");
            report.add(draft);
        })
        .ok()
}

/// A duration that must have a fixed length.
pub(crate) fn length(
    report: &mut Report<'_>,
    node: &Node,
    key: &str,
    period: Option<Period>,
    zero_is_fine: bool,
) -> Option<SignedDuration> {
    let (period, place) = (period?, node.get(key)?.place);
    let Some(length) = period.fixed() else {
        let draft = Draft::error(
            "policy::month-in-duration",
            format!("`{key}` has no fixed length"),
        )
        .at(place, "months and years differ in length")
        .help(
            "use weeks, days, hours, minutes or seconds; for calendar months use a cron schedule",
        );
        report.add(draft);
        return None;
    };
    if length.is_zero() && !zero_is_fine {
        let draft = Draft::error("policy::zero-duration", format!("`{key}` must not be zero"))
            .at(place, "zero");
        report.add(draft);
        return None;
    }
    Some(length)
}

fn read_window(report: &mut Report<'_>, series: &Node, written: &WrittenWindow) -> Window {
    let hour = SignedDuration::from_hours;
    if let Some(node) = series.get("window") {
        for (key, period, zero_is_fine) in [
            ("start-within", written.start_within, false),
            ("timeout", written.timeout, false),
            ("retry-after", written.retry_after, true),
        ] {
            length(report, node, key, period, zero_is_fine);
        }
    }
    Window {
        start_within: written.start_within.and_then(Period::fixed),
        timeout: fixed(written.timeout, hour(2)),
        retries: written.retries.unwrap_or(3),
        retry_after: fixed(written.retry_after, SignedDuration::from_mins(5)),
    }
}
