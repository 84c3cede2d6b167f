//! Reads a file that somebody has written for another tool: text, with every way in which it can be none said plainly.

use super::found::Place;
use crate::{
    failure::{Because, Failure, Result},
    input,
};
use std::path::Path;

/// No configuration is larger.
const LARGEST: usize = 4 << 20;

/// A text and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Text {
    pub(crate) fn at(&self, line: usize) -> Place {
        Place {
            file: self.name.clone(),
            line,
        }
    }
}

/// Reads it; a byte-order mark and carriage returns are no part of it.
pub(crate) fn read(path: &Path) -> Result<Text> {
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(unreadable(&format!("`{name}` is a folder, not a file"))
            .help("name the file in it that holds the retention"));
    }
    let bytes = input::read(path).map_err(|error| {
        Failure::from_error(
            "mainstay::import::unreadable",
            Some("check the path, and that you may read the file".to_owned()),
            &Because(format!("cannot read `{name}`"), Box::new(error)),
        )
    })?;
    if bytes.len() > LARGEST {
        return Err(unreadable(&format!(
            "`{name}` is larger than any configuration ({} MiB)",
            bytes.len() >> 20
        )));
    }
    let line_of = |at: usize| bytes[..at].split(|byte| *byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let line = line_of(at);
        return Err(unreadable(&format!(
            "`{name}` is not text: {name}:{line} holds a zero byte"
        ))
        .help("name the configuration itself, as UTF-8"));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = line_of(error.valid_up_to());
            return Err(
                unreadable(&format!("`{name}` is not UTF-8: see {name}:{line}")).help(format!(
                    "convert it, as with `iconv -f latin1 -t utf-8 {name}`"
                )),
            );
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(Text {
        name,
        text: text.replace("\r\n", "\n"),
    })
}

fn unreadable(message: &str) -> Failure {
    Failure::new("mainstay::import::unreadable", message).help("name the configuration file itself")
}

/// Nothing in it has to do with the tool.
pub(crate) fn nothing(text: &Text, what: &str, help: &str) -> Failure {
    let message = if text.text.trim().is_empty() {
        format!("`{}` is empty", text.name)
    } else {
        format!("`{}` holds {what}", text.name)
    };
    Failure::new("mainstay::import::nothing", message).help(help)
}
