//! Whether checks ask less than before of any database, whichever entry holds for it.
//!
//! Invariant: a check that only set a control of the compliance report is compared with that control's default where no entry held. Not here: what
//! else of the policy is weaker (`settings`).

use policy_schema::{
    Policy,
    policy::{CheckDeclaration, CheckId, DatabaseDeclaration},
};

/// Whether the second policy asks less of a database that both have.
pub(super) fn ask_less([old, new]: &[Policy; 2]) -> bool {
    old.databases.values().any(|before| {
        let after = new.databases.get(&before.name);
        after.is_some_and(|after| {
            CheckId::ALL
                .into_iter()
                .any(|id| asks_less(id, (old, before), (new, after)))
        })
    })
}

type Side<'a> = (&'a Policy, &'a DatabaseDeclaration);

fn asks_less(id: CheckId, before: Side<'_>, after: Side<'_>) -> bool {
    let [before, after] = [before, after].map(|(policy, database)| {
        // Objectives hold from the start; so do the controls, with their defaults.
        let built_in =
            || (id.is_objective() || id.sets_control()).then(|| CheckDeclaration::built_in(id));
        policy
            .declared_check(id, database)
            .cloned()
            .or_else(built_in)
    });
    match (before, after) {
        (Some(before), Some(after)) => {
            let lost = before.enabled && !after.enabled;
            // They sort the worst first.
            let milder = before.enabled && after.severity > before.severity;
            lost || milder || after.enabled && after.rule.asks_less_than(&before.rule)
        }
        // What nobody asks for is told, and fails nothing.
        (Some(before), None) => before.enabled,
        (None, _) => false,
    }
}
