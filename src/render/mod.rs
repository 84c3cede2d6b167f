//! Words, tables and pictures. Everything that people read is made here and nowhere else.
//!
//! Renderers write into a `String`; `out` prints it. Colours are always written and stripped on the way out when they
//! are not wanted (`NO_COLOR`, no terminal), so that there is one code path.

pub(crate) mod adopt;
pub(crate) mod audit;
pub(crate) mod bar;
pub(crate) mod color;
pub(crate) mod diff;
pub(crate) mod drift;
pub(crate) mod drill;
pub(crate) mod explain_point;
pub(crate) mod findings;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod markdown;
pub(crate) mod out;
pub(crate) mod plan_dot;
pub(crate) mod plan_markdown;
pub(crate) mod plan_text;
pub(crate) mod plan_words;
pub(crate) mod progress;
pub(crate) mod prove;
mod prove_trouble;
pub(crate) mod reach;
pub(crate) mod recovery;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod simulation;
pub(crate) mod simulation_svg;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod wal;
