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

const NOT_IN_ARGUMENTS: &str = "let the program read the secret itself, from a file or from its environment: every user of the machine can read the arguments of a running program";

/// Words that end a secret's name even without a separator: `sslpassword`, `PGPASSWORD`.
const PASSWORD_WORDS: &[&str] = &["password", "passwd", "passphrase"];

/// Whether a key of this name holds a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    SECRET_WORDS.iter().any(|word| {
        key.strip_suffix(word).is_some_and(|before| {
            before.is_empty() || before.ends_with('-') || PASSWORD_WORDS.contains(word)
        })
    })
}

/// Whether what stands under this key is a secret, or a table of references to secrets.
fn holds_references(key: &str) -> bool {
    let plain = key.to_ascii_lowercase().replace('_', "-");
    is_secret_key(key) || matches!(plain.as_str(), "credentials" | "private-key")
}

/// Whether the keys of the table at this place are names that people chose, and say nothing about what they hold.
fn holds_names(at: At<'_>) -> bool {
    matches!(
        at.to_string().as_str(),
        "tier" | "key" | "profile" | "database"
    ) || at.last_key() == "keep"
}

/// Whether a parameter of a URL or of a program holds a secret; names of others follow no style, so any ending counts.
fn is_secret_parameter(name: &str) -> bool {
    let name = decoded(name).to_ascii_lowercase().replace('_', "-");
    SECRET_WORDS.iter().any(|word| name.ends_with(word)) || holds_references(&name)
}

/// A name without its percent-encoding; what is no encoding stays.
fn decoded(name: &str) -> String {
    let bytes = name.as_bytes();
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%'
            && let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2))
        {
            plain.push(u8::try_from(high * 16 + low).unwrap_or(*byte));
            at += 3;
        } else {
            plain.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
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
                if holds_references(&entry.key) && !holds_names(at) {
                    check_references(report, &entry.node, here, masked);
                } else if entry.key == "command" {
                    check_command(report, &entry.node, here, masked);
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
            let parts = passwords(text);
            for part in &parts {
                let place = report.inside(node.place, text, part.clone());
                masked.push((place.file, place.start as usize..place.end as usize));
            }
            if let Some(part) = parts.into_iter().next() {
                let place = report.inside(node.place, text, part);
                let draft = Draft::error(
                    "policy::password-in-policy",
                    format!("`{at}` holds a password"),
                )
                .at(place, "a password is written here")
                .help(REFER);
                report.wrong.insert(node.place);
                report.reject(place, draft);
            }
        }
        _ => {}
    }
}

/// Reports what is written where only references to secrets belong: the value itself, or one in a table that misses the words
/// `env`, `file` and `command`, or has tables of references in it.
fn check_references(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    masked: &mut Vec<(u32, Range<usize>)>,
) {
    match &node.value {
        Value::Table(table) => {
            for entry in &table.entries {
                let here = at.key(&entry.key);
                match entry.key.as_str() {
                    "command" => check_command(report, &entry.node, here, masked),
                    "env" | "file" => check(report, &entry.node, here, masked),
                    _ => check_references(report, &entry.node, here, masked),
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                check_references(report, item, at.item(index), masked);
            }
        }
        Value::Boolean(_) => {}
        Value::Text(text) if text.is_empty() => {}
        // A number may be a secret as well.
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Date(_) => {
            let place = node.place;
            masked.push((place.file, place.start as usize..place.end as usize));
            let draft = Draft::error(
                "policy::password-in-policy",
                format!("`{at}` is a secret written in the policy"),
            )
            .at(place, "secrets do not belong in a policy")
            .help(REFER);
            report.reject(place, draft);
        }
    }
}

/// Warns of secrets in a program's arguments. Such an argument is masked whole: where the secret in it ends is a guess.
fn check_command(
    report: &mut Report<'_>,
    node: &Node,
    at: At<'_>,
    masked: &mut Vec<(u32, Range<usize>)>,
) {
    let mut nested = Vec::new();
    let mut argument = |node: &Node, at: At<'_>, after: Option<&str>| {
        if !node.text().is_some_and(|text| tells_secret(text, after)) {
            return;
        }
        let place = node.place;
        masked.push((place.file, place.start as usize..place.end as usize));
        let draft = Draft::warning(
            "policy::password-in-policy",
            format!("`{at}` is an argument that seems to hold a secret"),
        )
        .at(place, "secrets do not belong in arguments")
        .help(NOT_IN_ARGUMENTS);
        report.add(draft);
    };
    match &node.value {
        Value::List(items) => {
            let mut after = None;
            for (index, item) in items.iter().enumerate() {
                if item.text().is_some() {
                    argument(item, at.item(index), after);
                } else {
                    nested.push((item, index));
                }
                after = item.text();
            }
        }
        Value::Text(_) => argument(node, at, None),
        _ => check(report, node, at, masked),
    }
    for (item, index) in nested {
        check(report, item, at.item(index), masked);
    }
}

/// Whether an argument holds a secret: in itself (`--token=…`, a URL), or as what follows an option (`--token`, `…`).
fn tells_secret(text: &str, after: Option<&str>) -> bool {
    let option = |text: &str| text.starts_with('-') && !text.contains('=');
    let follows = after.is_some_and(|after| option(after) && is_secret_parameter(after));
    (follows && !text.is_empty() && !option(text))
        || !passwords(text).is_empty()
        || assignments(text).any(|(_, name, start)| start < text.len() && is_secret_parameter(name))
}

/// Every `name=` of a text: what stands before the name, the name, and where its value starts.
fn assignments(text: &str) -> impl Iterator<Item = (Option<char>, &str, usize)> {
    let limit = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '?' | '&' | ';' | '#' | '=' | '"' | '\'' | '`' | '<' | '>'
            )
    };
    text.match_indices('=').map(move |(equals, _)| {
        let name = text[..equals].rsplit(limit).next().unwrap_or("");
        let before = text[..equals - name.len()].chars().next_back();
        (before, name, equals + 1)
    })
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
    found.extend(private_keys(text));
    for (before, name, start) in assignments(text) {
        let secret = match before {
            Some('?' | '&' | ';' | '#') => is_secret_parameter(name),
            // Connection strings in words; `token=` among words may be anything, such as SQL.
            None | Some(' ' | '"' | '\'') => {
                matches!(name, "password" | "sslpassword" | "passwd")
            }
            _ => false,
        };
        if !secret {
            continue;
        }
        let quoted = text[start..].starts_with('\'');
        let start = start + usize::from(quoted);
        let stops = |c: char| {
            if quoted {
                matches!(c, '\'' | '\n')
            } else {
                ends(c) || c == '&'
            }
        };
        let end = text[start..]
            .find(stops)
            .map_or(text.len(), |end| start + end);
        if start < end {
            found.push(start..end);
        }
    }
    found.sort_by_key(|range| range.start);
    joined(found)
}

/// The bytes of every private key in PEM (RFC 7468) of a text, with the lines around it; of one without an end, the rest.
fn private_keys(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("-----BEGIN ")
        .filter_map(move |(start, _)| {
            let label_end = start + text[start..].find("KEY-----")? + "KEY-----".len();
            let label = &text[start..label_end];
            if !label.ends_with("PRIVATE KEY-----") || label.contains('\n') {
                return None;
            }
            let end = text[label_end..]
                .find("KEY-----")
                .map_or(text.len(), |end| label_end + end + "KEY-----".len());
            Some(start..end)
        })
}

/// Sorted ranges, those that overlap as one: whoever replaces them must not cut into another.
fn joined(sorted: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
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
            if is_secret_parameter(key.trim_matches(['"', '\''])) {
                found.push(start + equals + 1..start + line.trim_end().len());
                break;
            }
        }
        start += line.len();
    }
    found
}
