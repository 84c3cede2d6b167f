//! Inventories from text: points with their copies, and runs of archived log.

use super::at;
use jiff::{SignedDuration, Timestamp};
use model::{
    ByteCount, Copy, CopyState, DatabaseName, Inventory, MethodName, PointState, RecoveryPoint,
    RecoveryPointId, SeriesName, TierName, Verified, VerifyLevel,
    inventory::DrillFact,
    wal::{
        ArchivedHistory, Lsn, TimelineHistory, TimelineSwitch, WalArchive, WalRun, WalSource,
        WalSpan, WalTier,
    },
};
use std::fmt::Write as _;

/// Size of a segment in tests.
pub(crate) const SEGMENT: u64 = 16 << 20;

pub(crate) fn inventory(now: &str, text: &str) -> Inventory {
    let mut inventory = Inventory::empty(at(now));
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if first == "unreachable" {
            let tier = TierName::new(rest).unwrap();
            inventory
                .unreachable_why
                .insert(tier.clone(), "its marker file is missing".to_owned());
            inventory.unreachable_tiers.push(tier);
        } else if first == "log" {
            log_line(&mut inventory, rest);
        } else if first == "history" {
            history_line(&mut inventory, rest);
        } else if first == "source" {
            source_line(&mut inventory, rest);
        } else if first == "drilled" {
            drilled_line(&mut inventory, rest);
        } else {
            inventory.recovery_points.push(point(first, rest));
        }
    }
    inventory
}

pub(super) fn point(id: &str, rest: &str) -> RecoveryPoint {
    let id = RecoveryPointId::parse(id).unwrap();
    let slot = stamp_to_time(id.stamp());
    let mut point = RecoveryPoint {
        adopted: false,
        wal: None,
        bytes: ByteCount(1 << 20),
        captured_at: slot,
        copies: Vec::new(),
        database: DatabaseName::new(id.database()).unwrap(),
        series: SeriesName::new(id.series()).unwrap(),
        id,
        method: MethodName::new("logical").unwrap(),
        parent: None,
        slot,
        state: PointState::Complete,
    };
    for word in rest.split_whitespace() {
        if word == "incomplete" {
            point.state = PointState::Incomplete;
        } else if word == "adopted" {
            point.adopted = true;
        } else if let Some(parent) = word.strip_prefix("parent=") {
            point.parent = Some(RecoveryPointId::parse(parent).unwrap());
        } else if let Some(wal) = word.strip_prefix("wal=") {
            point.wal = Some(Box::new(span(wal)));
        } else {
            let (tier, flags) = word.split_once(':').unwrap();
            point.copies.push(copy(tier, flags, slot));
        }
    }
    point
}

pub(super) fn copy(tier: &str, flags: &str, slot: Timestamp) -> Copy {
    let (flags, locked) = flags.split_once('L').unwrap_or((flags, ""));
    let level = flags.chars().find_map(|flag| match flag {
        'a' => Some(VerifyLevel::Attested),
        'v' => Some(VerifyLevel::Checksum),
        'f' => Some(VerifyLevel::FullRead),
        'r' => Some(VerifyLevel::Restore),
        _ => None,
    });
    let state = flags
        .chars()
        .find_map(|flag| match flag {
            'm' => Some(CopyState::Missing),
            'd' => Some(CopyState::Damaged),
            'x' => Some(CopyState::Foreign),
            _ => None,
        })
        .unwrap_or(CopyState::Present);
    Copy {
        bytes: ByteCount(1 << 20),
        held: flags.contains('h'),
        locked_until: (!locked.is_empty()).then(|| at(locked)),
        state,
        stored_at: slot,
        tier: TierName::new(tier).unwrap(),
        verified: level.map(|level| Verified { at: slot, level }),
    }
}

/// Daily points at 02:00 from `first` (a date) for `days` days, each with `copies`.
pub(crate) fn daily(name: &str, first: &str, days: i64, copies: &str) -> String {
    let start: jiff::civil::Date = first.parse().unwrap();
    (0..days).fold(String::new(), |mut text, day| {
        let date = start + SignedDuration::from_hours(24 * day);
        let _ = writeln!(text, "{name}/{}T020000Z {copies}", date.strftime("%Y%m%d"));
        text
    })
}

pub(crate) fn stamp_to_time(stamp: &str) -> Timestamp {
    at(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        &stamp[0..4],
        &stamp[4..6],
        &stamp[6..8],
        &stamp[9..11],
        &stamp[11..13],
        &stamp[13..15]
    ))
}

pub(crate) fn segment(number: &str) -> Lsn {
    Lsn::of_segment(number.parse().unwrap(), SEGMENT)
}

pub(super) fn cluster(text: &str) -> (u64, u32) {
    let (cluster, timeline) = text.split_once(':').unwrap();
    (cluster.parse().unwrap(), timeline.parse().unwrap())
}

/// `7:1:10-12`: begins a little after the start of segment 10 and ends in segment 12.
pub(super) fn span(text: &str) -> WalSpan {
    let (place, segments) = text.rsplit_once(':').unwrap();
    let (system_identifier, timeline) = cluster(place);
    let (first, last) = segments.split_once('-').unwrap();
    WalSpan {
        end: Lsn(segment(last).0 + 0x200),
        included: false,
        segment_bytes: SEGMENT,
        start: Lsn(segment(first).0 + 0x28),
        system_identifier,
        timeline,
    }
}

fn log_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[2]);
    let (first, last) = words[3].split_once('-').unwrap();
    let (start, last) = (segment(first), segment(last));
    let run = WalRun {
        bytes: ByteCount(last.since(start) / SEGMENT + 1),
        end: Lsn(last.0 + SEGMENT),
        last_stored_at: at(words[5]),
        segment_bytes: SEGMENT,
        start,
        stored_at: at(words[4]),
        system_identifier,
        timeline,
    };
    log_tier(inventory, words[0], words[1]).runs.push(run);
}

fn history_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[2]);
    let ancestors = words[3..].iter().map(|word| {
        let (timeline, left) = word.split_once('@').unwrap();
        TimelineSwitch {
            at: segment(left),
            timeline: timeline.parse().unwrap(),
        }
    });
    let history = TimelineHistory {
        ancestors: ancestors.collect(),
        timeline,
    };
    let there = log_tier(inventory, words[0], words[1]);
    there.histories.push(ArchivedHistory {
        history,
        system_identifier,
    });
}

fn source_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (system_identifier, timeline) = cluster(words[1]);
    log_of(inventory, words[0]).source = Some(WalSource {
        at: at(words[3]),
        position: segment(words[2]),
        system_identifier,
        timeline,
    });
}

fn drilled_line(inventory: &mut Inventory, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let database = DatabaseName::new(words[0]).unwrap();
    let series = SeriesName::new("any").unwrap();
    inventory.drills.push(DrillFact {
        at: at(words[2]),
        name: words[1].to_owned(),
        passed: words.get(3) != Some(&"failed"),
        recovery_point: RecoveryPointId::new(&database, &series, at(words[2])),
        slot: at(words[2]),
        database,
    });
}

pub(crate) fn log_of<'i>(inventory: &'i mut Inventory, database: &str) -> &'i mut WalArchive {
    let database = DatabaseName::new(database).unwrap();
    inventory.wal.entry(database).or_default()
}

pub(crate) fn log_tier<'i>(
    inventory: &'i mut Inventory,
    database: &str,
    tier: &str,
) -> &'i mut WalTier {
    let tier = TierName::new(tier).unwrap();
    log_of(inventory, database).tiers.entry(tier).or_default()
}
