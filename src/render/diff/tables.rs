//! The tables of a diff, the worst first; the same for a terminal and for Markdown.
//!
//! Not here: how many rows are shown.

mod changes;
mod losses;
mod settings;

use crate::render::plan_text::local;
use jiff::tz::TimeZone;
use model::Period;
use planner::{
    Until,
    diff::{Expiry, PolicyDiff},
};

/// No comment and no screen has room for more.
const MOST_ROWS: usize = 1_500;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Something is lost.
    Loss,
    /// Less is protected.
    Weaker,
    /// Something changes.
    Change,
}

/// Rows of one kind.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) weight: Weight,
    pub(super) columns: &'static [&'static str],
    pub(super) total: usize,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new<T>(
        title: &'static str,
        weight: Weight,
        columns: &'static [&'static str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Self {
        Self {
            title,
            weight,
            columns,
            total: items.len(),
            rows: items.iter().take(MOST_ROWS).map(row).collect(),
        }
    }
}

/// Every table that has a row.
pub(super) fn tables(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    let mut tables = losses::tables(diff, zone);
    tables.push(settings::weaker(diff));
    tables.extend(changes::tables(diff, zone));
    tables.retain(|table| table.total > 0);
    tables
}

fn expiries(title: &'static str, weight: Weight, expiries: &[Expiry], zone: &TimeZone) -> Table {
    Table::new(
        title,
        weight,
        &["recovery point", "tier", "would stay until", "now until"],
        expiries,
        |expiry| {
            vec![
                expiry.recovery_point.to_string(),
                expiry.tier.to_string(),
                until(expiry.from, zone),
                until(expiry.to, zone),
            ]
        },
    )
}

/// `2027-03-01 00:00 CET`, as early as it can be.
fn until(until: Until, zone: &TimeZone) -> String {
    match until {
        Until::NotKept => "now".to_owned(),
        Until::AtLeast(at) => local(at, zone),
        Until::NoEnd => "for ever".to_owned(),
    }
}

fn nothing() -> String {
    "–".to_owned()
}

fn joined<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn length(window: Option<Period>) -> String {
    window.map_or_else(nothing, |window| window.to_string())
}
