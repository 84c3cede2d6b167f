//! Reading what exists: everything, one series, or one point.
//!
//! One read transaction, so the result is one state of the catalog. Points and copies are clustered by id and read in
//! pages in that order and joined here: two statements a page, however many points there are.

use crate::{
    approvals, catalog::Catalog, connection::Transaction, copies, error::CatalogError, holds,
    recoveries, retention, verifications,
};
use jiff::Timestamp;
use model::{
    ByteCount, Copy, DatabaseName, Inventory, MethodName, PointState, RecoveryPoint,
    RecoveryPointId, SeriesName, Verified,
};
use std::collections::BTreeSet;

const PAGE: i64 = 4096;

/// Sorts after `prefix` and before everything longer that starts with it: ids contain no character this small.
fn just_after(prefix: &str) -> String {
    format!("{prefix}!")
}

impl Catalog {
    /// Everything that is known, by id, as of `now` (which decides only which holds have ended). Points that were begun
    /// and not finished are in it as incomplete, without copies. What only a look at the tiers can tell (space,
    /// unreachable tiers) is left empty.
    pub async fn inventory(&self, now: Timestamp) -> Result<Inventory, CatalogError> {
        let mut transaction = self.read("inventory").await?;
        let mut inventory = Inventory::empty(now);
        // `~` sorts after every character of an id.
        inventory.recovery_points = read(&mut transaction, "", "~", now).await?;
        inventory.approval_in_force = approvals::rules(&mut transaction).await?;
        inventory.retention_in_force = retention::read(&mut transaction).await?;
        inventory.drills = recoveries::drills(&mut transaction).await?;
        inventory.restores = recoveries::measured(&mut transaction).await?;
        inventory.last_activity = last_activity(&mut transaction, &inventory).await?;
        Ok(inventory)
    }

    /// The points of one series, oldest first, incomplete ones included.
    pub async fn series(
        &self,
        database: &DatabaseName,
        series: &SeriesName,
        now: Timestamp,
    ) -> Result<Vec<RecoveryPoint>, CatalogError> {
        let mut transaction = self.read("series").await?;
        // `0` follows `/`.
        let (from, to) = (
            format!("{database}/{series}/"),
            format!("{database}/{series}0"),
        );
        read(&mut transaction, &from, &to, now).await
    }

    /// One point with its copies; `None` when it is not known.
    pub async fn point(
        &self,
        id: &RecoveryPointId,
        now: Timestamp,
    ) -> Result<Option<RecoveryPoint>, CatalogError> {
        let mut transaction = self.read("point").await?;
        let points = read(&mut transaction, id.as_str(), &just_after(id.as_str()), now).await?;
        Ok(points.into_iter().next())
    }
}

/// All points with `from <= id < to`, by id.
async fn read(
    transaction: &mut Transaction,
    from: &str,
    to: &str,
    now: Timestamp,
) -> Result<Vec<RecoveryPoint>, CatalogError> {
    let held = holds::held_points(transaction, now).await?;
    let mut points = Vec::new();
    let mut lower = from.to_owned();
    loop {
        let page = read_page(transaction, &lower, to, &held).await?;
        let Some(last) = page.last() else { break };
        lower = just_after(last.id.as_str());
        let full = i64::try_from(page.len()) == Ok(PAGE);
        points.extend(page);
        if !full {
            break;
        }
    }
    let incomplete = read_incomplete(transaction, from, to).await?;
    if !incomplete.is_empty() {
        points.extend(incomplete);
        points.sort_by(|a, b| a.id.cmp(&b.id));
    }
    Ok(points)
}

async fn read_page(
    transaction: &mut Transaction,
    from: &str,
    to: &str,
    held: &BTreeSet<RecoveryPointId>,
) -> Result<Vec<RecoveryPoint>, CatalogError> {
    let rows = transaction
        .rows(
            // Only an adopted point is of its slot to the microsecond, so few manifests are looked into.
            "SELECT id, captured_at, slot, method, parent, bytes, wal, CAST(CASE WHEN captured_at = slot AND EXISTS \
             (SELECT 1 FROM manifests WHERE manifests.point = points.id AND manifest LIKE '%\"adopted_from\":%') \
             THEN 1 ELSE 0 END AS BIGINT) FROM points WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3",
            &[from.into(), to.into(), PAGE.into()],
        )
        .await?;
    let mut points = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: RecoveryPointId = row.parsed(0, "a recovery point id")?;
        let parent = row
            .get::<Option<String>>(4)?
            .map(|text| text.parse().map_err(|_| row.bad("a parent's id")))
            .transpose()?;
        let wal = row.get::<Option<String>>(6)?;
        let wal = wal.map(|text| serde_json::from_str(&text)).transpose();
        let wal = wal.map_err(|_| row.bad("the log that a point needs"))?;
        points.push(RecoveryPoint {
            adopted: row.natural(7)? == 1,
            wal,
            bytes: ByteCount(row.natural(5)?),
            captured_at: row.time(1)?,
            copies: Vec::new(),
            database: DatabaseName::new(id.database()).map_err(|_| row.bad("a name"))?,
            method: row.parsed(3, "a method name")?,
            parent,
            series: SeriesName::new(id.series()).map_err(|_| row.bad("a name"))?,
            slot: row.time(2)?,
            state: PointState::Complete,
            id,
        });
    }
    let Some(last) = points.last() else {
        return Ok(points);
    };
    let end = just_after(last.id.as_str());
    attach_copies(transaction, &mut points, from, &end, held).await?;
    Ok(points)
}

/// Merges the copies of a page into its points; both are sorted by id.
async fn attach_copies(
    transaction: &mut Transaction,
    points: &mut [RecoveryPoint],
    from: &str,
    to: &str,
    held: &BTreeSet<RecoveryPointId>,
) -> Result<(), CatalogError> {
    let rows = transaction
        .rows(
            "SELECT point, tier, bytes, stored_at, state, locked_until, verified_level, verified_at FROM copies \
             WHERE point >= $1 AND point < $2 ORDER BY point, tier",
            &[from.into(), to.into()],
        )
        .await?;
    let mut index = 0;
    for row in &rows {
        let id: String = row.get(0)?;
        while points
            .get(index)
            .is_some_and(|point| point.id.as_str() < id.as_str())
        {
            index += 1;
        }
        // The foreign key makes sure of it; a database without it is not one of ours.
        let Some(point) = points
            .get_mut(index)
            .filter(|point| point.id.as_str() == id)
        else {
            return Err(row.bad("a copy of no point"));
        };
        let state = copies::state(&row.get::<String>(4)?);
        let verified = match (row.get::<Option<i64>>(6)?, row.maybe_time(7)?) {
            (Some(rank), Some(at)) => Some(Verified {
                at,
                level: verifications::level(row, rank)?,
            }),
            _ => None,
        };
        point.copies.push(Copy {
            bytes: ByteCount(row.natural(2)?),
            held: held.contains(&point.id),
            locked_until: row.maybe_time(5)?,
            state: state.ok_or_else(|| row.bad("the state of a copy"))?,
            stored_at: row.time(3)?,
            tier: row.parsed(1, "a tier name")?,
            verified,
        });
    }
    Ok(())
}

/// Points that are only announced.
async fn read_incomplete(
    transaction: &mut Transaction,
    from: &str,
    to: &str,
) -> Result<Vec<RecoveryPoint>, CatalogError> {
    let rows = transaction
        .rows(
            "SELECT point, min(method), min(slot), min(begun_at) FROM unfinished WHERE point >= $1 AND point < $2 \
             AND NOT EXISTS (SELECT 1 FROM points WHERE points.id = unfinished.point) GROUP BY point ORDER BY point",
            &[from.into(), to.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id: RecoveryPointId = row.parsed(0, "a recovery point id")?;
            Ok(RecoveryPoint {
                adopted: false,
                wal: None,
                bytes: ByteCount(0),
                captured_at: row.time(3)?,
                copies: Vec::new(),
                database: DatabaseName::new(id.database()).map_err(|_| row.bad("a name"))?,
                method: row.parsed::<MethodName>(1, "a method name")?,
                parent: None,
                series: SeriesName::new(id.series()).map_err(|_| row.bad("a name"))?,
                slot: row.time(2)?,
                state: PointState::Incomplete,
                id,
            })
        })
        .collect()
}

/// The newest of: a run's start and end, a copy's completion.
async fn last_activity(
    transaction: &mut Transaction,
    inventory: &Inventory,
) -> Result<Option<Timestamp>, CatalogError> {
    let row = transaction
        .row(
            "SELECT (SELECT max(started_at) FROM runs), (SELECT max(finished_at) FROM runs)",
            &[],
        )
        .await?;
    let (started, finished) = match &row {
        Some(row) => (row.maybe_time(0)?, row.maybe_time(1)?),
        None => (None, None),
    };
    let stored = inventory
        .recovery_points
        .iter()
        .flat_map(|point| &point.copies)
        .map(|copy| copy.stored_at)
        .max();
    Ok(started.max(finished).max(stored))
}
