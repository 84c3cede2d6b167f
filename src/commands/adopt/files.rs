//! What files there are, what each is, and whether it is a recovery point already.

use crate::{
    arguments::{AdoptArguments, CapturedAt},
    failure::{Failure, Result},
    render::adopt::{Account, Fate, Row},
    wiring,
};
use catalog::Catalog;
use executor::Wiring;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use model::{Inventory, PointState, RecoveryPointId, TierName};
use policy_schema::{
    Policy,
    policy::{DatabaseDeclaration, Series},
};
use providers::adopt::{
    ExistingFile, Found, Inspected, TimeChoice, TimeFormat, Unfit, UnfitKind, Wanted, digest,
    files, inspect, objects,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tokio::task::JoinSet;

/// Files that are looked into at once.
const AT_ONCE: usize = 16;

/// Looks for the files and into each.
pub(super) async fn look(
    arguments: &AdoptArguments,
    policy: &Policy,
    (database, series): (&DatabaseDeclaration, &Series),
    wiring: &Wiring,
    now: Timestamp,
) -> Result<Account> {
    let zone = zone(arguments, policy)?;
    let before = arguments.before.as_deref();
    let before = before.map(|text| moment(text, &zone)).transpose()?;
    let engine = wiring
        .databases
        .get(&database.name)
        .map(|wired| &wired.engine);
    let own_name = match engine {
        Some(engine) if !arguments.any_database => engine.name_in_dumps().await,
        _ => None,
    };
    let wanted = Wanted {
        engine: database.engine.clone(),
        method: series.method.to_string(),
        database: own_name,
        choice: match arguments.captured_at {
            CapturedAt::Found => TimeChoice::Found,
            CapturedAt::Name => TimeChoice::Name,
            CapturedAt::Inside => TimeChoice::Inside,
            CapturedAt::Modified => TimeChoice::Modified,
        },
        format: format(arguments)?,
        zone,
        now,
    };
    let mut found = Found::default();
    for source in &arguments.sources {
        found.add(find(source, policy).await?);
    }
    let mut rows = inspect_all(found.files, wanted).await;
    if let Some(before) = before {
        rows.retain(|row| row.slot().is_none_or(|slot| slot < before));
    }
    refuse_twins(&mut rows);
    Ok(Account {
        database: database.name.clone(),
        series: series.name.clone(),
        rows,
        passed_over: found.passed_over,
        off_machine: wiring::off_machine(policy),
        damaged_seen: 0,
    })
}

fn zone(arguments: &AdoptArguments, policy: &Policy) -> Result<TimeZone> {
    let Some(name) = &arguments.time_zone else {
        return Ok(policy.timezone.clone());
    };
    TimeZone::get(name).map_err(|error| {
        Failure::from_error(
            "mainstay::adopt::time",
            Some("name a zone such as Europe/Prague or UTC".to_owned()),
            &error,
        )
    })
}

fn format(arguments: &AdoptArguments) -> Result<Option<TimeFormat>> {
    let format = arguments.time_format.as_deref().map(TimeFormat::new);
    format.transpose().map_err(|why| {
        Failure::new(
            "mainstay::adopt::time",
            format!("--time-format cannot be used: {why}"),
        )
        .help(
            "write it as strptime does: %Y-%m-%d, %d.%m.%Y, %y%m%d_%H%M, %s for seconds since 1970",
        )
    })
}

/// A day's first instant, or an instant.
fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp> {
    let day = text
        .parse::<Date>()
        .ok()
        .filter(|_| !text.contains(['T', ' ']));
    let day = day.and_then(|day| day.to_zoned(zone.clone()).ok());
    let instant = day.map(|day| day.timestamp()).or_else(|| text.parse().ok());
    instant.ok_or_else(|| {
        Failure::new(
            "mainstay::adopt::time",
            format!("`{text}` is no day and no instant"),
        )
        .help("write 2025-01-01 or 2025-01-01T02:00:00Z")
    })
}

/// Files of one source. What is there under its whole name is no `TIER:PREFIX`.
async fn find(source: &Path, policy: &Policy) -> Result<Found> {
    let text = source.to_str().unwrap_or_default();
    let on_tier = text
        .split_once(':')
        .filter(|_| source.symlink_metadata().is_err());
    let tier = on_tier.and_then(|(name, prefix)| {
        let declared = policy.tiers.get(name)?;
        Some((declared.name.clone(), prefix.trim_start_matches('/')))
    });
    if let Some((name, prefix)) = tier {
        return on(&name, prefix, policy).await;
    }
    let source = source.to_owned();
    match tokio::task::spawn_blocking(move || files(&source)).await {
        Ok(found) => Ok(found?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn on(name: &TierName, prefix: &str, policy: &Policy) -> Result<Found> {
    match wiring::foreign_tier(policy, name)? {
        Some(tier) => Ok(objects(&tier, prefix).await?),
        None => Ok(Found::default()),
    }
}

async fn inspect_all(files: Vec<ExistingFile>, wanted: Wanted) -> Vec<Row> {
    let wanted = Arc::new(wanted);
    let mut waiting = files.into_iter().enumerate();
    let mut looking: JoinSet<(usize, Row)> = JoinSet::new();
    let mut rows = BTreeMap::new();
    loop {
        while looking.len() < AT_ONCE
            && let Some((index, file)) = waiting.next()
        {
            let wanted = Arc::clone(&wanted);
            looking.spawn(async move {
                let inspected = inspect(&file, &wanted).await;
                (index, row(file, inspected))
            });
        }
        match looking.join_next().await {
            Some(Ok((index, row))) => {
                rows.insert(index, row);
            }
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => break,
        }
    }
    rows.into_values().collect()
}

fn row(file: ExistingFile, inspected: Result<Inspected, Unfit>) -> Row {
    let (inspected, fate) = match inspected {
        Ok(inspected) => (Some(inspected), Fate::Fits),
        Err(unfit) => (None, Fate::Unfit(unfit)),
    };
    Row {
        file,
        inspected,
        fate,
        point: None,
        exists: None,
    }
}

/// Two files of one time: nobody can tell which is meant.
fn refuse_twins(rows: &mut [Row]) {
    let mut by_slot: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some(slot) = row.slot() {
            by_slot.entry(slot).or_default().push(index);
        }
    }
    for (slot, twins) in by_slot.into_iter().filter(|(_, twins)| twins.len() > 1) {
        for index in &twins {
            let others: Vec<&str> = twins
                .iter()
                .filter(|other| *other != index)
                .map(|other| rows[*other].file.name.as_str())
                .collect();
            let why = format!(
                "of the same time ({slot}) as {}: adopt one of them, by its own name",
                others.join(", ")
            );
            rows[*index].fate = Fate::Unfit(Unfit::new(UnfitKind::SameSlot, why));
        }
    }
}

/// Files that do not tell of which database they are, and are called differently: they may be of several.
fn refuse_mixed(rows: &mut [Row]) {
    let mut by_words: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let inside = row.inspected.as_ref().map(|of| &of.recognised.database);
        if matches!((&row.fate, inside), (Fate::Fits, Some(None))) {
            by_words.entry(row.file.words()).or_default().push(index);
        }
    }
    if by_words.len() < 2 {
        return;
    }
    for (words, index) in by_words
        .iter()
        .flat_map(|(words, all)| all.iter().map(move |index| (words, *index)))
    {
        let others: Vec<String> = by_words
            .keys()
            .filter(|other| *other != words)
            .take(3)
            .map(|other| format!("`{other}`"))
            .collect();
        let why = format!(
            "nothing inside it tells of which database it is, and other files are called {} instead of `{words}`: name those of one database, such as with a pattern in quotes, or add --any-database",
            others.join(", ")
        );
        rows[index].fate = Fate::Unfit(Unfit::new(UnfitKind::UnclearDatabase, why));
    }
}

/// Tells what is a recovery point already from what would take another one's place.
pub(super) async fn compare(
    account: &mut Account,
    inventory: &Inventory,
    catalog: Option<&Catalog>,
    (database, series): (&DatabaseDeclaration, &Series),
    any_database: bool,
) -> Result<()> {
    for row in &mut account.rows {
        let (Fate::Fits, Some(slot)) = (&row.fate, row.slot()) else {
            continue;
        };
        let id = RecoveryPointId::new(&database.name, &series.name, slot);
        let known = inventory
            .recovery_points
            .iter()
            .any(|point| point.id == id && point.state == PointState::Complete);
        if known {
            row.fate = match catalog {
                Some(catalog) => against(row, &id, catalog).await?,
                None => taken(
                    &id,
                    "that is on a tier and unknown to the catalog: run `mainstay apply` first",
                ),
            };
            row.point = Some(id);
        }
    }
    if !any_database {
        refuse_mixed(&mut account.rows);
    }
    Ok(())
}

fn taken(id: &RecoveryPointId, what: &str) -> Fate {
    Fate::Unfit(Unfit::new(
        UnfitKind::SlotTaken,
        format!("there is a recovery point of this time already, `{id}`, {what}"),
    ))
}

/// A file that is the same by name, size and time was adopted; otherwise its content decides.
async fn against(row: &Row, id: &RecoveryPointId, catalog: &Catalog) -> Result<Fate> {
    let Some(manifest) = catalog.manifest(id).await? else {
        return Ok(taken(id, "of which the catalog has no manifest"));
    };
    let fact = |name: &str| manifest.source.get(name).map(String::as_str);
    let Some(sha256) = fact("adopted_sha256") else {
        return Ok(taken(id, "which is a backup of Mainstay's own"));
    };
    let same = fact("adopted_from") == Some(&row.file.name)
        && fact("adopted_bytes") == Some(&row.file.bytes.0.to_string())
        && fact("adopted_modified") == Some(&row.file.modified.to_string());
    if same || digest(&row.file).await?.hex() == sha256 {
        return Ok(Fate::Known);
    }
    let from = fact("adopted_from").unwrap_or("another file");
    Ok(taken(
        id,
        &format!("made of `{from}`, whose content is another"),
    ))
}
