//! Passwords and other secrets that were written into a policy: found, reported without being shown, and masked.
//!
//! Masking works on the text, not on the tree, so that a file that is not even TOML does not show its passwords in the
//! source that a finding quotes.

use crate::{
    report::{Draft, Report},
    shape::At,
    tree::{Node, Value},
};
use std::ops::Range;

const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "secret-access-key",
    "api-key",
];

const REFER: &str = "refer to it instead: `{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ command = [\"program\"] }`; and change the password, because the file may have been read";

/// Whether a key of this name holds a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    SECRET_WORDS.iter().any(|word| {
        key.strip_suffix(word)
            .is_some_and(|before| before.is_empty() || before.ends_with('-'))
    })
}

/// Reports secrets in a tree; their values are left out by later checks.
pub(crate) fn check(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    masked: &mut Vec<(u32, Range<usize>)>,
) {
    match &node.value {
        Value::Table(table) => {
            for entry in &table.entries {
                let here = at.key(&entry.key);
                if entry.node.text().is_some_and(|text| !text.is_empty())
                    && is_secret_key(&entry.key)
                {
                    let place = entry.node.place;
                    masked.push((place.file, place.start as usize..place.end as usize));
                    let draft = Draft::error(
                        "policy::password-in-policy",
                        format!("`{here}` is a secret written in the policy"),
                    )
                    .at(place, "secrets do not belong in a policy")
                    .help(REFER);
                    report.reject(place, draft);
                } else {
                    check(report, &entry.node, here, masked);
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                check(report, item, at.item(index), masked);
            }
        }
        Value::Text(text) => {
            if let Some(part) = passwords(text).into_iter().next() {
                let place = report.inside(node.place, text, part);
                let draft = Draft::error(
                    "policy::password-in-policy",
                    format!("`{at}` holds a password"),
                )
                .at(place, "a password is written here")
                .help(REFER);
                report.wrong.insert(node.place);
                masked.push((place.file, place.start as usize..place.end as usize));
                report.reject(place, draft);
            }
        }
        _ => {}
    }
}

/// The bytes of every password in URLs and connection strings of a text.
pub(crate) fn passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    for (index, _) in text.match_indices("://") {
        let start = index + 3;
        let word_end = text[start..]
            .find(ends)
            .map_or(text.len(), |end| start + end);
        let word = &text[start..word_end];
        let path_end = word.find(['?', '#']).unwrap_or(word.len());
        // A password may hold `@`, `/` or `?` unescaped: the last `@` is the safe reading.
        let at = word[..path_end].rfind('@').or_else(|| word.rfind('@'));
        if let Some(at) = at
            && let Some(colon) = word[..at].find(':')
            && colon + 1 < at
            && !word[..colon].contains(['/', '?', '#'])
            && !is_port(&word[colon + 1..at])
        {
            found.push(start + colon + 1..start + at);
        }
    }
    for (index, word) in text.match_indices("password=") {
        let before = text[..index].chars().next_back();
        let start = index + word.len();
        let end = text[start..]
            .find(|c: char| ends(c) || c == '&')
            .map_or(text.len(), |end| start + end);
        if start < end && before.is_none_or(|c| matches!(c, '?' | '&' | ' ' | '"' | '\'')) {
            found.push(start..end);
        }
    }
    found.sort_by_key(|range| range.start);
    found
}

/// Whether what follows a colon is a port and a path (`host:80/a@b`), not a password.
fn is_port(text: &str) -> bool {
    text.split_once('/').is_some_and(|(port, _)| {
        !port.contains('@') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The bytes after the `=` of lines whose key names a secret; for files whose tree cannot be trusted.
pub(crate) fn secret_lines(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (equals, _) in line.match_indices('=') {
            let key = line[..equals].trim_end();
            let key = key
                .rsplit(|c: char| {
                    !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '"' | '\''))
                })
                .next()
                .unwrap_or("");
            if is_secret_key(key.trim_matches(['"', '\''])) {
                found.push(start + equals + 1..start + line.trim_end().len());
                break;
            }
        }
        start += line.len();
    }
    found
}
