//! The commands in a shell script, a crontab or a systemd unit, as far as they can be told without running anything.
//!
//! Quotes, line continuations, comments, simple variables and arrays are followed; a word that only running would complete is `open`. A line of a crontab brings its schedule
//! along; `sh -c '…'` is looked into.
//! Not here: conditions, loops, substitutions of commands; and which options a tool has (`options`).

mod crontab;
mod reader;
mod word;

use reader::Reader;
use std::collections::BTreeMap;

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// It holds something that only running shows.
    pub(crate) open: bool,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) words: Vec<Word>,
    /// The crontab's, with its line.
    pub(crate) schedule: Option<(String, usize)>,
    /// What comes out of the command goes into the next one.
    pub(crate) piped: bool,
}

/// A script.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) commands: Vec<Command>,
    pub(crate) variables: BTreeMap<String, Vec<Word>>,
    /// `OnCalendar=` of a unit.
    pub(crate) on_calendar: Vec<(String, usize)>,
}

impl Script {
    /// What a variable was set to, and in which line.
    pub(crate) fn variable(&self, name: &str) -> Option<(String, usize)> {
        let word = self.variables.get(name)?.first()?;
        Some((word.text.clone(), word.line))
    }
}

/// Reads a script, a crontab or a unit.
pub(crate) fn read(text: &str) -> Script {
    let mut script = Script::default();
    let is_unit = text.lines().any(|line| {
        matches!(
            line.trim(),
            "[Service]" | "[Timer]" | "[Unit]" | "[Install]"
        )
    });
    if is_unit {
        unit(text, &mut script);
    } else {
        Reader::new(text, 1, &mut script).commands();
    }
    script
}

fn unit(text: &str, script: &mut Script) {
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            // The tokenizer counts lines by what it sees.
            whole.push_str(" \\\n");
            match lines.next() {
                Some((_, next)) => whole.push_str(next),
                None => break,
            }
        }
        let Some((key, value)) = whole.split_once('=') else {
            continue;
        };
        let (key, number) = (key.trim(), index + 1);
        if key == "OnCalendar" {
            script.on_calendar.push((value.trim().to_owned(), number));
        } else if key == "Environment" {
            Reader::new(&format!("export {value}"), number, script).commands();
        } else if key.starts_with("Exec") {
            let command = value
                .trim_start()
                .trim_start_matches(['@', '-', ':', '+', '!']);
            Reader::new(command, number, script).commands();
        }
    }
}

/// The program that a word names, without its folder.
pub(crate) fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Arguments of every command that runs `program`, behind its name; commands that only speak of it are left out.
pub(crate) fn runs_of<'s>(script: &'s Script, program: &str) -> Vec<(&'s Command, &'s [Word])> {
    let runs = script.commands.iter().filter_map(|command| {
        let speaks = matches!(
            base(&command.words.first()?.text),
            "echo"
                | "printf"
                | "logger"
                | "log"
                | "cat"
                | "which"
                | "command"
                | "type"
                | "apt"
                | "apt-get"
                | "man"
        );
        let at = command
            .words
            .iter()
            .position(|word| base(&word.text) == program)?;
        (!speaks).then(|| (command, &command.words[at + 1..]))
    });
    runs.collect()
}
