//! `wal status`: which moments can be recovered, and how far the archive is behind. Changes nothing. Exit 6 when a promise is
//! broken, 1 when something could not be asked.

use crate::{
    arguments::{Global, WalStatusArguments},
    clock,
    commands::{logs, running::RealClock, wal},
    exit::Exit,
    failure::Result,
    policy,
    render::{out, wal as words},
    session, settings, wiring,
};
use executor::{
    Clock, Refresh, observe,
    wal::{WalStatus, observe_wal},
};
use serde_json::json;
use std::sync::Arc;

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
    let all = logs::judged(&policy, &wiring, &looks, &observed.inventory, &clock).await;
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
