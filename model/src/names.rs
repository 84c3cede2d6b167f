//! Names that people give in a policy: databases, series, tiers, keys, methods.
//!
//! Invariant: a name is safe as one path segment and inside an id: `[a-z0-9][a-z0-9_-]*`, at most 63 characters.
//! Short names live inline (no heap), because an inventory holds millions of them.

use compact_str::CompactString;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid name: {why}")]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

fn check(text: &str) -> Result<(), NameError> {
    let fail = |why| {
        Err(NameError {
            text: text.to_owned(),
            why,
        })
    };
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match text.as_bytes() {
        [] => fail("it is empty"),
        bytes if bytes.len() > 63 => fail("it is longer than 63 characters"),
        [first, ..] if !lower(*first) => fail("it must start with a lower-case letter or a digit"),
        bytes if !bytes.iter().all(|b| lower(*b) || *b == b'-' || *b == b'_') => {
            fail("only lower-case letters, digits, `-` and `_` are allowed")
        }
        _ => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "String")] CompactString);

        impl $name {
            /// Checks and takes a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(CompactString::new(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0.as_str(), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = CompactString::deserialize(d)?;
                check(&text).map_err(serde::de::Error::custom)?;
                Ok(Self(text))
            }
        }
    };
}

name!(
    /// Name of a declared database.
    DatabaseName
);
name!(
    /// Name of a series of one database.
    SeriesName
);
name!(
    /// Name of a tier.
    TierName
);
name!(
    /// Name of an encryption key.
    KeyName
);
name!(
    /// Name of an engine's method: `logical`, `snapshot`, `physical`, …
    MethodName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_safe_path_segment() {
        for good in ["orders", "a", "7zip", "erp-prod_2"] {
            assert!(DatabaseName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Orders",
            "../x",
            "a/b",
            "-a",
            "a b",
            "ü",
            &"x".repeat(64),
        ] {
            assert!(DatabaseName::new(bad).is_err(), "{bad}");
        }
    }
}
