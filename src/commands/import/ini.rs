//! The sections and keys of pgBackRest's and Barman's files, with their lines.

use super::{found::Reading, source::Text};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// Reads every setting. `;` begins a comment too where `semicolons` do.
pub(crate) fn read(text: &Text, reading: &mut Reading, semicolons: bool) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for (index, line) in text.text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with('#') || (semicolons && line.starts_with(';')) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            name.0.trim().clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                line: number,
            });
        } else {
            let shown: String = line.chars().take(40).collect();
            reading.problem(
                text.at(number),
                format!("`{shown}` is neither a section nor `key = value`"),
            );
        }
    }
    entries
}
