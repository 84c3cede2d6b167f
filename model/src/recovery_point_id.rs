//! The id of a recovery point, `<database>/<series>/<slot as YYYYMMDDTHHMMSSZ>`, and the folder it is stored in.
//!
//! `(database, series, slot)` names a recovery point, so one slot is backed up at most once.
//! Clones share one allocation: plans mention each id many times.

use crate::names::{DatabaseName, SeriesName};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, sync::Arc};

/// Names one recovery point; sorts by database, series, then time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RecoveryPointId(Arc<str>);

/// Why a text is no recovery point id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a recovery point id: expected `database/series/YYYYMMDDTHHMMSSZ`")]
pub struct RecoveryPointIdError(pub String);

impl RecoveryPointId {
    /// The id of the point that `slot` of a series makes; fractions of a second are dropped.
    pub fn new(database: &DatabaseName, series: &SeriesName, slot: Timestamp) -> Self {
        Self(format!("{database}/{series}/{}", stamp(slot)).into())
    }

    /// Reads an id; it must be three segments that are safe in a path.
    pub fn parse(text: &str) -> Result<Self, RecoveryPointIdError> {
        let fail = || RecoveryPointIdError(text.to_owned());
        let mut parts = text.split('/');
        let (Some(database), Some(series), Some(stamp), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fail());
        };
        DatabaseName::new(database).map_err(|_| fail())?;
        SeriesName::new(series).map_err(|_| fail())?;
        let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        // A stamp starts with its year, which is also the name of the folder above it.
        if stamp.len() < 4
            || !stamp.bytes().all(safe)
            || !stamp.bytes().take(4).all(|b| b.is_ascii_digit())
        {
            return Err(fail());
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// First segment.
    pub fn database(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// Second segment.
    pub fn series(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// Third segment, `YYYYMMDDTHHMMSSZ`.
    pub fn stamp(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Folder below a tier's root: `<database>/<series>/<year>/<stamp>` (design.md §5).
    pub fn folder(&self) -> String {
        let stamp = self.stamp();
        let year = stamp.get(..4).unwrap_or(stamp);
        format!("{}/{}/{year}/{stamp}", self.database(), self.series())
    }
}

/// `YYYYMMDDTHHMMSSZ` of an instant, in UTC.
pub fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
}

impl fmt::Display for RecoveryPointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecoveryPointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::str::FromStr for RecoveryPointId {
    type Err = RecoveryPointIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for RecoveryPointId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_folder() {
        let id = RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap();
        assert_eq!(id.folder(), "orders/daily/2026/20261121T020000Z");
        assert_eq!(
            (id.database(), id.series(), id.stamp()),
            ("orders", "daily", "20261121T020000Z")
        );
    }

    #[test]
    fn an_id_cannot_leave_its_tier() {
        for bad in [
            "../daily/20261121T020000Z",
            "orders/../20261121T020000Z",
            "orders/daily/..",
            "orders/daily",
            "a/b/2026/x",
            "a/b/abcdT",
        ] {
            assert!(RecoveryPointId::parse(bad).is_err(), "{bad}");
        }
    }
}
