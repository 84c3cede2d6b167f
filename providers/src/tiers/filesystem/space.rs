//! Room on the file system: how much must stay free, and whether it does.

use super::errors;
use crate::api::Result;
use model::{ByteCount, tier_facts::Space};
use serde::{Deserialize, Deserializer};
use std::{fmt, os::fd::AsFd};

/// Written between two looks at the free space.
pub(super) const LOOK_EVERY: u64 = 64 << 20;

/// Room that must stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinFree {
    /// A share of the file system, in thousandths.
    Share(u32),
    /// A size.
    Bytes(ByteCount),
}

impl Default for MinFree {
    fn default() -> Self {
        Self::Share(50)
    }
}

impl MinFree {
    /// Reads `20%`, `2.5%` or a size.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(number) = text.trim().strip_suffix('%') else {
            return ByteCount::parse(text).map(Self::Bytes);
        };
        let number = number.trim();
        let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let thousandths = (digits(whole) && digits(tenths) && tenths.len() == 1)
            .then(|| {
                Some(whole.parse::<u32>().ok()?.checked_mul(10)? + tenths.parse::<u32>().ok()?)
            })
            .flatten()
            .ok_or_else(|| format!("`{text}` is not a share such as 20% or 2.5%"))?;
        if thousandths >= 1000 {
            return Err(format!("`{text}` would leave no room for any copy"));
        }
        Ok(Self::Share(thousandths))
    }

    /// The bytes that must stay free on a file system of this size.
    pub fn bytes(self, total: ByteCount) -> ByteCount {
        match self {
            Self::Share(thousandths) => {
                let share = u128::from(total.0) * u128::from(thousandths) / 1000;
                ByteCount(u64::try_from(share).unwrap_or(u64::MAX))
            }
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Refuses when `more` bytes would leave less than this.
    pub(super) fn check(self, space: Space, more: u64, what: &str) -> Result<()> {
        let keep = self.bytes(space.total);
        if space.free.0.saturating_sub(more) >= keep.0 && space.free.0 >= more {
            return Ok(());
        }
        Err(errors::full(what).help(format!(
            "{} are free and `min-free = \"{self}\"` keeps {keep}: make room, or lower `min-free`",
            space.free
        )))
    }
}

impl fmt::Display for MinFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(thousandths) if thousandths % 10 == 0 => write!(f, "{}%", thousandths / 10),
            Self::Share(thousandths) => write!(f, "{}.{}%", thousandths / 10, thousandths % 10),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl<'de> Deserialize<'de> for MinFree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Asks the file system (`statvfs`): what an ordinary user can still write, not what root could.
pub(super) fn of(folder: impl AsFd) -> rustix::io::Result<Space> {
    let state = rustix::fs::fstatvfs(folder)?;
    Ok(Space {
        free: ByteCount(state.f_bavail.saturating_mul(state.f_frsize)),
        total: ByteCount(state.f_blocks.saturating_mul(state.f_frsize)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_and_a_size_are_understood() {
        let total = ByteCount(1000);
        for (text, kept) in [
            ("20%", 200),
            ("2.5%", 25),
            ("0%", 0),
            (" 5 % ", 50),
            ("1KiB", 1024),
        ] {
            assert_eq!(
                MinFree::parse(text).unwrap().bytes(total),
                ByteCount(kept),
                "{text}"
            );
        }
        for bad in ["100%", "250%", "%", "x%", "-5%", "1.25%", "lots", ""] {
            assert!(MinFree::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn room_is_refused_before_it_is_used_up() {
        let space = Space {
            free: ByteCount(300),
            total: ByteCount(1000),
        };
        let keep = MinFree::Share(200);
        assert!(keep.check(space, 100, "x").is_ok());
        let error = keep.check(space, 101, "x").unwrap_err();
        assert_eq!(error.code, "mainstay::tier::full");
        assert!(MinFree::Bytes(ByteCount(0)).check(space, 301, "x").is_err());
    }
}
