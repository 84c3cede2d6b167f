//! What `wal status --json` states of one database, and whether a recovery keeps it.

use super::ledger::Acknowledged;
use jiff::{SignedDuration, Timestamp};
use model::{Lsn, WalFileName};
use serde_json::Value;
use std::collections::BTreeSet;

/// What `wal status` stated.
pub struct Stated(pub Value);

impl Stated {
    /// The words of what is wrong.
    pub fn concerns(&self) -> Vec<String> {
        let all = self.0["concerns"].as_array().unwrap();
        let whats = all.iter().map(|one| one["what"].as_str().unwrap());
        // A choice of these tests, which shall not limit what the server keeps.
        whats
            .filter(|what| *what != "slot-unlimited")
            .map(str::to_owned)
            .collect()
    }

    /// Names of the segments that are said to be missing, with the tier.
    pub fn holes(&self) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for (tier, said) in self.0["tiers"].as_object().unwrap() {
            for hole in said["holes"].as_array().unwrap() {
                let lsn = |key: &str| Lsn::parse(hole[key].as_str().unwrap()).unwrap();
                let missing = &hole["missing"][0];
                let size = missing["segment_bytes"].as_u64().unwrap();
                let timeline = u32::try_from(missing["timeline"].as_u64().unwrap()).unwrap();
                for number in lsn("after").0 / size..lsn("before").0 / size {
                    let name = WalFileName::of_segment(timeline, number, size);
                    found.insert((tier.clone(), name.to_string()));
                }
            }
        }
        found
    }

    /// No acknowledged row may be missing that some tier was said to hold.
    #[track_caller]
    pub fn judge(&self, acknowledged: &[Acknowledged], found: &BTreeSet<(u32, u64)>) {
        let asked: Timestamp = self.0["server"]["position"]["at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let (mut by_position, mut by_time) = (0, 0);
        for (tier, said) in self.0["tiers"].as_object().unwrap() {
            let end = Lsn::parse(said["newest"]["end"].as_str().unwrap()).unwrap();
            let until = said["lag_seconds"]
                .as_i64()
                .map(|lag| asked - SignedDuration::from_secs(lag));
            for row in acknowledged {
                let is_there = found.contains(&(row.client, row.n));
                if row.end <= end {
                    by_position += 1;
                    assert!(
                        is_there,
                        "{row:?} is before the end on {tier}: {:#}",
                        self.0
                    );
                }
                if until.is_some_and(|until| row.at < until) {
                    by_time += 1;
                    assert!(
                        is_there,
                        "{row:?} is before the lag on {tier}: {:#}",
                        self.0
                    );
                }
            }
        }
        assert!(
            by_position > 0 && by_time > 0,
            "nothing stated: {:#}",
            self.0
        );
    }
}
