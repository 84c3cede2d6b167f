//! Writes the record of every restore and drill, whether it ended well or not: also of one that could not even begin.
//!
//! Invariants: nothing that is recorded is guessed; times that add up to the whole do so exactly, and what overlapped says so
//! (`Phase::within`). A record that cannot be written is a gap that is told, never a reason to fail a restore.
//! Not here: documents made of it (`reports`), the estimate of the next one (`planner`).

use super::order::{RestoreError, RestoreOrder, RestoreReport};
use crate::{clock::Clock, steps::error::catalog_failure, thawing, wiring::Wiring};
use catalog::{Catalog, Measurement};
use jiff::Timestamp;
use model::{
    ByteCount, DatabaseName, Disposition, Manifest, MethodName, RecoveryPoint, RecoveryRecord,
    event::Failure,
    recovery_record::{FORMAT, Phase, Reached, RecordedCheck, Unjudged},
};
use providers::api::RestoreTarget;
use std::{sync::Arc, time::Instant};

/// Every code of this file, for the test that each has its page in `docs/errors/`.
pub(crate) const CODES: &[&str] = &["mainstay::drill::nothing-checked"];

/// A restore that has begun.
pub(super) struct Watch {
    began: Timestamp,
    clock: Instant,
}

impl Watch {
    pub(super) fn start(clock: &Arc<dyn Clock>) -> Self {
        Self {
            began: clock.now(),
            clock: Instant::now(),
        }
    }

    /// Makes the record of how it ended and writes it down.
    pub(super) async fn end(
        self,
        order: &RestoreOrder,
        wiring: &Wiring,
        catalog: Option<&Catalog>,
        clock: &Arc<dyn Clock>,
        result: Result<RestoreReport, RestoreError>,
    ) -> Result<RestoreReport, RestoreError> {
        let milliseconds = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let known = match catalog {
            Some(catalog) => Known {
                manifest: catalog.manifest(&order.point).await.ok().flatten(),
                point: catalog.point(&order.point, self.began).await.ok().flatten(),
            },
            None => Known::default(),
        };
        let Some(mut record) = blank(order, wiring, &known, self.began) else {
            return result;
        };
        record.finished_at = clock.now();
        record.rto_measured_milliseconds = milliseconds;
        match &result {
            Ok(report) => ended(&mut record, report, &known),
            Err(error) => failed(&mut record, error),
        }
        let waits = order.drill.is_some() && matches!(&result, Err(error) if waits(&error.failure));
        let gap = match catalog {
            // The drill is not over; the next run goes on with it.
            _ if waits => None,
            Some(catalog) => catalog.record_recovery(&record).await.err(),
            None => None,
        };
        let gap = gap.map(|error| catalog_failure(&error));
        match result {
            Ok(mut report) => {
                report.gaps.extend(gap);
                report.record = Some(Box::new(record));
                Ok(report)
            }
            Err(mut error) => {
                error.record = Some(Box::new(record));
                Err(error)
            }
        }
    }
}

/// Whether a copy only waits for its archive.
pub(crate) fn waits(failure: &Failure) -> bool {
    thawing::CODES.contains(&failure.code.as_str())
}

/// What the catalog knows of the point.
#[derive(Default)]
struct Known {
    manifest: Option<Manifest>,
    point: Option<RecoveryPoint>,
}

/// Everything that is known however it ends; `None`: the point's id names no database.
fn blank(
    order: &RestoreOrder,
    wiring: &Wiring,
    known: &Known,
    began: Timestamp,
) -> Option<RecoveryRecord> {
    let database = DatabaseName::new(order.point.database()).ok()?;
    let wired = wiring.databases.get(&database);
    let drill = order.drill.as_ref();
    let promised = |of_drill, of_database| {
        if drill.is_some() {
            of_drill
        } else {
            of_database
        }
    };
    let method = known.point.as_ref().map(|point| point.method.clone());
    let captured_at = known.point.as_ref().map(|point| point.captured_at);
    let selection = &order.selection;
    let parts = [&selection.tables, &selection.schemas, &selection.paths];
    Some(RecoveryRecord {
        checks: Vec::new(),
        drill: drill.map(|drill| drill.slot.clone()),
        engine: wired.map_or_else(String::new, |wired| wired.engine.kind().to_owned()),
        failure: None,
        finished_at: began,
        format: FORMAT.to_owned(),
        given_up: Vec::new(),
        id: order.run.clone(),
        mainstay_version: wiring.mainstay_version.clone(),
        method: method.or_else(|| MethodName::new("unknown").ok())?,
        notes: Vec::new(),
        passed: false,
        phases: Vec::new(),
        plain_bytes: known.manifest.as_ref().map(plain_bytes),
        policy_digest: order.policy_digest.clone(),
        reached: Reached::default(),
        recovery_point: order.point.clone(),
        rpo_measured_seconds: captured_at.map_or(0, |at| began.duration_since(at).as_secs().max(0)),
        rpo_promised: promised(
            drill.and_then(|drill| drill.rpo),
            wired.and_then(|wired| wired.rpo),
        ),
        rto_measured_milliseconds: 0,
        rto_promised: promised(
            drill.and_then(|drill| drill.rto),
            wired.and_then(|wired| wired.rto),
        ),
        selection: parts.into_iter().flatten().cloned().collect(),
        started_at: began,
        stored_bytes: ByteCount(0),
        target: order.recovery.as_ref().map(|wish| wish.target.clone()),
        target_place: match &order.target {
            RestoreTarget::Named(target) => without_password(target),
            RestoreTarget::Scratch => "a scratch target".to_owned(),
        },
        tier: order.from.clone(),
        unjudged: None,
        verified_before: None,
        who: order.who.clone(),
        why: order.why.clone(),
        database,
    })
}

/// Size of all objects before compression.
pub(super) fn plain_bytes(manifest: &Manifest) -> ByteCount {
    let objects = manifest.objects.iter();
    objects.fold(ByteCount(0), |sum, object| {
        sum.saturating_add(object.plain_bytes)
    })
}

fn ended(record: &mut RecoveryRecord, report: &RestoreReport, known: &Known) {
    record.checks = report
        .checks
        .iter()
        .map(|check| RecordedCheck {
            detail: check.detail.clone(),
            passed: check.passed,
            what: check.what.clone(),
        })
        .collect();
    record.passed = report.passed();
    if record.drill.is_some() && record.checks.is_empty() {
        record.passed = false;
        record.failure = Some(nothing_checked(record));
    }
    record.given_up.clone_from(&report.given_up);
    record.method = report.method.clone();
    record.notes.clone_from(&report.notes);
    record.phases = phases(report, record.rto_measured_milliseconds);
    record.plain_bytes = Some(report.plain_bytes);
    record.reached = report.reached.clone();
    record.rpo_measured_seconds = report.age_seconds.max(0);
    record.stored_bytes = report.bytes.saturating_add(report.log_bytes);
    record.target_place.clone_from(&report.target);
    record.verified_before = known
        .point
        .as_ref()
        .and_then(|point| point.copy_on(&report.tier))
        .and_then(|copy| copy.verified);
    record.tier = Some(report.tier.clone());
}

fn failed(record: &mut RecoveryRecord, error: &RestoreError) {
    record.failure = Some((*error.failure).clone());
    record.given_up.clone_from(&error.given_up);
    if error.tier.is_some() {
        record.tier.clone_from(&error.tier);
    }
    // A drill that cannot begin has proved nothing, whatever the reason: only of a restore the target may be a person's mistake.
    record.unjudged = error
        .unjudged
        .filter(|why| record.drill.is_none() || *why == Unjudged::Stopped);
    let until = match error.unjudged {
        Some(Unjudged::Stopped) => "until it was stopped",
        _ => "until it failed",
    };
    record.phases = vec![Phase {
        milliseconds: record.rto_measured_milliseconds,
        name: until.to_owned(),
        within: None,
    }];
}

/// Every phase, and what is between them as `other`, so that those which follow each other add up to the whole.
fn phases(report: &RestoreReport, whole: u64) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    let mut sum: u64 = 0;
    let loading = "load";
    for (name, milliseconds) in &report.phases {
        sum = sum.saturating_add(*milliseconds);
        phases.push(Phase {
            milliseconds: *milliseconds,
            name: name.clone(),
            within: None,
        });
        if name == loading {
            phases.extend(report.busy.iter().map(|(name, milliseconds)| Phase {
                milliseconds: *milliseconds,
                name: name.clone(),
                within: Some(loading.to_owned()),
            }));
        }
    }
    // Each phase is cut to whole milliseconds, so the rest is never negative but for an engine that counts twice.
    let rest = whole.saturating_sub(sum);
    if rest > 0 {
        phases.push(Phase {
            milliseconds: rest,
            name: "other".to_owned(),
            within: None,
        });
    }
    phases
}

fn nothing_checked(record: &RecoveryRecord) -> Failure {
    Failure {
        code: CODES[0].to_owned(),
        message: format!(
            "the drill of `{}` restored it and checked nothing, which proves nothing",
            record.database
        ),
        help: Some(
            "add `assert = [ { sql = \"…\", at-least = 1 } ]` to the database or to the drill, or let the series count rows"
                .to_owned(),
        ),
        disposition: Disposition::NeedsOperator,
    }
}

/// A URL as it may be shown.
fn without_password(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://") else {
        return target.to_owned();
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, _)) => (place, "?…"),
        None => (rest, ""),
    };
    let place = match place.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{user}@{place}")
        }
        None => place.to_owned(),
    };
    format!("{scheme}://{place}{query}")
}

/// Notes how long the reading took, for the measurements of each series.
pub(super) async fn measure(
    report: &RestoreReport,
    manifest: &Manifest,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Vec<Failure> {
    let measured = Measurement {
        kind: "restore".to_owned(),
        database: manifest.database.clone(),
        series: manifest.series.clone(),
        tier: report.tier.clone(),
        bytes: report.bytes,
        milliseconds: report.phases.iter().map(|(_, ms)| ms).sum(),
        at: clock.now(),
    };
    let gap = catalog.record_measurement(&measured).await.err();
    gap.map(|error| catalog_failure(&error))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_gets_into_a_record() {
        let shown = without_password("postgres://ada:p@ss@db.example.com/orders?password=x");
        assert_eq!(shown, "postgres://ada@db.example.com/orders?…");
        assert_eq!(without_password("orders_check"), "orders_check");
        assert_eq!(
            without_password("postgres://db/orders"),
            "postgres://db/orders"
        );
    }
}
