//! What `plan`, `apply`, `backup` and `status` share: looking at reality, and what was asked for beside the policy.

use crate::{
    arguments::{Global, PlanSource},
    commands::{approve, running::RealClock},
    failure::{Failure, Result},
    render::{color, out},
    session, wiring,
};
use executor::{
    Clock, Drift, Observation, Refresh, TierWiring, look_at_keys, observe,
    wal::{WalLook, observe_wal},
};
use jiff::Timestamp;
use model::{DatabaseName, Inventory, KeyName, SeriesName, TierName};
use planner::Options;
use policy_schema::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// Reality as far as it could be seen.
pub(crate) struct Looked {
    /// What exists.
    pub(crate) inventory: Inventory,
    /// How it differs from the catalog.
    pub(crate) drift: Vec<Drift>,
    /// The log of each database that archives one.
    pub(crate) logs: BTreeMap<DatabaseName, WalLook>,
}

/// Looks without changing anything: the catalog is read, the tiers are wrapped read-only.
pub(crate) async fn look(
    global: &Global,
    path: &Path,
    policy: &Policy,
    now: Timestamp,
    refresh: bool,
) -> Result<Looked> {
    let catalog = session::catalog_if_any(global, path).await?;
    if let Some(catalog) = &catalog
        && let Some(warning) = approve::reset_warning(catalog).await?
    {
        out::words(&warning);
    }
    let mut tiers = wiring::tiers(policy)?;
    wiring::read_only(&mut tiers);
    let refresh = if refresh {
        Refresh::Full
    } else {
        Refresh::Shallow
    };
    let mut observed = observe(catalog.as_ref(), &tiers, now, refresh).await?;
    let logs = look_at_logs(policy, catalog.as_ref(), &mut observed).await?;
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    Ok(Looked {
        inventory: observed.inventory,
        drift: observed.drift,
        logs,
    })
}

/// What is archived of the log of each database that archives one. What cannot be told stays out.
async fn look_at_logs(
    policy: &Policy,
    catalog: Option<&catalog::Catalog>,
    observed: &mut Observation,
) -> Result<BTreeMap<DatabaseName, WalLook>> {
    if policy
        .databases
        .values()
        .all(|declared| declared.wal.is_none())
    {
        return Ok(BTreeMap::new());
    }
    let mut wiring = wiring::wire(policy, std::path::PathBuf::new())?;
    wiring::read_only(&mut wiring.tiers);
    let unreachable = observed.unreachable.keys().cloned().collect();
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let looks = observe_wal(&wiring, catalog, &clock, None, &unreachable).await;
    for (name, look) in &looks {
        let archive = look.archive.clone();
        observed.inventory.wal.insert(name.clone(), archive);
    }
    Ok(looks)
}

/// Keys that something shall be encrypted for and that cannot be used now, with what is wrong. Nothing is changed, and no tier asked.
pub(crate) async fn keys_in_trouble(policy: &Policy) -> Result<BTreeMap<KeyName, String>> {
    let mut keys = wiring::keys(policy)?;
    keys.retain(|name, _| {
        let mut databases = policy.databases.values();
        databases.any(|database| database.encrypt_with.contains(name))
    });
    let mut trouble = BTreeMap::new();
    let mut known: BTreeMap<String, KeyName> = BTreeMap::new();
    for look in look_at_keys(&keys).await {
        let id = look.facts.as_ref().map_or("", |facts| &facts.key_id);
        if let Some(why) = look.trouble() {
            trouble.insert(look.name, why);
        } else if let Some(other) = known.get(id)
            && together(policy, other, &look.name)
        {
            // Two files with the same key in them are one recipient, whatever the policy counts.
            let why = format!("it is the same key as `{other}`, so losing one loses both");
            trouble.insert(look.name, why);
        } else if !id.is_empty() {
            known.insert(id.to_owned(), look.name);
        }
    }
    Ok(trouble)
}

/// Whether some database is encrypted for both.
fn together(policy: &Policy, one: &KeyName, other: &KeyName) -> bool {
    policy.databases.values().any(|database| {
        database.encrypt_with.contains(one) && database.encrypt_with.contains(other)
    })
}

/// Says so, once, before work that needs them.
pub(crate) fn warn_about_keys(trouble: &BTreeMap<KeyName, String>) {
    for (key, why) in trouble {
        out::words(&format!(
            "{} key {key}: {why}; `mainstay key list` shows what only it opens\n",
            color::paint(color::WARN, "!")
        ));
    }
}

/// The planner's options from the command line.
pub(crate) fn options(source: &PlanSource, policy: &Policy) -> Result<Options> {
    let mut options = Options::default();
    for text in &source.purge {
        let (database, series) = database_and_series(text)?;
        let declared = policy.databases.get(&database);
        let still_there = match &series {
            Some(series) => declared.is_some_and(|declared| declared.series.contains_key(series)),
            None => declared.is_some(),
        };
        if still_there {
            return Err(Failure::new(
                "mainstay::plan::purge-declared",
                format!("`{text}` is declared in the policy, so it cannot be purged"),
            )
            .help(
                "remove it from the policy first; only what is no longer declared can be purged",
            ));
        }
        options.purge.push((database, series));
    }
    Ok(options)
}

/// A purge that names nothing is a typing error, not a success.
pub(crate) fn check_purge(options: &Options, inventory: &Inventory) -> Result<()> {
    for (database, series) in &options.purge {
        let found = inventory.recovery_points.iter().any(|point| {
            &point.database == database
                && series.as_ref().is_none_or(|series| series == &point.series)
        });
        if !found {
            let series = series
                .as_ref()
                .map(|series| format!("/{series}"))
                .unwrap_or_default();
            return Err(Failure::new(
                "mainstay::plan::purge-nothing",
                format!("there is no recovery point of `{database}{series}` to purge"),
            )
            .help("see what is orphaned with `mainstay plan`"));
        }
    }
    Ok(())
}

/// `database` or `database/series`.
fn database_and_series(text: &str) -> Result<(DatabaseName, Option<SeriesName>)> {
    let bad = |error: model::names::NameError| {
        Failure::new("mainstay::arguments::name", error.to_string())
            .help("write DATABASE or DATABASE/SERIES")
    };
    match text.split_once('/') {
        Some((database, series)) => Ok((
            DatabaseName::new(database).map_err(bad)?,
            Some(SeriesName::new(series).map_err(bad)?),
        )),
        None => Ok((DatabaseName::new(text).map_err(bad)?, None)),
    }
}

/// A declared database, or an error that names those that are.
pub(crate) fn declared<'a>(
    policy: &'a Policy,
    name: &str,
) -> Result<&'a policy_schema::policy::DatabaseDeclaration> {
    policy
        .databases
        .get(name)
        .ok_or_else(|| undeclared(policy, name))
}

/// The tier that a person names, or what the policy declares instead.
pub(crate) fn declared_tier<'a>(policy: &'a Policy, name: &str) -> Result<&'a TierName> {
    let declared = policy.tiers.get(name).map(|tier| &tier.name);
    declared.ok_or_else(|| {
        let known: Vec<&str> = policy.tiers.keys().map(TierName::as_str).collect();
        Failure::new(
            "mainstay::arguments::tier",
            format!("the policy declares no tier `{name}`"),
        )
        .help(if known.is_empty() {
            "it declares none".to_owned()
        } else {
            format!("it declares: {}", known.join(", "))
        })
    })
}

/// The tiers that a person names; without a name all of them. No IO yet.
pub(crate) fn chosen_tiers(
    policy: &Policy,
    only: &[String],
) -> Result<BTreeMap<TierName, TierWiring>> {
    let named = only
        .iter()
        .map(|name| declared_tier(policy, name))
        .collect::<Result<BTreeSet<_>>>()?;
    let mut tiers = wiring::tiers(policy)?;
    tiers.retain(|name, _| named.is_empty() || named.contains(name));
    Ok(tiers)
}

/// The policy declares no such database.
pub(crate) fn undeclared(policy: &Policy, name: &str) -> Failure {
    let known: Vec<&str> = policy
        .databases
        .keys()
        .map(DatabaseName::as_str)
        .take(20)
        .collect();
    Failure::new(
        "mainstay::arguments::database",
        format!("the policy declares no database `{name}`"),
    )
    .help(if known.is_empty() {
        "it declares none".to_owned()
    } else {
        format!("it declares: {}", known.join(", "))
    })
}
