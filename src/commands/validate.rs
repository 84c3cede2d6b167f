//! `validate`: every mistake of every file at once.

use super::prove;
use crate::{
    arguments::Global,
    clock,
    exit::Exit,
    failure::Result,
    policy,
    render::{out, prove as render_prove},
    settings, wiring,
};
use model::Inventory;

pub(crate) fn run(global: &Global) -> Result<Exit> {
    let path = settings::policy_path(global)?;
    let checked = policy::check(&path);
    let proof = checked.policy.as_ref().and_then(|policy| {
        // Nothing that exists is looked at: what only the schedules decide is told.
        let nothing = Inventory::empty(clock::now());
        let capabilities = wiring::capabilities(policy);
        prove::briefly(policy, &nothing, &capabilities, nothing.observed_at)
    });
    if global.json {
        let mut findings = checked.findings_json();
        if let Some(proof) = &proof {
            findings["objectives"] = render_prove::briefly_json(proof);
        }
        out::json(&findings)?;
    } else if checked.findings.is_empty() {
        if let Some(policy) = &checked.policy {
            let series: usize = policy
                .databases
                .values()
                .map(|database| database.series.len())
                .sum();
            out::data(&format!(
                "{} is valid: {} database(s), {series} series, {} tier(s).\n",
                path.display(),
                policy.databases.len(),
                policy.tiers.len()
            ))?;
        }
    } else {
        out::words(&checked.findings_text());
    }
    if let Some(proof) = proof.as_ref().filter(|_| !global.json) {
        out::data(&render_prove::briefly(proof))?;
    }
    Ok(if checked.is_acceptable(global.strict) {
        Exit::Done
    } else {
        Exit::PolicyInvalid
    })
}
