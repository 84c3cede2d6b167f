//! Approvals: the rules in force, the signatures of plans, and how far a followed repository was applied.
//!
//! Rules lie here and not only in the policy, so that leaving them out of the policy does not take them away. What a signature is
//! worth is never stored: whoever relies on one checks it again (`model::approval`).

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::Transaction,
    error::CatalogError,
    lease::{self, Lease},
};
use jiff::Timestamp;
use model::{ApprovalRules, Digest, PolicySource};
use serde::{Serialize, de::DeserializeOwned};

/// A signature of a plan that was found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSignature {
    /// Id of the plan.
    pub plan: Digest,
    /// Name of the signer.
    pub signer: String,
    /// Its key, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// The armoured signature.
    pub signature: String,
    /// Who brought it.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

impl Catalog {
    /// The rules in force; `None`: no policy that was applied had any.
    pub async fn approval_rules(&self) -> Result<Option<ApprovalRules>, CatalogError> {
        let mut transaction = self.read("approval_rules").await?;
        rules(&mut transaction).await
    }

    /// Puts rules in force, or none, and says so in the audit. Whether that was allowed is the caller's to know.
    pub async fn set_approval_rules(
        &self,
        lease: &Lease,
        new: Option<&ApprovalRules>,
        run: &str,
        who: &str,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_approval_rules").await?;
        lease::fence(&mut transaction, lease).await?;
        let old = rules(&mut transaction).await?;
        if old.as_ref() == new {
            return Ok(());
        }
        put_rules(&mut transaction, new).await?;
        let entry = AuditEntry {
            at,
            who: who.to_owned(),
            kind: AuditKind::ApprovalRules,
            what: run.to_owned(),
            why: match new {
                Some(new) => format!(
                    "{} of {} signers approve plans",
                    new.quorum,
                    new.signers.len()
                ),
                None => "no signatures are asked for any more".to_owned(),
            },
            details: Some(AuditDetails::ApprovalRules {
                new: new.cloned(),
                old,
                run: run.to_owned(),
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await
    }

    /// Keeps a signature; whether it was not there yet. One of the same key for the same plan takes the place of an earlier one.
    pub async fn add_signature(&self, signature: &PlanSignature) -> Result<bool, CatalogError> {
        let mut transaction = self.write("add_signature").await?;
        let plan = signature.plan.as_str();
        let known = transaction
            .row(
                "SELECT 1 FROM plan_signatures WHERE plan_digest = $1 AND fingerprint = $2 AND signature = $3",
                &[
                    plan.into(),
                    signature.fingerprint.as_str().into(),
                    signature.signature.as_str().into(),
                ],
            )
            .await?;
        if known.is_some() {
            return Ok(false);
        }
        transaction
            .execute(
                "INSERT INTO plan_signatures (plan_digest, fingerprint, signature, who, at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (plan_digest, fingerprint) DO UPDATE SET \
                 signature = excluded.signature, who = excluded.who, at = excluded.at",
                &[
                    plan.into(),
                    signature.fingerprint.as_str().into(),
                    signature.signature.as_str().into(),
                    signature.who.as_str().into(),
                    signature.at.into(),
                ],
            )
            .await?;
        let entry = AuditEntry {
            at: signature.at,
            who: signature.who.clone(),
            kind: AuditKind::Signature,
            what: plan.to_owned(),
            why: format!("signed by {} ({})", signature.signer, signature.fingerprint),
            details: Some(AuditDetails::Signature {
                fingerprint: signature.fingerprint.clone(),
                plan: signature.plan.clone(),
                signature: signature.signature.clone(),
                signer: signature.signer.clone(),
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The armoured signatures of a plan.
    pub async fn signatures(&self, plan: &Digest) -> Result<Vec<String>, CatalogError> {
        let mut transaction = self.read("signatures").await?;
        let rows = transaction
            .rows(
                "SELECT signature FROM plan_signatures WHERE plan_digest = $1 ORDER BY fingerprint",
                &[plan.as_str().into()],
            )
            .await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Where the policy came from that was carried out last with everything that it wanted: a run that was told to wait for approval has
    /// not used up who wrote its policy.
    pub async fn applied_source(&self) -> Result<Option<PolicySource>, CatalogError> {
        let mut transaction = self.read("applied_source").await?;
        fact(&mut transaction, APPLIED_SOURCE).await
    }

    /// Remembers it.
    pub async fn set_applied_source(
        &self,
        lease: &Lease,
        source: &PolicySource,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_applied_source").await?;
        lease::fence(&mut transaction, lease).await?;
        set_fact(&mut transaction, APPLIED_SOURCE, source).await?;
        transaction.commit().await
    }

    /// The newest run since a time that was planned from another policy: when it began, and that policy's digest.
    pub async fn other_policy_since(
        &self,
        since: Timestamp,
        policy: &Digest,
    ) -> Result<Option<(Timestamp, Digest)>, CatalogError> {
        let mut transaction = self.read("other_policy_since").await?;
        let row = transaction
            .row(
                "SELECT started_at, policy_digest FROM runs WHERE started_at > $1 AND policy_digest <> $2 \
                 ORDER BY started_at DESC LIMIT 1",
                &[since.into(), policy.as_str().into()],
            )
            .await?;
        row.map(|row| Ok((row.time(0)?, row.get::<String>(1)?.into())))
            .transpose()
    }

    /// The commit of a followed repository that was applied last.
    pub async fn followed(&self, repository: &str) -> Result<Option<String>, CatalogError> {
        let mut transaction = self.read("followed").await?;
        let row = transaction
            .row(
                "SELECT revision FROM followed WHERE repository = $1",
                &[repository.into()],
            )
            .await?;
        row.map(|row| row.get(0)).transpose()
    }

    /// Remembers it.
    pub async fn set_followed(
        &self,
        repository: &str,
        revision: &str,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("set_followed").await?;
        transaction
            .execute(
                "INSERT INTO followed (repository, revision, at) VALUES ($1, $2, $3) \
                 ON CONFLICT (repository) DO UPDATE SET revision = excluded.revision, at = excluded.at",
                &[repository.into(), revision.into(), at.into()],
            )
            .await?;
        transaction.commit().await
    }
}

/// Name of the fact of [`Catalog::applied_source`].
const APPLIED_SOURCE: &str = "applied-source";

/// Puts rules in the place of those that are there.
pub(crate) async fn put_rules(
    transaction: &mut Transaction,
    new: Option<&ApprovalRules>,
) -> Result<(), CatalogError> {
    transaction
        .execute("DELETE FROM approval_rules WHERE id = 1", &[])
        .await?;
    let Some(new) = new else { return Ok(()) };
    let text = serde_json::to_string(new)
        .map_err(|_| transaction.corrupt("rules of approval cannot be written"))?;
    transaction
        .execute(
            "INSERT INTO approval_rules (id, rules) VALUES (1, $1)",
            &[text.as_str().into()],
        )
        .await?;
    Ok(())
}

pub(crate) async fn forget_fact(
    transaction: &mut Transaction,
    name: &str,
) -> Result<(), CatalogError> {
    transaction
        .execute("DELETE FROM approval_facts WHERE name = $1", &[name.into()])
        .await?;
    Ok(())
}

pub(crate) async fn fact<T: DeserializeOwned>(
    transaction: &mut Transaction,
    name: &str,
) -> Result<Option<T>, CatalogError> {
    let row = transaction
        .row(
            "SELECT fact FROM approval_facts WHERE name = $1",
            &[name.into()],
        )
        .await?;
    row.map(|row| row.json(0, "a fact of approvals"))
        .transpose()
}

pub(crate) async fn set_fact<T: Serialize>(
    transaction: &mut Transaction,
    name: &str,
    fact: &T,
) -> Result<(), CatalogError> {
    let text = serde_json::to_string(fact)
        .map_err(|_| transaction.corrupt("a fact of approvals cannot be written"))?;
    transaction
        .execute(
            "INSERT INTO approval_facts (name, fact) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET fact = excluded.fact",
            &[name.into(), text.as_str().into()],
        )
        .await?;
    Ok(())
}

pub(crate) async fn rules(
    transaction: &mut Transaction,
) -> Result<Option<ApprovalRules>, CatalogError> {
    let row = transaction
        .row("SELECT rules FROM approval_rules WHERE id = 1", &[])
        .await?;
    row.map(|row| row.json(0, "rules of approval")).transpose()
}
