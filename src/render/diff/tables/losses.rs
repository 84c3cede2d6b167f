//! What a diff loses: recovery points, archived log, copies, and time until they go.

use super::{Table, Weight, expiries, joined, length};
use jiff::tz::TimeZone;
use planner::diff::{LostPoint, PolicyDiff};

/// The worst first.
pub(super) fn tables(diff: &PolicyDiff, zone: &TimeZone) -> Vec<Table> {
    vec![
        destroyed(diff),
        destroyed_later(diff),
        log(diff),
        Table::new(
            "Not backed up any more",
            Weight::Loss,
            &["what"],
            &diff.removed,
            |named| vec![named.to_string()],
        ),
        copies_lost(diff),
        expiries(
            "Copies that expire earlier",
            Weight::Loss,
            &diff.expires_earlier,
            zone,
        ),
    ]
}

fn destroyed(diff: &PolicyDiff) -> Table {
    Table::new(
        "Recovery points destroyed: no tier would keep them",
        Weight::Loss,
        &[
            "recovery point",
            "size",
            "lost on",
            "the old policy keeps it as",
        ],
        &diff.destroyed,
        lost,
    )
}

fn destroyed_later(diff: &PolicyDiff) -> Table {
    Table::new(
        "Recovery points destroyed later: something is in the way now",
        Weight::Loss,
        &[
            "recovery point",
            "size",
            "lost on",
            "the old policy keeps it as",
            "waits",
        ],
        &diff.destroyed_later,
        |point| {
            let mut cells = lost(point);
            let waits = point.copies.iter().filter_map(|copy| copy.waits.as_ref());
            let mut waits: Vec<&str> = waits.map(|reason| &*reason.text).collect();
            waits.dedup();
            cells.push(waits.join("; "));
            cells
        },
    )
}

fn log(diff: &PolicyDiff) -> Table {
    let windows: Vec<_> = diff.log_windows.iter().filter(|one| one.shorter).collect();
    Table::new(
        "Archived log deleted",
        Weight::Loss,
        &[
            "database",
            "tier",
            "any moment of the last",
            "now",
            "deleted",
        ],
        &windows,
        |window| {
            let size = window.bytes_destroyed.to_string();
            let lengths = [window.from, window.to].map(length);
            let [from, to] = lengths;
            vec![
                window.database.to_string(),
                window.tier.to_string(),
                from,
                to,
                size,
            ]
        },
    )
}

fn copies_lost(diff: &PolicyDiff) -> Table {
    Table::new(
        "Copies lost: another tier keeps the recovery point",
        Weight::Loss,
        &[
            "recovery point",
            "size",
            "lost on",
            "the old policy keeps it as",
            "left on",
        ],
        &diff.copies_lost,
        |point| {
            let mut cells = lost(point);
            cells.push(joined(&point.left_on));
            cells
        },
    )
}

fn lost(point: &LostPoint) -> Vec<String> {
    let kept: Vec<String> = point
        .copies
        .iter()
        .map(|copy| format!("{} on {}", copy.kept_by.join(", "), copy.tier))
        .collect();
    let tiers: Vec<&str> = point.copies.iter().map(|copy| copy.tier.as_str()).collect();
    vec![
        point.recovery_point.to_string(),
        point.bytes().to_string(),
        tiers.join(", "),
        kept.join("; "),
    ]
}
