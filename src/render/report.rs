//! How a run ended, for people: what was done, already done, failed and skipped, and why.

use super::{color, progress::duration};
use executor::{RunEnd, RunReport, audit::ExportReport};
use model::{ByteCount, Plan, event::Outcome};
use std::fmt::Write as _;

/// Where the audit could not be carried to; everything else of the run is as good as it is.
fn audit(report: &ExportReport) -> String {
    let mut text = String::new();
    let places = report
        .failed
        .iter()
        .map(|(tier, failure)| (format!("to {tier}"), failure));
    let nowhere = report
        .nothing
        .iter()
        .map(|failure| ("to any tier".to_owned(), failure));
    for (place, failure) in places.chain(nowhere) {
        let _ = writeln!(
            text,
            "{} the audit was not carried {place}, the next run tries again: {}",
            color::paint(color::WARN, "warning:"),
            failure.message
        );
        if let Some(help) = &failure.help {
            let _ = writeln!(text, "       help: {help}");
        }
    }
    text
}

/// The closing account of a run.
pub(crate) fn text(report: &RunReport, plan: &Plan) -> String {
    let mut text = String::new();
    let audit = audit(&report.audit);
    if plan.steps.is_empty()
        && report.stopped.is_none()
        && report.gaps.is_empty()
        && !report.rules_withheld
    {
        return audit;
    }
    for step in &report.steps {
        match &step.outcome {
            Outcome::Failed { error } => {
                let _ = writeln!(
                    text,
                    "{} {}: {}",
                    color::paint(color::REMOVE, "failed"),
                    step.step,
                    error.message
                );
                if let Some(help) = &error.help {
                    let _ = writeln!(text, "       help: {help}");
                }
            }
            Outcome::Stale { why } => {
                let _ = writeln!(
                    text,
                    "{}  {}: {why}",
                    color::paint(color::WARN, "stale"),
                    step.step
                );
            }
            Outcome::Blocked { reason } => {
                let _ = writeln!(
                    text,
                    "{} {}: {}",
                    color::paint(color::WARN, "blocked"),
                    step.step,
                    reason.text
                );
            }
            _ => {}
        }
    }
    if !report.not_routine.is_empty() {
        let _ = writeln!(
            text,
            "{} {} deletion(s) of this plan are not what would be planned now, so they are not routine, whatever the plan says\n       \
             help: make a new plan with `mainstay plan --out FILE`",
            color::paint(color::WARN, "not routine:"),
            report.not_routine.len()
        );
    }
    if let Some(approval) = &report.approval
        && !approval.is_given()
    {
        let _ = writeln!(
            text,
            "{} {approval}\n       help: sign with `mainstay approve PLAN --key FILE`, then apply that saved plan",
            color::paint(color::WARN, "not approved:")
        );
    }
    if let Some(stopped) = &report.stopped {
        let _ = writeln!(
            text,
            "{} {}",
            color::paint(color::REMOVE, "stopped:"),
            stopped.message
        );
    }
    for gap in &report.gaps {
        let _ = writeln!(
            text,
            "{} not recorded in the catalog: {}",
            color::paint(color::WARN, "warning:"),
            gap.message
        );
    }
    text.push_str(&audit);
    let s = report.summary;
    let mut parts = Vec::new();
    for (count, words) in [
        (s.done, "done"),
        (s.already_done, "already done"),
        (s.failed, "failed"),
        (s.stale, "stale"),
        (s.blocked, "blocked"),
        (s.needs_approval, "waiting for approval"),
        (s.skipped, "skipped"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    }
    let (style, head) = match report.end() {
        RunEnd::Done => (color::ADD, "Apply complete:"),
        RunEnd::NeedsApproval | RunEnd::Blocked | RunEnd::Stale => {
            (color::WARN, "Apply incomplete:")
        }
        RunEnd::Stopped => (color::WARN, "Apply stopped:"),
        RunEnd::Failed | RunEnd::SomeFailed => (color::REMOVE, "Apply failed:"),
    };
    let moved = report
        .steps
        .iter()
        .filter_map(|step| step.bytes)
        .fold(ByteCount(0), ByteCount::saturating_add);
    let longest = report
        .steps
        .iter()
        .map(|step| step.milliseconds)
        .max()
        .unwrap_or(0);
    let _ = writeln!(
        text,
        "\n{} {}.{}",
        color::paint(style, head),
        if parts.is_empty() {
            "nothing to do".to_owned()
        } else {
            parts.join(", ")
        },
        color::paint(
            color::DIM,
            format!(
                "  ({moved} moved, longest step {}, {})",
                duration(longest),
                report.run
            )
        )
    );
    text
}
