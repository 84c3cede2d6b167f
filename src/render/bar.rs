//! One bar for one piece of long work outside a run; nothing when stderr is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal, sync::Arc, time::Duration};

/// A bar that counts bytes.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Starts it.
    pub(crate) fn new(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style =
            ProgressStyle::with_template("  {spinner} {msg} {bytes} {bytes_per_sec} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// Starts one that counts pieces of work.
    pub(crate) fn counting(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("  {msg} [{wide_bar}] {pos} of {len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(
            ProgressBar::new(0)
                .with_style(style)
                .with_message(what.to_owned()),
        )
    }

    /// What the work calls with the pieces done so far and all of them.
    pub(crate) fn counter(&self) -> Arc<dyn Fn(u64, u64) + Send + Sync> {
        let bar = self.0.clone();
        Arc::new(move |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
    }

    /// What the work calls with the bytes moved so far.
    pub(crate) fn progress(&self) -> providers::stream::Progress {
        let bar = self.0.clone();
        Arc::new(move |bytes| bar.set_position(bytes))
    }

    /// Removes it.
    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}
