//! The resolved policy as JSON: what it is digested from, and what `explain` shows.
//!
//! Invariant: what a policy says is in it, and nothing else: no comments, no order, no names of files or folders, so that
//! the same policy has the same digest on every machine.

use crate::policy::{
    CheckDeclaration, DatabaseDeclaration, Drill, DrillPick, ExceptionDeclaration, Objective,
    Policy, Series, Target, WalDeclaration, WalMode,
};
use jiff::SignedDuration;
use model::{Bandwidth, ByteCount, Digest, canonical};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// SHA-256 of the canonical JSON of the policy, written database by database: the whole tree would be large.
pub(crate) fn digest(policy: &Policy) -> Digest {
    struct Databases<'a>(&'a Policy);
    impl Serialize for Databases<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let all = self.0.databases.values();
            serializer.collect_map(all.map(|database| {
                let value = canonical::sorted(&database_json(database));
                (database.name.as_str(), value)
            }))
        }
    }
    let mut outside = canonical::sorted(&outside_databases(policy));
    let mut take = |key: &str| outside.get_mut(key).map(Value::take);
    let rest = ["approval", "check", "exception"].map(|key| (key, take(key)));
    // In the order of the alphabet, as canonical JSON wants it.
    let mut whole = BTreeMap::from([
        ("database", Part::Databases(Databases(policy))),
        ("key", Part::Value(take("key"))),
        ("mainstay", Part::Value(take("mainstay"))),
        ("safety", Part::Value(take("safety"))),
        ("tier", Part::Value(take("tier"))),
        ("timezone", Part::Value(take("timezone"))),
    ]);
    for (key, value) in rest {
        if value.is_some() {
            whole.insert(key, Part::Value(value));
        }
    }
    canonical::digest(&whole).unwrap_or_else(|_| Digest::sha256(&[0; 32]))
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<T> {
    Databases(T),
    Value(Option<Value>),
}

impl Policy {
    /// The resolved policy as canonical JSON, whose SHA-256 is [`Policy::digest`]. Secrets are references in it, never values.
    pub fn canonical_json(&self) -> String {
        canonical::sorted(&to_json(self)).to_string()
    }
}

/// The resolved policy.
pub(crate) fn to_json(policy: &Policy) -> Value {
    let mut whole = outside_databases(policy);
    let databases: Map<String, Value> = policy
        .databases
        .values()
        .map(|database| (database.name.to_string(), database_json(database)))
        .collect();
    whole["database"] = Value::Object(databases);
    whole
}

pub(crate) fn outside_databases(policy: &Policy) -> Value {
    let tiers: Map<String, Value> = policy
        .tiers
        .values()
        .map(|tier| {
            let mut own = json!({"kind": tier.kind, "concurrency": tier.concurrency});
            // Only when it is there: a policy without a limit keeps the digest that it had before limits existed.
            if let Some(bandwidth) = &tier.bandwidth {
                own["bandwidth"] = bandwidth_json(bandwidth);
            }
            // Neither does what every kind means by itself change a digest.
            if tier.media != tier.kind {
                own["media"] = json!(tier.media);
            }
            if tier.off_site != (tier.kind == "s3") {
                own["off-site"] = json!(tier.off_site);
            }
            (tier.name.to_string(), joined(own, &tier.table))
        })
        .collect();
    let keys: Map<String, Value> = policy
        .keys
        .values()
        .map(|key| {
            (
                key.name.to_string(),
                joined(json!({"kind": key.kind}), &key.table),
            )
        })
        .collect();
    let mut outside = json!({
        "mainstay": 1,
        "timezone": policy.timezone_name,
        "tier": tiers,
        "key": keys,
        "safety": {
            "min-verified": policy.safety.min_verified,
            "max-prune-count": policy.safety.max_prune_count,
            "max-prune-percent": policy.safety.max_prune_percent,
        },
    });
    if let Some(approval) = &policy.approval {
        outside["approval"] = json!({
            "exclude-author": approval.exclude_author,
            "quorum": approval.quorum,
            "signers": approval.signers,
        });
    }
    if !policy.checks.is_empty() {
        outside["check"] = policy.checks.iter().map(check_json).collect();
    }
    if !policy.exceptions.is_empty() {
        outside["exception"] = policy.exceptions.iter().map(exception_json).collect();
    }
    outside
}

fn check_json(check: &CheckDeclaration) -> Value {
    json!({
        "id": check.id,
        "severity": check.severity,
        "scope": check.scope,
        "parameters": check.rule,
        "enabled": check.enabled,
    })
}

fn exception_json(exception: &ExceptionDeclaration) -> Value {
    let mut own = json!({
        "check": exception.check,
        "owner": exception.owner,
        "why": exception.why,
        "until": exception.until,
    });
    match &exception.database {
        Some(database) => own["database"] = json!(database),
        None => own["scope"] = json!(exception.scope),
    }
    own
}

/// One database.
pub(crate) fn database_json(database: &DatabaseDeclaration) -> Value {
    let series: Map<String, Value> = database
        .series
        .values()
        .map(|series| (series.name.to_string(), series_json(series)))
        .collect();
    let drills: Vec<Value> = database
        .drills
        .iter()
        .enumerate()
        .map(|(index, drill)| drill_json(index, drill))
        .collect();
    let mut own = json!({
        "engine": database.engine,
        "labels": database.labels,
        "objective": objective_json(&database.objective),
        "encrypt-with": database.encrypt_with,
        "assert": database.asserts,
        "series": series,
        "drill": drills,
    });
    // Only when it is there, here and below: a policy without it keeps the digest that it had before there was any.
    if let Some(wal) = &database.wal {
        own["wal"] = wal_json(wal);
    }
    if let Some(declared) = database.declared_restore {
        own["declared-restore"] = json!(length(declared));
    }
    joined(own, &database.table)
}

fn objective_json(objective: &Objective) -> Value {
    let mut own = json!({"rpo": objective.rpo.map(target), "rto": objective.rto.map(target)});
    if !objective.at_age.is_empty() {
        own["at-age"] = objective
            .at_age
            .iter()
            .map(|one| json!({"from": one.from, "rpo": one.rpo.map(target), "rto": one.rto.map(target)}))
            .collect();
    }
    if objective.failures > 0 {
        own["failures"] = json!(objective.failures);
    }
    own
}

fn drill_json(index: usize, drill: &Drill) -> Value {
    let mut own = json!({
        "schedule": drill.schedule.to_string(),
        "pick": pick(drill.pick),
        "assert": drill.asserts,
    });
    if drill.name != Drill::default_name(index) {
        own["name"] = json!(drill.name);
    }
    if let Some(from) = &drill.from {
        own["from"] = json!(from);
    }
    if drill.amcheck {
        own["amcheck"] = json!(true);
    }
    own
}

fn wal_json(wal: &WalDeclaration) -> Value {
    let keep: Map<String, Value> = wal
        .keep
        .iter()
        .map(|(tier, window)| (tier.to_string(), json!(window)))
        .collect();
    let order: Vec<&str> = wal.keep.iter().map(|(tier, _)| tier.as_str()).collect();
    let mut own = json!({
        "mode": match wal.mode {
            WalMode::Archive => "archive",
            WalMode::Stream => "stream",
        },
        "keep": keep,
        "tiers": order,
        "compression-level": wal.compression_level,
        "parallel": wal.parallel,
    });
    if wal.mode == WalMode::Stream {
        own["slot"] = json!(wal.slot);
    }
    if let Some(spool) = &wal.spool {
        own["spool"] = json!(spool);
        own["spool-limit"] = json!(format!("{}B", wal.spool_limit.0));
    }
    own
}

/// As it is written, with times where there are any.
fn bandwidth_json(bandwidth: &Bandwidth) -> Value {
    let rate = |limit: ByteCount| format!("{}B/s", limit.0);
    if bandwidth.windows.is_empty() {
        return bandwidth
            .default
            .map_or(Value::Null, |limit| json!(rate(limit)));
    }
    let mut list: Vec<Value> = bandwidth
        .windows
        .iter()
        .map(|window| {
            json!({
                "from": window.from.strftime("%H:%M").to_string(),
                "to": window.to.strftime("%H:%M").to_string(),
                "limit": rate(window.limit),
            })
        })
        .collect();
    list.extend(bandwidth.default.map(|limit| json!({"limit": rate(limit)})));
    Value::Array(list)
}

/// As it is written.
fn pick(pick: DrillPick) -> Value {
    match pick {
        DrillPick::Newest => json!("newest"),
        DrillPick::OldestKept => json!("oldest-kept"),
        DrillPick::RandomWithin(period) => json!({"random-within": period}),
        DrillPick::RandomMoment(period) => json!({"random-moment-within": period}),
    }
}

fn series_json(series: &Series) -> Value {
    let keep: Map<String, Value> = series
        .keep
        .iter()
        .map(|(tier, keep)| (tier.to_string(), keep_json(keep)))
        .collect();
    let order: Vec<&str> = series.keep.iter().map(|(tier, _)| tier.as_str()).collect();
    let mut own = json!({
        "method": series.method,
        "schedule": series.schedule.to_string(),
        "start-delay": length(series.schedule.start_delay()),
        "keep": keep,
        "tiers": order,
        "verify": series.verify,
        "window": {
            "start-within": series.window.start_within.map(length),
            "timeout": length(series.window.timeout),
            "retries": series.window.retries,
            "retry-after": length(series.window.retry_after),
        },
    });
    if series.incremental {
        own["incremental"] = json!(true);
        own["full-every"] = json!(length(series.full_every));
    }
    joined(own, &series.table)
}

/// As it is written: a key for each rule. `daily = "30d"` means `within-daily = "30d"`, and stands for itself only where both are written.
fn keep_json(keep: &model::Keep) -> Value {
    use model::retention::{Each, KeepCount};
    let mut map = Map::new();
    for rule in &keep.rules {
        let key = rule.each.count_key();
        let (key, value) = match rule.count {
            KeepCount::Count(number) => (key.to_owned(), json!(number)),
            KeepCount::All => (key.to_owned(), json!("all")),
            KeepCount::Window(period) if rule.each == Each::Point => {
                ("within".to_owned(), json!(period))
            }
            KeepCount::Window(period) => (format!("within-{key}"), json!(period)),
        };
        let is_taken = map.contains_key(&key);
        let key = if is_taken {
            rule.each.count_key().to_owned()
        } else {
            key
        };
        map.insert(key, value);
    }
    if keep.forever {
        map.insert("forever".to_owned(), json!(true));
    }
    map.insert("model".to_owned(), json!(keep.model));
    map.insert("pick".to_owned(), json!(keep.pick));
    Value::Object(map)
}

fn target(target: Target) -> Value {
    json!({"target": length(target.target), "maximum": length(target.maximum)})
}

fn length(length: SignedDuration) -> String {
    let period = model::Period {
        seconds: length.as_secs().unsigned_abs(),
        ..model::Period::default()
    };
    period.to_string()
}

fn joined(own: Value, table: &Value) -> Value {
    let (Value::Object(mut own), Value::Object(table)) = (own, table) else {
        return Value::Null;
    };
    own.extend(
        table
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    Value::Object(own)
}
