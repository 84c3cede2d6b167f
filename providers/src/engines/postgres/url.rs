//! A connection URL as libpq reads it, taken apart.
//!
//! Source: PostgreSQL manual, "Connection URIs" and "Parameter Key Words" (libpq). The forms `postgres://` and
//! `postgresql://`, percent-encoding in every part, IPv6 in brackets, sockets by `?host=/folder` or an encoded host.
//! Not here: what libpq fills in for parts that are missing (`defaults`).

use model::Secret;
use std::{collections::BTreeMap, fmt};

/// Key words that we pass on, with the variable through which libpq's programs read them.
pub(super) const KEYWORDS: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssdelegation", "PGGSSDELEGATION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("service", "PGSERVICE"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

/// Key words of libpq without a variable: they tune the connection and are of no effect here.
const TUNING: &[&str] = &[
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
];

/// What a URL says: libpq's key words, and the password apart.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct UrlParts {
    /// Values by key word; never the password.
    pub(super) values: BTreeMap<String, String>,
    /// The password, if the URL has one.
    pub(super) password: Option<Secret>,
}

impl fmt::Debug for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlParts")
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

/// Why a text is no usable URL. Never repeats the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    /// Another scheme, or none.
    #[error("a PostgreSQL URL starts with `postgres://` or `postgresql://`")]
    Scheme,
    /// A bad percent sequence.
    #[error("the {0} of the URL has a `%` that is not followed by two hexadecimal digits")]
    Percent(&'static str),
    /// No UTF-8 after decoding.
    #[error("the {0} of the URL is not UTF-8 text after its `%` sequences are decoded")]
    Utf8(&'static str),
    /// An unclosed or misplaced bracket.
    #[error(
        "the URL has an IPv6 address without its closing `]`, or something else than `:` after it"
    )]
    Bracket,
    /// Not a port.
    #[error("the URL's port is not a number up to 65535")]
    Port,
    /// More than one host.
    #[error("the URL names more than one host")]
    SeveralHosts,
    /// A parameter without `=`.
    #[error("a parameter of the URL has no `=`")]
    NoValue,
    /// A parameter that libpq does not know, or that we cannot honour.
    #[error("the URL's parameter `{0}` is not supported")]
    Unknown(String),
}

impl UrlError {
    /// What to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Scheme => "write it as `postgresql://user@host:5432/database`",
            Self::Percent(_) | Self::Utf8(_) => {
                "write `%` as `%25`, and `@ : / ? #` in a password as `%40 %3A %2F %3F %23`"
            }
            Self::Bracket | Self::Port => {
                "write `host:5432`, or `[::1]:5432`; a `:` or `@` in a password must be `%3A` or `%40`"
            }
            Self::SeveralHosts => {
                "name the one server that shall be backed up; declare a database for each of several"
            }
            Self::NoValue | Self::Unknown(_) => {
                "see `Parameter Key Words` in PostgreSQL's libpq manual for what a URL may hold"
            }
        }
    }
}

/// Takes a URL apart.
pub(super) fn parse(text: &str) -> Result<UrlParts, UrlError> {
    let rest = ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or(UrlError::Scheme)?;
    let mut parts = UrlParts::default();
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (rest, None),
    };
    // libpq ends the credentials at the first `@`, so an unescaped one in a password is a mistake for it, too.
    let host = match authority.split_once('@') {
        Some((credentials, host)) => {
            credentials_into(&mut parts, credentials)?;
            host
        }
        None => authority,
    };
    host_into(&mut parts, host)?;
    if let Some(database) = database {
        insert(&mut parts, "dbname", decode(database, "database name")?)?;
    }
    for parameter in query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = parameter.split_once('=').ok_or(UrlError::NoValue)?;
        let (name, value) = (decode(name, "parameters")?, decode(value, "parameters")?);
        // An `@` behind the `?` means that the `?` stands in a password, and the "parameter" is a piece of it.
        let misread = query.is_some_and(|query| query.contains('@'));
        insert(&mut parts, &name, value)
            .map_err(|error| if misread { UrlError::NoValue } else { error })?;
    }
    let several = |key: &str| {
        parts
            .values
            .get(key)
            .is_some_and(|value| value.contains(','))
    };
    if several("host") || several("hostaddr") || several("port") {
        return Err(UrlError::SeveralHosts);
    }
    // What stands in the port's place may be the rest of a password with an `@`: it is not repeated.
    if parts
        .values
        .get("port")
        .is_some_and(|port| port.parse::<u16>().is_err())
    {
        return Err(UrlError::Port);
    }
    Ok(parts)
}

fn credentials_into(parts: &mut UrlParts, credentials: &str) -> Result<(), UrlError> {
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    insert(parts, "user", decode(user, "user name")?)?;
    if let Some(password) = password {
        insert(parts, "password", decode(password, "password")?)?;
    }
    Ok(())
}

fn host_into(parts: &mut UrlParts, host: &str) -> Result<(), UrlError> {
    if host.contains(',') {
        return Err(UrlError::SeveralHosts);
    }
    let (name, port) = if let Some(bracketed) = host.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(UrlError::Bracket)?;
        match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if rest.is_empty() => (address, None),
            None => return Err(UrlError::Bracket),
        }
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    insert(parts, "host", decode(name, "host")?)?;
    if let Some(port) = port {
        insert(parts, "port", decode(port, "port")?)?;
    }
    Ok(())
}

fn insert(parts: &mut UrlParts, name: &str, value: String) -> Result<(), UrlError> {
    if value.is_empty() {
        return Ok(());
    }
    match name {
        "password" => parts.password = Some(Secret::new(value)),
        // JDBC's spelling, which libpq accepts as well.
        "ssl" if value == "true" => {
            parts
                .values
                .insert("sslmode".to_owned(), "require".to_owned());
        }
        _ if TUNING.contains(&name) => {}
        _ if KEYWORDS.iter().any(|(known, _)| *known == name) => {
            parts.values.insert(name.to_owned(), value);
        }
        _ => return Err(UrlError::Unknown(name.to_owned())),
    }
    Ok(())
}

fn decode(text: &str, what: &'static str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(UrlError::Percent(what));
        };
        let value = u8::try_from(high * 16 + low).unwrap_or_default();
        if value == 0 {
            return Err(UrlError::Percent(what));
        }
        bytes.push(value);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Utf8(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(parts) => format!(
                "{:?} password={:?}",
                parts.values,
                parts.password.map(|secret| secret.expose().to_owned())
            ),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        let urls = [
            "postgresql://",
            "postgres://localhost",
            "postgresql://localhost:5433",
            "postgresql://localhost/mydb",
            "postgresql://user@localhost",
            "postgresql://user:secret@localhost",
            "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
            "postgresql:///mydb?host=localhost&port=5433",
            "postgresql://[2001:db8::1234]/database",
            "postgresql://[::1]:5433/database",
            "postgresql:///dbname?host=/var/lib/postgresql",
            "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
            "postgresql://us%40er:p%40ss%3Aw%2Frd%25@h/my%20db%C3%A9",
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&keepalives=1",
            "postgresql://h/d?ssl=true",
            "postgresql://user:pa:ss@h/d",
        ];
        let lines: Vec<_> = urls
            .iter()
            .map(|url| format!("{url}\n  {}", shown(url)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        postgresql://
          {} password=None
        postgres://localhost
          {"host": "localhost"} password=None
        postgresql://localhost:5433
          {"host": "localhost", "port": "5433"} password=None
        postgresql://localhost/mydb
          {"dbname": "mydb", "host": "localhost"} password=None
        postgresql://user@localhost
          {"host": "localhost", "user": "user"} password=None
        postgresql://user:secret@localhost
          {"host": "localhost", "user": "user"} password=Some("secret")
        postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp
          {"application_name": "myapp", "connect_timeout": "10", "dbname": "otherdb", "host": "localhost", "user": "other"} password=None
        postgresql:///mydb?host=localhost&port=5433
          {"dbname": "mydb", "host": "localhost", "port": "5433"} password=None
        postgresql://[2001:db8::1234]/database
          {"dbname": "database", "host": "2001:db8::1234"} password=None
        postgresql://[::1]:5433/database
          {"dbname": "database", "host": "::1", "port": "5433"} password=None
        postgresql:///dbname?host=/var/lib/postgresql
          {"dbname": "dbname", "host": "/var/lib/postgresql"} password=None
        postgresql://%2Fvar%2Flib%2Fpostgresql/dbname
          {"dbname": "dbname", "host": "/var/lib/postgresql"} password=None
        postgresql://us%40er:p%40ss%3Aw%2Frd%25@h/my%20db%C3%A9
          {"dbname": "my dbé", "host": "h", "user": "us@er"} password=Some("p@ss:w/rd%")
        postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&keepalives=1
          {"dbname": "d", "host": "h", "sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"} password=None
        postgresql://h/d?ssl=true
          {"dbname": "d", "host": "h", "sslmode": "require"} password=None
        postgresql://user:pa:ss@h/d
          {"dbname": "d", "host": "h", "user": "user"} password=Some("pa:ss")
        "#);
    }

    #[test]
    fn mistakes_in_a_url_are_named_without_repeating_it() {
        let urls = [
            "mysql://h/d",
            "h/d",
            "postgresql://u:100%@h/d",
            "postgresql://u:%FF@h/d",
            "postgresql://a,b/d",
            "postgresql://h/d?host=a,b",
            "postgresql://h:port/d",
            "postgresql://[::1/d",
            "postgresql://h/d?sslmod=require",
            "postgresql://h/d?sslmode",
        ];
        let lines: Vec<_> = urls
            .iter()
            .map(|url| format!("{url}\n  {}", shown(url)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        mysql://h/d
          error: a PostgreSQL URL starts with `postgres://` or `postgresql://`
        h/d
          error: a PostgreSQL URL starts with `postgres://` or `postgresql://`
        postgresql://u:100%@h/d
          error: the password of the URL has a `%` that is not followed by two hexadecimal digits
        postgresql://u:%FF@h/d
          error: the password of the URL is not UTF-8 text after its `%` sequences are decoded
        postgresql://a,b/d
          error: the URL names more than one host
        postgresql://h/d?host=a,b
          error: the URL names more than one host
        postgresql://h:port/d
          error: the URL's port is not a number up to 65535
        postgresql://[::1/d
          error: the URL has an IPv6 address without its closing `]`, or something else than `:` after it
        postgresql://h/d?sslmod=require
          error: the URL's parameter `sslmod` is not supported
        postgresql://h/d?sslmode
          error: a parameter of the URL has no `=`
        "#);
    }
}
