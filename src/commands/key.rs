//! `key list | generate | rotate`: which keys open what, making key files, and wrapping data keys anew.

use super::{planning, running};
use crate::{
    arguments::{Global, KeyCommand, KeyGenerate, KeyRotate},
    clock,
    exit::Exit,
    failure::{Failure, Result},
    policy,
    render::{bar::Bar, keys as render, out},
    session, settings, wiring,
};
use catalog::{AuditDetails, AuditEntry, AuditKind};
use executor::{Clock, RotateOrder, key_report, rotate};
use model::{DatabaseName, KeyName, RecoveryPointId, SecretRef};
use policy_schema::Policy;
use providers::{
    api::KeyFacts,
    keys::local::{self, LocalConfig},
    secrets,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(crate) async fn run(command: KeyCommand, global: &Global) -> Result<Exit> {
    match command {
        KeyCommand::List => list(global).await,
        KeyCommand::Generate(arguments) => generate(&arguments, global).await,
        KeyCommand::Rotate(arguments) => rotate_keys(&arguments, global).await,
    }
}

async fn list(global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    let catalog = session::catalog_if_any(global, &path).await?;
    let mut wired = wiring::wire(&policy, settings::scratch(global, &path))?;
    wiring::read_only(&mut wired.tiers);
    let bar = Bar::counting("reading key rings");
    let report = key_report(&wired, catalog.as_ref(), clock::now(), &*bar.counter()).await?;
    bar.finish();
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    if global.json {
        out::json(&render::report_json(&report))?;
    } else {
        out::data(&render::report_text(&report))?;
    }
    let trouble = report.keys.iter().any(render::is_in_trouble);
    Ok(if trouble {
        Exit::Failed
    } else if report.unread.is_empty() && report.unreachable.is_empty() {
        Exit::Done
    } else {
        Exit::PartlyFailed
    })
}

/// Where a new key file goes, and what protects it.
struct NewFile {
    path: PathBuf,
    passphrase: Option<SecretRef>,
    base: PathBuf,
}

async fn generate(arguments: &KeyGenerate, global: &Global) -> Result<Exit> {
    let new = match (&arguments.key, &arguments.out) {
        (Some(name), None) => declared(name, global)?,
        (_, Some(out)) => NewFile {
            path: out.clone(),
            passphrase: passphrase(arguments),
            base: PathBuf::from("."),
        },
        (None, None) => {
            return Err(Failure::new(
                "mainstay::arguments::key",
                "neither a key of the policy nor a file is named",
            )
            .help("`mainstay key generate prod` makes the file of [key.prod]; `mainstay key generate --out prod.key` needs no policy"));
        }
    };
    let secret = match &new.passphrase {
        Some(reference) => Some(secrets::resolve(reference, &new.base).await?),
        None => None,
    };
    let facts = match &arguments.keep_as {
        Some(keep_as) => local::replace(&new.path, keep_as, secret.as_ref(), clock::now())?,
        None => local::generate(&new.path, secret.as_ref(), clock::now())?,
    };
    if let Some(path) = installation(arguments, global).await {
        let entry = made_entry(arguments, &new.path, &facts);
        super::audit::record(&entry, global, &path).await;
    }
    if global.json {
        out::json(&json!({
            "format": "mainstay.key-made.v1", "path": new.path, "key_id": facts.key_id, "kept_as": arguments.keep_as,
            "protected": secret.is_some(),
        }))?;
    } else {
        out::data(&made(&new.path, arguments.keep_as.as_deref(), &facts))?;
    }
    Ok(Exit::Done)
}

/// The policy to whose audit the act belongs. A file that is only named belongs to nobody yet: it is told where there is an audit.
async fn installation(arguments: &KeyGenerate, global: &Global) -> Option<PathBuf> {
    let path = settings::policy_path(global).ok()?;
    let url = settings::state_url(global, &path);
    let told = arguments.key.is_some() || catalog::Catalog::exists(&url).await.unwrap_or(false);
    told.then_some(path)
}

/// What the audit says of it.
fn made_entry(arguments: &KeyGenerate, path: &Path, facts: &KeyFacts) -> AuditEntry {
    let kept_as = arguments
        .keep_as
        .as_ref()
        .map(|path| path.display().to_string());
    let name = arguments.key.clone();
    AuditEntry {
        at: clock::now(),
        who: settings::who(),
        kind: AuditKind::KeyGeneration,
        what: name.clone().unwrap_or_else(|| path.display().to_string()),
        why: match &kept_as {
            Some(kept) => format!(
                "a new key {}; the earlier one is kept as {kept}",
                facts.key_id
            ),
            None => format!("a new key {}", facts.key_id),
        },
        details: Some(AuditDetails::KeyGeneration {
            kept_as,
            key: name,
            key_id: facts.key_id.clone(),
        }),
    }
}

/// The file that a declared key names.
fn declared(name: &str, global: &Global) -> Result<NewFile> {
    let (_, policy) = policy::load(global)?;
    let Some(key) = policy.keys.get(name) else {
        return Err(unknown_key(&policy, name));
    };
    if key.kind != "local" {
        return Err(Failure::new(
            "mainstay::arguments::key",
            format!("key `{name}` is of kind `{}`, and only key files are made here", key.kind),
        )
        .help(match key.kind.as_str() {
            "aws-kms" => "make it in AWS: `aws kms create-key`, then `aws kms create-alias`",
            _ => "make a certificate with `openssl req -x509 -newkey rsa:4096 -keyout recovery.pem -out recovery.crt -days 7300`, and keep recovery.pem off this machine",
        }));
    }
    let config = LocalConfig::read(&key.table)?;
    Ok(NewFile {
        path: key.base.join(&config.path),
        passphrase: config.passphrase,
        base: key.base.clone(),
    })
}

fn unknown_key(policy: &Policy, name: &str) -> Failure {
    let known: Vec<&str> = policy.keys.keys().map(KeyName::as_str).collect();
    Failure::new(
        "mainstay::arguments::key",
        format!("the policy declares no key `{name}`"),
    )
    .help(if known.is_empty() {
        format!("declare one: [key.{name}] with kind = \"local\" and path = \"keys/{name}.key\"; or name a file with `--out`")
    } else {
        format!("it declares: {}", known.join(", "))
    })
}

fn passphrase(arguments: &KeyGenerate) -> Option<SecretRef> {
    let reference = SecretRef {
        env: arguments.passphrase_env.clone(),
        file: arguments.passphrase_file.clone(),
        command: None,
    };
    (reference.env.is_some() || reference.file.is_some()).then_some(reference)
}

fn made(path: &Path, kept: Option<&Path>, facts: &KeyFacts) -> String {
    let mut text = format!(
        "Made {} (id {}), readable by its owner only.\n",
        path.display(),
        facts.key_id
    );
    if let Some(kept) = kept {
        let _ = writeln!(
            text,
            "The earlier key is now {}: name it in `previous`, run `mainstay key rotate`, and only then put it away.",
            kept.display()
        );
    }
    text.push_str(
        "Without this key, what is encrypted for it alone is lost: keep a copy off this machine and off the tiers.\n",
    );
    text
}

async fn rotate_keys(arguments: &KeyRotate, global: &Global) -> Result<Exit> {
    let (path, policy) = policy::load(global)?;
    for name in &arguments.database {
        planning::declared(&policy, name)?;
    }
    let asked = |name: &DatabaseName| {
        arguments.database.is_empty()
            || arguments
                .database
                .iter()
                .any(|asked| asked == name.as_str())
    };
    let wanted: BTreeMap<DatabaseName, Vec<KeyName>> = policy
        .databases
        .values()
        .filter(|database| asked(&database.name))
        .map(|database| (database.name.clone(), database.encrypt_with.clone()))
        .collect();
    if wanted.values().all(Vec::is_empty) {
        return Err(Failure::new(
            "mainstay::arguments::key",
            "none of these databases is encrypted, so there is nothing to rotate",
        )
        .help("name the keys in `encrypt-with`; what was stored plain before stays plain until it ages out"));
    }
    let named = arguments
        .tier
        .iter()
        .map(|name| planning::declared_tier(&policy, name).cloned())
        .collect::<Result<BTreeSet<_>>>()?;
    let catalog = session::catalog_or_fail(global, &path).await?;
    let known = catalog.inventory(clock::now()).await?.recovery_points;
    let points: Option<BTreeSet<RecoveryPointId>> = (!arguments.database.is_empty()).then(|| {
        let asked = known.iter().filter(|point| asked(&point.database));
        asked.map(|point| point.id.clone()).collect()
    });
    let now = clock::now();
    let order = RotateOrder {
        wanted,
        points,
        tiers: (!named.is_empty()).then_some(named),
        keep_old: arguments.keep_old,
        who: settings::who(),
        why: arguments.why.clone().unwrap_or_default(),
        run: running::run_name(now).replace("run-", "rotate-"),
        lease_wait: Duration::from_secs(arguments.lease_wait),
    };
    let wired = wiring::wire(&policy, settings::scratch(global, &path))?;
    let clock: Arc<dyn Clock> = Arc::new(running::RealClock);
    let bar = Bar::counting("wrapping keys anew");
    let counter = bar.counter();
    let rotated = tokio::select! {
        rotated = rotate(&order, &wired, &catalog, &clock, &*counter) => rotated,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::new("mainstay::key::stopped", "stopped; every copy has its old or its new recipients, and both open it")
                .help("run `mainstay key rotate` again; it goes on where this one ended"));
        }
    };
    bar.finish();
    catalog.close().await;
    let report = rotated?;
    if global.json {
        out::json(&render::rotation_json(&report))?;
    } else {
        out::data(&render::rotation_text(&report))?;
    }
    Ok(if report.is_complete() {
        Exit::Done
    } else {
        Exit::PartlyFailed
    })
}
