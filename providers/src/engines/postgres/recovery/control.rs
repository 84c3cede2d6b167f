//! What `pg_controldata` says of a data directory: whose it is, and the settings that a standby must not undercut.

use crate::{
    api::{ProviderError, Result},
    engines::postgres::binaries::Binaries,
    process::Program,
};
use model::Disposition;
use std::{collections::BTreeMap, path::Path};

/// Settings of a primary that its standbys must have at least as large, by what `pg_controldata` calls them.
const AT_LEAST: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

/// Facts of a control file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// Identifier of the cluster.
    pub(super) system_identifier: u64,
    /// Lower bounds of settings, by name.
    pub(super) at_least: BTreeMap<String, u64>,
    /// Whether pages carry checksums.
    pub(super) checksums: bool,
}

/// Asks the program.
pub(super) async fn read(set: &Binaries, data: &Path) -> Result<Control> {
    let program = Program::new(set.program("pg_controldata")).arg(data);
    let output = program.output().await?;
    parse(&String::from_utf8_lossy(&output)).ok_or_else(|| {
        ProviderError::new(
            "mainstay::postgres::damaged",
            Disposition::Permanent,
            "the control file of the base backup cannot be read",
        )
        .help("restore from another copy or another recovery point: mainstay list")
    })
}

fn parse(text: &str) -> Option<Control> {
    let lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    // A damaged file is printed all the same, with a warning among the lines.
    if text.contains("WARNING") {
        return None;
    }
    let at_least = AT_LEAST.iter().filter_map(|(name, setting)| {
        Some(((*setting).to_owned(), lines.get(name)?.parse().ok()?))
    });
    Some(Control {
        system_identifier: lines.get("Database system identifier")?.parse().ok()?,
        at_least: at_least.collect(),
        checksums: lines
            .get("Data page checksum version")
            .is_some_and(|version| *version != "0"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_control_file_is_read_and_a_damaged_one_refused() {
        let text = "pg_control version number:            1300\nDatabase system identifier:           7300000000000000001\n\
                    max_connections setting:              250\nmax_prepared_xacts setting:           3\nData page checksum version:           1\n";
        let control = parse(text).unwrap();
        assert_eq!(control.system_identifier, 7_300_000_000_000_000_001);
        assert_eq!(control.at_least["max_connections"], 250);
        assert_eq!(control.at_least["max_prepared_transactions"], 3);
        assert!(control.checksums);
        let damaged = format!(
            "WARNING: Calculated CRC checksum does not match value stored in file.\n{text}"
        );
        assert_eq!(parse(&damaged), None);
    }
}
