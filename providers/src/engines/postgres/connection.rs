//! One server address for both of us: our own connection, and the programs through their `PG*` environment.
//!
//! Invariant: nothing secret is ever an argument; messages name user, host and database only.
//! Not here: how an address is found (`url`, `defaults`).

use super::{defaults, url};
use crate::{
    api::{ProviderError, Result},
    process::Program,
    secrets,
};
use model::{Disposition, Secret};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// How long connecting may take when the URL says nothing.
const CONNECT_SECONDS: u64 = 30;

/// Where a database is, completely.
#[derive(Clone)]
pub(super) struct Address {
    /// Host name, address, or folder of the socket.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// User.
    pub(super) user: String,
    /// Database.
    pub(super) database: String,
    /// Password, if one is known.
    pub(super) password: Option<Secret>,
    /// Other key words of libpq (`sslmode`, `options`, …).
    pub(super) values: BTreeMap<String, String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on `{}:{}`", self.database, self.host, self.port)
    }
}

impl Address {
    /// Reads a URL and fills in what it leaves open.
    pub(super) fn of_url(url: &Secret) -> Result<Self> {
        let unusable = |message: String, help: &str| {
            ProviderError::new(
                "mainstay::postgres::url",
                Disposition::NeedsOperator,
                format!("cannot use the database's URL: {message}"),
            )
            .help(help)
        };
        let parts =
            url::parse(url.expose()).map_err(|error| unusable(error.to_string(), error.help()))?;
        let address = defaults::complete(parts, &secrets::environment)
            .map_err(|error| unusable(error.to_string(), error.help()))?;
        if address.host.contains(',') {
            let error = url::UrlError::SeveralHosts;
            return Err(unusable(error.to_string(), error.help()));
        }
        Ok(address)
    }

    /// Another database of the same server.
    pub(super) fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// Whether both are the same server, as far as their addresses tell.
    pub(super) fn same_server(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    /// Whether the server surely runs on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The database's name as a connection string, for options that would take a name with `=` in it for one.
    pub(super) fn conninfo(&self) -> String {
        let value = self.database.replace('\\', "\\\\").replace('\'', "\\'");
        format!("dbname='{value}'")
    }

    /// The option that makes `pg_restore` load into this database.
    pub(super) fn conninfo_option(&self) -> String {
        format!("--dbname={}", self.conninfo())
    }

    /// A program of PostgreSQL that will connect here, and never ask for a password.
    pub(super) fn program(&self, path: impl Into<PathBuf>) -> Program {
        let mut program = Program::new(path)
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGDATABASE", &self.database)
            .env("PGAPPNAME", "mainstay")
            .without_env("PGSERVICE");
        for (name, variable) in url::KEYWORDS {
            if let Some(value) = self.values.get(*name) {
                program = program.env(variable, value);
            }
        }
        // libpq's programs wait for ever; ours shall not hang in a plan's step because a host swallows packets.
        if !self.values.contains_key("connect_timeout") {
            program = program.env("PGCONNECT_TIMEOUT", CONNECT_SECONDS.to_string());
        }
        match &self.password {
            Some(password) => program.secret_env("PGPASSWORD", password),
            None => program,
        }
    }

    /// Connects, without the limits on time that a server or a role may have set for applications.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let seconds = self
            .values
            .get("connect_timeout")
            .and_then(|text| text.parse().ok())
            .filter(|seconds| *seconds > 0)
            .unwrap_or(CONNECT_SECONDS);
        let options = self.options()?;
        let connecting = PgConnection::connect_with(&options);
        let limit = Duration::from_secs(seconds);
        let mut connection = match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.cannot_connect(error)),
            Err(_) => return Err(self.unreachable()),
        };
        let settings = "SET statement_timeout = 0; SET lock_timeout = 0; \
                        SET idle_in_transaction_session_timeout = 0; \
                        SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'";
        run(&mut connection, settings)
            .await
            .map_err(|error| self.failed("prepare the connection to", error))?;
        Ok(connection)
    }

    fn options(&self) -> Result<PgConnectOptions> {
        let value = |name: &str| self.values.get(name).map(String::as_str);
        let host = value("hostaddr").unwrap_or(&self.host);
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .application_name("mainstay")
            // A pooler in front of the server may not keep prepared statements.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(password.expose());
        }
        let mode = match value("sslmode").unwrap_or("prefer") {
            _ if host.starts_with('/') => PgSslMode::Disable,
            "disable" => PgSslMode::Disable,
            "allow" => PgSslMode::Allow,
            "prefer" => PgSslMode::Prefer,
            "require" => PgSslMode::Require,
            "verify-ca" => PgSslMode::VerifyCa,
            "verify-full" => PgSslMode::VerifyFull,
            other => {
                return Err(ProviderError::new(
                    "mainstay::postgres::url",
                    Disposition::NeedsOperator,
                    format!("`{other}` is no value of sslmode"),
                )
                .help("use disable, allow, prefer, require, verify-ca or verify-full"));
            }
        };
        options = options.ssl_mode(mode);
        if let Some(file) = value("sslrootcert").filter(|file| *file != "system") {
            options = options.ssl_root_cert(file);
        }
        if let Some(file) = value("sslcert") {
            options = options.ssl_client_cert(file);
        }
        if let Some(file) = value("sslkey") {
            options = options.ssl_client_key(file);
        }
        let settings = value("options").unwrap_or_default();
        let settings = settings.split_whitespace().filter_map(|word| {
            let word = word
                .strip_prefix("--")
                .or(word.strip_prefix("-c"))
                .unwrap_or(word);
            word.split_once('=')
        });
        Ok(settings.fold(options, |options, setting| options.options([setting])))
    }

    fn unreachable(&self) -> ProviderError {
        ProviderError::new(
            "mainstay::postgres::unreachable",
            Disposition::Retry,
            format!(
                "cannot reach the PostgreSQL server at `{}:{}`",
                self.host, self.port
            ),
        )
        .help(format!(
            "check that it runs and answers: pg_isready -h {} -p {}",
            self.host, self.port
        ))
    }

    fn cannot_connect(&self, error: sqlx::Error) -> ProviderError {
        let (user, host, port) = (&self.user, &self.host, self.port);
        match &error {
            sqlx::Error::Io(_) => self.unreachable().source(error),
            sqlx::Error::Tls(_) => ProviderError::new(
                "mainstay::postgres::tls",
                Disposition::NeedsOperator,
                format!("cannot set up TLS with `{host}:{port}`"),
            )
            .help("check `sslmode` and `sslrootcert` in the URL against the server's certificate")
            .source(error),
            _ => match sqlstate(&error).as_deref() {
                Some("28P01" | "28000") => {
                    let known = if self.password.is_some() {
                        "the password was refused"
                    } else {
                        "no password is known"
                    };
                    ProviderError::new(
                        "mainstay::postgres::authentication",
                        Disposition::NeedsOperator,
                        format!("`{host}:{port}` does not let user `{user}` in: {known}"),
                    )
                    .help("correct the password where the URL's reference, PGPASSWORD or ~/.pgpass has it, or the server's pg_hba.conf")
                    .source(error)
                }
                Some("3D000") => ProviderError::new(
                    "mainstay::postgres::database-missing",
                    Disposition::NeedsOperator,
                    format!(
                        "there is no database `{}` on `{host}:{port}`",
                        self.database
                    ),
                )
                .help(format!(
                    "list the databases: psql -h {host} -p {port} -U {user} -l"
                ))
                .source(error),
                Some("57P03" | "53300") => ProviderError::new(
                    "mainstay::postgres::unreachable",
                    Disposition::Retry,
                    format!("`{host}:{port}` takes no connection at the moment"),
                )
                .help("wait until the server has started, or raise max_connections")
                .source(error),
                _ => self.failed("connect to", error),
            },
        }
    }

    /// An error of a statement: `what` is what was attempted, such as `count the rows of`.
    pub(super) fn failed(&self, what: &str, error: sqlx::Error) -> ProviderError {
        let message = format!("cannot {what} {self}");
        let state = sqlstate(&error);
        let (code, disposition, help) = match state.as_deref() {
            Some("42501") => (
                "mainstay::postgres::permission",
                Disposition::NeedsOperator,
                format!(
                    "grant user `{}` what is missing; for backups: GRANT pg_read_all_data TO \"{}\"",
                    self.user, self.user
                ),
            ),
            // Connection lost, shut down, conflict with recovery on a standby, deadlock, out of memory or locks.
            Some(state)
                if state.starts_with("08")
                    || state.starts_with("57P")
                    || state.starts_with("40")
                    || state.starts_with("53") =>
            {
                (
                    "mainstay::postgres::interrupted",
                    Disposition::Retry,
                    "look into the server's log for why it ended the connection".to_owned(),
                )
            }
            None => (
                "mainstay::postgres::interrupted",
                Disposition::Retry,
                "check the network and look into the server's log for why the connection ended"
                    .to_owned(),
            ),
            Some(state) => (
                "mainstay::postgres::query",
                Disposition::NeedsOperator,
                format!(
                    "look up SQLSTATE {state} in PostgreSQL's manual and the statement in the server's log"
                ),
            ),
        };
        ProviderError::new(code, disposition, message)
            .help(help)
            .source(error)
    }
}

/// The server's code of an error; `None` when it did not come from the server.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .map(std::borrow::Cow::into_owned)
}

/// Runs statements without parameters, several at once if need be. Names in `sql` must be quoted by [`super::names::quoted`].
pub(super) async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(|_| ())
}

/// The rows of a statement, every value as the text that psql would show; null is `None`.
pub(super) async fn texts(
    connection: &mut PgConnection,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    use sqlx::{Row, ValueRef};
    // The simple protocol: the server itself turns every type into text, whatever extension it comes from.
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|column| {
                    let value = row.try_get_raw(column)?;
                    if value.is_null() {
                        return Ok(None);
                    }
                    value
                        .as_str()
                        .map(|text| Some(text.to_owned()))
                        .map_err(sqlx::Error::Decode)
                })
                .collect()
        })
        .collect()
}

/// The only value of a statement, as text.
pub(super) async fn text(
    connection: &mut PgConnection,
    sql: &str,
) -> Result<Option<String>, sqlx::Error> {
    let rows = texts(connection, sql).await?;
    Ok(rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next())
        .flatten())
}
