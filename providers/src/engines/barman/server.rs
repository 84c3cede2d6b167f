//! Starts a restored folder apart from everything else, waits until it has reached its target, and checks it.
//!
//! With `hot_standby=off` a server lets nobody in before its recovery has ended, so "accepts connections" means "the target was
//! reached and it is promoted"; one that does not reach it ends by itself. It archives nothing, follows nobody, and can be
//! reached through a socket in its own folder only.

use super::{BarmanEngine, errors, pointer::Pointer, restore::Order, user::User};
use crate::{
    api::{Check, Result},
    engines::{
        phases::Phases,
        postgres::session::{self, Session},
    },
    process::Program,
};
use model::{Secret, recovery_record::Reached, wal::Lsn};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a clean stop may take.
const STOP: Duration = Duration::from_mins(2);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Part of the socket's name only.
const PORT: u16 = 5432;

/// What is started and checked.
pub(super) struct Checking<'a> {
    pub(super) engine: &'a BarmanEngine,
    pub(super) order: &'a Order,
    pub(super) pointer: &'a Pointer,
    pub(super) user: &'a User,
}

/// What it gave.
pub(super) struct Served {
    pub(super) checks: Vec<Check>,
    pub(super) reached: Reached,
}

/// Starts the server of `data`, waits, checks, stops it cleanly. `folder` is ours and short enough for a socket.
pub(super) async fn replay_and_check(
    run: &Checking<'_>,
    data: &Path,
    folder: &Path,
    phases: &mut Phases,
) -> Result<Served> {
    let mut running = program(run, data, folder).await?.start()?;
    let url = url(run, folder);
    let mut session = loop {
        // A server that is still replaying refuses; one that cannot replay ends.
        if let Some(session) = Session::open(&url).await? {
            break session;
        }
        tokio::select! {
            ended = running.ended() => {
                let words = match ended {
                    Ok(words) => words,
                    Err(error) => error.message,
                };
                return Err(errors::scratch_server("ended before it reached its target", &words));
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
    };
    phases.end("replay");
    let position = session.text("SELECT pg_last_wal_replay_lsn()").await?;
    let time = session
        .text("SELECT pg_last_xact_replay_timestamp()")
        .await?;
    let timeline = session
        .text("SELECT timeline_id FROM pg_control_checkpoint()")
        .await?;
    let reached = Reached {
        position: position.and_then(|text| Lsn::parse(&text).ok()),
        time: time.and_then(|text| text.parse().ok()),
        timeline: timeline.and_then(|text| text.parse().ok()),
    };
    let mut checks = vec![identity(
        run,
        session
            .text("SELECT system_identifier FROM pg_control_system()")
            .await?,
    )];
    let captured_at = reached.time.unwrap_or(run.pointer.end_time);
    checks.extend(session.assertions(&run.order.asserts, captured_at).await?);
    session.close().await;
    phases.end("checks");
    if let Some(observer) = run
        .order
        .recovery
        .as_ref()
        .and_then(|recovery| recovery.observer.as_ref())
    {
        observer.running(url.expose()).await?;
    }
    // What a person does with the server is no part of the restore.
    phases.skip();
    running.stop(STOP).await;
    // `pg_ctl restart` would take our settings from it.
    let _ = fs::remove_file(data.join("postmaster.opts"));
    phases.end("stop");
    Ok(Served { checks, reached })
}

fn identity(run: &Checking<'_>, found: Option<String>) -> Check {
    let found = found.unwrap_or_default();
    let expected = run.pointer.system_identifier.clone();
    Check {
        what: "identifier of the cluster".to_owned(),
        passed: expected.as_ref().is_none_or(|expected| *expected == found),
        detail: match expected {
            Some(expected) => format!("{found}, {expected} expected"),
            None => format!("{found}; Barman did not tell which to expect"),
        },
    }
}

fn url(run: &Checking<'_>, folder: &Path) -> Secret {
    let table = &run.engine.table;
    let role = table.role.as_deref().unwrap_or("postgres");
    let database = table.database.as_deref().unwrap_or("postgres");
    let encode = |text: &str| -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
    };
    Secret::new(format!(
        "postgresql://{}@/{}?host={}&port={PORT}",
        encode(role),
        encode(database),
        encode(&folder.display().to_string())
    ))
}

async fn program(run: &Checking<'_>, data: &Path, folder: &Path) -> Result<Program> {
    let bin_dir = run
        .engine
        .table
        .bin_dir
        .as_ref()
        .map(|bin| run.engine.base.join(bin));
    let postgres = session::server_program(bin_dir.as_deref(), run.pointer.major()).await?;
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| errors::file("write", &path, error))?;
        run.user.give(&path)?;
        Ok(path)
    };
    let hba = write("pg_hba.conf", "local all all trust\n")?;
    let ident = write("pg_ident.conf", "")?;
    let mut settings = vec![
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("unix_socket_permissions", "0777".to_owned()),
        ("hba_file", hba.display().to_string()),
        ("ident_file", ident.display().to_string()),
        ("external_pid_file", String::new()),
        ("hot_standby", "off".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("archive_command", String::new()),
        ("primary_conninfo", String::new()),
        ("primary_slot_name", String::new()),
        ("synchronous_standby_names", String::new()),
        ("max_wal_senders", "0".to_owned()),
        ("ssl", "off".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("shared_buffers", "128MB".to_owned()),
        ("huge_pages", "off".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("log_statement", "none".to_owned()),
        ("log_min_duration_statement", "-1".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("default_transaction_read_only", "on".to_owned()),
    ];
    // Debian keeps it in /etc, where `pg_basebackup` does not look.
    if !data.join("postgresql.conf").exists() {
        let config = write("postgresql.conf", "")?;
        settings.push(("config_file", config.display().to_string()));
    }
    let mut program = run.user.program(postgres).folder("/").arg("-D").arg(data);
    for (name, value) in settings {
        program = program.arg("-c").arg(format!("{name}={value}"));
    }
    Ok(program)
}
