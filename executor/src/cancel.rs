//! A switch that stops a run cleanly: Ctrl-C in the root package, a lost lease inside.
//!
//! Invariant: once set it stays set, and everybody who waits is woken, also those who begin to wait later.

use tokio::sync::watch;

/// The side that stops a run.
#[derive(Debug, Clone)]
pub struct CancelSwitch(watch::Sender<bool>);

/// The side that a run watches.
#[derive(Debug, Clone)]
pub struct Cancel {
    receiver: watch::Receiver<bool>,
    // Keeps the channel open, so that a dropped switch means "never", not "now".
    _sender: watch::Sender<bool>,
}

/// A switch and the view of it.
pub fn cancellation() -> (CancelSwitch, Cancel) {
    let (sender, receiver) = watch::channel(false);
    (
        CancelSwitch(sender.clone()),
        Cancel {
            receiver,
            _sender: sender,
        },
    )
}

impl CancelSwitch {
    /// Stops the run.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// A view of a switch that nobody holds.
    pub fn never() -> Self {
        cancellation().1
    }

    /// Whether the run shall stop.
    pub fn is_cancelled(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Waits until the run shall stop.
    pub async fn cancelled(&self) {
        let mut receiver = self.receiver.clone();
        // The sender lives in `self`, so the wait cannot end otherwise.
        let _ = receiver.wait_for(|stop| *stop).await;
    }
}
