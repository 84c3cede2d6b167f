//! Runs and their events: the journal of what was carried out.

use crate::{
    audit::{self, AuditDetails, AuditEntry, AuditKind},
    catalog::Catalog,
    connection::signed,
    error::CatalogError,
    policy_change,
};
use jiff::Timestamp;
use model::{
    Digest,
    event::{RunEvent, Summary, What},
};

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Names the run; made by the caller, so that a repeat is recognised.
    pub id: String,
    /// Id of the plan.
    pub plan_digest: Digest,
    /// The whole plan as JSON.
    pub plan_json: String,
    /// Digest of the policy that it was made from.
    pub policy_digest: Digest,
    /// Who ordered it.
    pub who: String,
    /// Now.
    pub at: Timestamp,
}

/// A run as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Names the run.
    pub id: String,
    /// Id of the plan.
    pub plan_digest: Digest,
    /// Digest of the policy that it was made from.
    pub policy_digest: Digest,
    /// Who ordered it.
    pub who: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None`: it runs, or it crashed.
    pub finished_at: Option<Timestamp>,
    /// Counts of outcomes, once it has ended.
    pub summary: Option<Summary>,
}

impl Catalog {
    /// Records that a run begins, and whether it is the first under its policy. A repeat with the same id changes nothing.
    pub async fn start_run(&self, run: &NewRun) -> Result<(), CatalogError> {
        let mut transaction = self.write("start_run").await?;
        let earlier = transaction
            .row(
                "SELECT policy_digest, plan FROM runs WHERE id = (SELECT id FROM runs ORDER BY started_at DESC, id DESC LIMIT 1) \
                 AND policy_digest <> $1",
                &[run.policy_digest.as_str().into()],
            )
            .await?;
        let earlier = match earlier {
            Some(row) => Some((Digest::from(row.get::<String>(0)?), row.get::<String>(1)?)),
            None => None,
        };
        let any = transaction.row("SELECT 1 FROM runs LIMIT 1", &[]).await?;
        let inserted = transaction
            .execute(
                "INSERT INTO runs (id, plan_digest, plan, policy_digest, who, started_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
                &[
                    run.id.as_str().into(),
                    run.plan_digest.as_str().into(),
                    run.plan_json.as_str().into(),
                    run.policy_digest.as_str().into(),
                    run.who.as_str().into(),
                    run.at.into(),
                ],
            )
            .await?;
        if inserted > 0 {
            if earlier.is_some() || any.is_none() {
                audit::append(&mut transaction, &policy_change::entry(run, earlier)).await?;
            }
            let entry = AuditEntry {
                at: run.at,
                who: run.who.clone(),
                kind: AuditKind::Run,
                what: run.id.clone(),
                why: format!("started plan {}", run.plan_digest),
                details: Some(AuditDetails::RunBegan {
                    plan: run.plan_digest.clone(),
                    policy: run.policy_digest.clone(),
                    run: run.id.clone(),
                }),
            };
            audit::append(&mut transaction, &entry).await?;
        }
        transaction.commit().await
    }

    /// Appends an event to its run's journal; progress is left out. A repeat after a lost answer appends it again.
    ///
    /// Errors: [`CatalogError::UnknownRun`].
    pub async fn append_event(&self, event: &RunEvent) -> Result<(), CatalogError> {
        if matches!(event.what, What::StepProgress { .. }) {
            return Ok(());
        }
        let mut transaction = self.write("append_event").await?;
        let text = serde_json::to_string(event)
            .map_err(|_| transaction.corrupt("an event cannot be written"))?;
        let appended = transaction
            .execute(
                "INSERT INTO events (run, at, event) SELECT id, $2, $3 FROM runs WHERE id = $1",
                &[
                    event.run.as_str().into(),
                    event.at.into(),
                    text.as_str().into(),
                ],
            )
            .await?;
        if appended == 0 {
            return Err(CatalogError::UnknownRun(event.run.clone()));
        }
        transaction.commit().await
    }

    /// Records that a run has ended. Only the first call counts.
    ///
    /// Errors: [`CatalogError::UnknownRun`].
    pub async fn finish_run(
        &self,
        run: &str,
        summary: &Summary,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.write("finish_run").await?;
        let row = transaction
            .row(
                "SELECT who, finished_at, plan_digest FROM runs WHERE id = $1",
                &[run.into()],
            )
            .await?;
        let Some(row) = row else {
            return Err(CatalogError::UnknownRun(run.to_owned()));
        };
        if row.maybe_time(1)?.is_some() {
            return Ok(());
        }
        let text = serde_json::to_string(summary)
            .map_err(|_| transaction.corrupt("a summary cannot be written"))?;
        transaction
            .execute(
                "UPDATE runs SET finished_at = $2, summary = $3 WHERE id = $1",
                &[run.into(), at.into(), text.as_str().into()],
            )
            .await?;
        let entry = AuditEntry {
            at,
            who: row.get(0)?,
            kind: AuditKind::Run,
            what: run.to_owned(),
            why: format!(
                "ended with {} done, {} already done, {} failed, {} skipped, {} stale, {} blocked, {} waiting for approval",
                summary.done,
                summary.already_done,
                summary.failed,
                summary.skipped,
                summary.stale,
                summary.blocked,
                summary.needs_approval
            ),
            details: Some(AuditDetails::RunEnded {
                plan: row.get::<String>(2)?.into(),
                run: run.to_owned(),
                summary: *summary,
            }),
        };
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await
    }

    /// The newest `limit` runs, newest first.
    pub async fn runs(&self, limit: u64) -> Result<Vec<Run>, CatalogError> {
        let mut transaction = self.read("runs").await?;
        let rows = transaction
            .rows(
                "SELECT id, plan_digest, policy_digest, who, started_at, finished_at, summary FROM runs \
                 ORDER BY started_at DESC, id DESC LIMIT $1",
                &[signed(limit).into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let summary = match row.get::<Option<String>>(6)? {
                    Some(_) => Some(row.json(6, "a summary")?),
                    None => None,
                };
                Ok(Run {
                    id: row.get(0)?,
                    plan_digest: row.get::<String>(1)?.into(),
                    policy_digest: row.get::<String>(2)?.into(),
                    who: row.get(3)?,
                    started_at: row.time(4)?,
                    finished_at: row.maybe_time(5)?,
                    summary,
                })
            })
            .collect()
    }

    /// The plan of a run, as JSON.
    pub async fn run_plan(&self, run: &str) -> Result<Option<String>, CatalogError> {
        let mut transaction = self.read("run_plan").await?;
        let row = transaction
            .row("SELECT plan FROM runs WHERE id = $1", &[run.into()])
            .await?;
        row.map(|row| row.get(0)).transpose()
    }

    /// The events of a run in the order they were appended.
    pub async fn events(&self, run: &str) -> Result<Vec<RunEvent>, CatalogError> {
        let mut transaction = self.read("events").await?;
        let rows = transaction
            .rows(
                "SELECT event FROM events WHERE run = $1 ORDER BY id",
                &[run.into()],
            )
            .await?;
        rows.iter().map(|row| row.json(0, "an event")).collect()
    }
}
