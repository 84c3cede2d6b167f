//! The text of a first policy for a database that somebody names on the command line.
//!
//! Invariant: nothing secret of the given URL gets into the text; the URL itself stays in the environment.

use crate::secrets;
use std::path::Path;

/// A first policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPolicy {
    /// The text of `mainstay.toml`.
    pub text: String,
    /// Name of the database in it.
    pub database: String,
    /// Environment variable that must hold the connection URL, for a server.
    pub url_variable: Option<String>,
}

/// Writes a first commented policy for a `PostgreSQL` URL or the path of a `SQLite` file.
pub fn init_template(target: &str) -> FirstPolicy {
    let scheme = target
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    if scheme.is_some_and(|scheme| matches!(scheme.as_str(), "postgres" | "postgresql")) {
        postgres(target)
    } else {
        sqlite(target)
    }
}

fn postgres(url: &str) -> FirstPolicy {
    let mut shown = url.to_owned();
    for range in secrets::passwords(url).into_iter().rev() {
        if shown.is_char_boundary(range.start) && shown.is_char_boundary(range.end) {
            shown.replace_range(range, "PASSWORD");
        }
    }
    // A comment ends at the line's end, and control characters may not stand in it.
    shown.retain(|c| !c.is_control());
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let after_host = path.split_once("://").and_then(|(_, rest)| {
        rest.rsplit_once('@')
            .map_or(Some(rest), |(_, host)| Some(host))
    });
    let name = after_host
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, name)| name);
    let database = name_from(name, "main");
    let variable = format!("{}_URL", database.to_ascii_uppercase().replace('-', "_"));
    let source = format!(
        "engine = \"postgres\"\n\
         # The connection URL stays out of this file. Before running Mainstay:\n\
         #   export {variable}='{shown}'\n\
         url = {{ env = \"{variable}\" }}\n"
    );
    FirstPolicy {
        text: policy(
            &database,
            &source,
            "# format = \"custom\"                        # or plain, directory\n",
        ),
        database,
        url_variable: Some(variable),
    }
}

fn sqlite(path: &str) -> FirstPolicy {
    let stem = Path::new(path)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let database = name_from(stem.as_deref().unwrap_or(""), "main");
    let source = format!(
        "engine = \"sqlite\"\npath = {}\n",
        toml::Value::String(path.to_owned())
    );
    FirstPolicy {
        text: policy(&database, &source, ""),
        database,
        url_variable: None,
    }
}

fn policy(database: &str, source: &str, method: &str) -> String {
    format!(
        r#"# Mainstay policy. Check it with `mainstay validate`, see what it would do with `mainstay plan`,
# do it with `mainstay apply`.
mainstay = 1
timezone = "UTC"                             # of schedules and of retention periods

# Where copies are stored. Two tiers on one disk are lost together: let the second be another disk or a NAS.
[tier.local]
kind = "filesystem"
path = "backups"                             # made at the first apply; what is above it must exist
min-free = "10%"                             # refuse to fill the disk

[tier.second]
kind = "filesystem"
path = "backups-second"
min-free = "10%"

# A place elsewhere, in case the building burns. To use it, take the `#` away from its lines and from those below that name it.
# [tier.offsite]
# kind = "s3"
# bucket = "example-backups"                 # must exist; credentials are found as the AWS tools find them
# region = "eu-central-1"

# Whatever leaves the machine should be encrypted, for two keys that are kept apart: losing one then loses nothing.
# Make the first with `mainstay key generate`, and keep the private key of the second in a safe (docs/policy.md, Keys).
# [key.main]
# kind = "local"
# path = "keys/main.key"
#
# [key.offline]
# kind = "certificate"
# path = "keys/offline.pem"

[database.{database}]
{source}# encrypt-with = ["main", "offline"]
objective = {{ rpo = "25h", rto = "4h" }}      # promised largest loss, promised longest restore

[[database.{database}.series]]
name = "daily"
{method}schedule = "0 2 * * *"                       # cron: minute, hour, day of month, month, day of week
keep.local = {{ daily = 7, weekly = 4 }}       # the first tier is the primary
keep.second = {{ daily = 7, weekly = 4, monthly = 12 }}
# keep.offsite = {{ daily = 7, monthly = 12 }}
verify = "full-read"                         # checksum, full-read or restore
"#
    )
}

/// A valid name near to `text`.
fn name_from(text: &str, fallback: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() {
        fallback.to_owned()
    } else {
        name.to_owned()
    }
}
