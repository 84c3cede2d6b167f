//! `wal status`: which moments can be recovered, and how far the archive is behind. Changes nothing. Exit 6 when a promise is
//! broken, 1 when something could not be asked.

use crate::{
    arguments::{Global, WalStatusArguments},
    clock,
    commands::{running::RealClock, wal},
    exit::Exit,
    failure::Result,
    policy,
    render::{out, wal as words},
    session, settings, wiring,
};
use executor::{
    Clock, Refresh,
    crash_point::CrashPoints,
    observe,
    wal::{WalFacts, WalLook, WalStatus, WalStore, judge, newest_moment, observe_wal},
};
use jiff::Timestamp;
use model::{DatabaseName, Inventory, wal::coverage::bases};
use policy_schema::Policy;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) async fn run(arguments: &WalStatusArguments, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let only = match &arguments.database {
        Some(named) => Some(wal::database(&policy, Some(named))?),
        None => None,
    };
    let now = clock::now();
    let catalog = session::catalog_if_any(global, &path).await?;
    let mut wiring = wiring::wire(&policy, settings::scratch(global, &path))?;
    wiring::read_only(&mut wiring.tiers);
    let observed = observe(catalog.as_ref(), &wiring.tiers, now, Refresh::Shallow).await?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let none = std::collections::BTreeSet::new();
    let looks = observe_wal(&wiring, catalog.as_ref(), &clock, only.as_ref(), &none).await;
    let mut all = Vec::new();
    for (name, look) in &looks {
        if let Some(declared) = wiring.databases.get(name) {
            let store = WalStore::open(&wiring, name, Arc::clone(&clock), CrashPoints::new(None));
            let store = store.ok().map(Arc::new);
            let about = About {
                name,
                look,
                declared,
                policy: &policy,
                now,
            };
            all.push(about.judged(&observed.inventory, store).await);
        }
    }
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    if global.json {
        out::json(
            &json!({"format": "mainstay.wal-status.v1", "evaluated_at": now, "databases": all}),
        )?;
    } else {
        out::data(&words::status(&all, &policy.timezone))?;
    }
    Ok(if all.iter().any(WalStatus::is_violated) {
        Exit::ObjectiveViolated
    } else if all.iter().any(WalStatus::is_unknown) {
        Exit::Failed
    } else {
        Exit::Done
    })
}

struct About<'a> {
    name: &'a DatabaseName,
    look: &'a WalLook,
    declared: &'a executor::DatabaseWiring,
    policy: &'a Policy,
    now: Timestamp,
}

impl About<'_> {
    async fn judged(&self, inventory: &Inventory, store: Option<Arc<WalStore>>) -> WalStatus {
        let tiers = &self.look.archive.tiers;
        let mut newest = BTreeMap::new();
        if let Some(store) = &store {
            for (tier, log) in tiers {
                let source = self.look.archive.source.as_ref();
                // A last file that cannot be read leaves the time unknown; `verify` says what is wrong with it.
                if let Ok(Some(found)) = newest_moment(store, tier, log, source).await {
                    newest.insert(tier.clone(), found);
                }
            }
        }
        let of_tier = |tier| bases(&inventory.recovery_points, self.name, Some(tier));
        let wanted = self
            .policy
            .databases
            .get(self.name)
            .and_then(|d| d.wal.as_ref());
        let wanted = wanted.into_iter().flat_map(|wal| &wal.keep);
        let zone = &self.policy.timezone;
        let spool = store.as_ref().and_then(|store| store.spool());
        judge(&WalFacts {
            database: self.name,
            declared: self.declared,
            look: self.look,
            bases: tiers
                .keys()
                .map(|tier| (tier.clone(), of_tier(tier)))
                .collect(),
            newest,
            wanted_since: wanted
                .map(|(tier, period)| (tier.clone(), period.before(self.now, zone)))
                .collect(),
            spool: spool
                .and_then(|spool| spool.waiting().ok())
                .unwrap_or_default(),
            now: self.now,
        })
    }
}
