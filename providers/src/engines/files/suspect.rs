//! Judges a value by its looks: secrets that stand in values with harmless names.
//!
//! In doubt a value is hidden: one of several lines is a file of its own (an embedded configuration, a script) that nobody judges here.
//! Not here: the names of fields, and how files are read and written (`redact.rs`).

/// Beginnings of tokens that are known to everybody, and of headers that carry one.
const TOKENS: [&str; 14] = [
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "sk-",
    "akia",
    "asia",
    "eyj",
    "bearer ",
    "basic ",
];

/// Whether a text can be the name of a field, a variable or a flag.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

/// A value that is no secret by its name, without what is one by its looks: keys in PEM, assignments, passwords in URLs and DSNs.
pub(super) fn without_secrets(
    text: &str,
    hidden: &str,
    is_secret: impl Fn(&str) -> bool,
) -> String {
    let lower = text.to_ascii_lowercase();
    let token = TOKENS.iter().any(|token| {
        lower
            .match_indices(token)
            .any(|(at, _)| !lower[..at].ends_with(is_of_name) && lower.len() > at + 8)
    });
    if token
        || text.trim_end().contains('\n')
        || text.contains("-----BEGIN")
        || assigns(text, is_secret)
    {
        return hidden.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return if has_login(text) { hidden } else { text }.to_owned();
    };
    if rest.contains("://") && rest.contains('@') {
        return hidden.to_owned();
    }
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            // A password may hold a slash: everything up to the last `@` of the value goes.
            let behind = rest.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{name}:{hidden}@{behind}")
        }
        // On the web the user alone may be a token.
        Some(_) if scheme.to_ascii_lowercase().contains("http") => hidden.to_owned(),
        None if rest.contains('@') => hidden.to_owned(),
        _ => text.to_owned(),
    }
}

/// Whether a secret name is followed by a value: `password=x`, `"password": "x"`, `--token x`.
fn assigns(text: &str, is_secret: impl Fn(&str) -> bool) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find(is_of_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        let value = behind.trim_start_matches(['"', '\'', '\\', ' ', '\t', ']']);
        let flag = name.starts_with('-') && !value.is_empty();
        if (flag || value.starts_with(['=', ':'])) && is_secret(name.trim_start_matches('-')) {
            return true;
        }
    }
    false
}

/// Whether it looks like `user:password@host`; a digest behind the `@` makes it the name of an image.
fn has_login(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let word = text[..at].rsplit(char::is_whitespace).next();
        word.is_some_and(|word| word.contains(':')) && !text[at + 1..].starts_with("sha256:")
    })
}

/// The value in a line of a `.env` file, without a comment; `None` when it may go on in the next line or is otherwise not plain.
pub(super) fn env_value(value: &str) -> Option<&str> {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            let end = inner.find(quote)?;
            let behind = inner[end + 1..].trim_start();
            let plain =
                !inner[..end].ends_with('\\') && (behind.is_empty() || behind.starts_with('#'));
            return plain.then_some(&value[..end + 2]);
        }
    }
    let value = value
        .split_once(" #")
        .map_or(value, |(value, _)| value)
        .trim_end();
    let plain =
        !value.contains(['"', '\'', '`']) && !value.ends_with('\\') && !value.contains("$(");
    plain.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_only_look_like_it_are_replaced() {
        for (text, want) in [
            ("plain", "plain"),
            ("key of the house", "key of the house"),
            ("12:30", "12:30"),
            ("me@example.com", "me@example.com"),
            ("https://host/path?x=1", "https://host/path?x=1"),
            ("registry:5000/app@sha256:00", "registry:5000/app@sha256:00"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("postgres://me:pw@host/db", "postgres://me:***@host/db"),
            ("amqp://me:p@w@host", "amqp://me:***@host"),
            ("redis://me:p/w@host", "***"),
            ("https://abcdef@github.com/x", "***"),
            ("http://a/ postgres://me:pw@h/", "***"),
            ("http://u@a/ postgres://me:pw@h/", "***"),
            ("root:pw@tcp(db:3306)/x", "***"),
            ("Server=x;Pwd=y", "***"),
            ("Protocol=https;AccountKey=y", "***"),
            ("{\"password\": \"x\"}", "***"),
            ("run --token x", "***"),
            ("AWS_SECRET_ACCESS_KEY=x", "***"),
            ("ghp_0123456789abcdef", "***"),
            ("Bearer 0123456789", "***"),
            ("db:\n  user: x\n", "***"),
            ("-----BEGIN RSA PRIVATE KEY-----\nx", "***"),
        ] {
            let secret = |name: &str| {
                let name = name.to_ascii_lowercase();
                ["pass", "pwd", "token", "key", "secret"]
                    .iter()
                    .any(|word| name.contains(word))
            };
            assert_eq!(without_secrets(text, "***", secret), want, "{text}");
        }
    }

    #[test]
    fn only_a_value_that_ends_in_its_line_is_one() {
        for (text, want) in [
            ("a", Some("a")),
            ("a # comment", Some("a")),
            ("\"a b\"", Some("\"a b\"")),
            ("\"a\" # say \"x\"", Some("\"a\"")),
            ("\"a", None),
            ("\"a\\\"", None),
            ("a\"b", None),
            ("a\\", None),
            ("$(cat x", None),
        ] {
            assert_eq!(env_value(text), want, "{text}");
        }
    }
}
