//! Arguments of `import`.

use super::instant;
use clap::{Args, ValueEnum, ValueHint};
use jiff::Timestamp;
use std::path::PathBuf;

pub(crate) const EXAMPLES: &str = "Examples:\n  mainstay import restic /usr/local/bin/backup.sh --out mainstay.toml\n  mainstay import restic /etc/systemd/system/backup.service\n  \
mainstay import borg /etc/borgmatic/config.yaml --schedule '30 2 * * *'\n  mainstay import pgbackrest /etc/pgbackrest.conf --crontab /var/spool/cron/crontabs/postgres\n  \
mainstay import barman /etc/barman.conf --json | jq .proofs\n\n\
Exit codes: 0 the same points or more, 3 the policy keeps fewer (the differences are listed), 1 the file cannot be taken over.";

/// `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Whose configuration it is
    #[arg(value_enum)]
    pub(crate) tool: ImportTool,
    /// The script, crontab, systemd unit, borgmatic's YAML, pgbackrest.conf or barman.conf; `-` reads stdin
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
    /// When it runs, where the file does not say; pgBackRest has one for each of full, diff and incr
    #[arg(long, value_name = "[KIND=]CRON", value_parser = schedule)]
    pub(crate) schedule: Vec<(Option<String>, String)>,
    /// Crontab that runs it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) crontab: Option<PathBuf>,
    /// Zone in which the tool runs [default: this machine's]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub(crate) timezone: Option<String>,
    /// Barman: take its place, instead of leaving the backups to it
    #[arg(long)]
    pub(crate) replace: bool,
    /// How many years to simulate
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) years: u16,
    /// Begin the simulation at that time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
    /// File to write; it must not exist [default: stdout]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// The tools whose retention can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportTool {
    /// restic
    Restic,
    /// borg and borgmatic
    Borg,
    /// pgBackRest
    Pgbackrest,
    /// Barman
    Barman,
}

impl ImportTool {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Pgbackrest => "pgbackrest",
            Self::Barman => "barman",
        }
    }
}

fn schedule(text: &str) -> Result<(Option<String>, String), String> {
    let (kind, cron) = match text.split_once('=') {
        Some((kind, cron)) if ["full", "diff", "incr"].contains(&kind) => {
            (Some(kind.to_owned()), cron)
        }
        Some((kind, _)) => {
            return Err(format!(
                "`{kind}` is no kind of backup: full, diff and incr are"
            ));
        }
        None => (None, text),
    };
    policy_schema::Schedule::cron(cron).map_err(|error| error.to_string())?;
    Ok((kind, cron.to_owned()))
}

fn zone(text: &str) -> Result<String, String> {
    let known = jiff::tz::TimeZone::get(text);
    known.map_err(|_| format!("`{text}` is no zone; write it like Europe/Prague or UTC"))?;
    Ok(text.to_owned())
}
