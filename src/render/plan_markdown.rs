//! A plan as a pull-request comment: the worst first, and never longer than a forge accepts.
//!
//! Invariant: the text stays under [`MARKDOWN_LIMIT`]; what is cut is counted, and the same plan is always cut alike.

use super::{
    markdown::{Heading, escape, section},
    plan_text::{how_to_approve, local, sign, size, totals},
    plan_words::Words,
    prove::briefly_markdown,
};
use crate::arguments::MARKDOWN_LIMIT;
use jiff::tz::TimeZone;
use model::{Action, Plan, Step, TierName};
use planner::prove::Proof;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Where what is cut can be seen.
const REST: &str = "`mainstay show PLAN_FILE`";

/// The whole comment; `off_machine` names the tiers where plain data is worth a word, `objectives` tells how those of the policy stand.
pub(crate) fn plan(
    plan: &Plan,
    zone: &TimeZone,
    off_machine: &BTreeSet<TierName>,
    objectives: Option<&Proof>,
) -> String {
    let words = Words::new(plan, zone, off_machine);
    let mut head = String::new();
    let _ = writeln!(
        head,
        "### Mainstay plan: {}\n",
        if plan.steps.is_empty() {
            "no changes".to_owned()
        } else {
            totals(plan)
        }
    );
    if plan.needs_approval {
        let _ = writeln!(
            head,
            "> [!CAUTION]\n> This plan deletes more than routine and needs approval:"
        );
        for reason in plan.approval.iter().take(20) {
            let _ = writeln!(head, "> - {} (`{}`)", escape(&reason.text), reason.code);
        }
        if let Some(id) = &plan.id {
            let _ = writeln!(head, ">\n> Approve it with `{}`", how_to_approve(plan, id));
        }
        let _ = writeln!(head);
    }
    let mut tail = objectives.map_or_else(String::new, briefly_markdown);
    if !plan.next_slots.is_empty() {
        let next: Vec<String> = plan
            .next_slots
            .iter()
            .take(20)
            .map(|slot| {
                format!(
                    "`{}/{}` {}",
                    slot.database,
                    slot.series,
                    local(slot.at, zone)
                )
            })
            .collect();
        let _ = writeln!(
            tail,
            "Next: {}{}",
            next.join(", "),
            if plan.next_slots.len() > 20 {
                ", …"
            } else {
                ""
            }
        );
    }
    if let Some(id) = &plan.id {
        let _ = writeln!(
            tail,
            "\n<sub>plan `{id}`, evaluated at {}, {} copies kept</sub>",
            plan.evaluated_at,
            plan.kept.len()
        );
    }

    let mut text = head;
    let room = usize::try_from(MARKDOWN_LIMIT.0)
        .unwrap_or(usize::MAX)
        .saturating_sub(tail.len() + 400);
    // Deletions are what a reviewer must not miss, so they come first and are cut last.
    let (deletions, others): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().partition(|step| step.destructive);
    section(
        &mut text,
        room,
        Heading {
            title: "To be deleted",
            columns: &["", "recovery point", "tier", "size", "why"],
            total: deletions.len(),
        },
        deletions.iter().map(|step| row(step, &words)),
        REST,
    );
    section(
        &mut text,
        room,
        Heading {
            title: "To be done",
            columns: &["", "recovery point", "tier", "size", "why"],
            total: others.len(),
        },
        others.iter().map(|step| row(step, &words)),
        REST,
    );
    section(
        &mut text,
        room,
        Heading {
            title: "Waiting",
            columns: &["what", "why"],
            total: plan.not_planned.len(),
        },
        plan.not_planned.iter().map(|item| {
            format!(
                "| {} | {} |\n",
                escape(&item.what),
                escape(&item.reason.text)
            )
        }),
        REST,
    );
    text.push_str(&tail);
    text
}

fn row(step: &Step, words: &Words<'_>) -> String {
    let tier = match &step.from {
        Some(from) => format!("{from} → {}", step.tier),
        None => step.tier.to_string(),
    };
    let size = size(step);
    let level = step
        .level
        .filter(|_| step.action == Action::Verify)
        .map(|level| format!(" ({level})"))
        .unwrap_or_default();
    let approval = if step.needs_approval {
        " **needs approval**"
    } else {
        ""
    };
    format!(
        "| `{}` {}{level} | `{}` | {tier} | {size} | {}{}{approval} |\n",
        sign(step.action),
        step.action,
        step.recovery_point,
        escape(&step.reason.text),
        escape(&words.plain_after_reason(step))
    )
}
