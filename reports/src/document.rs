//! The form that reports for auditors share: a verdict, facts, sections with sentences, pictures and tables, and a sign-off.
//!
//! A user may replace the templates: `report.md.hbs` and `report.html.hbs` in a folder; both get the same view
//! (`docs/reports.md`). Errors in them name file and line.

use crate::{
    format::{Format, ReportError, Templates, render_with},
    table::{Shown, Table},
};
use serde::Serialize;

const TEMPLATES: Templates = Templates {
    markdown: include_str!("templates/report.md.hbs"),
    html: include_str!("templates/report.html.hbs"),
};

/// One report.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) verdict: Verdict,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) sections: Vec<Section>,
    pub(crate) sign_off: bool,
    pub(crate) footer: String,
}

/// What stands first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) word: String,
    pub(crate) class: &'static str,
    pub(crate) sentence: String,
}

/// One number that says how it stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tile {
    pub(crate) number: String,
    pub(crate) words: String,
    pub(crate) class: &'static str,
}

/// One line of what the report is about.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// One section.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) lead: String,
    /// Inline SVG; in Markdown the tables say the same.
    pub(crate) pictures: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

impl Section {
    pub(crate) fn new(id: &'static str, title: &'static str, tables: Vec<Table>) -> Self {
        Self {
            id,
            title,
            lead: String::new(),
            pictures: Vec::new(),
            tables,
        }
    }

    pub(crate) fn lead(self, lead: impl Into<String>) -> Self {
        Self {
            lead: lead.into(),
            ..self
        }
    }

    pub(crate) fn pictures(self, pictures: impl IntoIterator<Item = String>) -> Self {
        Self {
            pictures: pictures.into_iter().collect(),
            ..self
        }
    }
}

/// Templates in place of those that are built in; `None`: the built-in one of that format.
#[derive(Debug, Clone, Default)]
pub struct OwnTemplates {
    /// `report.md.hbs`.
    pub markdown: Option<String>,
    /// `report.html.hbs`.
    pub html: Option<String>,
}

#[derive(Serialize)]
struct View<'a> {
    kind: &'static str,
    title: &'a str,
    subtitle: &'a str,
    verdict: &'a Verdict,
    tiles: &'a [Tile],
    facts: &'a [Fact],
    sections: Vec<SectionView<'a>>,
    sign_off: bool,
    footer: &'a str,
}

#[derive(Serialize)]
struct SectionView<'a> {
    id: &'static str,
    title: &'static str,
    lead: &'a str,
    pictures: &'a [String],
    tables: Vec<Shown<'a>>,
}

impl Document {
    /// The document in a format.
    pub fn render(&self, format: Format, own: &OwnTemplates) -> Result<String, ReportError> {
        let view = View {
            kind: self.kind,
            title: &self.title,
            subtitle: &self.subtitle,
            verdict: &self.verdict,
            tiles: &self.tiles,
            facts: &self.facts,
            sections: self
                .sections
                .iter()
                .map(|section| SectionView {
                    id: section.id,
                    title: section.title,
                    lead: &section.lead,
                    pictures: &section.pictures,
                    tables: section.tables.iter().map(Table::shown).collect(),
                })
                .collect(),
            sign_off: self.sign_off,
            footer: &self.footer,
        };
        let (name, template) = match format {
            Format::Markdown => ("report.md.hbs", own.markdown.as_deref()),
            Format::Html => ("report.html.hbs", own.html.as_deref()),
        };
        let built_in = match format {
            Format::Markdown => TEMPLATES.markdown,
            Format::Html => TEMPLATES.html,
        };
        render_with(name, template.unwrap_or(built_in), format, &view)
    }

    /// Every table of it, for CSV.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.sections.iter().flat_map(|section| &section.tables)
    }
}

/// The built-in templates by their file names, as a start for own ones.
pub fn templates() -> [(&'static str, &'static str); 2] {
    [
        ("report.md.hbs", TEMPLATES.markdown),
        ("report.html.hbs", TEMPLATES.html),
    ]
}
