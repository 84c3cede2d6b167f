//! Markdown for a forge's comments, which accept only so much: tables that are cut and say so.
//!
//! Not here: what is worth a section, and in which order (`plan_markdown`, `diff`).

use std::fmt::Write as _;

/// What stands above a table.
pub(crate) struct Heading<'a> {
    /// What the rows are.
    pub(crate) title: &'a str,
    /// Names of the columns.
    pub(crate) columns: &'a [&'a str],
    /// How many rows there are, shown or not.
    pub(crate) total: usize,
}

/// A heading with a table under it, as far as the text stays under `room` bytes; what is cut is counted, with the place where it is whole.
pub(crate) fn section(
    text: &mut String,
    room: usize,
    Heading {
        title,
        columns,
        total,
    }: Heading<'_>,
    rows: impl Iterator<Item = String>,
    rest: &str,
) {
    if total == 0 {
        return;
    }
    let _ = writeln!(text, "#### {title} ({total})\n");
    let _ = writeln!(
        text,
        "| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    let mut shown = 0;
    for row in rows {
        // Room is counted in bytes, which is never less than characters.
        if text.len() + row.len() > room {
            break;
        }
        text.push_str(&row);
        shown += 1;
    }
    if shown < total {
        let _ = writeln!(text, "\n… and {} more: see {rest}.", total - shown);
    }
    text.push('\n');
}

/// Text inside a table cell.
pub(crate) fn escape(text: &str) -> String {
    // A backslash first: one of the text's own would take away the one that is put before a bar.
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace(['\n', '\r'], " ")
        .replace('<', "&lt;")
        // Neither links nor pictures: a comment fetches nothing from anywhere.
        .replace('[', "\\[")
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_cell_stays_a_cell_and_fetches_nothing() {
        assert_eq!(
            escape("a|b\\|c\n<script>![x](https://example.com/a.png)"),
            "a\\|b\\\\\\|c &lt;script>!\\[x](https://example.com/a.png)"
        );
    }
}
