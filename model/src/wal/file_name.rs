//! Names of files in `pg_wal` and in an archive, and where an archive puts them.
//!
//! Source: `xlog_internal.h` (`XLogFileName`, `IsPartialXLogFileName`, `IsTLHistoryFileName`, `IsBackupHistoryFileName`).

use super::lsn::{Lsn, SegmentNumber};
use crate::{names::DatabaseName, recovery_point_id::RecoveryPointId};
use std::fmt;

/// The name of a file that PostgreSQL archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalFileName {
    /// `000000020000000A00000042`: a whole segment.
    Segment {
        /// Timeline.
        timeline: u32,
        /// First half of the number: how many times 4 GiB.
        log: u32,
        /// Segment within those 4 GiB.
        segment: u32,
    },
    /// `….partial`: the last segment of a timeline that ended in it, or of a stream that was cut.
    Partial {
        /// Timeline.
        timeline: u32,
        /// As of a segment.
        log: u32,
        /// As of a segment.
        segment: u32,
    },
    /// `00000002.history`: where a timeline comes from.
    History {
        /// Timeline.
        timeline: u32,
    },
    /// `….00000028.backup`: a note that a base backup began in that segment.
    Backup {
        /// Timeline.
        timeline: u32,
        /// As of a segment.
        log: u32,
        /// As of a segment.
        segment: u32,
        /// Where in the segment it began.
        offset: u32,
    },
    /// `….0000A3F8.beginning`: the first bytes of a segment that a stream is receiving. Ours, not PostgreSQL's: a store overwrites
    /// nothing, so each longer beginning has a name of its own, and the shorter ones go when it is there.
    Beginning {
        /// Timeline.
        timeline: u32,
        /// As of a segment.
        log: u32,
        /// As of a segment.
        segment: u32,
        /// How many bytes.
        length: u32,
    },
}

/// A text that is no name of a file that PostgreSQL archives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a WAL file: expected 24 hexadecimal digits (also with `.partial` or `.<offset>.backup`), or `<timeline>.history`"
)]
pub struct WalNameError(pub String);

impl WalFileName {
    /// Reads a file name, without a folder.
    pub fn parse(name: &str) -> Result<Self, WalNameError> {
        let fail = || WalNameError(name.to_owned());
        let hex = |text: &str| {
            let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
            (text.len() == 8 && text.bytes().all(upper))
                .then(|| u32::from_str_radix(text, 16).ok())
                .flatten()
                .ok_or_else(fail)
        };
        let (stem, ending) = name
            .split_once('.')
            .map_or((name, None), |(s, e)| (s, Some(e)));
        if ending == Some("history") {
            return Ok(Self::History {
                timeline: hex(stem)?,
            });
        }
        if stem.len() != 24 || !stem.is_ascii() {
            return Err(fail());
        }
        let (timeline, log, segment) = (hex(&stem[..8])?, hex(&stem[8..16])?, hex(&stem[16..])?);
        match ending {
            None => Ok(Self::Segment {
                timeline,
                log,
                segment,
            }),
            Some("partial") => Ok(Self::Partial {
                timeline,
                log,
                segment,
            }),
            Some(ending) => {
                if let Some(length) = ending.strip_suffix(".beginning") {
                    return Ok(Self::Beginning {
                        timeline,
                        log,
                        segment,
                        length: hex(length)?,
                    });
                }
                Ok(Self::Backup {
                    timeline,
                    log,
                    segment,
                    offset: hex(ending.strip_suffix(".backup").ok_or_else(fail)?)?,
                })
            }
        }
    }

    /// The segment with this number.
    pub fn of_segment(timeline: u32, number: SegmentNumber, segment_bytes: u64) -> Self {
        let per_log = (1_u64 << 32) / segment_bytes.max(1);
        let part = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self::Segment {
            timeline,
            log: part(number / per_log.max(1)),
            segment: part(number % per_log.max(1)),
        }
    }

    /// The whole segment that this file is, begins, or notes something of; a history has none.
    pub fn segment(&self) -> Option<Self> {
        match *self {
            Self::Segment {
                timeline,
                log,
                segment,
            }
            | Self::Partial {
                timeline,
                log,
                segment,
            }
            | Self::Backup {
                timeline,
                log,
                segment,
                ..
            }
            | Self::Beginning {
                timeline,
                log,
                segment,
                ..
            } => Some(Self::Segment {
                timeline,
                log,
                segment,
            }),
            Self::History { .. } => None,
        }
    }

    /// The first `length` bytes of this segment; only a whole segment has a beginning.
    pub fn beginning(&self, length: u32) -> Option<Self> {
        match *self {
            Self::Segment {
                timeline,
                log,
                segment,
            } => Some(Self::Beginning {
                timeline,
                log,
                segment,
                length,
            }),
            _ => None,
        }
    }

    /// The timeline.
    pub fn timeline(&self) -> u32 {
        match *self {
            Self::Segment { timeline, .. }
            | Self::Partial { timeline, .. }
            | Self::History { timeline }
            | Self::Backup { timeline, .. }
            | Self::Beginning { timeline, .. } => timeline,
        }
    }

    /// Number of the segment; a history has none.
    pub fn number(&self, segment_bytes: u64) -> Option<SegmentNumber> {
        match *self {
            Self::Segment { log, segment, .. }
            | Self::Partial { log, segment, .. }
            | Self::Backup { log, segment, .. }
            | Self::Beginning { log, segment, .. } => {
                let per_log = (1_u64 << 32) / segment_bytes.max(1);
                Some(u64::from(log) * per_log + u64::from(segment))
            }
            Self::History { .. } => None,
        }
    }

    /// First position in the segment; a history has none.
    pub fn start(&self, segment_bytes: u64) -> Option<Lsn> {
        let number = self.number(segment_bytes)?;
        Some(Lsn::of_segment(number, segment_bytes))
    }

    /// The segment after this one, on the same timeline; only a whole segment has one.
    pub fn next(&self, segment_bytes: u64) -> Option<Self> {
        match self {
            Self::Segment { timeline, .. } => Some(Self::of_segment(
                *timeline,
                self.number(segment_bytes)? + 1,
                segment_bytes,
            )),
            _ => None,
        }
    }

    /// Whether it holds pages of the log, and so begins with the head of a segment.
    pub fn has_pages(&self) -> bool {
        matches!(
            self,
            Self::Segment { .. } | Self::Partial { .. } | Self::Beginning { .. }
        )
    }

    /// Whether it is a whole segment.
    pub fn is_segment(&self) -> bool {
        matches!(self, Self::Segment { .. })
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment {
                timeline,
                log,
                segment,
            } => write!(f, "{timeline:08X}{log:08X}{segment:08X}"),
            Self::Partial {
                timeline,
                log,
                segment,
            } => write!(f, "{timeline:08X}{log:08X}{segment:08X}.partial"),
            Self::History { timeline } => write!(f, "{timeline:08X}.history"),
            Self::Backup {
                timeline,
                log,
                segment,
                offset,
            } => write!(
                f,
                "{timeline:08X}{log:08X}{segment:08X}.{offset:08X}.backup"
            ),
            Self::Beginning {
                timeline,
                log,
                segment,
                length,
            } => write!(
                f,
                "{timeline:08X}{log:08X}{segment:08X}.{length:08X}.beginning"
            ),
        }
    }
}

impl std::str::FromStr for WalFileName {
    type Err = WalNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A folder of an archive: the segments of 4 GiB of log of one timeline of one cluster, or its histories. All files of a folder
/// share one data key, which lies, wrapped, in the folder's own `keys.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalFolder {
    /// Database that archives.
    pub database: DatabaseName,
    /// Identifier of its cluster, a decimal number.
    pub system_identifier: u64,
    /// Timeline, and which 4 GiB; `None`: the histories of all timelines.
    pub part: Option<(u32, u32)>,
}

impl WalFolder {
    /// Folder of a file.
    pub fn of(database: &DatabaseName, system_identifier: u64, file: &WalFileName) -> Self {
        let part = match *file {
            WalFileName::Segment { timeline, log, .. }
            | WalFileName::Partial { timeline, log, .. }
            | WalFileName::Backup { timeline, log, .. }
            | WalFileName::Beginning { timeline, log, .. } => Some((timeline, log)),
            WalFileName::History { .. } => None,
        };
        Self {
            database: database.clone(),
            system_identifier,
            part,
        }
    }

    /// Where it lies below a tier's root: `<database>/wal/<system identifier>/<timeline>/<timeline and log>`, histories in
    /// `<database>/wal/<system identifier>/history`.
    pub fn path(&self) -> String {
        let top = format!("{}/wal/{}", self.database, self.system_identifier);
        match self.part {
            Some((timeline, log)) => format!("{top}/{timeline:08X}/{timeline:08X}{log:08X}"),
            None => format!("{top}/history"),
        }
    }

    /// The id that its key ring carries, in the form of a recovery point's id.
    pub fn ring_id(
        &self,
    ) -> Result<RecoveryPointId, crate::recovery_point_id::RecoveryPointIdError> {
        let part = match self.part {
            Some((timeline, log)) => format!("{timeline:08X}{log:08X}"),
            None => "history".to_owned(),
        };
        RecoveryPointId::parse(&format!(
            "{}/wal/{:020}-{part}",
            self.database, self.system_identifier
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::DEFAULT_SEGMENT_BYTES;

    #[test]
    fn every_kind_of_file_reads_back() {
        for name in [
            "000000020000000A00000042",
            "000000020000000A00000042.partial",
            "000000020000000A00000042.00000028.backup",
            "000000020000000A00000042.0000A3F8.beginning",
            "00000002.history",
        ] {
            assert_eq!(WalFileName::parse(name).unwrap().to_string(), name);
        }
        for bad in [
            "",
            "000000020000000a00000042",
            "../00000002.history",
            "000000020000000A0000004",
            "000000020000000A00000042.tmp",
            "000000020000000A00000042.28.backup",
            "0000002.history",
            "ééééééééé000000",
        ] {
            assert!(WalFileName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_follow_each_other_over_the_end_of_a_log() {
        let last = WalFileName::parse("0000000100000000000000FF").unwrap();
        let next = last.next(DEFAULT_SEGMENT_BYTES).unwrap();
        assert_eq!(next.to_string(), "000000010000000100000000");
        assert_eq!(next.start(DEFAULT_SEGMENT_BYTES), Some(Lsn(1 << 32)));
        let large = 64 << 20;
        let last = WalFileName::of_segment(1, 63, large);
        assert_eq!(last.to_string(), "00000001000000000000003F");
        let next = last.next(large).unwrap();
        assert_eq!(next.to_string(), "000000010000000100000000");
    }

    #[test]
    fn a_folder_holds_four_gigabytes_of_log_and_its_ring_has_an_id() {
        let database = DatabaseName::new("orders").unwrap();
        let file = WalFileName::parse("000000020000000A00000042").unwrap();
        let folder = WalFolder::of(&database, 7_300_000_000_000_000_001, &file);
        assert_eq!(
            folder.path(),
            "orders/wal/7300000000000000001/00000002/000000020000000A"
        );
        assert_eq!(
            folder.ring_id().unwrap().as_str(),
            "orders/wal/07300000000000000001-000000020000000A"
        );
    }
}
