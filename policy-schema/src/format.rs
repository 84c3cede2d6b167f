//! Formats policy files: spaces, blank lines and indentation; never words, order or comments.
//!
//! Works on the lexer's tokens, so that strings and comments pass through untouched. The result is parsed again and
//! compared with what was given: if anything but layout changed, the formatter refuses.

use crate::tree;
use std::collections::HashSet;
use toml_parser::{
    Source,
    lexer::{Token, TokenKind},
};

/// Why a file was not formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It has syntax errors; `validate` shows them.
    #[error("the file is not TOML, so it cannot be formatted")]
    NotToml,
    /// A guard against mistakes of the formatter itself.
    #[error("formatting would have changed what the file says, so it was left alone")]
    WouldChange,
}

const INDENT: &str = "    ";

/// Formats a policy file; formatting twice is the same as once.
pub fn fmt(text: &str) -> Result<String, FormatError> {
    let (before, errors) = tree::parse(0, text);
    if !errors.is_empty() {
        return Err(FormatError::NotToml);
    }
    let formatted = Formatter::new(text).run();
    let (after, errors) = tree::parse(0, &formatted);
    let none = HashSet::new();
    let same = errors.is_empty()
        && before.to_json(&none) == after.to_json(&none)
        && comments(text) == comments(&formatted);
    if same {
        Ok(formatted)
    } else {
        Err(FormatError::WouldChange)
    }
}

fn comments(text: &str) -> Vec<&str> {
    let tokens = Source::new(text).lex();
    tokens
        .filter(|token| token.kind() == TokenKind::Comment)
        .map(|token| text[token.span().start()..token.span().end()].trim_end())
        .collect()
}

struct Formatter<'a> {
    text: &'a str,
    /// Finished lines without their ends.
    lines: Vec<Line>,
    line: String,
    depth: usize,
    /// Last token on this line that is no white space.
    last: Option<TokenKind>,
    gap: &'a str,
    header: bool,
}

struct Line {
    text: String,
    header: bool,
}

impl<'a> Formatter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            lines: Vec::new(),
            line: String::new(),
            depth: 0,
            last: None,
            gap: "",
            header: false,
        }
    }

    fn run(mut self) -> String {
        for token in Source::new(self.text).lex() {
            self.token(token);
        }
        self.end_line();
        laid_out(&self.lines)
    }

    fn token(&mut self, token: Token) {
        let raw = &self.text[token.span().start()..token.span().end()];
        match token.kind() {
            TokenKind::Whitespace => self.gap = raw,
            TokenKind::Newline => self.end_line(),
            TokenKind::Eof => {}
            kind => self.word(kind, raw),
        }
    }

    fn word(&mut self, kind: TokenKind, raw: &str) {
        let closes = matches!(
            kind,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket
        );
        if closes && !self.header {
            self.depth = self.depth.saturating_sub(1);
        }
        if let Some(last) = self.last {
            let space = self.space(last, kind);
            self.line.push_str(space);
        } else {
            self.line.push_str(&INDENT.repeat(self.depth));
            self.header = self.depth == 0 && kind == TokenKind::LeftSquareBracket;
        }
        self.line.push_str(if kind == TokenKind::Comment {
            raw.trim_end()
        } else {
            raw
        });
        if matches!(
            kind,
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket
        ) && !self.header
        {
            self.depth += 1;
        }
        self.last = Some(kind);
        self.gap = "";
    }

    fn space(&self, last: TokenKind, kind: TokenKind) -> &'a str {
        use TokenKind::{
            Atom, Comma, Comment, Dot, Equals, LeftCurlyBracket, LeftSquareBracket,
            RightCurlyBracket, RightSquareBracket,
        };
        match (last, kind) {
            // People align these; a formatter that undoes it is not run twice.
            (_, Comment) if self.gap.is_empty() => " ",
            (_, Comment) => self.gap,
            _ if self.header => "",
            (LeftCurlyBracket, RightCurlyBracket)
            | (LeftSquareBracket | Dot, _)
            | (_, RightSquareBracket | Comma | Dot) => "",
            (Equals | Comma | LeftCurlyBracket, _) | (_, Equals | RightCurlyBracket) => " ",
            // A date and its time may stand apart.
            (Atom, Atom) if !self.gap.is_empty() => " ",
            _ => "",
        }
    }

    fn end_line(&mut self) {
        let text = std::mem::take(&mut self.line);
        self.lines.push(Line {
            header: self.header,
            text,
        });
        self.last = None;
        self.gap = "";
        self.header = false;
    }
}

/// Puts one blank line before each table with its comments, and none twice.
fn laid_out(lines: &[Line]) -> String {
    let blank = |line: &Line| line.text.is_empty();
    let mut out: Vec<&str> = Vec::with_capacity(lines.len());
    let mut since_blank = 0;
    for line in lines {
        if blank(line) {
            if since_blank > 0 {
                out.push("");
            }
            since_blank = 0;
            continue;
        }
        out.push(&line.text);
        since_blank += 1;
        if line.header {
            // The comments directly above belong to the table.
            let above = out[..out.len() - 1]
                .iter()
                .rev()
                .take_while(|text| text.starts_with('#'))
                .count();
            let at = out.len() - 1 - above;
            if at > 0 && !out[at - 1].is_empty() {
                out.insert(at, "");
            }
        }
    }
    while out.last().is_some_and(|text| text.is_empty()) {
        out.pop();
    }
    let mut text = out.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
