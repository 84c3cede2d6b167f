//! From the policy's declarations to engines, tiers and keys that work: the one place where `providers` and `policy-schema` meet.

use crate::{clock, failure::Result};
use executor::{DatabaseWiring, TierWiring, WalWiring, Wiring};
use model::{DatabaseName, KeyName, recovery_record::Promise, tier_facts::TierCapabilities};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Target, TierDeclaration, WalDeclaration, WalMode},
    providers::{EngineKind, KeyKind, ProviderKinds, TierKind},
};
use providers::{
    api::{KeyProvider, Tier},
    registry,
    wrappers::{ReadOnlyTier, ThrottledTier},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Every kind that a policy may name, as the registry knows it.
pub(crate) fn kinds() -> ProviderKinds {
    let engines = registry::engines().into_iter().map(|entry| {
        let kind = EngineKind {
            database_schema: entry.database_schema,
            methods: entry.methods,
            default_method: entry.default_method,
            incremental: entry.incremental,
            rolls_forward: entry.rolls_forward,
            check_database: entry.check_database,
            check_series: entry.check_series,
        };
        (entry.kind.to_owned(), kind)
    });
    let tiers = registry::tiers().into_iter().map(|entry| {
        let kind = TierKind {
            schema: entry.schema,
            check: entry.check,
            place: entry.place,
            on_this_machine: entry.on_this_machine,
            capabilities: entry.capabilities,
        };
        (entry.kind.to_owned(), kind)
    });
    let keys = registry::keys().into_iter().map(|entry| {
        let kind = KeyKind {
            schema: entry.schema,
            check: entry.check,
            place: entry.place,
        };
        (entry.kind.to_owned(), kind)
    });
    ProviderKinds {
        engines: engines.collect(),
        tiers: tiers.collect(),
        keys: keys.collect(),
    }
}

/// Engines and tiers of a policy; no IO yet.
pub(crate) fn wire(policy: &Policy, scratch: PathBuf) -> Result<Wiring> {
    let mut databases = BTreeMap::new();
    for (name, database) in &policy.databases {
        let engine = registry::engine(&database.engine, &database.table, &database.base)?;
        let series = database
            .series
            .iter()
            .map(|(name, series)| (name.clone(), series.table.clone()))
            .collect();
        let wired = DatabaseWiring {
            engine,
            asserts: database.asserts.clone(),
            series,
            concurrency: 1,
            rpo: database.objective.rpo.map(promise),
            rto: database.objective.rto.map(promise),
            wal: database.wal.as_ref().map(|wal| wal_wiring(database, wal)),
        };
        databases.insert(name.clone(), wired);
    }
    Ok(Wiring {
        policy: Some(policy.canonical_json().into()),
        databases,
        keys: keys(policy)?,
        tiers: tiers(policy)?,
        scratch,
        mainstay_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn promise(target: Target) -> Promise {
    let seconds = |duration: jiff::SignedDuration| u64::try_from(duration.as_secs()).unwrap_or(0);
    Promise {
        maximum_seconds: seconds(target.maximum),
        target_seconds: seconds(target.target),
    }
}

fn wal_wiring(database: &DatabaseDeclaration, wal: &WalDeclaration) -> WalWiring {
    WalWiring {
        tiers: wal.keep.iter().map(|(tier, _)| tier.clone()).collect(),
        encrypt_for: database.encrypt_with.clone(),
        stream_slot: match wal.mode {
            WalMode::Archive => None,
            WalMode::Stream => Some(wal.slot.clone()),
        },
        compression_level: wal.compression_level,
        parallel: wal.parallel.max(1) as usize,
        spool: wal.spool.as_ref().map(|folder| database.base.join(folder)),
        spool_limit: wal.spool_limit,
    }
}

/// Adds a database that the policy does not declare, only to restore a point of it.
pub(crate) fn add_for_restore(
    wiring: &mut Wiring,
    database: &DatabaseName,
    engine: &str,
    target: &str,
) -> Result<()> {
    let engine = registry::engine_for_restore(engine, target, Path::new("."))?;
    let wired = DatabaseWiring {
        engine,
        asserts: Vec::new(),
        series: BTreeMap::new(),
        concurrency: 1,
        rpo: None,
        rto: None,
        wal: None,
    };
    wiring.databases.insert(database.clone(), wired);
    Ok(())
}

/// The tiers of a policy; no IO yet.
pub(crate) fn tiers(policy: &Policy) -> Result<BTreeMap<model::TierName, TierWiring>> {
    let mut tiers = BTreeMap::new();
    for (name, declared) in &policy.tiers {
        let tier = registry::tier(name, &declared.kind, &declared.table, &declared.base)?;
        tiers.insert(
            name.clone(),
            TierWiring {
                tier: throttled(tier, policy, declared),
                concurrency: declared.concurrency.max(1) as usize,
            },
        );
    }
    Ok(tiers)
}

/// With the bandwidth that its declaration allows.
fn throttled(tier: Arc<dyn Tier>, policy: &Policy, declared: &TierDeclaration) -> Arc<dyn Tier> {
    let Some(limit) = &declared.bandwidth else {
        return tier;
    };
    let zone = policy.timezone.clone();
    let clock = Arc::new(clock::now);
    Arc::new(ThrottledTier::new(tier, limit.clone(), clock, zone))
}

/// A declared tier to read what others have stored there, whether or not Mainstay has ever used it; it cannot be changed.
pub(crate) fn foreign_tier(
    policy: &Policy,
    name: &model::TierName,
) -> Result<Option<Arc<dyn Tier>>> {
    let Some(declared) = policy.tiers.get(name) else {
        return Ok(None);
    };
    let tier = registry::foreign_tier(name, &declared.kind, &declared.table, &declared.base)?;
    let tier = throttled(tier, policy, declared);
    Ok(Some(Arc::new(ReadOnlyTier::new(tier))))
}

/// Makes tiers that cannot be changed, so that looking cannot write by mistake.
pub(crate) fn read_only(tiers: &mut BTreeMap<model::TierName, TierWiring>) {
    for wired in tiers.values_mut() {
        wired.tier = Arc::new(ReadOnlyTier::new(wired.tier.clone()));
    }
}

/// The keys of a policy; no IO yet.
pub(crate) fn keys(policy: &Policy) -> Result<BTreeMap<KeyName, Arc<dyn KeyProvider>>> {
    let mut keys = BTreeMap::new();
    for (name, declared) in &policy.keys {
        let key = registry::key(name, &declared.kind, &declared.table, &declared.base)?;
        keys.insert(name.clone(), key);
    }
    Ok(keys)
}

/// Tiers that lie off this machine, where plain data is worth a word.
pub(crate) fn off_machine(policy: &Policy) -> BTreeSet<model::TierName> {
    let here: BTreeSet<&str> = registry::tiers()
        .iter()
        .filter(|entry| entry.on_this_machine)
        .map(|entry| entry.kind)
        .collect();
    let tiers = policy.tiers.iter();
    tiers
        .filter(|(_, declared)| !here.contains(declared.kind.as_str()))
        .map(|(name, _)| name.clone())
        .collect()
}

/// What a tier that is declared so could do; a kind that does not exist can do nothing but store.
pub(crate) fn capabilities_of(tier: &TierDeclaration) -> model::Capabilities {
    let entries = registry::tiers();
    let entry = entries.iter().find(|entry| entry.kind == tier.kind);
    entry.map_or(model::Capabilities::PLAIN, |entry| {
        (entry.capabilities)(&tier.table, &tier.base)
    })
}

/// What each declared tier can promise; known without looking.
pub(crate) fn capabilities(policy: &Policy) -> TierCapabilities {
    policy
        .tiers
        .iter()
        .map(|(name, declared)| (name.clone(), declared.capabilities))
        .collect()
}
