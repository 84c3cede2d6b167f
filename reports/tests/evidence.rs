//! The reports on retention and compliance as they are read: a month at a small bank in which some things went wrong. Facts from a file,
//! verdicts from the planner, every format.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_reports::{Document, Format, OwnTemplates, compliance, oscal, retention};
use model::evidence::{Assessment, EvidenceFacts};
use planner::controls;

fn month() -> (EvidenceFacts, Assessment) {
    let facts: EvidenceFacts = serde_json::from_str(include_str!("month/facts.json")).unwrap();
    let mut assessment = controls::assess(&facts);
    assessment.sample = controls::draw(&facts, 2, "lot 7");
    assessment.sample_seed = Some("lot 7".to_owned());
    (facts, assessment)
}

fn documents() -> [(&'static str, Document); 2] {
    let (facts, assessment) = month();
    let zone = jiff::tz::TimeZone::get("Europe/Prague").unwrap();
    [
        ("retention", retention(&facts, &assessment, &zone)),
        ("compliance", compliance(&facts, &assessment, &zone)),
    ]
}

fn render(document: &Document, format: Format) -> String {
    document.render(format, &OwnTemplates::default()).unwrap()
}

#[test]
fn both_reports_as_markdown() {
    for (name, document) in documents() {
        insta::assert_snapshot!(
            format!("{name}_markdown"),
            render(&document, Format::Markdown)
        );
    }
}

#[test]
fn both_reports_as_pages_that_need_nothing_beside_them() {
    for (name, document) in documents() {
        let page = render(&document, Format::Html);
        for outside in ["src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
        assert_eq!(
            page.matches("<svg").count(),
            if name == "retention" { 1 } else { 2 }
        );
        // One tag a line is enough to see what changed; the style has a file of its own.
        let body = page.split_once("</style>").unwrap().1;
        insta::assert_snapshot!(format!("{name}_html"), body);
    }
}

#[test]
fn every_table_is_in_the_csv() {
    let tables: Vec<String> = documents()
        .iter()
        .flat_map(|(name, document)| {
            document.tables().map(move |table| {
                let csv = table.csv();
                format!(
                    "{name}/{}: {} lines: {}",
                    table.name,
                    csv.lines().count(),
                    csv.lines().next().unwrap()
                )
            })
        })
        .collect();
    insta::assert_snapshot!("csv_tables", tables.join("\n"));
}

#[test]
fn nothing_of_a_name_becomes_markup() {
    let (mut facts, _) = month();
    facts.holds[0].why = "<script>alert(1)</script> | `x` *y*".to_owned();
    facts.exceptions[0].owner = "<b>nobody</b>".to_owned();
    facts.discovered[0].undeclared = vec!["a<img src=x onerror=alert(1)>".to_owned()];
    let assessment = controls::assess(&facts);
    let zone = jiff::tz::TimeZone::UTC;
    for document in [
        retention(&facts, &assessment, &zone),
        compliance(&facts, &assessment, &zone),
    ] {
        let page = render(&document, Format::Html);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
        let text = render(&document, Format::Markdown);
        // Written with a backslash before it, or in a code span, it is text.
        for (tag, as_text) in [
            ("<script", &["\\<script"][..]),
            ("<b", &["\\<b"]),
            ("<img", &["\\<img", "`a<img"]),
        ] {
            let harmless: usize = as_text
                .iter()
                .map(|text_of| text.matches(text_of).count())
                .sum();
            assert_eq!(text.matches(tag).count(), harmless, "{tag}");
        }
    }
}

#[test]
fn oscal_has_a_finding_for_each_control_of_nist() {
    let (facts, assessment) = month();
    let document = oscal(&facts, &assessment);
    let findings = document["assessment-results"]["results"][0]["findings"]
        .as_array()
        .unwrap();
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let target = &finding["target"];
            format!(
                "{} {} ({})",
                target["target-id"].as_str().unwrap(),
                target["status"]["state"].as_str().unwrap(),
                target["status"]["reason"].as_str().unwrap()
            )
        })
        .collect();
    insta::assert_snapshot!("oscal_findings", lines.join("\n"));
    assert_eq!(
        document,
        oscal(&facts, &assessment),
        "the same facts, the same identifiers"
    );
}
