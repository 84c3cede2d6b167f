//! `audit show | verify | export`: what was done, whether it is still what was written, and a copy of it.
//!
//! Invariant: however long the audit is, a page of it is in memory.

use super::running::RealClock;
use crate::{
    arguments::{AuditCommand, AuditShow, AuditVerify, Global},
    exit::Exit,
    failure::{Failure, Result},
    files, policy,
    render::{audit as render, out},
    session, settings, wiring,
};
use catalog::{AuditEntry, Catalog, ChainedEntry};
use executor::{
    Clock, TierWiring,
    audit::{AuditError, Exporter, SigningKey, VerifyAudit, verify_audit, write_all},
};
use jiff::tz::TimeZone;
use model::TierName;
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    io::Write as _,
    path::Path,
    sync::Arc,
};

/// Entries of one page.
const PAGE: u64 = 1024;

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let failure = error.to_failure();
        let made = Self::new(&failure.code, failure.message);
        match failure.help {
            Some(help) => made.help(help),
            None => made,
        }
    }
}

pub(crate) async fn run(command: AuditCommand, global: &Global) -> Result<Exit> {
    match command {
        AuditCommand::Show(arguments) if arguments.key => key(global),
        AuditCommand::Show(arguments) => show(&arguments, global).await,
        AuditCommand::Verify(arguments) => verify(arguments, global).await,
        AuditCommand::Export { file } => export(&file, global).await,
        AuditCommand::Recompute { bundle, key } => {
            super::report::recompute(&bundle, key.as_ref(), global)
        }
    }
}

fn key(global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let path = settings::audit_key(global, &policy);
    let Some(key) = SigningKey::open(&path)? else {
        return Err(Failure::new(
            "mainstay::audit::no-key",
            format!(
                "no run from here has signed the audit yet: there is no `{}`",
                path.display()
            ),
        )
        .help("the first `mainstay apply` makes the key"));
    };
    let name = key.name();
    let pem = name.to_pem().unwrap_or_default();
    if global.json {
        out::json(
            &json!({"format": "mainstay.audit-public-key.v1", "public_key": name, "pem": pem}),
        )?;
    } else {
        out::data(&format!("{name}\n{pem}"))?;
    }
    Ok(Exit::Done)
}

async fn show(arguments: &AuditShow, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let zone = policy::zone(&policy);
    let mut shown = 0_u64;
    let mut newest: VecDeque<ChainedEntry> = VecDeque::new();
    if let Some(catalog) = session::catalog_if_any(global, &policy).await? {
        let mut after = 0;
        loop {
            let page = catalog.audit_page(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            let wanted: Vec<_> = page
                .into_iter()
                .filter(|entry| is_wanted(arguments, entry))
                .collect();
            if let Some(limit) = arguments.limit {
                newest.extend(wanted);
                newest.drain(..newest.len().saturating_sub(limit));
            } else {
                shown += wanted.len() as u64;
                print(&wanted, &zone, global)?;
            }
        }
        catalog.close().await;
    }
    shown += newest.len() as u64;
    print(newest.make_contiguous(), &zone, global)?;
    if shown == 0 && !global.json {
        out::words("No entries.\n");
    }
    Ok(Exit::Done)
}

fn print(entries: &[ChainedEntry], zone: &TimeZone, global: &Global) -> Result<()> {
    let mut text = String::new();
    for entry in entries {
        if global.json {
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
            text.push('\n');
        } else {
            text.push_str(&render::entry(entry, zone));
        }
    }
    out::data(&text)
}

fn is_wanted(arguments: &AuditShow, entry: &ChainedEntry) -> bool {
    let AuditShow {
        since,
        until,
        kind,
        on,
        ..
    } = arguments;
    since.is_none_or(|since| entry.at >= since)
        && until.is_none_or(|until| entry.at < until)
        && (kind.is_empty() || kind.iter().any(|kind| kind.as_str() == entry.kind))
        && on.as_ref().is_none_or(|on| is_on(&entry.what, on))
}

/// Whether what an act was done on is this, or part of it: a point of a database, a copy of a point.
fn is_on(what: &str, on: &str) -> bool {
    what.strip_prefix(on)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@']))
}

async fn verify(arguments: AuditVerify, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load_quietly(global)?;
    let mut tiers = wiring::tiers(&policy)?;
    wiring::read_only(&mut tiers);
    only(&mut tiers, &arguments.tier)?;
    let catalog = session::catalog_if_any(global, &path).await?;
    let own_key = SigningKey::open(&settings::audit_key(global, &path));
    let check = verify_audit(VerifyAudit {
        catalog: catalog.as_ref(),
        tiers: &tiers,
        trusted: arguments.key.into_iter().collect(),
        own_key: own_key.as_ref().ok().and_then(Option::as_ref),
    })
    .await?;
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    if global.json {
        out::json(&render::check_json(&check))?;
    } else {
        out::data(&render::check_text(&check))?;
    }
    Ok(if check.is_sound() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Leaves the named tiers.
fn only(tiers: &mut BTreeMap<TierName, TierWiring>, names: &[String]) -> Result<()> {
    for name in names {
        if !tiers.keys().any(|tier| tier.as_str() == name) {
            let known: Vec<&str> = tiers.keys().map(TierName::as_str).collect();
            return Err(Failure::new(
                "mainstay::arguments::tier",
                format!("the policy declares no tier `{name}`"),
            )
            .help(format!("it declares: {}", known.join(", "))));
        }
    }
    if !names.is_empty() {
        tiers.retain(|tier, _| names.iter().any(|name| name == tier.as_str()));
    }
    Ok(())
}

async fn export(file: &Path, global: &Global) -> Result<Exit> {
    let path = settings::policy_path(global)?;
    let catalog = session::catalog_or_fail(global, &path).await?;
    let exporter = exporter(&catalog, global, &path).await?;
    let failed = |source| AuditError::Output {
        path: file.to_owned(),
        source,
    };
    let count = if file.as_os_str() == "-" {
        let stdout = std::io::stdout();
        let written = write_all(&exporter, |bytes| stdout.lock().write_all(bytes), failed).await;
        match written {
            // `| head` has what it wanted.
            Err(AuditError::Output { source, .. })
                if source.kind() == std::io::ErrorKind::BrokenPipe =>
            {
                catalog.close().await;
                return Ok(Exit::Done);
            }
            other => other?,
        }
    } else {
        let mut out = files::New::create(file).map_err(failed)?;
        let count = write_all(&exporter, |bytes| out.write_all(bytes), failed).await?;
        out.keep().map_err(failed)?;
        count
    };
    catalog.close().await;
    out::words(&format!("{count} entries written, signed.\n"));
    Ok(Exit::Done)
}

/// Exports from here.
pub(crate) async fn exporter(catalog: &Catalog, global: &Global, path: &Path) -> Result<Exporter> {
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let key = settings::audit_key(global, path);
    Ok(Exporter::open(catalog, &key, &settings::who(), &clock).await?)
}

/// Records an act that is done already: that it could not be recorded is said and undoes nothing.
pub(crate) async fn record(entry: &AuditEntry, global: &Global, path: &Path) {
    let recorded = async {
        let catalog = session::catalog(global, path).await?;
        let recorded = catalog.audit(entry).await;
        catalog.close().await;
        Ok::<_, Failure>(recorded?)
    };
    if let Err(failure) = recorded.await {
        out::words(&format!(
            "warning: not recorded in the audit: {}\n",
            failure.message
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_on_a_point_its_series_and_its_database() {
        let what = "orders/daily/20261121T020000Z@nas";
        for on in [
            "orders",
            "orders/daily",
            "orders/daily/20261121T020000Z",
            what,
        ] {
            assert!(is_on(what, on), "{on}");
        }
        for on in ["order", "orders/dail", "nas", "orders/daily/20261121"] {
            assert!(!is_on(what, on), "{on}");
        }
    }
}
