//! Writes down that a restore happened, and how long it took.

use super::order::{RestoreOrder, RestoreReport};
use crate::{clock::Clock, steps::error::catalog_failure};
use catalog::{AuditEntry, AuditKind, Catalog, Measurement};
use model::{Manifest, event::Failure};
use std::sync::Arc;

pub(super) async fn record(
    order: &RestoreOrder,
    report: &RestoreReport,
    manifest: &Manifest,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Vec<Failure> {
    let mut gaps = Vec::new();
    let result = if report.passed() {
        "all checks passed"
    } else {
        "checks failed"
    };
    let entry = AuditEntry {
        at: clock.now(),
        who: order.who.clone(),
        kind: AuditKind::Restore,
        what: format!("{}@{}", report.point, report.tier),
        why: format!("to {}; {result}; {}", report.target, order.why),
    };
    if let Err(error) = catalog.audit(&entry).await {
        gaps.push(catalog_failure(&error));
    }
    let measured = Measurement {
        kind: "restore".to_owned(),
        database: manifest.database.clone(),
        series: manifest.series.clone(),
        tier: report.tier.clone(),
        bytes: report.bytes,
        milliseconds: report.phases.iter().map(|(_, ms)| ms).sum(),
        at: clock.now(),
    };
    if let Err(error) = catalog.record_measurement(&measured).await {
        gaps.push(catalog_failure(&error));
    }
    gaps
}
