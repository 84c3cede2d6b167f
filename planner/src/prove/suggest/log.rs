//! The suggestion to archive the log, with a base backup to start from where there is none.
//!
//! Not here: whether that helps (`suggest`).

use super::{
    candidates::{Candidate, is_cold},
    of, toml,
};
use crate::prove::Question;
use model::{
    ByteCount, Keep, MethodName, Period, SeriesName, TierName,
    retention::{Each, KeepCount, KeepRule},
};
use policy_schema::{
    Schedule,
    policy::{CheckId, DatabaseDeclaration, Series, WalDeclaration, WalMode},
};

/// With shorter windows people notice too late that they need one.
const WINDOW_DAYS: u32 = 14;

/// When bases are made, where there are none yet.
const BASE_SCHEDULE: &str = "0 1 * * *";

/// Log and base backups on every tier of the first series that is read at once.
pub(super) fn with_log(
    question: &Question<'_>,
    database: &DatabaseDeclaration,
) -> Option<Candidate> {
    if database.engine != "postgres" || database.wal.is_some() {
        return None;
    }
    let like = database.series.values().next()?;
    let tiers = like.keep.iter().map(|(tier, _)| tier);
    let tiers: Vec<TierName> = tiers
        .filter(|tier| !is_cold(question, tier))
        .cloned()
        .collect();
    let first = tiers.first()?;
    let physical = MethodName::new("physical").ok()?;
    let known = database.series.values().find(|series| {
        series.method == physical && series.keep.iter().any(|(tier, _)| tier == first)
    });
    let new = match known {
        Some(_) => None,
        None => Some(base(like, physical, &tiers, free_name(database)?)?),
    };
    let wal = WalDeclaration {
        mode: WalMode::Archive,
        bases: vec![new.as_ref().or(known)?.name.clone()],
        keep: tiers
            .iter()
            .map(|tier| (tier.clone(), days(WINDOW_DAYS)))
            .collect(),
        slot: String::new(),
        compression_level: 1,
        parallel: 4,
        spool: None,
        spool_limit: ByteCount(1 << 30),
    };
    let mut text = toml::wal(database.name.as_str(), &wal.keep);
    if let Some(series) = &new {
        text.push_str("\n\n");
        text.push_str(&toml::series(database.name.as_str(), series));
    }
    let name = database.name.clone();
    Some(Candidate {
        mends: CheckId::Rpo,
        kind: "log".to_owned(),
        what: "archive the log: then any moment can be reached, and only its lag is lost"
            .to_owned(),
        place: "as further tables".to_owned(),
        toml: text,
        change: Box::new(move |policy| {
            let Some(database) = of(policy, &name) else {
                return;
            };
            if let Some(series) = &new {
                database.series.insert(series.name.clone(), series.clone());
            }
            database.wal = Some(wal.clone());
        }),
    })
}

fn days(days: u32) -> Period {
    Period {
        days,
        ..Period::default()
    }
}

fn free_name(database: &DatabaseDeclaration) -> Option<SeriesName> {
    let names = ["base", "physical", "base-for-log"].into_iter();
    names
        .filter_map(|name| SeriesName::new(name).ok())
        .find(|name| !database.series.contains_key(name))
}

/// A base backup a night, one day longer than the window.
fn base(like: &Series, method: MethodName, tiers: &[TierName], name: SeriesName) -> Option<Series> {
    let keep = Keep {
        rules: vec![KeepRule {
            count: KeepCount::Count(WINDOW_DAYS + 1),
            each: Each::Day,
        }],
        ..Keep::default()
    };
    Some(Series {
        name,
        method,
        table: serde_json::Value::Null,
        schedule: Schedule::cron(BASE_SCHEDULE).ok()?,
        keep: tiers
            .iter()
            .map(|tier| (tier.clone(), keep.clone()))
            .collect(),
        ..like.clone()
    })
}
