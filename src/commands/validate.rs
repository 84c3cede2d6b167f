//! `validate`: every mistake of every file at once.

use crate::{arguments::Global, exit::Exit, failure::Result, policy, render::out, settings};

pub(crate) fn run(global: &Global) -> Result<Exit> {
    let path = settings::policy_path(global)?;
    let checked = policy::check(&path);
    if global.json {
        out::json(&checked.findings_json())?;
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
    Ok(if checked.is_acceptable(global.strict) {
        Exit::Done
    } else {
        Exit::PolicyInvalid
    })
}
