//! The graph of a plan's steps in DOT, for `dot -Tsvg`.

use model::{Action, Plan};
use std::fmt::Write as _;

/// One node a step, one arrow for each "must come first".
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = "digraph plan {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fillcolor=white];\n".to_owned();
    for step in &plan.steps {
        let color = match step.action {
            Action::Backup => "#d7f5d7",
            Action::Prune | Action::ExpireWal => "#f9d6d5",
            Action::Verify | Action::Drill => "#dbe7fb",
            _ => "#d5f1f4",
        };
        let label = format!(
            "{}\\n{}\\n{}",
            step.action,
            quoted(step.recovery_point.as_str()),
            quoted(step.tier.as_str())
        );
        let _ = writeln!(
            text,
            "  \"{}\" [label=\"{label}\", fillcolor=\"{color}\"];",
            quoted(step.id.as_str())
        );
    }
    for step in &plan.steps {
        for before in &step.after {
            let _ = writeln!(
                text,
                "  \"{}\" -> \"{}\";",
                quoted(before.as_str()),
                quoted(step.id.as_str())
            );
        }
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
