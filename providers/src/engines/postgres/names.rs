//! Names in SQL: quoting, qualified names, and `pg_dump`'s patterns as regular expressions.
//!
//! Source of the patterns: PostgreSQL manual, psql, "Patterns"; `pg_dump` uses the same function.

/// A name as an SQL identifier, always in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal that means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let body = text.replace('\'', "''");
    if body.contains('\\') {
        return format!(" E'{}'", body.replace('\\', "\\\\"));
    }
    format!("'{body}'")
}

/// A table's qualified name as people write it: quoted only where it must be.
pub(super) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", readable(schema), readable(table))
}

fn readable(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    if starts_well && name.bytes().all(plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// Reads `schema.table` or `table`, quoted or not, from the start of a text; gives the parts and what follows.
pub(super) fn read_name(text: &str) -> Option<(Vec<String>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part;
        (part, rest) = read_part(rest)?;
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None => return Some((parts, rest)),
        }
    }
}

fn read_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end =
            text.find(|c: char| c == '.' || c == '"' || c == '(' || c == ';' || c.is_whitespace());
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (piece, after) = rest.split_once('"')?;
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Schema (if given) and name of a person's `schema.table` or `table`; unquoted names are taken in lower case, as SQL does.
pub(super) fn read_table(text: &str) -> Option<(Option<String>, String)> {
    let folded = |part: &str, source: &str| {
        if source.contains('"') {
            part.to_owned()
        } else {
            part.to_lowercase()
        }
    };
    let (parts, rest) = read_name(text.trim())?;
    if !rest.is_empty() {
        return None;
    }
    match parts.as_slice() {
        [table] => Some((None, folded(table, text))),
        [schema, table] => Some((Some(folded(schema, text)), folded(table, text))),
        _ => None,
    }
}

/// A pattern of `pg_dump -t` or `-n`: regular expressions for schema (if the pattern has a dot) and name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// For the schema.
    pub(super) schema: Option<String>,
    /// For the name.
    pub(super) name: String,
}

/// Turns a pattern into anchored regular expressions of the server.
pub(super) fn pattern(text: &str) -> Pattern {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '.' && !in_quotes {
            parts.push(String::new());
            continue;
        }
        let Some(part) = parts.last_mut() else { break };
        match character {
            '"' if in_quotes && characters.peek() == Some(&'"') => {
                characters.next();
                part.push('"');
            }
            '"' => in_quotes = !in_quotes,
            '*' if !in_quotes => part.push_str(".*"),
            '?' if !in_quotes => part.push('.'),
            '$' => part.push_str("\\$"),
            // In quotes the special characters of regular expressions mean themselves.
            special if in_quotes && "|*+?()[]{}.^\\".contains(special) => {
                part.push('\\');
                part.push(special);
            }
            other if in_quotes => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    let anchored = |part: String| format!("^({part})$");
    let name = parts.pop().unwrap_or_default();
    let schema = parts.pop().map(anchored);
    Pattern {
        schema,
        name: anchored(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_quoting_and_reading() {
        for (schema, table) in [
            ("public", "orders"),
            ("My Schema", "Tä\"ble.x"),
            ("1", "select;"),
        ] {
            let text = qualified(schema, table);
            let (parts, rest) = read_name(&text).unwrap();
            assert_eq!(
                (parts[0].as_str(), parts[1].as_str(), rest),
                (schema, table, ""),
                "{text}"
            );
        }
        let (parts, rest) = read_name("public.\"a b\" (id, \"x\") FROM stdin;").unwrap();
        assert_eq!(
            (parts.join("|").as_str(), rest),
            ("public|a b", " (id, \"x\") FROM stdin;")
        );
        assert_eq!(
            read_table("Public.Orders"),
            Some((Some("public".into()), "orders".into()))
        );
        assert_eq!(read_table("a.b.c"), None);
    }

    #[test]
    fn patterns_become_the_regular_expressions_of_psql() {
        let shown = |text: &str| {
            let Pattern { schema, name } = pattern(text);
            format!("{} {name}", schema.unwrap_or_default())
        };
        assert_eq!(shown("orders"), " ^(orders)$");
        assert_eq!(shown("Orders*"), " ^(orders.*)$");
        assert_eq!(shown("audit.log_?"), "^(audit)$ ^(log_.)$");
        assert_eq!(shown("\"My.Table*\""), " ^(My\\.Table\\*)$");
        assert_eq!(shown("a|b"), " ^(a|b)$");
    }

    #[test]
    fn literals_cannot_end_early() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\' or"), " E'\\\\'' or'");
    }
}
