//! A temporary server with a restored state: its URL is printed, and it runs until somebody says stop or its time is over.

use crate::{commands::running::stop_signal, render::out};
use async_trait::async_trait;
use providers::api::{RecoveryObserver, Result};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// Prints the URL and waits.
#[derive(Debug)]
pub(super) struct Temporary {
    /// How long it runs; `None`: until a signal.
    run_for: Option<Duration>,
    json: bool,
    runs: AtomicBool,
    stop: Notify,
}

impl Temporary {
    pub(super) fn new(run_for: Option<u64>, json: bool) -> Self {
        Self {
            run_for: run_for.map(Duration::from_secs),
            json,
            runs: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// Returns at a signal, unless the server runs: then the signal ends the server, and what follows is the ordinary end.
    pub(super) async fn stopped(this: Option<&Self>) {
        loop {
            stop_signal().await;
            match this {
                Some(server) if server.runs.swap(false, Ordering::AcqRel) => {
                    out::words("\nStopping: the temporary server is removed.\n");
                    server.stop.notify_one();
                }
                _ => return,
            }
        }
    }
}

#[async_trait]
impl RecoveryObserver for Temporary {
    async fn running(&self, url: &str) -> Result<()> {
        self.runs.store(true, Ordering::Release);
        let until = match self.run_for {
            Some(time) => format!("for {} s, or until Ctrl-C", time.as_secs()),
            None => "until Ctrl-C".to_owned(),
        };
        // A reader that went away must not keep the server from being removed.
        if self.json {
            let _ = out::json(&json!({"format": "mainstay.scratch-server.v1", "url": url}));
        } else {
            out::words(&format!(
                "A temporary server with this state runs {until}; look into it with `psql 'URL'`:\n"
            ));
            let _ = out::data(&format!("{url}\n"));
        }
        match self.run_for {
            Some(time) => {
                let _ = tokio::time::timeout(time, self.stop.notified()).await;
            }
            None => self.stop.notified().await,
        }
        self.runs.store(false, Ordering::Release);
        Ok(())
    }
}
