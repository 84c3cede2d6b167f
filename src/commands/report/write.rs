//! Where a report goes, and in which form: standard output, a file, or a folder of CSV files.

use crate::{
    arguments::{Global, PeriodArguments, ReportFormat},
    failure::{Because, Failure, Result},
    files,
    render::out,
};
use model::evidence::{Assessment, EvidenceFacts};
use reports::{Document, Format, OwnTemplates};
use serde_json::{Value, json};
use std::{fs, io, path::Path};

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `report retention`.
    Retention,
    /// `report compliance`.
    Compliance,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Compliance => "compliance",
        }
    }
}

/// Writes it as it was asked for.
pub(super) fn write(
    kind: Kind,
    facts: &EvidenceFacts,
    assessment: &Assessment,
    document: &Document,
    arguments: &PeriodArguments,
    global: &Global,
) -> Result<()> {
    let own = own_templates(arguments.template.as_deref())?;
    let to = arguments.out.as_deref();
    match arguments.format {
        _ if global.json => print(to, &pretty(&as_json(kind, facts, assessment))),
        ReportFormat::Json => print(to, &pretty(&as_json(kind, facts, assessment))),
        ReportFormat::Markdown => print(to, &document.render(Format::Markdown, &own)?),
        ReportFormat::Html => print(to, &document.render(Format::Html, &own)?),
        ReportFormat::Oscal => print(to, &pretty(&reports::oscal(facts, assessment))),
        ReportFormat::Csv => csv(document, arguments),
    }
}

/// The report as data.
pub(super) fn as_json(kind: Kind, facts: &EvidenceFacts, assessment: &Assessment) -> Value {
    json!({
        "format": "mainstay.report.v1",
        "report": kind.as_str(),
        "from": facts.from,
        "until": facts.until,
        "assessment": assessment,
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn csv(document: &Document, arguments: &PeriodArguments) -> Result<()> {
    if let Some(name) = &arguments.table {
        let table = document.tables().find(|table| table.name == name);
        let table = table.ok_or_else(|| {
            let names: Vec<&str> = document.tables().map(|table| table.name).collect();
            Failure::new(
                "mainstay::report::table",
                format!("this report has no table `{name}`"),
            )
            .help(format!("it has: {}", names.join(", ")))
        })?;
        return print(arguments.out.as_deref(), &table.csv());
    }
    let Some(folder) = &arguments.out else {
        return Err(Failure::new(
            "mainstay::report::csv-where",
            "a report is several tables, each a file of its own",
        )
        .help("name a folder with `--out DIR`, or one table with `--table NAME`"));
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for table in document.tables() {
        let file = folder.join(format!("{}.csv", table.name));
        files::replace(&file, table.csv().as_bytes()).map_err(|error| failed(&file, error))?;
    }
    Ok(())
}

/// To a file, or to standard output.
pub(super) fn print(to: Option<&Path>, text: &str) -> Result<()> {
    match to {
        Some(file) => files::replace(file, text.as_bytes()).map_err(|error| failed(file, error)),
        None => out::data(text),
    }
}

pub(super) fn failed(path: &Path, error: io::Error) -> Failure {
    let because = Because(
        format!("cannot write `{}`", path.display()),
        Box::new(error),
    );
    Failure::from_error("mainstay::report::write", None, &because)
}

/// The built-in templates, as a start for own ones.
pub(super) fn templates(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (name, text) in reports::templates() {
        let file = folder.join(name);
        let written = files::New::create(&file).and_then(|mut new| {
            new.write_all(text.as_bytes())?;
            new.keep()
        });
        written.map_err(|error| failed(&file, error))?;
    }
    Ok(())
}

/// The user's templates, where a file of that name is in the folder.
fn own_templates(folder: Option<&Path>) -> Result<OwnTemplates> {
    let Some(folder) = folder else {
        return Ok(OwnTemplates::default());
    };
    let read = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = folder.join(name);
            let because = Because(format!("cannot read `{}`", path.display()), Box::new(error));
            Err(Failure::from_error(
                "mainstay::report::no-template",
                None,
                &because,
            ))
        }
    };
    let own = OwnTemplates {
        markdown: read("report.md.hbs")?,
        html: read("report.html.hbs")?,
    };
    if own.markdown.is_none() && own.html.is_none() {
        return Err(Failure::new(
            "mainstay::report::no-template",
            format!("there is no template in `{}`", folder.display()),
        )
        .help("put `report.html.hbs` or `report.md.hbs` there; `mainstay report template DIR` writes the built-in ones as a start"));
    }
    Ok(own)
}
