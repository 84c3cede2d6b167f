//! The readable copy: structured files in which the values of secret fields are replaced.
//!
//! In doubt a file is left out: one of another kind, one that cannot be parsed, one with structure that cannot be judged.
//! Comments go, because secrets stand in comments. Files are written anew from what was parsed, so nothing that was not judged
//! can be in them.

use super::config;
use crate::api::{ProviderError, Result};
use globset::GlobMatcher;
use model::Disposition;
use saphyr::{LoadableYamlNode, ScalarOwned, YamlEmitter, YamlOwned};
use std::{fmt::Write as _, path::Path};

/// What stands for a secret.
const HIDDEN: &str = "***";
/// Names that always mean a secret, whatever the policy says.
const ALWAYS: [&str; 14] = [
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*api?key*",
    "*apikey*",
    "*private?key*",
    "*privatekey*",
    "*credential*",
    "*access?key*",
    "*auth*",
    "*dsn*",
    "*salt*",
];
/// Words before `=` inside a value that mean a secret, as in `host=db password=x`.
const WORDS: [&str; 5] = ["password=", "passwd=", "pwd=", "secret=", "token="];
/// More aliases may unfold to more than memory holds.
const MOST_ALIASES: usize = 50;

/// Replaces secrets.
pub(super) struct Redactor {
    fields: Vec<GlobMatcher>,
}

impl Redactor {
    /// Hides the fields that match, by their name or their dotted path, beside those that are always hidden.
    pub(super) fn new(fields: &[String]) -> Result<Self> {
        let all = ALWAYS
            .iter()
            .copied()
            .chain(fields.iter().map(String::as_str));
        let fields = all
            .map(|pattern| {
                config::field(pattern).map_err(|error| {
                    let message = format!("`{pattern}` of `encrypt-fields` is no pattern");
                    ProviderError::new("mainstay::files::config", Disposition::Permanent, message)
                        .source(error)
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { fields })
    }

    /// The file as it can be shown; `None` when it cannot be shown safely.
    pub(super) fn redact(&self, name: &Path, content: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(content).ok()?;
        let file = name.file_name()?.to_str()?.to_ascii_lowercase();
        let ending = Path::new(&file)
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("");
        if file == ".env" || file.starts_with(".env.") || ending == "env" {
            return self.env(text);
        }
        match ending {
            "json" => self.json(text),
            "toml" => self.toml(text),
            "yaml" | "yml" => self.yaml(text),
            _ => None,
        }
    }

    fn is_secret(&self, path: &[String]) -> bool {
        let whole = path.join(".");
        let last = path.last().map_or("", String::as_str);
        self.fields
            .iter()
            .any(|field| field.is_match(last) || field.is_match(&whole))
    }

    fn json(&self, text: &str) -> Option<String> {
        let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
        self.walk_json(&mut value, &mut Vec::new(), false);
        let mut shown = serde_json::to_string_pretty(&value).ok()?;
        shown.push('\n');
        Some(shown)
    }

    fn walk_json(&self, value: &mut serde_json::Value, path: &mut Vec<String>, hidden: bool) {
        use serde_json::Value;
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    path.push(key.clone());
                    let hidden = hidden || self.is_secret(path);
                    self.walk_json(value, path, hidden);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.walk_json(item, path, hidden);
                }
            }
            Value::Null => {}
            Value::String(text) if !hidden => *text = without_secrets(text),
            Value::Bool(_) | Value::Number(_) if !hidden => {}
            Value::String(_) | Value::Bool(_) | Value::Number(_) => *value = HIDDEN.into(),
        }
    }

    fn toml(&self, text: &str) -> Option<String> {
        let mut table: toml::Table = text.parse().ok()?;
        for (key, value) in &mut table {
            let mut path = vec![key.clone()];
            let hidden = self.is_secret(&path);
            self.walk_toml(value, &mut path, hidden);
        }
        toml::to_string_pretty(&table).ok()
    }

    fn walk_toml(&self, value: &mut toml::Value, path: &mut Vec<String>, hidden: bool) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    path.push(key.clone());
                    let hidden = hidden || self.is_secret(path);
                    self.walk_toml(value, path, hidden);
                    path.pop();
                }
            }
            toml::Value::Array(items) => {
                for item in items {
                    self.walk_toml(item, path, hidden);
                }
            }
            toml::Value::String(text) if !hidden => *text = without_secrets(text),
            other if hidden => *other = HIDDEN.into(),
            _ => {}
        }
    }

    fn yaml(&self, text: &str) -> Option<String> {
        let aliases = text.split(|c: char| c.is_whitespace() || "[]{},:-".contains(c));
        if aliases.filter(|word| word.starts_with('*')).count() > MOST_ALIASES {
            return None;
        }
        let documents = YamlOwned::load_from_str(text).ok()?;
        let mut shown = String::new();
        for mut document in documents {
            self.walk_yaml(&mut document, &mut Vec::new(), false)?;
            // The emitter starts each document with `---`.
            YamlEmitter::new(&mut shown)
                .dump(&(&document).into())
                .ok()?;
            shown.push('\n');
        }
        Some(shown)
    }

    /// `None` when there is structure that cannot be judged.
    fn walk_yaml(&self, value: &mut YamlOwned, path: &mut Vec<String>, hidden: bool) -> Option<()> {
        match value {
            YamlOwned::Mapping(map) => {
                for (key, value) in map.iter_mut() {
                    path.push(
                        key.as_str()
                            .map(str::to_owned)
                            .or_else(|| key.as_integer().map(|number| number.to_string()))?,
                    );
                    let hidden = hidden || self.is_secret(path);
                    self.walk_yaml(value, path, hidden)?;
                    path.pop();
                }
            }
            YamlOwned::Sequence(items) => {
                for item in items {
                    self.walk_yaml(item, path, hidden)?;
                }
            }
            YamlOwned::Value(ScalarOwned::Null) => {}
            YamlOwned::Value(ScalarOwned::String(text)) if !hidden => {
                *text = without_secrets(text);
            }
            YamlOwned::Value(scalar) => {
                if hidden {
                    *scalar = ScalarOwned::String(HIDDEN.to_owned());
                }
            }
            // Tags may carry meaning of their own (vaults, binary data).
            _ => return None,
        }
        Some(())
    }

    fn env(&self, text: &str) -> Option<String> {
        let mut shown = String::new();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (key, value) = line.split_once('=')?;
            let key = key.trim();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if key.is_empty() || !key.chars().all(is_name) {
                return None;
            }
            let value = value.trim();
            // A value over several lines is judged by nobody here.
            let open = ['"', '\''].iter().any(|quote| {
                value.starts_with(*quote) && (value.len() == 1 || !value.ends_with(*quote))
            });
            if open || value.ends_with('\\') {
                return None;
            }
            let value = if self.is_secret(&[key.to_owned()]) {
                HIDDEN.to_owned()
            } else {
                without_secrets(value)
            };
            let _ = writeln!(shown, "{key}={value}");
        }
        Some(shown)
    }
}

/// A value that is no secret by its name, without what is one by its looks: keys in PEM, passwords in URLs and DSNs.
fn without_secrets(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if text.contains("-----BEGIN") || WORDS.iter().any(|word| lower.contains(word)) {
        return HIDDEN.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            // A password may hold a slash: everything up to the last `@` of the value goes.
            let behind = rest.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{name}:{HIDDEN}@{behind}")
        }
        None if rest.contains('@') => HIDDEN.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, text: &str) -> Option<String> {
        Redactor::new(&["db.user".to_owned(), "HOST*".to_owned()])
            .unwrap()
            .redact(Path::new(name), text.as_bytes())
    }

    #[test]
    fn fields_that_match_are_replaced_in_every_kind_of_file() {
        insta::assert_snapshot!(shown("a.yaml", "# secret: in a comment\ndb:\n  user: root\n  password: 12345\n  port: 5432\nlist:\n  - token: abc\n    name: x\n---\nurl: postgres://me:pw/x@host/db\n").unwrap());
        insta::assert_snapshot!(shown("a.json", r#"{"db": {"user": "root", "port": 5432}, "apiKey": {"id": 7, "deep": [1, "x"]}, "on": true}"#).unwrap());
        insta::assert_snapshot!(shown("a.toml", "title = 'x' # secret\n[db]\nuser = 'root'\nport = 1\n[[servers]]\nhostname = 'h'\nsecret = 2\n").unwrap());
        insta::assert_snapshot!(shown("app/.env.prod", "# pw is x\nexport DB_PASSWORD=\"x\"\nHOST=h\nPORT=5\nDSN_X=a\nLINE='host=a password=b'\n").unwrap());
    }

    #[test]
    fn what_cannot_be_judged_is_left_out() {
        for (name, text) in [
            ("key.pem", "-----BEGIN PRIVATE KEY-----"),
            ("notes.txt", "hello"),
            ("a.json", "{ not json"),
            ("a.yaml", "a: [1, 2"),
            ("a.yaml", "vault: !vault |\n  abc\n"),
            (".env", "KEY=\"first line\nsecond line\"\n"),
            (".env", "just words\n"),
            ("a.toml", "a = \n"),
        ] {
            assert_eq!(shown(name, text), None, "{name}: {text}");
        }
        assert_eq!(
            Redactor::new(&[])
                .unwrap()
                .redact(Path::new("a.json"), &[0xff]),
            None
        );
    }

    #[test]
    fn secrets_that_only_look_like_it_are_replaced() {
        for (text, want) in [
            ("plain", "plain"),
            ("https://host/path?x=1", "https://host/path?x=1"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("postgres://me:pw@host/db", "postgres://me:***@host/db"),
            ("amqp://me:p@w@host", "amqp://me:***@host"),
            ("redis://me:p/w@host", "***"),
            ("Server=x;Pwd=y", "***"),
            ("-----BEGIN RSA PRIVATE KEY-----\nx", "***"),
        ] {
            assert_eq!(without_secrets(text), want, "{text}");
        }
    }
}
