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
        transaction
            .execute("DELETE FROM approval_rules WHERE id = 1", &[])
            .await?;
        if let Some(new) = new {
            let text = serde_json::to_string(new)
                .map_err(|_| transaction.corrupt("rules of approval cannot be written"))?;
            transaction
                .execute(
                    "INSERT INTO approval_rules (id, rules) VALUES (1, $1)",
                    &[text.as_str().into()],
                )
                .await?;
        }
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

    /// Where the policy of the newest run came from that lay in Git.
    pub async fn applied_source(&self) -> Result<Option<PolicySource>, CatalogError> {
        #[derive(serde::Deserialize)]
        struct Source {
            policy_source: Option<PolicySource>,
        }
        let mut transaction = self.read("applied_source").await?;
        let row = transaction
            .row(
                "SELECT plan FROM runs ORDER BY started_at DESC, id DESC LIMIT 1",
                &[],
            )
            .await?;
        let plan = row.map(|row| row.get::<String>(0)).transpose()?;
        let read = plan.and_then(|plan| serde_json::from_str::<Source>(&plan).ok());
        Ok(read.and_then(|read| read.policy_source))
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

pub(crate) async fn rules(
    transaction: &mut Transaction,
) -> Result<Option<ApprovalRules>, CatalogError> {
    let row = transaction
        .row("SELECT rules FROM approval_rules WHERE id = 1", &[])
        .await?;
    row.map(|row| row.json(0, "rules of approval")).transpose()
}
