//! Which keys open what is stored, read from the key rings beside the data: a point keeps the keys that it was made for, whatever the
//! policy says today.
//!
//! Looks through read-only tiers. Invariant: a point whose ring could not be read is not in the answer, which never means that it has no
//! keys. Not here: what follows from it (`planner::prove`).

use super::{planning, running::RealClock};
use crate::{arguments::Global, failure::Result, session, settings, wiring};
use executor::{Clock, KeyUse, key_report};
use model::{KeyName, RecoveryPointId};
use policy_schema::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Keys and what they open.
#[derive(Default)]
pub(crate) struct Custody {
    /// Which keys each alone open a point; none: it is not encrypted.
    pub(crate) recipients: BTreeMap<RecoveryPointId, BTreeSet<KeyName>>,
    /// Keys that cannot be relied upon, with what is wrong; those too that the policy does not declare.
    pub(crate) trouble: BTreeMap<KeyName, String>,
}

/// Looks at every key ring that can be read.
pub(crate) async fn look(global: &Global, path: &Path, policy: &Policy) -> Result<Custody> {
    let mut custody = Custody {
        trouble: planning::keys_in_trouble(policy).await?,
        ..Custody::default()
    };
    let Some(catalog) = session::catalog_if_any(global, path).await? else {
        return Ok(custody);
    };
    let sealed = catalog.sealed_points().await?;
    if sealed.iter().any(|point| point.encrypted) {
        let mut wired = wiring::wire(policy, settings::scratch(global, path))?;
        wiring::read_only(&mut wired.tiers);
        let report = key_report(&wired, Some(&catalog), RealClock.now(), &|_, _| ()).await?;
        for key in &report.keys {
            custody.add(policy, key);
        }
    }
    catalog.close().await;
    for point in sealed.into_iter().filter(|point| !point.encrypted) {
        custody
            .recipients
            .insert(point.recovery_point, BTreeSet::new());
    }
    Ok(custody)
}

impl Custody {
    fn add(&mut self, policy: &Policy, key: &KeyUse) {
        let Some(name) = named(policy, key) else {
            return;
        };
        if !key.is_usable() {
            let why = key.declared.iter().find_map(executor::KeyLook::trouble);
            let why = why.unwrap_or_else(|| "the policy does not declare it any more".to_owned());
            self.trouble.entry(name.clone()).or_insert(why);
        }
        for point in &key.points {
            let keys = self.recipients.entry(point.clone()).or_default();
            keys.insert(name.clone());
        }
    }
}

/// The name of a key: as it is declared, else as the data says; a name that means another key by now is told apart.
fn named(policy: &Policy, key: &KeyUse) -> Option<KeyName> {
    let usable = key.declared.iter().find(|look| look.is_usable());
    if let Some(look) = usable.or(key.declared.first()) {
        return Some(look.name.clone());
    }
    let name = key.names.first()?;
    if policy.keys.contains_key(name) {
        return KeyName::new(&format!("{name}-replaced")).ok();
    }
    Some(name.clone())
}
