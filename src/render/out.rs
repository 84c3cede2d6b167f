//! Data goes to stdout, words to stderr. A closed pipe (`| head`) ends output quietly instead of with a panic.

use crate::failure::{Failure, Result};
use serde::Serialize;
use std::io::Write;

/// Prints data. Colours are dropped when stdout is no terminal.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    quiet_when_closed(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
}

/// Prints a JSON document and a newline.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    let stdout = std::io::stdout().lock();
    let mut buffered = std::io::BufWriter::with_capacity(64 << 10, stdout);
    let written = serde_json::to_writer(&mut buffered, value).map_err(std::io::Error::from);
    quiet_when_closed(
        written
            .and_then(|()| buffered.write_all(b"\n"))
            .and_then(|()| buffered.flush()),
    )
}

/// Prints words for people.
pub(crate) fn words(text: &str) {
    // Words that cannot be shown have nowhere else to go.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

fn quiet_when_closed(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::from_error(
            "mainstay::output::write",
            Some("check the disk or the pipe that the output goes to".to_owned()),
            &error,
        )),
        _ => Ok(()),
    }
}
