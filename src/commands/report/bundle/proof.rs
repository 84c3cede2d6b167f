//! What the proofs of a bundle were computed from: the policy's own text, the inventory, what was looked at beside it, and the moment. With
//! these `planner::prove` gives the same proofs on any machine.
//!
//! Invariant: what lies in the bundle gives the proofs of its facts, or nothing lies there and that is said. Secrets that stand in a policy
//! in spite of all are replaced by `*`.

use crate::{commands::prove, commands::report::look, wiring};
use jiff::Timestamp;
use model::{
    Digest, Inventory,
    evidence::{Parameters, ProofFact},
};
use planner::prove::Facts;
use policy_schema::{Loaded, Policy, Source};
use serde::{Deserialize, Serialize};

/// Value of [`Inputs::format`].
const FORMAT: &str = "mainstay.proof-inputs.v1";

/// Everything that the proofs rest on. Fields in alphabetical order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands::report) struct Inputs {
    /// What was looked at beside the inventory.
    facts: Facts,
    /// [`FORMAT`].
    format: String,
    /// What there was.
    inventory: Inventory,
    /// The moment for which it was asked.
    now: Timestamp,
    /// The files of the policy.
    policy: Vec<File>,
}

/// One file of the policy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    text: String,
}

impl Inputs {
    /// What was asked, with the text of the policy that it was asked of.
    pub(in crate::commands::report) fn new(
        facts: Facts,
        inventory: Inventory,
        now: Timestamp,
        loaded: &Loaded,
    ) -> Self {
        let files = loaded.sources.iter().map(|source| File {
            path: source.path.display().to_string(),
            text: loaded.shown_text(&source.path).unwrap_or_default(),
        });
        Self {
            facts,
            format: FORMAT.to_owned(),
            inventory,
            now,
            policy: files.collect(),
        }
    }

    /// The moment for which it was asked.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The proofs that it gives, with the digest of the policy that they are of and what controls ask under it; an error in words.
    pub(super) fn prove(&self) -> Result<(Digest, Vec<ProofFact>, Parameters), String> {
        if self.format != FORMAT {
            return Err(format!("its format is not `{FORMAT}`"));
        }
        let policy = self.policy()?;
        let proof = prove::again(&policy, &self.inventory, &self.facts, self.now);
        let parameters = planner::controls::parameters(&policy);
        Ok((policy.digest.clone(), look::proofs(&proof), parameters))
    }

    fn policy(&self) -> Result<Policy, String> {
        let sources = self.policy.iter().map(|file| Source {
            path: (&file.path).into(),
            text: file.text.clone(),
        });
        let loaded = policy_schema::load(sources.collect(), &wiring::kinds());
        let findings = loaded.findings;
        loaded.policy.ok_or_else(|| {
            let first = findings.first().map_or("", |finding| &finding.message);
            format!("its policy cannot be used: {first}")
        })
    }
}
