//! Two formats, one way to make either: templates that are rendered strictly, so that a field that is missing is an error and never a gap
//! in a document that somebody relies on.
//!
//! In Markdown a value is text, in a table or not: what Markdown could take for markup is escaped with a backslash, which everybody
//! can read over, and a line break becomes a space. Only a pair of backticks stays what it is everywhere in our sentences: a code span,
//! which can hold no markup. `{{code value}}` gives a code span that ends where the value ends.

use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason, no_escape,
};
use serde::Serialize;

/// A format of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// GitHub's flavour of Markdown.
    Markdown,
    /// One page that needs nothing beside itself.
    Html,
}

/// Why a document could not be made: the data are plain, so the template is wrong.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the document{}", at(.place.as_ref()))]
pub struct ReportError {
    /// The template's file name, line and column, if it has a name.
    place: Option<(String, Option<(usize, usize)>)>,
    /// What is wrong with it.
    source: Box<dyn std::error::Error + Send + Sync>,
}

fn at(place: Option<&(String, Option<(usize, usize)>)>) -> String {
    match place {
        Some((file, Some((line, column)))) => {
            format!(" from `{file}`, line {line}, column {column}")
        }
        Some((file, None)) => format!(" from `{file}`"),
        None => String::new(),
    }
}

const STYLE: &str = include_str!("templates/style.css");
/// What the reports of [`crate::Document`] have beside it.
const REPORT_STYLE: &str = include_str!("templates/report.css");

/// Templates of one document, one for each format.
pub(crate) struct Templates {
    pub(crate) markdown: &'static str,
    pub(crate) html: &'static str,
}

pub(crate) fn render<T: Serialize>(
    templates: &Templates,
    format: Format,
    view: &T,
) -> Result<String, ReportError> {
    let template = match format {
        Format::Markdown => templates.markdown,
        Format::Html => templates.html,
    };
    render_named(None, template, format, view)
}

/// The same with a template that has a file name, which may be a user's.
pub(crate) fn render_with<T: Serialize>(
    file: &str,
    template: &str,
    format: Format,
    view: &T,
) -> Result<String, ReportError> {
    render_named(Some(file), template, format, view)
}

fn render_named<T: Serialize>(
    file: Option<&str>,
    template: &str,
    format: Format,
    view: &T,
) -> Result<String, ReportError> {
    const NAME: &str = "document";
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    let page = match format {
        Format::Markdown => {
            registry.register_escape_fn(markdown_text);
            registry.register_helper("code", Box::new(markdown_code));
            template.to_owned()
        }
        Format::Html => {
            registry.register_escape_fn(html_text);
            registry.register_helper("code", Box::new(html_code));
            // Put in before anything is rendered: it has braces of its own, and none of a template.
            match file {
                // On one line, so that the lines of a user's template keep their numbers.
                Some(_) => {
                    let style = format!("{STYLE}{REPORT_STYLE}").replace('\n', " ");
                    template.replace("/*style*/", &style)
                }
                None => template.replace("/*style*/", STYLE),
            }
        }
    };
    let named = |place: Option<(usize, usize)>| file.map(|file| (file.to_owned(), place));
    registry
        .register_template_string(NAME, page)
        .map_err(|error| ReportError {
            place: named(error.pos()),
            source: Box::new(error),
        })?;
    registry.render(NAME, view).map_err(|error| {
        let place = error.line_no.zip(error.column_no);
        ReportError {
            place: named(place),
            source: Box::new(error),
        }
    })
}

/// What a reader does not see and a terminal or a page obeys: control characters, and those that turn the direction of writing, by which
/// what somebody wrote could be read as something else.
pub(crate) fn is_no_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text that HTML takes for nothing but text.
fn html_text(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if is_no_text(c) && c != '\n' { ' ' } else { c })
        .collect();
    handlebars::html_escape(&clean)
}

/// Text that Markdown takes for nothing but text and code spans.
pub(crate) fn markdown_text(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let code = |at: usize| parts.get(at).filter(|_| at % 2 == 1);
    if parts.len().is_multiple_of(2)
        || (0..parts.len()).any(|at| code(at).is_some_and(|c| c.is_empty()))
    {
        return escaped(text);
    }
    let mut made = String::with_capacity(text.len());
    for (at, part) in parts.iter().enumerate() {
        match code(at) {
            Some(code) => made.push_str(&code_span(code)),
            None => made.push_str(&escaped(part)),
        }
    }
    made
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '<' | '>' | '&' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if is_no_text(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A code span: fenced by more backticks than there are in it.
pub(crate) fn code_span(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if is_no_text(c) { ' ' } else { c })
        .collect();
    let longest = clean
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if clean.starts_with('`') || clean.ends_with('`') || clean.is_empty() {
        " "
    } else {
        ""
    };
    // In a table the cell would end there, in a code span too.
    format!("{fence}{pad}{}{pad}{fence}", clean.replace('|', "\\|"))
}

fn argument(helper: &Helper<'_>) -> Result<String, RenderErrorReason> {
    let value = helper.param(0).map(handlebars::PathAndJson::value);
    let text = value.and_then(|value| value.as_str());
    text.map(str::to_owned)
        .ok_or(RenderErrorReason::ParamNotFoundForIndex("code", 0))
}

fn markdown_code(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    out.write(&code_span(&argument(helper)?))?;
    Ok(())
}

fn html_code(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let escaped = html_text(&no_escape(&argument(helper)?));
    out.write(&format!("<code>{escaped}</code>"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_read_in_the_direction_in_which_it_was_written() {
        let turned = "held \u{202e}rof ton\u{2066} \u{1b}[2J\u{7} <b>";
        assert_eq!(html_text(turned), "held  rof ton   [2J  &lt;b&gt;");
        assert_eq!(escaped(turned), "held  rof ton   \\[2J  \\<b\\>");
    }

    #[test]
    fn nothing_that_is_reported_becomes_markup() {
        let wicked = "a|b `c|d*` <script>*x*</script>\n# [y](z) ~~w~~ &amp; \\";
        insta::assert_snapshot!(markdown_text(wicked), @r"a\|b `c\|d*` \<script\>\*x\*\</script\> \# \[y\](z) \~\~w\~\~ \&amp; \\");
        insta::assert_snapshot!(markdown_text("one ` and <b>"), @r"one \` and \<b\>");
        insta::assert_snapshot!(markdown_text("``<b>``"), @r"\`\`\<b\>\`\`");
        insta::assert_snapshot!(code_span("select 'a|b', `x``y`"), @r"``` select 'a\|b', `x``y` ```");
    }

    #[test]
    fn a_missing_field_is_an_error() {
        let templates = Templates {
            markdown: "{{there}} {{not_there}}",
            html: "",
        };
        let view = serde_json::json!({"there": "x"});
        assert!(render(&templates, Format::Markdown, &view).is_err());
    }
}
