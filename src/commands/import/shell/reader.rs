//! Goes through a script character by character and cuts it into commands, keeping the variables that are set on the way.
//!
//! Not here: what a word is, with its quotes and variables (`word`).

use super::{Command, Script, Word, base, crontab};

/// Where the reading of a script has come to.
pub(super) struct Reader<'s> {
    left: Vec<char>,
    at: usize,
    pub(super) line: usize,
    pub(super) script: &'s mut Script,
    words: Vec<Word>,
    schedule: Option<(String, usize)>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(text: &str, line: usize, script: &'s mut Script) -> Self {
        Self {
            left: text.chars().collect(),
            at: 0,
            line,
            script,
            words: Vec::new(),
            schedule: None,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.left.get(self.at).copied()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    /// Whether the backslash here is the last of its line.
    pub(super) fn continues_on_next_line(&self) -> bool {
        self.left.get(self.at + 1) == Some(&'\n')
    }

    pub(super) fn skip_comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.take();
        }
    }

    /// Reads all commands to the end.
    pub(super) fn commands(mut self) {
        self.look_for_schedule();
        let mut is_target = false;
        while let Some(next) = self.peek() {
            match next {
                '\n' => {
                    self.end(false);
                    self.take();
                    self.look_for_schedule();
                }
                ' ' | '\t' | '\r' => {
                    self.take();
                }
                '\\' if self.continues_on_next_line() => {
                    self.take();
                    self.take();
                }
                '#' => self.skip_comment(),
                '|' => {
                    self.take();
                    let or = self.peek() == Some('|');
                    self.end(!or);
                }
                ';' | '&' | '(' | ')' => {
                    self.take();
                    self.end(false);
                }
                '<' | '>' => {
                    self.take();
                    is_target = true;
                }
                _ => {
                    let words = self.word();
                    if !std::mem::take(&mut is_target) {
                        self.words.extend(words);
                    }
                }
            }
        }
        self.end(false);
    }

    /// A line of a crontab begins with five fields, or with `@daily` and the like.
    fn look_for_schedule(&mut self) {
        let rest = &self.left[self.at..];
        let end = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        let line: String = rest[..end].iter().collect();
        if let Some(schedule) = crontab::schedule_of(&line) {
            let fields = schedule.split(' ').count();
            self.schedule = Some((schedule, self.line));
            for _ in 0..fields {
                while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
                    self.take();
                }
                while self.peek().is_some_and(|c| !c.is_whitespace()) {
                    self.take();
                }
            }
        }
    }

    fn end(&mut self, piped: bool) {
        let mut words = std::mem::take(&mut self.words);
        let schedule = if piped {
            self.schedule.clone()
        } else {
            self.schedule.take()
        };
        self.assignments(&mut words);
        let Some(first) = words.first() else { return };
        let inner = words
            .iter()
            .position(|word| matches!(base(&word.text), "sh" | "bash" | "dash"))
            .filter(|at| {
                words
                    .get(at + 1)
                    .is_some_and(|word| word.text.starts_with('-') && word.text.ends_with('c'))
            })
            .and_then(|at| words.get(at + 2));
        if let Some(inner) = inner {
            let line = first.line;
            let mut nested = Reader::new(&inner.text.clone(), line, self.script);
            nested.schedule = schedule;
            nested.commands_inside();
            return;
        }
        self.script.commands.push(Command {
            words,
            schedule,
            piped,
        });
    }

    fn commands_inside(self) {
        let schedule = self.schedule.clone();
        let before = self.script.commands.len();
        let Reader {
            left, line, script, ..
        } = self;
        let text: String = left.into_iter().collect();
        Reader::new(&text, line, &mut *script).commands();
        for command in &mut script.commands[before..] {
            command.schedule.clone_from(&schedule);
        }
    }

    /// Takes `NAME=value` in front of a command, and after `export` and its like.
    fn assignments(&mut self, words: &mut Vec<Word>) {
        let mut rest = words.as_slice();
        let declares = rest.first().is_some_and(|word| {
            matches!(
                word.text.as_str(),
                "export" | "local" | "declare" | "readonly" | "typeset"
            )
        });
        if declares {
            rest = &rest[1..];
        }
        let mut taken = words.len() - rest.len();
        for word in rest {
            if let Some((name, value)) = word.text.split_once('=').filter(|(name, _)| is_name(name))
            {
                let word = Word {
                    text: value.to_owned(),
                    ..word.clone()
                };
                self.script.variables.insert(name.to_owned(), vec![word]);
            } else if !(declares && (word.text.starts_with('-') || is_name(&word.text))) {
                break;
            }
            taken += 1;
        }
        words.drain(..taken);
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
