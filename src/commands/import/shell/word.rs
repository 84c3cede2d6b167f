//! One word of a script: its quotes, its escapes, and what the variables in it stand for.
//!
//! Invariant: what only running would show leaves a mark in the text (`$(…)`, `$name`) and makes the word `open`; it is never left out.

use super::{Word, reader::Reader};

/// A word that is being read, and those before it that are complete because a variable fell apart.
struct Growing {
    line: usize,
    done: Vec<Word>,
    text: String,
    open: bool,
    /// Something stood there, even if it was only `""`.
    is_word: bool,
}

impl Growing {
    fn new(line: usize) -> Self {
        Self {
            line,
            done: Vec::new(),
            text: String::new(),
            open: false,
            is_word: false,
        }
    }

    fn push(&mut self, c: char) {
        self.text.push(c);
        self.is_word = true;
    }

    /// What a variable stands for: its last word is open to what follows, those before are complete.
    fn append(&mut self, mut words: Vec<Word>) {
        let last = words.pop();
        for word in words {
            self.done.push(Word {
                text: std::mem::take(&mut self.text) + &word.text,
                line: self.line,
                open: std::mem::take(&mut self.open) || word.open,
            });
        }
        if let Some(last) = last {
            self.text.push_str(&last.text);
            self.open |= last.open;
            self.is_word = true;
        }
    }

    fn finish(mut self) -> Vec<Word> {
        if !self.text.is_empty() || (self.is_word && self.done.is_empty()) {
            self.done.push(Word {
                text: self.text,
                line: self.line,
                open: self.open,
            });
        }
        self.done
    }
}

impl Reader<'_> {
    /// One word, or several where a variable falls apart; none where an array was assigned.
    pub(super) fn word(&mut self) -> Vec<Word> {
        let mut growing = Growing::new(self.line);
        while let Some(next) = self.peek() {
            match next {
                '(' if growing.text.ends_with('=') => {
                    self.array(&growing.text);
                    return Vec::new();
                }
                c if c.is_whitespace() || ";&|()<>".contains(c) => break,
                '\\' => {
                    self.take();
                    if let Some(c) = self.take().filter(|c| *c != '\n') {
                        growing.push(c);
                    }
                }
                '\'' => {
                    self.take();
                    growing.is_word = true;
                    while let Some(c) = self.take().filter(|c| *c != '\'') {
                        growing.push(c);
                    }
                }
                '"' => {
                    self.take();
                    growing.is_word = true;
                    // "${list[@]}" is as many words as the list has.
                    self.in_quotes(&mut growing);
                }
                '$' | '`' => {
                    let value = self.expansion();
                    growing.is_word |= value.is_empty();
                    growing.append(apart(&value));
                }
                c => {
                    self.take();
                    growing.push(c);
                }
            }
        }
        growing.finish()
    }

    fn in_quotes(&mut self, growing: &mut Growing) {
        while let Some(next) = self.peek().filter(|c| *c != '"') {
            if next == '\\' {
                self.take();
                match self.take() {
                    Some('\n') | None => {}
                    Some(c) if "\"\\$`".contains(c) => growing.push(c),
                    Some(c) => {
                        growing.push('\\');
                        growing.push(c);
                    }
                }
            } else if next == '$' || next == '`' {
                let value = self.expansion();
                growing.append(value);
            } else {
                self.take();
                growing.push(next);
            }
        }
        self.take();
    }

    /// What a variable stands for; one word for a simple one.
    fn expansion(&mut self) -> Vec<Word> {
        let line = self.line;
        let mark = self.take();
        if mark == Some('`') {
            while self.take().is_some_and(|c| c != '`') {}
            return open("`…`".to_owned(), line);
        }
        match self.peek() {
            Some('(') => {
                self.skip_parentheses();
                open("$(…)".to_owned(), line)
            }
            Some('{') => self.in_braces(line),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.peek().filter(|c| is_part_of_name(*c)) {
                    self.take();
                    name.push(c);
                }
                let value = self.script.variables.get(&name).cloned();
                value.unwrap_or_else(|| open(format!("${name}"), line))
            }
            Some(c) if "@*#?!-0123456789$".contains(c) => {
                self.take();
                open(format!("${c}"), line)
            }
            _ => vec![Word {
                text: "$".to_owned(),
                line,
                open: false,
            }],
        }
    }

    fn skip_parentheses(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.take() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if depth == 0 {
                break;
            }
        }
    }

    /// `${name}`, `${name[@]}`, and `${name:-default}` where nothing was set.
    fn in_braces(&mut self, line: usize) -> Vec<Word> {
        self.take();
        let mut inside = String::new();
        while let Some(c) = self.take().filter(|c| *c != '}') {
            inside.push(c);
        }
        let name: String = inside.chars().take_while(|c| is_part_of_name(*c)).collect();
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
            (None, None) => open(format!("${{{inside}}}"), line),
        }
    }

    /// `NAME=(…)` and `NAME+=(…)`.
    fn array(&mut self, assigned: &str) {
        self.take();
        let mut elements = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                ')' => {
                    self.take();
                    break;
                }
                '#' => self.skip_comment(),
                c if c.is_whitespace() || ";&|(<>".contains(c) => {
                    self.take();
                }
                '\\' if self.continues_on_next_line() => {
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

/// A word that only running would complete.
fn open(text: String, line: usize) -> Vec<Word> {
    vec![Word {
        text,
        line,
        open: true,
    }]
}

/// Outside quotes a shell cuts the value of a variable at its spaces.
fn apart(value: &[Word]) -> Vec<Word> {
    let parts = value.iter().flat_map(|word| {
        word.text.split_whitespace().map(|part| Word {
            text: part.to_owned(),
            ..word.clone()
        })
    });
    parts.collect()
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
