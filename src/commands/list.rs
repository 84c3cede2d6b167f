//! `list` and `info`: what is known about recovery points.

use crate::{
    arguments::{Global, ListArguments},
    clock,
    exit::Exit,
    failure::Result,
    render::{color, out, plan_text::local, table::table},
    session::{self, UnknownPoint},
    settings,
};
use model::{Copy, CopyState, Inventory, PointState, RecoveryPoint, RecoveryPointId};
use serde_json::json;
use std::fmt::Write as _;

/// Tables of a point that are listed before the rest is only counted.
const TABLES: usize = 50;

/// `list`.
pub(crate) async fn list(arguments: ListArguments, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    let mut inventory = match session::catalog_if_any(global, &policy).await? {
        Some(catalog) => catalog.inventory(now).await?,
        None => Inventory::empty(now),
    };
    inventory.recovery_points.retain(|point| {
        let wanted = |name: &Option<String>, is: &str| name.as_ref().is_none_or(|name| name == is);
        wanted(&arguments.database, point.database.as_str())
            && wanted(&arguments.series, point.series.as_str())
            && arguments
                .tier
                .as_ref()
                .is_none_or(|tier| point.copies.iter().any(|copy| copy.tier.as_str() == tier))
    });
    inventory
        .recovery_points
        .sort_by(|a, b| (&a.database, &a.series, a.slot).cmp(&(&b.database, &b.series, b.slot)));
    if global.json {
        out::json(&inventory)?;
        return Ok(Exit::Done);
    }
    if inventory.recovery_points.is_empty() {
        let filtered =
            arguments.database.is_some() || arguments.series.is_some() || arguments.tier.is_some();
        out::data(if filtered {
            "No recovery point fits.\n"
        } else {
            "No recovery points.\n"
        })?;
        return Ok(Exit::Done);
    }
    let zone = crate::policy::zone(&policy);
    let rows: Vec<Vec<String>> = inventory
        .recovery_points
        .iter()
        .map(|point| {
            let copies: Vec<String> = point
                .copies
                .iter()
                .map(|copy| copy_words(point, copy))
                .collect();
            vec![
                point.id.to_string(),
                local(point.captured_at, &zone),
                point.bytes.to_string(),
                copies.join(", "),
            ]
        })
        .collect();
    out::data(&table(
        &["RECOVERY POINT", "STATE OF", "SIZE", "COPIES"],
        &rows,
    ))?;
    Ok(Exit::Done)
}

/// `nas (full-read)`, `archive (never verified)`, `nas MISSING`.
fn copy_words(point: &RecoveryPoint, copy: &Copy) -> String {
    let verified = match (point.state, copy.state, copy.verified) {
        (PointState::Incomplete, ..) => color::paint(color::WARN, "incomplete"),
        (_, CopyState::Missing, _) => color::paint(color::REMOVE, "MISSING"),
        (_, CopyState::Damaged, _) => color::paint(color::REMOVE, "DAMAGED"),
        (_, CopyState::Foreign, _) => color::paint(color::WARN, "not yet adopted"),
        (_, CopyState::Present, Some(verified)) => verified.level.to_string(),
        (_, CopyState::Present, None) => color::paint(color::WARN, "not verified"),
    };
    let held = if copy.held { ", held" } else { "" };
    format!("{} ({verified}{held})", copy.tier)
}

/// Whether and for whom the objects of a point are encrypted.
fn encryption(manifest: &model::Manifest) -> String {
    if !manifest.is_encrypted() {
        return "no, stored as it is".to_owned();
    }
    let readable: Vec<&str> = manifest
        .objects
        .iter()
        .filter(|object| object.encryption.is_none())
        .map(|object| object.file.as_str())
        .collect();
    let readable = if readable.is_empty() {
        String::new()
    } else {
        format!("; {} is stored readable on purpose", readable.join(", "))
    };
    // Rotations since then stand in `keys.json` beside each copy, and in `key list`.
    format!(
        "AES-256, when it was made for {}{readable}",
        manifest.recipients.join(", ")
    )
}

/// `info`.
pub(crate) async fn info(what: &str, global: &Global) -> Result<Exit> {
    let policy = settings::policy_path(global)?;
    let now = clock::now();
    let Some(catalog) = session::catalog_if_any(global, &policy).await? else {
        return Err(session::no_catalog());
    };
    let (found, asked) = if let Ok(id) = RecoveryPointId::parse(what) {
        (catalog.point(&id, now).await?, Some(id))
    } else {
        let points = catalog.inventory(now).await?.recovery_points;
        let newest = points
            .into_iter()
            .filter(|point| point.database.as_str() == what && point.state == PointState::Complete)
            .max_by_key(|point| point.captured_at);
        (newest, None)
    };
    let Some(point) = found else {
        let unknown = asked
            .as_ref()
            .map_or(UnknownPoint::Database(what), UnknownPoint::Id);
        return Err(session::unknown_point(&catalog, unknown, now).await);
    };
    let manifest = catalog.manifest(&point.id).await?;
    let verifications = catalog.verifications(&point.id).await?;
    let holds: Vec<_> = catalog
        .holds()
        .await?
        .into_iter()
        .filter(|hold| hold.recovery_point == point.id && hold.is_active(now))
        .collect();
    if global.json {
        let verifications: Vec<_> = verifications
            .iter()
            .map(|check| json!({"tier": check.tier, "level": check.level, "at": check.at, "passed": check.passed, "detail": check.detail, "who": check.who}))
            .collect();
        let holds: Vec<_> = holds.iter().map(|hold| json!({"who": hold.who, "why": hold.why, "until": hold.until, "at": hold.at})).collect();
        out::json(
            &json!({"format": "mainstay.info.v1", "recovery_point": point, "manifest": manifest, "verifications": verifications, "holds": holds}),
        )?;
        return Ok(Exit::Done);
    }

    let mut text = String::new();
    let zone = crate::policy::zone(&policy);
    let _ = writeln!(text, "{}", color::paint(color::BOLD, &point.id));
    let _ = writeln!(
        text,
        "  state of    {} (slot {})",
        local(point.captured_at, &zone),
        local(point.slot, &zone)
    );
    let _ = writeln!(text, "  method      {}", point.method);
    let _ = writeln!(text, "  size        {}", point.bytes);
    if let Some(manifest) = &manifest {
        for object in &manifest.objects {
            let _ = writeln!(
                text,
                "  {:<11} {}, {} as {}, {} plain",
                object.role, object.file, object.bytes, object.content, object.plain_bytes
            );
            let _ = writeln!(
                text,
                "              {}",
                color::paint(color::DIM, &object.sha256)
            );
        }
        let _ = writeln!(text, "  encrypted   {}", encryption(manifest));
        for (key, value) in &manifest.source {
            let _ = writeln!(text, "  {key:<11} {value}");
        }
        let tables = &manifest.expectations.tables;
        if !tables.is_empty() {
            let rows: u64 = tables.values().filter_map(|table| table.rows).sum();
            let exact = tables.values().all(|table| table.exact);
            let _ = writeln!(
                text,
                "  expects     {} tables with {}{rows} rows",
                tables.len(),
                if exact { "" } else { "about " }
            );
            for (table, expected) in tables.iter().take(TABLES) {
                let rows = match (expected.rows, expected.exact) {
                    (Some(rows), true) => rows.to_string(),
                    (Some(rows), false) => format!("about {rows}"),
                    (None, _) => "not counted".to_owned(),
                };
                let _ = writeln!(text, "              {table}: {rows}");
            }
            if tables.len() > TABLES {
                let more = tables.len() - TABLES;
                let _ = writeln!(text, "              … and {more} more: see --json");
            }
        }
    }
    let _ = writeln!(text, "  copies");
    for copy in &point.copies {
        let _ = writeln!(
            text,
            "    {} since {}",
            copy_words(&point, copy),
            local(copy.stored_at, &zone)
        );
    }
    for hold in &holds {
        let until = hold.until.map_or_else(
            || "until released".to_owned(),
            |until| format!("until {}", local(until, &zone)),
        );
        let _ = writeln!(text, "  held        {until} by {}: {}", hold.who, hold.why);
    }
    if !verifications.is_empty() {
        let _ = writeln!(text, "  verifications");
        for check in &verifications {
            let result = if check.passed {
                color::paint(color::ADD, "passed")
            } else {
                color::paint(color::REMOVE, "FAILED")
            };
            let _ = writeln!(
                text,
                "    {} {} on {} {result} {}",
                local(check.at, &zone),
                check.level,
                check.tier,
                color::paint(color::DIM, &check.detail)
            );
        }
    }
    out::data(&text)?;
    Ok(Exit::Done)
}
