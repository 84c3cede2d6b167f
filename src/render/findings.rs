//! Findings for people (labelled source, with miette) and for programs (JSON). Secrets found in a policy are masked.

use super::color;
use crate::failure::Failure;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity as Level,
};
use model::{Finding, Severity};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

/// Texts of the policy files as they may be shown.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// Adds a file whose secrets are masked already.
    pub(crate) fn add(&mut self, path: &Path, text: String) {
        self.0.insert(path.to_owned(), text);
    }

    fn text(&self, path: &Path) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// 1-based line and column (in characters) of a byte.
    fn place(&self, path: &Path, byte: usize) -> (usize, usize) {
        let before = self.text(path).get(..byte).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        (line, column)
    }
}

/// All findings with their labelled source, and a closing line that counts them.
pub(crate) fn text(findings: &[Finding], sources: &Sources, width: usize) -> String {
    let theme = if console_is_plain() {
        GraphicalTheme::unicode_nocolor()
    } else {
        GraphicalTheme::unicode()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false);
    let mut out = String::new();
    for finding in findings {
        let shown = Shown::new(finding, sources);
        // Rendering into a String cannot fail; if it did, the message alone still helps.
        if handler.render_report(&mut out, &shown).is_err() {
            out.push_str(&finding.message);
        }
        out.push('\n');
    }
    out.push_str(&count(findings));
    out.push('\n');
    out
}

fn console_is_plain() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never
}

fn count(findings: &[Finding]) -> String {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let warnings = findings.len() - errors;
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        (0, warnings) => plural(warnings, "warning"),
        (errors, 0) => plural(errors, "error"),
        (errors, warnings) => format!(
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    }
}

/// The same for programs: file, line, column, byte range, code.
pub(crate) fn json(findings: &[Finding], sources: &Sources) -> Value {
    let place = |label: &model::Label| {
        let (line, column) = sources.place(&label.file, label.bytes.start);
        json!({"file": label.file, "line": line, "column": column, "bytes": [label.bytes.start, label.bytes.end], "text": label.text})
    };
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let first = finding.labels.first().map(&place);
            let at = |key: &str| first.as_ref().map_or(Value::Null, |first| first[key].clone());
            json!({
                "code": finding.code, "severity": finding.severity, "message": finding.message, "help": finding.help,
                "file": at("file"), "line": at("line"), "column": at("column"), "bytes": at("bytes"),
                "labels": finding.labels.iter().map(&place).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({"format": "mainstay.findings.v1", "findings": findings})
}

/// A finding as miette draws it: labels of the primary file in the picture, places in other files in words.
#[derive(Debug)]
struct Shown {
    code: &'static str,
    severity: Severity,
    message: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
}

impl Shown {
    fn new(finding: &Finding, sources: &Sources) -> Self {
        let primary = finding.labels.first().map(|label| label.file.clone());
        let mut labels = Vec::new();
        let mut elsewhere = Vec::new();
        for label in &finding.labels {
            if Some(&label.file) == primary.as_ref() {
                labels.push(LabeledSpan::new_with_span(
                    Some(label.text.clone()),
                    label.bytes.clone(),
                ));
            } else {
                let (line, column) = sources.place(&label.file, label.bytes.start);
                elsewhere.push(format!(
                    "{} at {}:{line}:{column}",
                    label.text,
                    label.file.display()
                ));
            }
        }
        elsewhere.extend(finding.help.clone());
        Self {
            code: finding.code,
            severity: finding.severity,
            message: finding.message.clone(),
            help: (!elsewhere.is_empty()).then(|| elsewhere.join("\n")),
            source: primary.map(|file| {
                NamedSource::new(file.display().to_string(), sources.text(&file).to_owned())
                    .with_language("TOML")
            }),
            labels,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn severity(&self) -> Option<Level> {
        Some(match self.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }
}

/// A failed command: code, message, way out.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = format!(
        "{} {}\n",
        color::paint(color::REMOVE, "error:"),
        failure.message
    );
    if let Some(help) = &failure.help {
        let _ = writeln!(text, "  {} {help}", color::paint(color::BOLD, "help:"));
    }
    if !failure.code.is_empty() {
        let _ = writeln!(
            text,
            "  {}",
            color::paint(color::DIM, format!("[{}]", failure.code))
        );
    }
    text
}
