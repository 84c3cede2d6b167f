//! Acts outside of plans that take protection away: they need the signatures that a deletion beyond routine needs, where rules are in force.
//!
//! Not here: what exactly is signed (`model::approval`), and the rotation of keys, whose request only the executor can know.

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};
use catalog::Catalog;
use executor::how_to_sign;
use model::approval::{ApprovalRequest, judge_request};

/// Who agreed to a request; `None`: nobody has to. `code` and `what` say what is refused otherwise.
pub(crate) async fn agreed(
    catalog: &Catalog,
    request: &impl ApprovalRequest,
    code: &'static str,
    what: &str,
) -> Result<Option<String>> {
    let Some(rules) = catalog.approval_rules().await? else {
        return Ok(None);
    };
    let id = request
        .id()
        .map_err(|error| Failure::from_error(code, None, &error))?;
    let verdict = judge_request(&rules, &id, &catalog.signatures(&id).await?);
    if verdict.is_given() {
        let names: Vec<_> = verdict.approved_by.into_iter().collect();
        return Ok(Some(names.join(", ")));
    }
    Err(
        Failure::new(code, format!("{what} needs approval: {verdict}"))
            .help(how_to_sign(&id))
            .exit(Exit::NeedsApproval),
    )
}

/// The reason of an act, with who agreed to it: it goes into the audit.
pub(crate) fn with_signers(why: String, signers: Option<&str>) -> String {
    match signers {
        Some(signers) => format!("{why} (approved by {signers})"),
        None => why,
    }
}
