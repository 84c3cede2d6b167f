//! The commands in a shell script, a crontab or a systemd unit, as far as they can be told without running anything.
//!
//! Quotes, line continuations, comments, simple variables and arrays are followed; a word that only running would complete is `open`. A line of a crontab brings its schedule
//! along; `sh -c '…'` is looked into.
//! Not here: conditions, loops, substitutions of commands.

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
    pub(crate) fn variable(&self, name: &str) -> Option<&Word> {
        self.variables.get(name)?.first()
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

struct Reader<'s> {
    left: Vec<char>,
    at: usize,
    line: usize,
    script: &'s mut Script,
    words: Vec<Word>,
    schedule: Option<(String, usize)>,
}

impl<'s> Reader<'s> {
    fn new(text: &str, line: usize, script: &'s mut Script) -> Self {
        Self {
            left: text.chars().collect(),
            at: 0,
            line,
            script,
            words: Vec::new(),
            schedule: None,
        }
    }

    fn peek(&self) -> Option<char> {
        self.left.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn commands(mut self) {
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
                '\\' if self.left.get(self.at + 1) == Some(&'\n') => {
                    self.take();
                    self.take();
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.take();
                    }
                }
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
        if let Some(schedule) = cron_of(&line) {
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

    /// One word, or several where a variable falls apart; none where an array was assigned.
    fn word(&mut self) -> Vec<Word> {
        let line = self.line;
        let mut done: Vec<Word> = Vec::new();
        let mut text = String::new();
        let (mut open, mut is_word) = (false, false);
        while let Some(next) = self.peek() {
            match next {
                '(' if text.ends_with('=') => {
                    self.array(&text);
                    return Vec::new();
                }
                c if c.is_whitespace() || ";&|()<>".contains(c) => break,
                '\\' => {
                    self.take();
                    match self.take() {
                        Some('\n') | None => {}
                        Some(c) => {
                            text.push(c);
                            is_word = true;
                        }
                    }
                }
                '\'' => {
                    self.take();
                    is_word = true;
                    while let Some(c) = self.take().filter(|c| *c != '\'') {
                        text.push(c);
                    }
                }
                '"' => {
                    self.take();
                    is_word = true;
                    let words = self.in_quotes(line, &mut text, &mut open);
                    // "${list[@]}" is as many words as the list has.
                    done.extend(words);
                }
                '$' | '`' => {
                    let value = self.expansion();
                    is_word |= value.is_empty();
                    let mut parts: Vec<Word> = Vec::new();
                    for word in &value {
                        parts.extend(word.text.split_whitespace().map(|part| Word {
                            text: part.to_owned(),
                            ..word.clone()
                        }));
                    }
                    let last = parts.pop();
                    for part in parts {
                        done.push(Word {
                            text: std::mem::take(&mut text) + &part.text,
                            line,
                            open: std::mem::take(&mut open) || part.open,
                        });
                    }
                    if let Some(last) = last {
                        text.push_str(&last.text);
                        open |= last.open;
                        is_word = true;
                    }
                }
                c => {
                    self.take();
                    text.push(c);
                    is_word = true;
                }
            }
        }
        if !text.is_empty() || (is_word && done.is_empty()) {
            done.push(Word { text, line, open });
        }
        done
    }

    fn in_quotes(&mut self, line: usize, text: &mut String, open: &mut bool) -> Vec<Word> {
        let mut done = Vec::new();
        while let Some(next) = self.peek().filter(|c| *c != '"') {
            if next == '\\' {
                self.take();
                match self.take() {
                    Some('\n') | None => {}
                    Some(c) if "\"\\$`".contains(c) => text.push(c),
                    Some(c) => {
                        text.push('\\');
                        text.push(c);
                    }
                }
            } else if next == '$' || next == '`' {
                let mut value = self.expansion();
                let last = value.pop();
                for word in value {
                    done.push(Word {
                        text: std::mem::take(text) + &word.text,
                        line,
                        open: std::mem::take(open) || word.open,
                    });
                }
                if let Some(last) = last {
                    text.push_str(&last.text);
                    *open |= last.open;
                }
            } else {
                self.take();
                text.push(next);
            }
        }
        self.take();
        done
    }

    /// What a variable stands for; one word for a simple one.
    fn expansion(&mut self) -> Vec<Word> {
        let line = self.line;
        let unknown = |text: String| {
            vec![Word {
                text,
                line,
                open: true,
            }]
        };
        let mark = self.take();
        if mark == Some('`') {
            while self.take().is_some_and(|c| c != '`') {}
            return unknown("`…`".to_owned());
        }
        match self.peek() {
            Some('(') => {
                let mut depth = 0;
                while let Some(c) = self.take() {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    if depth == 0 {
                        break;
                    }
                }
                unknown("$(…)".to_owned())
            }
            Some('{') => {
                self.take();
                let mut inside = String::new();
                while let Some(c) = self.take().filter(|c| *c != '}') {
                    inside.push(c);
                }
                let name: String = inside
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let default = inside[name.len()..]
                    .strip_prefix(":-")
                    .or_else(|| inside[name.len()..].strip_prefix('-'));
                match (self.script.variables.get(&name), default) {
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => vec![Word {
                        text: default.to_owned(),
                        line,
                        open: default.contains('$'),
                    }],
                    (None, None) => unknown(format!("${{{inside}}}")),
                }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self
                    .peek()
                    .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                {
                    self.take();
                    name.push(c);
                }
                let value = self.script.variables.get(&name).cloned();
                value.unwrap_or_else(|| unknown(format!("${name}")))
            }
            Some(c) if "@*#?!-0123456789$".contains(c) => {
                self.take();
                unknown(format!("${c}"))
            }
            _ => vec![Word {
                text: "$".to_owned(),
                line,
                open: false,
            }],
        }
    }

    fn array(&mut self, assigned: &str) {
        self.take();
        let mut elements = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                ')' => {
                    self.take();
                    break;
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.take();
                    }
                }
                c if c.is_whitespace() || ";&|(<>".contains(c) => {
                    self.take();
                }
                '\\' if self.left.get(self.at + 1) == Some(&'\n') => {
                    self.take();
                    self.take();
                }
                _ => elements.extend(self.word()),
            }
        }
        let name = assigned.trim_end_matches('=');
        if let Some(name) = name.strip_suffix('+') {
            let all = self.script.variables.entry(name.to_owned()).or_default();
            all.extend(elements);
        } else {
            self.script.variables.insert(name.to_owned(), elements);
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The program that a word names, without its folder.
pub(crate) fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The schedule at the beginning of a line of a crontab.
pub(crate) fn cron_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if first.starts_with('@') {
        let known = [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
        ];
        return known.contains(&first).then(|| first.to_owned());
    }
    let mut fields = vec![first];
    fields.extend(words.by_ref().take(4));
    words.next()?;
    let plain = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_digit() || "*,-/".contains(c))
    };
    let named = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "*,-/".contains(c))
            && (plain(field) || field.len() >= 3)
    };
    let is_schedule =
        fields.len() == 5 && fields[..3].iter().all(plain) && fields[3..].iter().all(named);
    is_schedule.then(|| fields.join(" "))
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
