//! What it means when a base backup cannot be taken. `pg_basebackup` has one exit code for everything: only its words tell a
//! bad page from a missing right.

use super::super::{connection::Address, names::quoted};
use crate::api::ProviderError;
use model::Disposition::{self, NeedsOperator, Permanent, Retry};

fn refused(address: &Address, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::replication-refused",
        NeedsOperator,
        format!(
            "{address} does not let user `{}` take a base backup: {why}",
            address.user
        ),
    )
}

/// The role lacks the attribute.
pub(super) fn not_replication(address: &Address) -> ProviderError {
    refused(address, "the role may not use replication connections")
        .help(format!("ALTER ROLE {} REPLICATION;", quoted(&address.user)))
}

/// The server takes no replication connections at all.
pub(super) fn no_senders(address: &Address) -> ProviderError {
    refused(address, "the server allows no replication connections")
        .help("ALTER SYSTEM SET wal_level = 'replica'; ALTER SYSTEM SET max_wal_senders = 10; then restart the server")
}

/// The server cannot get rid of its log.
pub(super) fn archiving_fails(address: &Address, file: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::archiving-fails",
        Retry,
        format!("the server of {address} cannot archive `{file}`, and a base backup would wait for that"),
    )
    .help("look at the server's log for what archive_command said, and at mainstay wal status; then mainstay apply")
}

/// An incremental backup of a server that has none.
pub(super) fn too_old_for_incremental(address: &Address, version: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::incremental-too-old",
        Permanent,
        format!(
            "the server of {address} is PostgreSQL {version}; incremental backups need 17 or newer"
        ),
    )
    .help("remove `incremental` from the series")
}

/// Nothing notes what changed.
pub(super) fn no_summaries(address: &Address) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::no-wal-summaries",
        NeedsOperator,
        format!("the server of {address} does not note which blocks change (`summarize_wal` is off), so there can be no incremental backup"),
    )
    .help("ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf(); the next full backup is the first that others can build on")
}

/// The point cannot be built on; a full one can be made instead.
pub(super) fn parent_unfit(address: &Address, why: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::parent-unfit",
        Permanent,
        format!("nothing incremental to its parent can be taken of {address}: {why}"),
    )
    .help("make a full backup: the next `mainstay apply` plans one after this")
}

/// Another cluster or timeline at the end than at the beginning.
pub(super) fn source_changed(address: &Address, what: &str) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::source-changed",
        Retry,
        format!("while {address} was backed up, {what}"),
    )
    .help("wait until the failover or the restore is over, then run mainstay apply again; nothing was stored")
}

/// The output ended before its end, whatever the program said.
pub(super) fn incomplete(address: &Address, what: impl Into<String>) -> ProviderError {
    ProviderError::new(
        "mainstay::postgres::base-backup-incomplete",
        Retry,
        format!("the base backup of {address} is not whole: {}", what.into()),
    )
    .help("run it again: mainstay apply; nothing was stored")
}

/// What a failure of `pg_basebackup` means.
pub(super) fn explain(address: &Address, incremental: bool, error: ProviderError) -> ProviderError {
    if error.code != "mainstay::process::failed" {
        return error;
    }
    let words = error.message.to_lowercase();
    let says = |part: &str| words.contains(part);
    if says("checksum error occurred") || says("checksum verification fail") {
        return bad_pages(address, &words).source(error);
    }
    if says("must be superuser or replication role")
        || says("permission denied to start wal sender")
        || says("must be superuser or have the replication")
    {
        return not_replication(address).source(error);
    }
    if says("for replication connection") || says("rejects replication connection") {
        return refused(address, "pg_hba.conf has no line for replication connections of it")
            .help(format!(
                "add to pg_hba.conf: host replication {} <address of this machine>/32 scram-sha-256 (or local replication …), then SELECT pg_reload_conf();",
                quoted(&address.user)
            ))
            .source(error);
    }
    if says("max_wal_senders (currently 0)") || says("wal level not sufficient") {
        return no_senders(address).source(error);
    }
    if incremental && (says("wal summar") || says("manifest") || says("timeline")) {
        return parent_unfit(address, "the server can no longer tell what changed since")
            .source(error);
    }
    let (disposition, help): (Disposition, &str) = if says("already been removed")
        || says("wal file")
    {
        (
            Retry,
            "the server removed log that the backup needs: archive the log (`[database.<name>.wal]`), or raise wal_keep_size",
        )
    } else if says("full_page_writes") {
        (
            NeedsOperator,
            "switch full_page_writes on at the primary, wait for the standby's next checkpoint, and try again",
        )
    } else {
        (
            Retry,
            "look at the program's words below and into the server's log",
        )
    };
    ProviderError::new(
        "mainstay::postgres::base-backup-failed",
        disposition,
        format!("pg_basebackup could not copy {address}"),
    )
    .help(help)
    .source(error)
}

fn bad_pages(address: &Address, words: &str) -> ProviderError {
    let total = words
        .split_once(" total checksum verification failure")
        .and_then(|(before, _)| before.rsplit([' ', ':']).next()?.parse::<u64>().ok());
    // With a single one the server gives no total.
    let count = total.unwrap_or(1);
    let pages = if count == 1 { "a page" } else { "pages" };
    ProviderError::new(
        "mainstay::postgres::bad-pages",
        NeedsOperator,
        format!("{address} has {pages} whose checksum is wrong ({count} found by pg_basebackup); a copy of that is no backup"),
    )
    .help("the server's log names the files; find the tables with pg_amcheck, restore them from the last clean point (mainstay list), and keep that point: mainstay hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(words: &str, incremental: bool) -> String {
        let url = model::Secret::new("postgresql://backup@db.example:5432/orders".to_owned());
        let address = Address::of_url(&url).unwrap();
        let error = ProviderError::new(
            "mainstay::process::failed",
            NeedsOperator,
            format!("`pg_basebackup` ended with exit code 1, saying: {words}"),
        );
        let error = explain(&address, incremental, error);
        format!(
            "{} ({:?})\n  {error}\n  {}",
            error.code,
            error.disposition,
            error.help.clone().unwrap_or_default()
        )
    }

    #[test]
    fn words_of_pg_basebackup_become_what_an_operator_must_do() {
        let all: Vec<_> = [
            ("WARNING:  checksum verification failed in file \"./base/5/2619\", block 3 | WARNING:  17 total checksum verification failures | pg_basebackup: error: checksum error occurred", false),
            ("pg_basebackup: error: connection to server failed: FATAL:  no pg_hba.conf entry for replication connection from host \"10.0.0.1\", user \"backup\", no encryption", false),
            ("FATAL:  permission denied to start WAL sender | DETAIL:  Only roles with the REPLICATION attribute may start a WAL sender process.", false),
            ("FATAL:  number of requested standby connections exceeds max_wal_senders (currently 0)", false),
            ("ERROR:  requested WAL segment 000000010000000000000002 has already been removed", false),
            ("ERROR:  WAL summaries are required on timeline 1 from 0/2000028 to 0/8000028, but the summaries for that timeline and LSN range are incomplete", true),
            ("server closed the connection unexpectedly", false),
        ]
        .into_iter()
        .map(|(words, incremental)| explained(words, incremental))
        .collect();
        insta::assert_snapshot!(all.join("\n"));
    }
}
