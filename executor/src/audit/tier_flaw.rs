//! What can be wrong with the exports on a tier, or between them and the catalog, in words and for programs.

use model::audit::{Flaw, SigningKeyName};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What is wrong on a tier, or between it and the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "flaw", rename_all = "kebab-case")]
pub enum TierFlaw {
    /// A signed checkpoint says that the chain went further than the catalog knows.
    Ahead {
        /// Last entry of the catalog.
        catalog: u64,
        /// Last entry of the newest checkpoint.
        checkpoint: u64,
    },
    /// The exports themselves are no sound chain.
    Chain {
        /// What is wrong.
        #[serde(rename = "chain")]
        flaw: Flaw,
        /// Object in which it shows.
        object: String,
    },
    /// A checkpoint does not say what stands before it, or what its name says.
    Checkpoint {
        /// Object.
        object: String,
    },
    /// The catalog holds another entry than the signed one.
    Differs {
        /// Fields that differ, with what the catalog says.
        catalog: BTreeMap<&'static str, String>,
        /// The same fields as the tier says.
        signed: BTreeMap<&'static str, String>,
        /// Number of the entry.
        sequence: u64,
    },
    /// The catalog has stored exports there that are not there any more.
    Lacks {
        /// First entry.
        from: u64,
        /// Last entry.
        to: u64,
    },
    /// Entries of the catalog say what the signed ones say, under other digests: they stand behind one that was changed.
    ComputedAnew {
        /// First entry.
        from: u64,
        /// Last entry.
        to: u64,
    },
    /// The signature of a checkpoint does not hold.
    NotSigned {
        /// Object.
        object: String,
    },
    /// An object is no export, or was cut or written to.
    NoExport {
        /// Object.
        object: String,
        /// What is wrong.
        why: String,
    },
    /// The catalog names a checkpoint of an earlier chain that is not on the tier any more, or another one.
    Earlier {
        /// Identity of the earlier catalog.
        catalog: String,
        /// Number of the last entry that the checkpoint had.
        sequence: u64,
    },
    /// The audit of another catalog, signed with a key of this one, that nothing in this one names.
    Replaced {
        /// Identity of the other catalog.
        catalog: String,
        /// Number of its last entry there.
        sequence: u64,
    },
    /// A checkpoint is signed by a key that nobody has announced.
    UnknownKey {
        /// Key.
        key: SigningKeyName,
        /// Object.
        object: String,
    },
}

impl fmt::Display for TierFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead {
                catalog,
                checkpoint,
            } => write!(
                f,
                "the tier has signed entries up to {checkpoint}, the catalog ends at {catalog}: an older state of the catalog was brought back, or its end was removed"
            ),
            Self::Chain { flaw, object } => write!(f, "in `{object}`: {flaw}"),
            Self::Checkpoint { object } => write!(
                f,
                "the checkpoint of `{object}` is not that of the entries before it: entries were removed from the export, or it was renamed"
            ),
            Self::ComputedAnew { from, to } => {
                let which = if from == to {
                    format!("entry {from}")
                } else {
                    format!("entries {from} to {to}")
                };
                write!(
                    f,
                    "the digests of {which} of the catalog are not the signed ones: they were computed anew behind a changed entry"
                )
            }
            Self::Differs {
                catalog,
                signed,
                sequence,
            } => {
                write!(f, "entry {sequence} of the catalog is not the signed one")?;
                for (field, here) in catalog {
                    let there = signed.get(field).map_or("", String::as_str);
                    write!(f, "; {field} is `{here}`, signed was `{there}`")?;
                }
                Ok(())
            }
            Self::Lacks { from, to } => write!(
                f,
                "entries {from} to {to} were stored there and are not there any more"
            ),
            Self::NotSigned { object } => {
                write!(f, "the signature of `{object}` does not hold")
            }
            Self::NoExport { object, why } => write!(f, "`{object}` is no export: {why}"),
            Self::Earlier { catalog, sequence } => write!(
                f,
                "the checkpoint of entry {sequence} of the earlier catalog {catalog}, which this chain names, is not there as it was"
            ),
            Self::Replaced { catalog, sequence } => write!(
                f,
                "the audit of catalog {catalog}, up to entry {sequence}, is signed with a key of this audit, which does not name it: that catalog was taken away and a new one made in its place"
            ),
            Self::UnknownKey { key, object } => write!(
                f,
                "`{object}` is signed by {key}, a key that this audit has never announced"
            ),
        }
    }
}
