//! Checks a recovered server: that it is where it was to be, that every database can be opened, expectations, a person's assertions, `pg_amcheck`,
//! page checksums in its log.

use super::{log::Said, scratch_server::ScratchServer};
use crate::{
    api::{Check, Result},
    engines::postgres::{
        binaries::Binaries,
        checks::{all, assertions, expectations},
        connection::{Address, texts},
    },
};
use model::{Assertion, Expectations, RecoveryTarget, Timestamp, recovery_record::Reached};
use std::{fmt::Write, io::Read};

/// What is checked.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Where the server was to stop.
    pub(super) target: &'a RecoveryTarget,
    /// What must be found again; compared only when nothing was replayed beyond the capture.
    pub(super) expectations: &'a Expectations,
    /// A person's checks.
    pub(super) asserts: &'a [Assertion],
    /// The moment that assertions about time refer to.
    pub(super) moment: Timestamp,
    /// The declared database.
    pub(super) database: &'a str,
}

/// That the target was reached, in words. A wait that ended well proves it; the line is for the record.
pub(super) fn of_target(target: &RecoveryTarget, reached: &Reached, said: &Said) -> Check {
    let mut detail = said
        .stopped
        .clone()
        .unwrap_or_else(|| "replayed to the end of the log".to_owned());
    if let Some(position) = reached.position {
        let _ = write!(detail, "; position {position}");
    }
    if let Some(time) = reached.time {
        let _ = write!(detail, "; last commit {time}");
    }
    Check {
        what: format!("target: {target}"),
        passed: true,
        detail,
    }
}

/// Opens every database, then checks the declared one.
pub(super) async fn of_data(
    server: &ScratchServer,
    user: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<Check>> {
    let entrance = server.address(user, wanted.database);
    let (mut connection, names) = match databases(&entrance).await {
        Ok(names) => (entrance.connect().await.ok(), names),
        // The declared database may not exist at this moment; the others are checked all the same.
        Err(_) => (None, databases(&server.address(user, "template1")).await?),
    };
    let mut checks = Vec::new();
    for name in &names {
        let address = server.address(user, name);
        let opened = match address.connect().await {
            Ok(mut connection) => texts(&mut connection, "SELECT count(*) FROM pg_class")
                .await
                .map_err(|error| address.failed("read the catalogue of", error)),
            Err(error) => Err(error),
        };
        checks.push(match opened {
            Ok(_) => Check {
                what: format!("database {name}"),
                passed: true,
                detail: "opens".to_owned(),
            },
            Err(error) => Check {
                what: format!("database {name}"),
                passed: false,
                detail: error.to_string(),
            },
        });
    }
    let Some(connection) = &mut connection else {
        if !names.iter().any(|name| name == wanted.database) {
            checks.push(Check {
                what: format!("database {}", wanted.database),
                passed: false,
                detail: "missing".to_owned(),
            });
        }
        return Ok(checks);
    };
    if *wanted.target == RecoveryTarget::Immediate {
        let tables = all(wanted.expectations);
        checks.extend(expectations(connection, &entrance, &tables).await?);
    }
    checks.extend(assertions(connection, &entrance, wanted.asserts, wanted.moment).await?);
    Ok(checks)
}

async fn databases(entrance: &Address) -> Result<Vec<String>> {
    let mut connection = entrance.connect().await?;
    let sql = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1";
    let rows = texts(&mut connection, sql)
        .await
        .map_err(|error| entrance.failed("list the databases beside", error))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Whether the server's log tells of pages whose checksum did not agree; `None` when pages carry none.
pub(super) fn of_pages(said: &Said, checksums: bool) -> Option<Check> {
    if said.bad_pages.is_empty() && !checksums {
        return None;
    }
    Some(Check {
        what: "checksums of the pages that were read".to_owned(),
        passed: said.bad_pages.is_empty(),
        detail: if said.bad_pages.is_empty() {
            "no failure in the server's log".to_owned()
        } else {
            said.bad_pages.join("; ")
        },
    })
}

/// Checks tables and indexes of all databases. `install`: the extension may be installed where it is missing, for the server will be thrown away.
pub(super) async fn amcheck(
    server: &ScratchServer,
    user: &str,
    set: &Binaries,
    install: bool,
) -> Result<Check> {
    let what = "pg_amcheck of all databases".to_owned();
    let failed = |detail: String| Check {
        what: what.clone(),
        passed: false,
        detail,
    };
    let path = set.program("pg_amcheck");
    if !path.is_file() {
        return Ok(failed(format!(
            "not made: PostgreSQL {} on this machine has no pg_amcheck (14 and newer have)",
            set.major
        )));
    }
    let address = server.address(user, "template1");
    let mut connection = address.connect().await?;
    let available = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'";
    let found = texts(&mut connection, available)
        .await
        .map_err(|error| address.failed("list the extensions of", error))?;
    drop(connection);
    if found.is_empty() {
        return Ok(failed(
            "not made: the extension amcheck is not installed on this machine (Debian: postgresql-contrib)".to_owned(),
        ));
    }
    let mut program = address.program(path).args(["--all", "--no-password"]);
    if install {
        program = program.arg("--install-missing");
    }
    let (mut running, mut output) = program.start_reading()?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let read = output.by_ref().take(64 * 1024).read_to_end(&mut text);
        // More than that is not repeated, but must be taken, or the program would wait.
        let _ = std::io::copy(&mut output, &mut std::io::sink());
        read.map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let ended = running.ended().await;
    let said = reading.await.ok().and_then(Result::ok).unwrap_or_default();
    let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
    Ok(match ended {
        Ok(_) if lines.is_empty() => Check {
            what,
            passed: true,
            detail: "no corruption found".to_owned(),
        },
        Ok(_) => failed(short(&lines)),
        Err(_) if !lines.is_empty() => failed(short(&lines)),
        Err(error) => failed(error.to_string()),
    })
}

fn short(lines: &[&str]) -> String {
    let mut text = lines.iter().take(6).copied().collect::<Vec<_>>().join("; ");
    if lines.len() > 6 {
        text.push_str("; and more");
    }
    text
}
