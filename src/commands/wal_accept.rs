//! `wal accept`: a person says that another cluster has come in the place of the one whose log the tiers hold.
//!
//! Invariant: where the database's server can be asked, its own word counts: a number that it contradicts is refused, because from
//! then on the server's own files would be. Where rules of approval are in force, a tier takes another cluster's log only from what
//! was there when those who may sign agreed.

use crate::{
    arguments::{Global, WalAcceptArguments, WalArchiveArguments},
    clock,
    commands::{approve, audit, wal},
    exit::Exit,
    failure::{Failure, Result, with_causes},
    policy,
    render::out,
    session, settings, wiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind};
use executor::wal::{KnownCluster, WalClusters, WalStore};
use model::{
    DatabaseName, TierName,
    approval::{CLUSTER_FORMAT, ClusterBefore, ClusterRequest},
};
use std::{collections::BTreeMap, time::Duration};

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

pub(crate) async fn run(arguments: &WalAcceptArguments, global: &Global) -> Result<Exit> {
    let archive = WalArchiveArguments {
        database: Some(arguments.database.clone()),
        system_identifier: None,
    };
    let store = wal::open(&archive, global)?;
    check(arguments, store.database(), global).await?;
    let mut cluster = KnownCluster {
        system_identifier: arguments.system_identifier,
        segment_bytes: arguments.segment_bytes,
        since: clock::now(),
        who: settings::who(),
        why: arguments.why.clone(),
    };
    let agreement = agreed(&store, &cluster, global).await?;
    cluster.why = approve::with_signers(cluster.why, agreement.by.as_deref());
    let tiers: Vec<_> = store.tiers().cloned().collect();
    let mut failed = None;
    for tier in tiers {
        let may = |now: Option<&WalClusters>| agreement.allows(&tier, now);
        match store.accept(&tier, &cluster, &may).await {
            Ok(true) => {
                out::words(&format!(
                    "{tier}: takes the log of this cluster from now on\n"
                ));
                let entry = entry(store.database(), &tier, &cluster);
                let path = settings::policy_path(global)?;
                audit::record(&entry, global, &path).await;
            }
            Ok(false) => out::words(&format!("{tier}: took it already\n")),
            Err(error) => {
                out::words(&format!("{tier}: not changed: {error}\n"));
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        None => Ok(Exit::Done),
        Some(error) => Err(error.into()),
    }
}

/// What may be changed.
#[derive(Default)]
struct Agreement {
    /// By tier, what was there when it was agreed to; `None`: nobody has to agree.
    from: Option<BTreeMap<TierName, Option<ClusterBefore>>>,
    /// Who signed.
    by: Option<String>,
}

impl Agreement {
    fn allows(&self, tier: &TierName, now: Option<&WalClusters>) -> bool {
        self.from
            .as_ref()
            .is_none_or(|from| from.get(tier) == Some(&now.and_then(before)))
    }
}

fn before(clusters: &WalClusters) -> Option<ClusterBefore> {
    let current = clusters.get(clusters.current)?;
    Some(ClusterBefore {
        since: current.since,
        system_identifier: current.system_identifier,
    })
}

/// Where rules are in force, taking another server's log needs their signatures: what it archives would stand for the database's own.
async fn agreed(store: &WalStore, cluster: &KnownCluster, global: &Global) -> Result<Agreement> {
    let path = settings::policy_path(global)?;
    let Some(catalog) = session::catalog_if_any(global, &path).await? else {
        return Ok(Agreement::default());
    };
    if catalog.approval_rules().await?.is_none() {
        catalog.close().await;
        return Ok(Agreement::default());
    }
    let mut from = BTreeMap::new();
    for tier in store.tiers() {
        // One that cannot be read says so when it shall be changed.
        if let Ok(clusters) = store.clusters(tier).await
            && clusters.as_ref().is_none_or(|now| !now.takes(cluster))
        {
            from.insert(tier.clone(), clusters.as_ref().and_then(before));
        }
    }
    let mut by = None;
    if !from.is_empty() {
        let request = ClusterRequest {
            before: from.clone(),
            catalog: catalog.identity().await?,
            database: store.database().clone(),
            format: CLUSTER_FORMAT,
            segment_bytes: cluster.segment_bytes,
            system_identifier: cluster.system_identifier,
        };
        let what = format!(
            "taking the log of cluster {} for `{}`",
            cluster.system_identifier,
            store.database()
        );
        let code = "mainstay::wal::needs-approval";
        by = approve::agreed(&catalog, &request, code, &what).await?;
    }
    catalog.close().await;
    Ok(Agreement {
        from: Some(from),
        by,
    })
}

/// What the audit says of it.
fn entry(database: &DatabaseName, tier: &TierName, cluster: &KnownCluster) -> AuditEntry {
    AuditEntry {
        at: cluster.since,
        who: cluster.who.clone(),
        kind: AuditKind::WalAccept,
        what: format!("{database}/wal@{tier}"),
        why: format!(
            "the log of cluster {} is taken from now on: {}",
            cluster.system_identifier, cluster.why
        ),
        details: Some(AuditDetails::WalAccept {
            database: database.clone(),
            system_identifier: cluster.system_identifier,
            tier: tier.clone(),
        }),
    }
}

/// Compares the number with the server's own.
async fn check(
    arguments: &WalAcceptArguments,
    database: &DatabaseName,
    global: &Global,
) -> Result<()> {
    let given = arguments.system_identifier;
    let own = match own_identifier(database, global).await {
        Ok(own) => own,
        Err(why) => {
            out::words(&format!(
                "not checked whether {given} is the cluster of `{database}`: its server could not be asked ({why})\n"
            ));
            return Ok(());
        }
    };
    if own == given {
        return Ok(());
    }
    let contradicted = format!("the server of `{database}` is of the cluster {own}, not {given}");
    if arguments.even_so {
        out::words(&format!("warning: {contradicted}\n"));
        return Ok(());
    }
    Err(
        Failure::new("mainstay::wal::contradicted", contradicted).help(format!(
            "if its own log is to be archived: `mainstay wal accept {database} --system-identifier {own} --why …`; if another server is about to take its place, add `--even-so`"
        )),
    )
}

async fn own_identifier(database: &DatabaseName, global: &Global) -> Result<u64, String> {
    let (path, policy) = policy::load_quietly(global).map_err(|failure| failure.message)?;
    let wiring = wiring::wire(&policy, settings::scratch(global, &path))
        .map_err(|failure| failure.message)?;
    let declared = wiring.databases.get(database).ok_or("it is not declared")?;
    match tokio::time::timeout(ANSWER, declared.engine.wal_state()).await {
        Ok(Ok(state)) => Ok(state.source.system_identifier),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => Err(format!("it did not answer within {} s", ANSWER.as_secs())),
    }
}
