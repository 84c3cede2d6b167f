//! From verdicts on single subjects to the verdict of a control: the worst decides, and what was accepted is an exception.

use super::{
    catalogue::{CONTROLS, Control},
    standing::Standing,
};
use model::evidence::{
    ControlResult, ControlVerdict, FrameworkControl, RetentionEvidence, SubjectResult,
};

/// The verdict of every control.
pub(super) fn judge_all(
    standing: &Standing<'_>,
    retention: &RetentionEvidence,
) -> Vec<ControlResult> {
    CONTROLS
        .iter()
        .map(|(control, judge)| result(control, judge(standing, retention), standing))
        .collect()
}

fn result(
    control: &Control,
    mut subjects: Vec<SubjectResult>,
    standing: &Standing<'_>,
) -> ControlResult {
    for subject in &mut subjects {
        except(control, subject, standing);
    }
    subjects.sort_by(|a, b| (a.verdict, &a.subject).cmp(&(b.verdict, &b.subject)));
    // They sort by how much attention they need, so the first decides.
    let verdict = subjects
        .first()
        .map_or(ControlVerdict::NotApplicable, |worst| worst.verdict);
    let count = |verdict| {
        subjects
            .iter()
            .filter(|subject| subject.verdict == verdict)
            .count()
    };
    let judged = subjects.len() - count(ControlVerdict::NotApplicable);
    let mut why = match judged {
        0 => format!("there are no {} that it applies to", control.subjects),
        all => format!(
            "{} of {all} {}",
            count(ControlVerdict::Met),
            control.subjects
        ),
    };
    for (verdict, words) in [
        (ControlVerdict::NotMet, "not met"),
        (ControlVerdict::Exception, "excepted"),
        (ControlVerdict::CannotTell, "cannot be told"),
    ] {
        if count(verdict) > 0 {
            why = format!("{why}; {} {words}", count(verdict));
        }
    }
    ControlResult {
        demands: control.demands.into(),
        id: control.id.into(),
        maps_to: control
            .maps_to
            .iter()
            .map(|(framework, control)| FrameworkControl {
                control: (*control).into(),
                framework: (*framework).into(),
            })
            .collect(),
        subjects,
        title: control.title.into(),
        verdict,
        why,
    }
}

/// Makes an exception of what is not met and was accepted.
fn except(control: &Control, subject: &mut SubjectResult, standing: &Standing<'_>) {
    if subject.verdict != ControlVerdict::NotMet {
        return;
    }
    let database = subject.subject.split(['/', '@']).next().unwrap_or_default();
    let accepted = standing.facts.exceptions.iter().find(|exception| {
        exception.control == control.id
            && exception.expires > standing.facts.until
            && !exception.owner.is_empty()
            && exception
                .subject
                .as_deref()
                .is_none_or(|only| only == database || only == subject.subject)
    });
    if let Some(exception) = accepted {
        subject.verdict = ControlVerdict::Exception;
        subject.why = format!(
            "{}; accepted by {} until {}: {}",
            subject.why,
            exception.owner,
            moment(exception.expires),
            exception.why
        );
    }
}

/// A verdict on one thing.
#[expect(
    clippy::needless_pass_by_value,
    reason = "names, numbers and texts are given as they come"
)]
pub(super) fn subject(
    name: impl ToString,
    verdict: ControlVerdict,
    why: impl Into<String>,
    numbers: &[(&'static str, i64)],
) -> SubjectResult {
    SubjectResult {
        numbers: numbers
            .iter()
            .map(|(name, number)| ((*name).into(), *number))
            .collect(),
        subject: name.to_string(),
        verdict,
        why: why.into(),
    }
}

/// Met or not.
pub(super) fn met(yes: bool) -> ControlVerdict {
    if yes {
        ControlVerdict::Met
    } else {
        ControlVerdict::NotMet
    }
}

/// A count as JSON keeps it.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A moment for people: whole seconds.
pub(super) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
