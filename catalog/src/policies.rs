//! The policy history: which policy was in force from when on, with its whole text, so that what it demanded at each time can be
//! computed later.
//!
//! A policy comes into force with the first run that was planned from it and goes out with the first run of another. Kept is the
//! resolved policy as canonical JSON, whose SHA-256 is the policy's digest; secrets stand in it as references, never as values.
//! Invariant: rows are only added; the databases themselves refuse to change or delete one.
//! Not here: the entry of the audit that tells the change (`policy_change`), what a policy demands (`policy-schema`, `planner`).

use crate::{
    catalog::Catalog,
    error::CatalogError,
    lease::{self, Lease},
};
use jiff::Timestamp;
use model::Digest;

/// One policy over one span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// SHA-256 of `policy`.
    pub digest: Digest,
    /// The resolved policy, canonical JSON.
    pub policy: String,
    /// The first run that was planned from it.
    pub since: Timestamp,
    /// The first run that was planned from the next one; `None`: it is in force.
    pub until: Option<Timestamp>,
    /// Who ordered that first run.
    pub who: String,
}

impl Catalog {
    /// Puts a policy, given as canonical JSON, in force from `at` on; whether it was another one before. A repeat changes nothing.
    pub async fn put_policy_in_force(
        &self,
        lease: &Lease,
        policy: &str,
        who: &str,
        at: Timestamp,
    ) -> Result<bool, CatalogError> {
        let digest = Digest::sha256_of(policy.as_bytes());
        let mut transaction = self.write("put_policy_in_force").await?;
        lease::fence(&mut transaction, lease).await?;
        let newest = transaction
            .row(
                "SELECT digest FROM policy_history ORDER BY id DESC LIMIT 1",
                &[],
            )
            .await?;
        let before = newest.map(|row| row.get::<String>(0)).transpose()?;
        if before.as_deref() == Some(digest.as_str()) {
            return Ok(false);
        }
        transaction
            .execute(
                "INSERT INTO policies (digest, policy) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
                &[digest.as_str().into(), policy.into()],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO policy_history (digest, since, who) VALUES ($1, $2, $3)",
                &[digest.as_str().into(), at.into(), who.into()],
            )
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Every policy that was in force, the first of them first.
    pub async fn policy_history(&self) -> Result<Vec<PolicyInForce>, CatalogError> {
        let mut transaction = self.read("policy_history").await?;
        let rows = transaction
            .rows(
                "SELECT h.digest, h.since, h.who, p.policy FROM policy_history AS h \
                 JOIN policies AS p ON p.digest = h.digest ORDER BY h.id",
                &[],
            )
            .await?;
        let mut history: Vec<PolicyInForce> = Vec::with_capacity(rows.len());
        for row in &rows {
            let since = row.time(1)?;
            if let Some(before) = history.last_mut() {
                before.until = Some(since);
            }
            history.push(PolicyInForce {
                digest: row.get::<String>(0)?.into(),
                policy: row.get(3)?,
                since,
                until: None,
                who: row.get(2)?,
            });
        }
        Ok(history)
    }
}
