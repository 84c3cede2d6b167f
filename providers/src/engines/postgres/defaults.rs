//! Fills in what a URL leaves open, in libpq's order: service file, `PG*` variables, password file, built-in defaults.
//!
//! Source: PostgreSQL manual, libpq: "Environment Variables", "The Password File", "The Connection Service File".
//! Everything is filled in here, so that our own connection and the programs cannot end up at different servers.

use super::{
    connection::Address,
    url::{KEYWORDS, UrlParts},
};
use model::Secret;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where distributions put the socket.
const SOCKET_FOLDERS: [&str; 4] = [
    "/var/run/postgresql",
    "/run/postgresql",
    "/tmp",
    "/private/tmp",
];

/// Why defaults could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DefaultsError {
    /// The service is in no file.
    #[error("the connection service `{0}` is in no service file")]
    Service(String),
    /// No user name can be found.
    #[error("the URL names no user, and this process's user has no name")]
    User,
    /// A port that is none.
    #[error("`{0}` is not a port number")]
    Port(String),
}

impl DefaultsError {
    /// What to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Service(_) => {
                "add it to ~/.pg_service.conf, or write host and database into the URL"
            }
            Self::User => "write the user into the URL: `postgresql://user@host/database`",
            Self::Port(_) => "correct the port in the URL or in `PGPORT`",
        }
    }
}

/// Completes the parts of a URL to an address.
pub(super) fn complete(parts: UrlParts, env: Environment<'_>) -> Result<Address, DefaultsError> {
    let UrlParts {
        mut values,
        mut password,
    } = parts;
    let home = env("HOME").map(PathBuf::from);
    if let Some(service) = values.remove("service").or_else(|| env("PGSERVICE")) {
        let found = service_values(&service, home.as_deref(), env)
            .ok_or(DefaultsError::Service(service))?;
        for (name, value) in found {
            if name == "password" {
                password = password.or(Some(Secret::new(value)));
            } else if KEYWORDS.iter().any(|(known, _)| *known == name) {
                values.entry(name).or_insert(value);
            }
        }
    }
    for (name, variable) in KEYWORDS {
        if matches!(*name, "password" | "service" | "application_name") {
            continue;
        }
        if let Some(value) = env(variable) {
            values.entry((*name).to_owned()).or_insert(value);
        }
    }
    let port = values.remove("port").unwrap_or_else(|| "5432".to_owned());
    let port: u16 = port.parse().map_err(|_| DefaultsError::Port(port))?;
    let host = values.remove("host");
    let host = host.unwrap_or_else(|| default_host(port, values.get("hostaddr")));
    let user = values
        .remove("user")
        .or_else(|| os_user(env))
        .ok_or(DefaultsError::User)?;
    let database = values.remove("dbname").unwrap_or_else(|| user.clone());
    if let Some(home) = &home {
        // libpq looks here by itself; our own connection must be told.
        for (name, file) in [
            ("sslrootcert", "root.crt"),
            ("sslcert", "postgresql.crt"),
            ("sslkey", "postgresql.key"),
        ] {
            let path = home.join(".postgresql").join(file);
            if !values.contains_key(name) && path.exists() {
                values.insert(name.to_owned(), path.to_string_lossy().into_owned());
            }
        }
    }
    let passfile = values.remove("passfile").map(PathBuf::from);
    let passfile = passfile.or_else(|| home.map(|home| home.join(".pgpass")));
    let password = password
        .or_else(|| env("PGPASSWORD").map(Secret::new))
        .or_else(|| from_passfile(passfile.as_deref()?, &host, port, &database, &user));
    Ok(Address {
        host,
        port,
        user,
        database,
        password,
        values,
    })
}

fn default_host(port: u16, hostaddr: Option<&String>) -> String {
    if let Some(address) = hostaddr {
        return address.clone();
    }
    let socket = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    let folder = SOCKET_FOLDERS.iter().find(socket);
    folder.map_or("localhost", |folder| *folder).to_owned()
}

/// libpq asks the user database for the effective user; `/etc/passwd` is what can be read of it without C.
fn os_user(env: Environment<'_>) -> Option<String> {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(id.as_str()));
    line.and_then(|line| line.split(':').next())
        .map(str::to_owned)
        .or_else(|| env("USER"))
        .or_else(|| env("LOGNAME"))
}

fn service_values(
    service: &str,
    home: Option<&Path>,
    env: Environment<'_>,
) -> Option<BTreeMap<String, String>> {
    let own = env("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".pg_service.conf")));
    let shared = env("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".to_owned());
    let shared = Path::new(&shared).join("pg_service.conf");
    own.into_iter().chain([shared]).find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        section(&text, service)
    })
}

fn section(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut values: Option<BTreeMap<String, String>> = None;
    for line in text.lines().map(str::trim) {
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            if values.is_some() {
                break;
            }
            values = (title == name).then(BTreeMap::new);
        } else if let (Some(values), Some((key, value))) = (&mut values, line.split_once('='))
            && !line.starts_with('#')
        {
            values.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    values
}

fn from_passfile(file: &Path, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
    use std::os::unix::fs::PermissionsExt;
    // libpq ignores a file that others may read; finding the password only here would hide that from the operator.
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "the password file is ignored: others may read it (chmod 600)");
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let mut hosts = vec![host];
    if host.starts_with('/') {
        hosts.push("localhost");
    }
    let port = port.to_string();
    text.lines().find_map(|line| {
        let fields = fields(line)?;
        let [in_host, in_port, in_database, in_user, password] = &fields;
        let fits = |field: &str, value: &str| field == "*" || field == value;
        (hosts.iter().any(|host| fits(in_host, host))
            && fits(in_port, &port)
            && fits(in_database, database)
            && fits(in_user, user))
        .then(|| Secret::new(password.clone()))
    })
}

/// The five fields of a line of a password file; `\:` and `\\` are escapes.
fn fields(line: &str) -> Option<[String; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut found: Vec<String> = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let count = found.len();
        let last = found.last_mut()?;
        match character {
            '\\' => last.extend(characters.next()),
            ':' if count < 5 => found.push(String::new()),
            ':' => break,
            other => last.push(other),
        }
    }
    found.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::url, *};
    use std::os::unix::fs::PermissionsExt;

    fn completed(text: &str, variables: &[(&str, &str)]) -> Address {
        let env = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        complete(url::parse(text).unwrap(), &env).unwrap()
    }

    #[test]
    fn the_environment_fills_in_only_what_the_url_leaves_open() {
        let variables = [
            ("PGHOST", "envhost"),
            ("PGUSER", "envuser"),
            ("PGSSLMODE", "require"),
        ];
        let address = completed("postgresql://urlhost/d", &variables);
        assert_eq!(address.host, "urlhost");
        assert_eq!(address.user, "envuser");
        assert_eq!(address.values["sslmode"], "require");
        assert_eq!(address.port, 5432);
    }

    #[test]
    fn the_password_file_is_searched_as_libpq_does_and_ignored_when_others_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        std::fs::write(
            &file,
            "# x\nh:5432:other:*:no\nh:*:d:u:a\\:b\\\\c\n*:*:*:*:last\n",
        )
        .unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let path = file.to_str().unwrap();
        let found = |text: &str| completed(text, &[("PGPASSFILE", path)]).password;
        assert_eq!(found("postgresql://u@h/d").unwrap().expose(), "a:b\\c");
        assert_eq!(found("postgresql://v@h/d").unwrap().expose(), "last");
        assert_eq!(found("postgresql://u:own@h/d").unwrap().expose(), "own");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(found("postgresql://u@h/d").is_none());
    }

    #[test]
    fn a_service_file_gives_host_and_database() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services");
        std::fs::write(
            &file,
            "[other]\nhost=no\n[erp]\n# c\nhost = db1\ndbname=erp\nport=5433\n[z]\nhost=no\n",
        )
        .unwrap();
        let variables = [
            ("PGSERVICEFILE", file.to_str().unwrap()),
            ("PGHOST", "envhost"),
        ];
        let address = completed("postgresql://u@?service=erp", &variables);
        assert_eq!(
            (
                address.host.as_str(),
                address.port,
                address.database.as_str()
            ),
            ("db1", 5433, "erp")
        );
    }
}
