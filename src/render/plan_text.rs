//! A plan for people: what would be done and why, what waits, what is protected, what comes next.

use super::plan_words::Words;
use super::{color, table::seen_width};
use jiff::{Timestamp, tz::TimeZone};
use model::{Action, ByteCount, Digest, Plan, Reason, ReasonCode, Step, TierName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Lines of one group (kept, waiting, next) before the rest is only counted.
const GROUP_LIMIT: usize = 20;

/// The sign before a step: `+` makes, `↑` copies, `?` looks, `-` deletes, `~` repairs, `=` records, `*` thaws, `!` locks.
pub(crate) fn sign(action: Action) -> &'static str {
    match action {
        Action::Backup => "+",
        Action::Upload => "↑",
        Action::Verify | Action::Drill => "?",
        Action::Prune | Action::ExpireWal => "-",
        Action::Repair => "~",
        Action::Adopt => "=",
        Action::Thaw => "*",
        Action::Lock => "!",
    }
}

fn style(action: Action) -> anstyle::Style {
    match action {
        Action::Backup => color::ADD,
        Action::Upload | Action::Repair | Action::Adopt | Action::Thaw | Action::Lock => {
            color::MOVE
        }
        Action::Verify | Action::Drill => color::LOOK,
        Action::Prune | Action::ExpireWal => color::REMOVE,
    }
}

/// A time in the zone of the policy, as people write it.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M %Z")
        .to_string()
}

/// The whole plan; `off_machine` names the tiers where plain data is worth a word.
pub(crate) fn plan(plan: &Plan, zone: &TimeZone, off_machine: &BTreeSet<TierName>) -> String {
    let mut text = String::new();
    let unprotected = plan
        .not_planned
        .iter()
        .any(|item| item.reason.code.leaves_unprotected());
    if plan.steps.is_empty() && unprotected {
        let _ = writeln!(
            text,
            "{} Not everything that the policy wants exists, and nothing can be done about it now.",
            color::paint(color::WARN, "Blocked.")
        );
    } else if plan.steps.is_empty() {
        let _ = writeln!(
            text,
            "{} Everything that the policy wants exists.",
            color::paint(color::BOLD, "No changes.")
        );
    } else {
        let _ = writeln!(
            text,
            "{}\n",
            color::paint(
                color::BOLD,
                "Mainstay will do the following, in this order where it matters:"
            )
        );
        steps(&mut text, plan, &Words::new(plan, zone, off_machine));
    }
    approval(&mut text, plan);
    waiting(&mut text, plan);
    missed(&mut text, plan, zone);
    protected(&mut text, plan);
    next(&mut text, plan, zone);
    if !plan.steps.is_empty() {
        let _ = writeln!(
            text,
            "\n{} {}",
            color::paint(color::BOLD, "Plan:"),
            totals(plan)
        );
    }
    text
}

fn steps(text: &mut String, plan: &Plan, words: &Words<'_>) {
    let mut databases: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        databases
            .entry(step.database.as_str())
            .or_default()
            .push(step);
    }
    for (database, steps) in databases {
        let _ = writeln!(text, "{}", color::paint(color::BOLD, database));
        let what: Vec<String> = steps.iter().map(|step| subject(step)).collect();
        let width = what.iter().map(|what| seen_width(what)).max().unwrap_or(0);
        for (step, what) in steps.iter().zip(what) {
            let size = size(step);
            let mark = format!("{} {:<7}", sign(step.action), step.action.as_str());
            let pad = " ".repeat(width - seen_width(&what));
            let approval = if step.needs_approval {
                color::paint(color::WARN, " (needs approval)")
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "  {} {what}{pad}  {size:>10}  {}{}{approval}",
                color::paint(style(step.action), mark),
                color::paint(color::DIM, &step.reason.text),
                words.after_reason(step)
            );
        }
    }
}

/// How many bytes a step is about, `~1.2 MiB` where that is an estimate.
pub(crate) fn size(step: &Step) -> String {
    let about = if is_estimate(step.action) { "~" } else { "" };
    step.bytes
        .map_or_else(String::new, |bytes| format!("{about}{bytes}"))
}

/// Nobody knows how large a new point will be; and of the log only the size of whole stretches is known, not that of each file.
fn is_estimate(action: Action) -> bool {
    matches!(action, Action::Backup | Action::ExpireWal)
}

/// What a step works on: `daily/20261121T020000Z nas → attic`.
fn subject(step: &Step) -> String {
    let point = format!(
        "{}/{}",
        step.recovery_point.series(),
        step.recovery_point.stamp()
    );
    match (&step.from, step.level) {
        (Some(from), _) => format!("{point}  {from} → {}", step.tier),
        (None, Some(level)) => format!("{point}  {} ({level})", step.tier),
        _ => format!("{point}  {}", step.tier),
    }
}

fn approval(text: &mut String, plan: &Plan) {
    if !plan.needs_approval {
        return;
    }
    let _ = writeln!(
        text,
        "\n{}",
        color::paint(
            color::WARN,
            "This plan deletes more than routine and needs approval:"
        )
    );
    for reason in &plan.approval {
        let _ = writeln!(
            text,
            "  ! {} {}",
            reason.text,
            color::paint(color::DIM, format!("[{}]", reason.code))
        );
    }
    if let Some(id) = &plan.id {
        let _ = writeln!(text, "  approve it with:  {}", how_to_approve(plan, id));
    }
}

/// The command by which a person approves: with a signature where the policy asks for it, else by the id.
pub(crate) fn how_to_approve(plan: &Plan, id: &Digest) -> String {
    let weakened = |reason: &Reason| reason.code == ReasonCode::ApprovalWeakened;
    if plan.approval_rules.is_some() || plan.approval.iter().any(weakened) {
        return "mainstay approve PLAN_FILE --key KEY".to_owned();
    }
    format!("mainstay apply PLAN_FILE --approve {id}")
}

fn waiting(text: &mut String, plan: &Plan) {
    if plan.not_planned.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", color::paint(color::BOLD, "Waiting, and why:"));
    for item in plan.not_planned.iter().take(GROUP_LIMIT) {
        let _ = writeln!(
            text,
            "  {} {}: {}",
            color::paint(color::WARN, "!"),
            item.what,
            item.reason.text
        );
    }
    more(text, plan.not_planned.len());
}

fn missed(text: &mut String, plan: &Plan, zone: &TimeZone) {
    for missed in &plan.missed {
        let _ = writeln!(
            text,
            "\n{} {}/{}: {} slot{} passed without a recovery point, {} to {}",
            color::paint(color::WARN, "Missed:"),
            missed.database,
            missed.series,
            missed.count,
            if missed.count == 1 { "" } else { "s" },
            local(missed.first, zone),
            local(missed.last, zone)
        );
    }
}

fn protected(text: &mut String, plan: &Plan) {
    let mut series: BTreeMap<(&str, &str), BTreeMap<&str, u32>> = BTreeMap::new();
    for kept in &plan.kept {
        let key = (kept.recovery_point.database(), kept.recovery_point.series());
        *series
            .entry(key)
            .or_default()
            .entry(kept.tier.as_str())
            .or_default() += 1;
    }
    if series.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", color::paint(color::BOLD, "Protected:"));
    let total = series.len();
    for ((database, name), tiers) in series.into_iter().take(GROUP_LIMIT) {
        let tiers: Vec<String> = tiers
            .into_iter()
            .map(|(tier, count)| format!("{count} on {tier}"))
            .collect();
        let _ = writeln!(
            text,
            "  {database}/{name}: recovery points kept: {}",
            tiers.join(", ")
        );
    }
    more(text, total);
}

fn next(text: &mut String, plan: &Plan, zone: &TimeZone) {
    if plan.next_slots.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", color::paint(color::BOLD, "Next:"));
    for slot in plan.next_slots.iter().take(GROUP_LIMIT) {
        let _ = writeln!(
            text,
            "  {}/{} at {}",
            slot.database,
            slot.series,
            local(slot.at, zone)
        );
    }
    more(text, plan.next_slots.len());
}

fn more(text: &mut String, total: usize) {
    if total > GROUP_LIMIT {
        let _ = writeln!(text, "  … and {} more (see --json)", total - GROUP_LIMIT);
    }
}

/// `1 to back up, 2 to verify, 1 to prune (frees 1.2 MiB).`
pub(crate) fn totals(plan: &Plan) -> String {
    let words = [
        (Action::Backup, "to back up"),
        (Action::Upload, "to upload"),
        (Action::Verify, "to verify"),
        (Action::Repair, "to repair"),
        (Action::Adopt, "to adopt"),
        (Action::Thaw, "to thaw"),
        (Action::Lock, "to lock"),
        (Action::Drill, "to drill"),
        (Action::ExpireWal, "to expire of the log"),
        (Action::Prune, "to prune"),
    ];
    let mut parts = Vec::new();
    for (action, words) in words {
        let steps: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|step| step.action == action)
            .collect();
        if steps.is_empty() {
            continue;
        }
        let bytes = steps
            .iter()
            .filter_map(|step| step.bytes)
            .fold(ByteCount(0), ByteCount::saturating_add);
        let size = match action {
            _ if bytes == ByteCount(0) => String::new(),
            Action::Prune => format!(" (frees {bytes})"),
            Action::ExpireWal => format!(" (frees about {bytes})"),
            action if is_estimate(action) => format!(" (about {bytes})"),
            _ => format!(" ({bytes})"),
        };
        parts.push(format!("{} {words}{size}", steps.len()));
    }
    if parts.is_empty() {
        "nothing to do.".to_owned()
    } else {
        format!("{}.", parts.join(", "))
    }
}
