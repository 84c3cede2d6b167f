//! The end of rules of approval whose keys are lost: asked for, seen by everybody for a while, then done, or taken back.
//!
//! Invariant: rules end this way only with the same request that has been there all the time, and every act is in the audit.
//! Not here: how long it takes (`model::approval::RESET_WAIT`), showing it (root package).

use crate::{
    approvals::{fact, forget_fact, put_rules, rules, set_fact},
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::Transaction,
    error::CatalogError,
    lease::{self, Lease},
};
use jiff::Timestamp;
use model::approval::ResetRequest;

/// Name of the fact.
pub(crate) const RESET: &str = "reset";

impl Catalog {
    /// The request that the rules end, if there is one.
    pub async fn reset_request(&self) -> Result<Option<ResetRequest>, CatalogError> {
        let mut transaction = self.read("reset_request").await?;
        fact(&mut transaction, RESET).await
    }

    /// Asks that the rules end; gives the request that counts, which is the first one.
    pub async fn ask_reset(&self, request: &ResetRequest) -> Result<ResetRequest, CatalogError> {
        let mut transaction = self.write("ask_reset").await?;
        if let Some(earlier) = fact(&mut transaction, RESET).await? {
            return Ok(earlier);
        }
        set_fact(&mut transaction, RESET, request).await?;
        let why = format!(
            "asked that no signatures are needed from {} on: {}",
            request.ends_at(),
            request.why
        );
        tell(&mut transaction, request.asked_at, &request.who, why).await?;
        transaction.commit().await?;
        Ok(request.clone())
    }

    /// Takes the request back; whether there was one.
    pub async fn cancel_reset(
        &self,
        who: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<bool, CatalogError> {
        let mut transaction = self.write("cancel_reset").await?;
        let known: Option<ResetRequest> = fact(&mut transaction, RESET).await?;
        let Some(request) = known else {
            return Ok(false);
        };
        forget_fact(&mut transaction, RESET).await?;
        let why = format!(
            "took back what {} asked for at {}: {why}",
            request.who, request.asked_at
        );
        tell(&mut transaction, at, who, why).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the rules, if exactly this request is still there and its time has come; whether it was so.
    pub async fn complete_reset(
        &self,
        lease: &Lease,
        request: &ResetRequest,
        who: &str,
        at: Timestamp,
    ) -> Result<bool, CatalogError> {
        let mut transaction = self.write("complete_reset").await?;
        lease::fence(&mut transaction, lease).await?;
        let known: Option<ResetRequest> = fact(&mut transaction, RESET).await?;
        if known.as_ref() != Some(request) || at < request.ends_at() {
            return Ok(false);
        }
        let old = rules(&mut transaction).await?;
        put_rules(&mut transaction, None).await?;
        forget_fact(&mut transaction, RESET).await?;
        let entry = AuditEntry {
            at,
            who: who.to_owned(),
            kind: AuditKind::ApprovalRules,
            what: RESET.to_owned(),
            why: format!(
                "no signatures are asked for any more, as {} asked at {}: {}",
                request.who, request.asked_at, request.why
            ),
            details: Some(AuditDetails::ApprovalRules {
                new: None,
                old,
                run: RESET.to_owned(),
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

async fn tell(
    transaction: &mut Transaction,
    at: Timestamp,
    who: &str,
    why: String,
) -> Result<(), CatalogError> {
    let entry = AuditEntry {
        at,
        who: who.to_owned(),
        kind: AuditKind::ApprovalRules,
        what: RESET.to_owned(),
        why,
        details: None,
    };
    audit::append(transaction, &entry).await
}
