//! The first lines of a database's table: its engine, and where that finds the data.
//!
//! Invariant: no password is written; a connection URL comes from the environment, and what is known of it stands beside it as a comment.

use super::found::{Fate, Reading, quoted};

/// The variable of the environment that holds the URL of a database.
pub(crate) fn url_variable(name: &str) -> String {
    format!("{}_URL", variable_part(name))
}

/// A name of a policy as a variable can hold it.
pub(crate) fn variable_part(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// A database of PostgreSQL; `url` is what is known of its address, as a comment.
pub(crate) fn postgres(variable: &str, url: &str) -> Vec<String> {
    let url: String = url.chars().filter(|c| !c.is_control()).collect();
    vec![
        "engine = \"postgres\"".to_owned(),
        format!("url = {{ env = \"{variable}\" }} # {url}"),
    ]
}

/// What is backed up as files.
pub(crate) fn files(paths: &[String], reading: &mut Reading) -> Vec<String> {
    let mut table = vec!["engine = \"files\"".to_owned()];
    if paths.is_empty() {
        let says = "nothing says, so `paths = [\"/CHANGE/ME\"]`; for a database take its engine instead of `files`";
        reading.note(None, Fate::Assumed, "what is backed up", says);
        table.push("# CHANGE: what is backed up; for a database: engine = \"postgres\" and url, or \"sqlite\" and path".to_owned());
        table.push("paths = [\"/CHANGE/ME\"]".to_owned());
    } else {
        let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
        table.push(format!("paths = [{}]", paths.join(", ")));
    }
    table
}
