//! A table, once: rows for a page, lines for a spreadsheet.
//!
//! Invariant: a CSV has every row; a page may show the first ones and says how many there are. Values are data: what a spreadsheet
//! would take for a formula is marked as text.

use crate::format::is_no_text;
use serde::Serialize;

/// Rows that a page shows at most; the CSV has all.
const SHOWN: usize = 300;

/// Rows under named columns.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// Name of its CSV, without the ending.
    pub name: &'static str,
    /// Heading above it; empty: the section's is enough.
    pub title: String,
    /// Columns.
    pub(crate) columns: Vec<Column>,
    /// Rows, each with a cell for each column.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What stands in place of an empty table.
    pub(crate) nothing: &'static str,
}

/// One column.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) number: bool,
}

/// One value.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// A word that the style knows: `good`, `bad`, `warn`, `dim`.
    pub(crate) class: &'static str,
    pub(crate) code: bool,
    pub(crate) number: bool,
    /// Whether it is short enough to stay on one line.
    pub(crate) tight: bool,
    /// What a CSV gets instead of `text`.
    #[serde(skip)]
    pub(crate) exact: Option<String>,
}

/// Codes up to this length stay on one line.
const ONE_LINE: usize = 30;

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "",
            code: false,
            number: false,
            tight: false,
            exact: None,
        }
    }

    /// A name as it is typed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "names, numbers and texts are given as they come"
    )]
    pub(crate) fn code(text: impl ToString) -> Self {
        let text = text.to_string();
        Self {
            code: true,
            tight: text.chars().count() <= ONE_LINE,
            ..Self::text(text)
        }
    }

    /// A number.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "names, numbers and texts are given as they come"
    )]
    pub(crate) fn number(number: impl ToString) -> Self {
        Self {
            number: true,
            ..Self::text(number.to_string())
        }
    }

    /// Words in a colour.
    pub(crate) fn toned(text: impl Into<String>, class: &'static str) -> Self {
        let text = text.into();
        Self {
            class,
            tight: text.chars().count() <= 16,
            ..Self::text(text)
        }
    }
}

/// Columns by their names; those that end in `#` hold numbers.
pub(crate) fn columns(names: &[&'static str]) -> Vec<Column> {
    names
        .iter()
        .map(|name| Column {
            name: name.trim_end_matches('#'),
            number: name.ends_with('#'),
        })
        .collect()
}

impl Table {
    /// RFC 4180, with a line of names.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        line(&mut text, names.into_iter());
        for row in &self.rows {
            line(
                &mut text,
                row.iter()
                    .map(|cell| cell.exact.as_deref().unwrap_or(&cell.text)),
            );
        }
        text
    }

    /// The table as a page shows it.
    pub(crate) fn shown(&self) -> Shown<'_> {
        let hidden = self.rows.len().saturating_sub(SHOWN);
        Shown {
            name: self.name,
            title: &self.title,
            columns: &self.columns,
            rows: &self.rows[..self.rows.len() - hidden],
            nothing: self.nothing,
            empty: self.rows.is_empty(),
            hidden: if hidden > 0 {
                format!(
                    "The first {SHOWN} of {} rows; `--format csv` gives all.",
                    self.rows.len()
                )
            } else {
                String::new()
            },
        }
    }
}

/// What a template gets of a table.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    name: &'static str,
    title: &'a str,
    columns: &'a [Column],
    rows: &'a [Vec<Cell>],
    nothing: &'static str,
    empty: bool,
    hidden: String,
}

fn line<'a>(text: &mut String, values: impl Iterator<Item = &'a str>) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            text.push(',');
        }
        // `=1+1`, `@sum`, `-cmd`: a number may begin so, a formula must not.
        let formula =
            value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.parse::<f64>().is_err();
        let value = if formula {
            format!("'{value}")
        } else {
            value.to_owned()
        };
        // What a terminal obeys is no text.
        let value: String = value
            .chars()
            .map(|c| {
                if is_no_text(c) && !"\n\r\t".contains(c) {
                    ' '
                } else {
                    c
                }
            })
            .collect();
        if value.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&value.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&value);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_gets_values_and_no_formulas() {
        let table = Table {
            name: "t",
            title: String::new(),
            columns: columns(&["a", "b#"]),
            rows: vec![
                vec![Cell::text("=cmd|'/c calc'!A1"), Cell::number(-1)],
                vec![Cell::text("say \"a, b\"\nc"), Cell::number(2)],
            ],
            nothing: "",
        };
        assert_eq!(
            table.csv(),
            "a,b\r\n'=cmd|'/c calc'!A1,-1\r\n\"say \"\"a, b\"\"\nc\",2\r\n"
        );
    }

    #[test]
    fn a_page_says_what_it_does_not_show() {
        let table = Table {
            name: "t",
            title: String::new(),
            columns: columns(&["a"]),
            rows: (0..301).map(|n| vec![Cell::number(n)]).collect(),
            nothing: "",
        };
        let shown = table.shown();
        assert_eq!(shown.rows.len(), 300);
        assert!(shown.hidden.contains("of 301 rows"), "{}", shown.hidden);
        assert_eq!(table.csv().lines().count(), 302);
    }
}
