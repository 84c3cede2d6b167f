//! Events of a run as they happen: bars on a terminal, one line an event elsewhere, one JSON object a line for programs.

use super::{color, out};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use model::{
    StepId,
    event::{Failure, Outcome, RunEvent, What},
};
use std::{collections::BTreeMap, io::IsTerminal, sync::Mutex, time::Duration};

/// Shows events; shared by all steps of a run.
pub(crate) enum Progress {
    /// One JSON object a line on stdout.
    Json,
    /// One line an event on stderr.
    Lines,
    /// Bars on stderr.
    Bars(Box<Bars>),
}

/// Bars of the running steps.
pub(crate) struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<StepId, ProgressBar>>,
}

impl Progress {
    /// What fits where stderr goes.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() {
            Self::Bars(Box::new(Bars {
                all: MultiProgress::new(),
                running: Mutex::default(),
            }))
        } else {
            Self::Lines
        }
    }

    /// Shows one event.
    pub(crate) fn show(&self, event: &RunEvent) {
        match self {
            // Progress is for bars; a program that reads events gets what is journaled.
            Self::Json | Self::Lines if matches!(event.what, What::StepProgress { .. }) => {}
            // When stdout is gone there is nobody left to tell.
            Self::Json => drop(out::json(event)),
            Self::Lines => {
                if let Some(line) = line(&event.what) {
                    out::words(&format!("{line}\n"));
                }
            }
            Self::Bars(bars) => bars.show(event),
        }
    }
}

impl Bars {
    fn show(&self, event: &RunEvent) {
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &event.what {
            What::StepStarted { step, .. } => {
                let bar = self
                    .all
                    .add(ProgressBar::new_spinner().with_style(style(false)));
                bar.set_message(step.to_string());
                bar.enable_steady_tick(Duration::from_millis(120));
                if let Some(old) = running.insert(step.clone(), bar) {
                    old.finish_and_clear();
                }
            }
            What::StepProgress { step, bytes, total } => {
                if let Some(bar) = running.get(step) {
                    if let (Some(total), None) = (total, bar.length()) {
                        bar.set_length(total.0.max(bytes.0));
                        bar.set_style(style(true));
                    }
                    bar.set_position(bytes.0);
                }
                return;
            }
            What::StepFinished { step, .. } => {
                if let Some(bar) = running.remove(step) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(line) = line(&event.what) {
            let plain =
                anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never;
            let line = if plain {
                anstream::adapter::strip_str(&line).to_string()
            } else {
                line
            };
            // A terminal that went away shows nothing; the journal has it all the same.
            let _ = self.all.println(line);
        }
    }
}

fn style(known_length: bool) -> ProgressStyle {
    let template = if known_length {
        "  {spinner} {msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "  {spinner} {msg} {bytes} {bytes_per_sec} {elapsed}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

/// An event in one line; `None` for what only bars show.
fn line(what: &What) -> Option<String> {
    Some(match what {
        What::RunStarted { .. } | What::StepProgress { .. } | What::RunFinished { .. } => {
            return None;
        }
        What::StepStarted { attempt: 1, .. } => return None,
        What::StepStarted { step, attempt } => format!("  {step}: try {attempt}"),
        What::CleanedUp { what } => format!("  {} {what}", color::paint(color::DIM, "cleaned up")),
        What::StepRetried {
            step,
            error,
            after_seconds,
        } => {
            format!(
                "  {} {step}: {}; next try in {after_seconds} s",
                color::paint(color::WARN, "again"),
                error.message
            )
        }
        What::StepFinished {
            step,
            outcome,
            milliseconds,
            bytes,
        } => {
            let size = bytes.map(|bytes| format!("  {bytes}")).unwrap_or_default();
            format!(
                "  {} {step}{size}  {}",
                outcome_words(outcome),
                color::paint(color::DIM, duration(*milliseconds))
            )
        }
    })
}

/// `done`, `failed: …` and so on.
pub(crate) fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => color::paint(color::ADD, "done   "),
        Outcome::AlreadyDone => color::paint(color::DIM, "already done"),
        Outcome::Failed { error } => format!(
            "{} {} ",
            color::paint(color::REMOVE, "FAILED"),
            failure_words(error)
        ),
        Outcome::Skipped { why } => format!("{} ({why})", color::paint(color::WARN, "skipped")),
        Outcome::Stale { why } => format!("{} ({why})", color::paint(color::WARN, "stale")),
        Outcome::Blocked { reason } => {
            format!("{} ({})", color::paint(color::WARN, "blocked"), reason.text)
        }
        Outcome::NeedsApproval => color::paint(color::WARN, "needs approval"),
    }
}

fn failure_words(error: &Failure) -> String {
    let help = error
        .help
        .as_ref()
        .map(|help| format!(" – {help}"))
        .unwrap_or_default();
    format!("{} [{}]{help}:", error.message, error.code)
}

/// `0.3 s`, `12.0 s`, `3 min 20 s`.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        ms if ms < 60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        ms => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}
