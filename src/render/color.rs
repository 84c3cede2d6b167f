//! The few colours, by meaning.

use anstyle::{AnsiColor, Style};

/// Something new.
pub(crate) const ADD: Style = AnsiColor::Green.on_default();
/// Something copied or changed in place.
pub(crate) const MOVE: Style = AnsiColor::Cyan.on_default();
/// Something looked at.
pub(crate) const LOOK: Style = AnsiColor::Blue.on_default();
/// Something deleted or failed.
pub(crate) const REMOVE: Style = AnsiColor::Red.on_default();
/// Something to pay attention to.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Side remarks.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();

/// `text` in `style`.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
