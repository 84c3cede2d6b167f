//! `explain` of a key: the value of a key and the file and line of each contribution.

use crate::{
    arguments::Global,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{color, out},
    settings,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Characters of a value that are shown on one line.
const LINE: usize = 100;

pub(super) fn run(key: &str, global: &Global) -> Result<Exit> {
    let path = settings::policy_path(global)?;
    let checked = policy::check(&path);
    let explanation = checked.loaded.explain(key).map_err(|nothing| {
        let failure = Failure::new("mainstay::explain::nothing", nothing.to_string());
        match nothing.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    })?;
    if !checked.is_acceptable(false) {
        out::words(
            "The policy has errors, so no value is in force; what is written is shown all the same.\n",
        );
    }
    if global.json {
        let contributions: Vec<Value> = explanation
            .contributions
            .iter()
            .map(|part| json!({"path": part.path, "value": part.value, "file": part.file, "line": part.line, "column": part.column, "via": part.via}))
            .collect();
        out::json(
            &json!({"format": "mainstay.explain.v1", "path": explanation.path, "value": explanation.value, "contributions": contributions}),
        )?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    // A profile, or a policy with errors: nothing is in force here, but what is written is listed.
    let value = explanation
        .value
        .as_ref()
        .map_or_else(String::new, |value| format!(" = {}", readable(value)));
    let path = if explanation.path.is_empty() {
        "the policy"
    } else {
        &explanation.path
    };
    let _ = writeln!(text, "{}{value}", color::paint(color::BOLD, path));
    let sections = ["", "tier", "key", "profile", "database"];
    if sections.contains(&explanation.path.as_str()) {
        let _ = writeln!(text, "  name one of these to see where it comes from");
    } else if explanation.contributions.is_empty() {
        let _ = writeln!(text, "  built-in default");
    }
    for part in &explanation.contributions {
        let via = part
            .via
            .as_ref()
            .map(|via| format!(" ({via})"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}:{}{via}  {} = {}",
            part.file.display(),
            part.line,
            part.path,
            part.value
        );
    }
    out::data(&text)?;
    Ok(Exit::Done)
}

/// On one line while that can be read; a whole table is laid out.
fn readable(value: &Value) -> String {
    let line = value.to_string();
    if line.chars().count() <= LINE {
        return line;
    }
    serde_json::to_string_pretty(value).unwrap_or(line)
}
