//! Where a policy comes from: the commit that it lies in, and who wrote it.
//!
//! What Git says of an author is what the author said of himself; only a signature proves more (`docs/gitops.md`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The place of a policy in the history of its Git repository. Fields in alphabetical order: part of plans, which are digested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySource {
    /// Author of the newest commit that changed the policy: `Name <mail>`.
    pub author: String,
    /// When it was committed.
    pub changed_at: Timestamp,
    /// That commit.
    pub changed_in: String,
    /// Whether files of the policy differ from the revision.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// Authors of all that changed the policy since the revision that was applied last, where one is known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub earlier_authors: BTreeSet<String>,
    /// The commit that is checked out or followed.
    pub revision: String,
    /// The allowed signer who signed `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

impl PolicySource {
    /// Whether a signer of this name wrote part of it: named like the author, or like the author's mail address.
    pub fn is_by(&self, signer: &str) -> bool {
        let same = |author: &String| {
            let (name, mail) = author
                .rsplit_once(" <")
                .map_or((author.as_str(), ""), |(name, rest)| {
                    (name, rest.trim_end_matches('>'))
                });
            [author.as_str(), name, mail]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(signer))
        };
        same(&self.author)
            || self.earlier_authors.iter().any(same)
            || self.signed_by.as_deref() == Some(signer)
    }
}
