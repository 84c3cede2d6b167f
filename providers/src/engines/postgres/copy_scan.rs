//! Reads SQL as `pg_dump` and `pg_restore` write it, and counts the rows of every `COPY` without a server.
//!
//! A `COPY` or `CREATE TABLE` counts only behind the comment that `pg_dump` puts before it, so that the body of a function
//! cannot pass for one. Memory stays bounded, however long a row is.

use super::{
    capture::{GLOBALS_TRAILER, PLAIN_TRAILER},
    names::read_name,
};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

/// A line outside of `COPY` data is looked at this far; definitions' beginnings are short.
const LOOKED_AT: usize = 64 * 1024;
const BUFFER: usize = 1024 * 1024;
/// First line of a plain dump, behind its dashes.
const PLAIN_TITLE: &str = "PostgreSQL database dump";

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Rows by schema and table.
    pub(super) rows: BTreeMap<(String, String), u64>,
    /// Tables that are defined.
    pub(super) defined: Vec<(String, String)>,
    /// Whether any table's rows are there, be they none, or written as `INSERT`.
    pub(super) data: bool,
    /// Whether the last line of a complete dump (or of complete globals) was there.
    pub(super) trailer: bool,
    /// Whether the text ended in the middle of a table's rows.
    pub(super) cut: bool,
    /// Whether the text goes on to another database than the one that it is loaded into, as with `pg_dump --create`.
    pub(super) leaves: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    Nothing,
    Table,
    Rows,
}

/// Reads to the end.
pub(super) fn scan(source: impl Read) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(BUFFER, source);
    let mut found = Scan::default();
    let mut announced = Announced::Nothing;
    let mut line = Vec::new();
    while take_line(&mut reader, &mut line, LOOKED_AT)? {
        let text = String::from_utf8_lossy(&line);
        if let Some(header) = text.strip_prefix("-- ") {
            if header.starts_with("Data for Name: ") && header.contains("; Type: TABLE DATA; ") {
                announced = Announced::Rows;
                found.data = true;
            } else if header.starts_with("Name: ") {
                let table = header.contains("; Type: TABLE; ");
                announced = if table {
                    Announced::Table
                } else {
                    Announced::Nothing
                };
            }
            if header == PLAIN_TITLE {
                // What follows the end of one dump is a dump of its own, whose end must be there too.
                found.trailer = false;
            }
            found.trailer |= text == PLAIN_TRAILER || text == GLOBALS_TRAILER;
        } else if text.starts_with("\\connect ") || text.starts_with("\\c ") {
            found.leaves = true;
        } else if announced == Announced::Table && text.starts_with("CREATE ") {
            announced = Announced::Nothing;
            let name = text
                .split_once("TABLE ")
                .and_then(|(_, rest)| table_of(rest));
            found.defined.extend(name);
        } else if announced == Announced::Rows
            && let Some(rest) = text.strip_prefix("COPY ")
            && text.ends_with(" FROM stdin;")
        {
            announced = Announced::Nothing;
            let name = table_of(rest);
            let rows = count_rows(&mut reader, &mut line, &mut found.cut)?;
            if let Some(name) = name {
                found.rows.insert(name, rows);
            }
        }
    }
    Ok(found)
}

fn table_of(text: &str) -> Option<(String, String)> {
    let (parts, _) = read_name(text)?;
    let [schema, table] = <[String; 2]>::try_from(parts).ok()?;
    Some((schema, table))
}

fn count_rows(reader: &mut impl BufRead, line: &mut Vec<u8>, cut: &mut bool) -> io::Result<u64> {
    let mut rows = 0;
    // Rows are told from their end by two characters; the others need not be kept.
    while take_line(reader, line, 3)? {
        if line == b"\\." {
            return Ok(rows);
        }
        rows += 1;
    }
    *cut = true;
    Ok(rows)
}

/// Takes one line without its newline, keeping at most `kept` bytes of it; `false` at the end of the text.
fn take_line(reader: &mut impl BufRead, line: &mut Vec<u8>, kept: usize) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        let room = kept.saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = piece.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_only_behind_pg_dumps_own_comments() {
        let text = "\
-- Name: f(); Type: FUNCTION; Schema: public; Owner: a
CREATE FUNCTION public.f() RETURNS text AS $$
COPY public.fake (a) FROM stdin;
CREATE TABLE public.fake (
$$;
-- Name: my table; Type: TABLE; Schema: public; Owner: a

CREATE UNLOGGED TABLE public.\"my table\" (
    a text
);
-- Data for Name: my table; Type: TABLE DATA; Schema: public; Owner: a

COPY public.\"my table\" (a) FROM stdin;
one
\\\\.
\\.x
\\.

-- Data for Name: empty; Type: TABLE DATA; Schema: s; Owner: a

COPY s.empty  FROM stdin;
\\.

--
-- PostgreSQL database dump complete
--
";
        let found = scan(text.as_bytes()).unwrap();
        let table = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        assert_eq!(
            found.rows,
            BTreeMap::from([(table("public", "my table"), 3), (table("s", "empty"), 0)])
        );
        assert_eq!(found.defined, [table("public", "my table")]);
        assert!(found.trailer && !found.cut);
        let cut = scan(&text.as_bytes()[..text.find("\\.x").unwrap()]).unwrap();
        assert!(cut.cut && !cut.trailer);
    }

    #[test]
    fn a_second_dump_needs_its_own_end_and_another_database_is_noticed() {
        let dump = "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n";
        let whole = scan(dump.as_bytes()).unwrap();
        assert!(whole.trailer && !whole.leaves);
        let twice = format!("{dump}{}", &dump[..dump.len() - 20]);
        assert!(!scan(twice.as_bytes()).unwrap().trailer);
        let create = dump.replace("SELECT 1;", "CREATE DATABASE erp;\n\\connect erp");
        assert!(scan(create.as_bytes()).unwrap().leaves);
        let data = "-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: a\n\nCOPY s.t (a) FROM stdin;\n\\connect x\n\\.\n";
        assert!(!scan(data.as_bytes()).unwrap().leaves);
    }
}
