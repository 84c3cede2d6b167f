//! The readable copy: structured files in which the values of secret fields are replaced.
//!
//! In doubt a file is left out: one of another kind, one that cannot be parsed, one with structure that cannot be judged.
//! Comments go, because secrets stand in comments. Files are written anew from what was parsed, so nothing that was not judged
//! can be in them.

use super::{
    config,
    document::{Document, Node},
    suspect,
};
use crate::api::{ProviderError, Result};
use globset::GlobMatcher;
use model::Disposition;
use saphyr::{LoadableYamlNode, YamlEmitter, YamlOwned};
use std::{collections::BTreeSet, fmt::Write as _, path::Path};

/// What stands for a secret.
const HIDDEN: &str = "***";
/// Names that always mean a secret, whatever the policy says.
const ALWAYS: [&str; 16] = [
    "*pass*",
    "*pwd*",
    "*secret*",
    "*token*",
    "*key",
    "*api?key*",
    "*private?key*",
    "*access?key*",
    "*credential*",
    "*auth*",
    "*dsn*",
    "*salt*",
    "*cookie*",
    "*webhook*",
    "*signature*",
    "*connection?string*",
];
/// Keys that say what the value beside them is: `{ name: DB_PASSWORD, value: … }`.
const NAMING: [&str; 6] = ["name", "key", "var", "variable", "field", "option"];
/// More aliases may unfold to more than memory holds.
const MOST_ALIASES: usize = 50;
/// Shorter secrets stand in other words by chance.
const TELLING: usize = 6;

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
        let mut judge = Judge {
            fields: &self.fields,
            path: Vec::new(),
            hidden: BTreeSet::new(),
        };
        let shown = if file == ".env" || file.starts_with(".env.") || ending == "env" {
            judge.env(text)
        } else {
            match ending {
                "json" => judge.json(text),
                "toml" => judge.toml(text),
                "yaml" | "yml" => judge.yaml(text),
                _ => None,
            }
        }?;
        // What is hidden in one place may stand in another under a harmless name, by an anchor or by copying.
        let again = judge.hidden.iter().any(|secret| shown.contains(secret));
        (!again).then_some(shown)
    }
}

/// Judges one file.
struct Judge<'a> {
    fields: &'a [GlobMatcher],
    /// Keys that lead to what is judged.
    path: Vec<String>,
    /// What was hidden because of its name.
    hidden: BTreeSet<String>,
}

impl Judge<'_> {
    fn matches(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.is_match(name))
    }

    /// Whether what the path leads to is a secret.
    fn is_secret(&self) -> bool {
        let last = self.path.last().map_or("", String::as_str);
        self.matches(last) || self.matches(&self.path.join("."))
    }

    /// A value as it can be shown.
    fn shown(&self, text: &str) -> String {
        suspect::without_secrets(text, HIDDEN, |name| self.matches(name))
    }

    /// Goes one key down; `None` when the key itself cannot be shown.
    fn enter(&mut self, key: &str) -> Option<()> {
        if self.shown(key) != key {
            return None;
        }
        self.path.push(key.to_owned());
        Some(())
    }

    /// Remembers what was hidden.
    fn hide(&mut self, text: &str) {
        let text = text.trim();
        if text.len() >= TELLING && text != HIDDEN {
            self.hidden.insert(text.to_owned());
        }
    }

    /// Whether a value that stands under `key` says that the values beside it are secret.
    fn names_secret(&self, key: &str, value: Option<&str>) -> bool {
        let naming = NAMING.iter().any(|naming| key.eq_ignore_ascii_case(naming));
        naming && value.is_some_and(|value| suspect::is_name(value) && self.matches(value))
    }

    /// Whether an item of a list says that the next one is secret: `["--password", "x"]`.
    fn is_secret_flag(&self, item: &str) -> bool {
        item.starts_with('-')
            && suspect::is_name(item)
            && self.matches(item.trim_start_matches('-'))
    }

    fn json(&mut self, text: &str) -> Option<String> {
        let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
        self.walk(&mut value)?;
        let mut shown = serde_json::to_string_pretty(&value).ok()?;
        shown.push('\n');
        Some(shown)
    }

    fn toml(&mut self, text: &str) -> Option<String> {
        let mut table = toml::Value::Table(text.parse().ok()?);
        self.walk(&mut table)?;
        toml::to_string_pretty(&table).ok()
    }

    fn yaml(&mut self, text: &str) -> Option<String> {
        let aliases = text.split(|c: char| c.is_whitespace() || "[]{},:-".contains(c));
        if aliases.filter(|word| word.starts_with('*')).count() > MOST_ALIASES {
            return None;
        }
        let documents = YamlOwned::load_from_str(text).ok()?;
        let mut shown = String::new();
        for mut document in documents {
            self.walk(&mut document)?;
            // The emitter starts each document with `---`.
            YamlEmitter::new(&mut shown)
                .dump(&(&document).into())
                .ok()?;
            shown.push('\n');
        }
        Some(shown)
    }

    /// Replaces what is secret in a value; `None` when there is structure that cannot be judged.
    fn walk<D: Document>(&mut self, value: &mut D) -> Option<()> {
        match value.node() {
            Node::Map(entries) => {
                let all = entries
                    .iter()
                    .any(|(key, value)| self.names_secret(key, value.text()));
                for (key, value) in entries {
                    self.enter(&key)?;
                    let named = all && self.names_secret(&key, value.text());
                    if !named && (all || self.is_secret()) {
                        self.cover(value)?;
                    } else {
                        self.walk(value)?;
                    }
                    self.path.pop();
                }
            }
            Node::List(items) => {
                let mut flag = false;
                for item in items {
                    let next = item.text().is_some_and(|item| self.is_secret_flag(item));
                    if flag {
                        self.cover(item)?;
                    } else {
                        self.walk(item)?;
                    }
                    flag = next;
                }
            }
            Node::Text(text) => *text = self.shown(text),
            Node::Scalar(_) | Node::Null => {}
            Node::Unjudged => return None,
        }
        Some(())
    }

    /// Replaces a value as a whole: keys below a secret may be secret too.
    fn cover<D: Document>(&mut self, value: &mut D) -> Option<()> {
        match value.node() {
            Node::Map(entries) => {
                for (key, value) in entries {
                    self.hide(&key);
                    self.cover(value)?;
                }
            }
            Node::List(items) => {
                for item in items {
                    self.cover(item)?;
                }
            }
            Node::Text(text) => self.hide(text),
            Node::Scalar(text) => self.hide(&text),
            Node::Null => return Some(()),
            Node::Unjudged => return None,
        }
        *value = D::of_text(HIDDEN);
        Some(())
    }

    fn env(&mut self, text: &str) -> Option<String> {
        let mut shown = String::new();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (key, value) = line.split_once('=')?;
            let key = key.trim();
            if !suspect::is_name(key) {
                return None;
            }
            let value = suspect::env_value(value.trim())?;
            let value = if self.matches(key) {
                self.hide(value.trim_matches(['"', '\'']));
                HIDDEN.to_owned()
            } else {
                self.shown(value)
            };
            let _ = writeln!(shown, "{key}={value}");
        }
        Some(shown)
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
    fn no_secret_gets_through_under_another_name() {
        for (name, text) in [
            ("a.yaml", "env:\n- name: DB_PASSWORD\n  value: LEAKED\n"),
            (
                "a.yaml",
                "environment:\n- API_KEY=LEAKED\n- AWS_SECRET_ACCESS_KEY=LEAKED\n",
            ),
            (
                "a.yaml",
                "data:\n  app.yaml: |\n    db:\n      password: LEAKED\n",
            ),
            (
                "a.yaml",
                "args: [\"--password\", \"LEAKED\", \"--token LEAKED\"]\n",
            ),
            ("a.yaml", "x: &a LEAKED\npassword: *a\n"),
            ("a.yaml", "base: &b {password: LEAKED}\nm: {<<: *b, z: 1}\n"),
            ("a.yaml", "tokens:\n  LEAKED: alice\n"),
            ("a.yaml", "\"password=LEAKED\": 1\n"),
            (
                "a.yaml",
                "db_pass: LEAKED\nMYSQL_PWD: LEAKED\nAPP_KEY: LEAKED\n",
            ),
            ("a.yaml", "json: '{\"password\":\"LEAKED\"}'\n"),
            (
                "a.json",
                "{\"env\": [{\"Name\": \"X_TOKEN\", \"Value\": {\"LEAKED\": 1}}], \"a\": [\"--pwd\", \"LEAKED\"]}",
            ),
            (
                "a.toml",
                "tokens = { LEAKED = 1 }\nargs = ['--secret', 'LEAKED']\n[[env]]\nname = 'A_KEY'\nvalue = 'LEAKED'\n",
            ),
            (
                "a.env",
                "FOO=bar # password LEAKED\nexport OPTS=--password=LEAKED\nDB_PASS='LEAKED'\n",
            ),
            ("a.env", "DB_PASS=LEAKED\nCOPY=LEAKED\n"),
            ("a.env", "X=a\"b\ny=LEAKED\"\n"),
        ] {
            let shown = shown(name, text).unwrap_or_default();
            assert!(!shown.contains("LEAKED"), "{text}\nwas shown as\n{shown}");
        }
        let harmless =
            "kind: Deployment\nreplicas: 3\nname: web\nimage: registry:5000/app@sha256:00\n";
        assert!(shown("a.yaml", harmless).unwrap().contains("registry:5000"));
    }
}
