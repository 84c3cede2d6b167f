//! Logs made by hand, and damaged in every way. That real servers' logs are read rightly is shown where servers can be started.

use super::*;
use jiff::Timestamp;
use proptest::prelude::*;

const SEGMENT: usize = 1 << 20;
const PAGE: usize = 8192;
const START: u64 = 0x0300_0000;

/// Writes records as a server of version 15 does.
struct Writer {
    bytes: Vec<u8>,
    previous: u64,
}

impl Writer {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            previous: 0,
        }
    }

    fn page(&mut self, remaining: usize) {
        let at = self.bytes.len();
        let is_long = at.is_multiple_of(SEGMENT);
        let info = u16::from(remaining > 0) | if is_long { 2 } else { 0 };
        self.bytes.extend(0xD110_u16.to_le_bytes());
        self.bytes.extend(info.to_le_bytes());
        self.bytes.extend(1_u32.to_le_bytes());
        self.bytes.extend((START + at as u64).to_le_bytes());
        self.bytes
            .extend(u32::try_from(remaining).unwrap().to_le_bytes());
        self.bytes.extend([0; 4]);
        if is_long {
            self.bytes.extend(7_u64.to_le_bytes());
            self.bytes
                .extend(u32::try_from(SEGMENT).unwrap().to_le_bytes());
            self.bytes
                .extend(u32::try_from(PAGE).unwrap().to_le_bytes());
        }
    }

    fn record(&mut self, manager: u8, info: u8, xid: u32, data: &[u8]) -> u64 {
        let mut body = Vec::new();
        if data.len() < 256 {
            body.extend([255, u8::try_from(data.len()).unwrap()]);
        } else {
            body.push(254);
            body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        }
        body.extend(data);
        if self.bytes.len().is_multiple_of(PAGE) {
            self.page(0);
        }
        let at = START + self.bytes.len() as u64;
        let mut head = Vec::new();
        head.extend(u32::try_from(HEADER + body.len()).unwrap().to_le_bytes());
        head.extend(xid.to_le_bytes());
        head.extend(self.previous.to_le_bytes());
        head.extend([info, manager, 0, 0]);
        let mut checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        checksum.update(&body);
        checksum.update(&head);
        head.extend(u32::try_from(checksum.finalize()).unwrap().to_le_bytes());
        head.extend(body);
        let mut rest = head.as_slice();
        while !rest.is_empty() {
            if self.bytes.len().is_multiple_of(PAGE) {
                self.page(rest.len());
            }
            let room = PAGE - self.bytes.len() % PAGE;
            let (now, later) = rest.split_at(rest.len().min(room));
            self.bytes.extend(now);
            rest = later;
        }
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.previous = at;
        at
    }

    fn commit(&mut self, xid: u32, micros: i64) -> u64 {
        self.record(RM_XACT, 0, xid, &micros.to_le_bytes())
    }

    /// Segments, the last one filled up with zeros.
    fn segments(mut self) -> Vec<Vec<u8>> {
        let size = self.bytes.len().next_multiple_of(SEGMENT);
        self.bytes.resize(size, 0);
        self.bytes.chunks(SEGMENT).map(<[u8]>::to_vec).collect()
    }
}

fn read_all(segments: &[Vec<u8>]) -> (Vec<LogEvent>, Vec<SegmentEnd>) {
    let mut reader = LogReader::new();
    let mut events = Vec::new();
    let ends = segments
        .iter()
        .map(|s| reader.read(s, |event| events.push(event)));
    let ends = ends.collect();
    (events, ends)
}

fn xids(events: &[LogEvent]) -> Vec<(u32, bool)> {
    let ends = events.iter().filter_map(|event| match event {
        LogEvent::Transaction(end) => Some((end.xid, end.committed)),
        LogEvent::RestorePoint { .. } => None,
    });
    ends.collect()
}

/// Two and a half segments with records of all sizes.
fn sample() -> (Writer, u32) {
    let mut writer = Writer::new();
    let mut xid = 700;
    for round in 0_usize.. {
        if writer.bytes.len() > SEGMENT * 5 / 2 {
            break;
        }
        writer.record(10, 0, xid, &vec![0xAB; round * 977 % 20_011]);
        writer.commit(xid, i64::from(xid) * 1_000_000);
        xid += 1;
    }
    (writer, xid)
}

#[test]
fn every_commit_is_found_over_pages_and_segments() {
    let (writer, last) = sample();
    let end = START + writer.bytes.len() as u64;
    let segments = writer.segments();
    let (events, ends) = read_all(&segments);
    let wanted: Vec<_> = (700..last).map(|xid| (xid, true)).collect();
    assert_eq!(xids(&events), wanted);
    assert_eq!(
        ends,
        [
            SegmentEnd::GoesOn,
            SegmentEnd::GoesOn,
            SegmentEnd::EndsAt(Lsn(end))
        ]
    );
    let y2k: Timestamp = "2000-01-01T00:11:40Z".parse().unwrap();
    assert_eq!(events[0].time(), y2k);
    // Beginning in the middle of the log, only what began before is missed.
    let (events, _) = read_all(&segments[1..]);
    let found = xids(&events);
    assert!(
        wanted.ends_with(&found) && found.len() > 20,
        "{}",
        found.len()
    );
    let other_order = [segments[0].clone(), segments[2].clone()];
    assert_eq!(read_all(&other_order).1[1], SegmentEnd::NotNext);
}

#[test]
fn aborts_prepared_transactions_and_restore_points_are_told() {
    let mut writer = Writer::new();
    writer.record(RM_XACT, 0x20, 5, &1_000_000_i64.to_le_bytes());
    // COMMIT PREPARED with a sub-transaction, a dropped statistic and an invalidation before the number.
    let mut data = 2_000_000_i64.to_le_bytes().to_vec();
    data.extend((0b1_0001_1010_u32).to_le_bytes());
    data.extend(1_u32.to_le_bytes());
    data.extend(99_u32.to_le_bytes());
    data.extend(1_u32.to_le_bytes());
    data.extend([1; 12]);
    data.extend(1_u32.to_le_bytes());
    data.extend([2; 16]);
    data.extend(4_242_u32.to_le_bytes());
    data.extend(b"gid\0");
    writer.record(RM_XACT, 0x30 | 0x80, 0, &data);
    let mut point = 3_000_000_i64.to_le_bytes().to_vec();
    point.extend(b"before the upgrade");
    point.resize(8 + 64, 0);
    let at = writer.record(RM_XLOG, RESTORE, 0, &point);
    let (events, _) = read_all(&writer.segments());
    assert_eq!(xids(&events), [(5, false), (4_242, true)]);
    assert!(matches!(
        &events[2],
        LogEvent::RestorePoint { name, at: found, .. } if name == "before the upgrade" && found.0 == at
    ));
}

const RESTORE: u8 = 0x70;

#[test]
fn behind_a_switch_the_log_goes_on_in_the_next_segment() {
    let mut writer = Writer::new();
    writer.commit(1, 0);
    writer.record(RM_XLOG, XLOG_SWITCH, 0, &[]);
    // A real switch record has no data at all; its length does not matter here.
    writer.bytes.resize(SEGMENT, 0);
    writer.commit(2, 0);
    let (events, ends) = read_all(&writer.segments());
    assert_eq!(xids(&events), [(1, true), (2, true)]);
    assert_eq!(ends[0], SegmentEnd::GoesOn);
}

#[test]
fn a_record_that_is_not_whole_is_where_the_log_ends() {
    let mut writer = Writer::new();
    writer.commit(1, 0);
    let cut = writer.record(RM_XACT, 0, 2, &[7; 2_000]);
    let mut segments = writer.segments();
    let place = usize::try_from(cut - START).unwrap() + 1_000;
    segments[0][place..].fill(0);
    let (events, ends) = read_all(&segments);
    assert_eq!(xids(&events), [(1, true)]);
    assert_eq!(ends, [SegmentEnd::EndsAt(Lsn(cut))]);
    // The same when the file itself ends there.
    segments[0].truncate(place);
    assert_eq!(read_all(&segments).1, [SegmentEnd::EndsAt(Lsn(cut))]);
}

#[test]
fn behind_a_break_the_next_segment_stands_for_itself() {
    let (writer, last) = sample();
    let mut segments = writer.segments();
    segments[0][SEGMENT / 2..].fill(0);
    let (events, ends) = read_all(&segments);
    assert!(matches!(ends[0], SegmentEnd::EndsAt(at) if at.0 < START + SEGMENT as u64 / 2));
    assert_eq!(ends[1], SegmentEnd::GoesOn);
    let found = xids(&events);
    assert_eq!(found.last(), Some(&(last - 1, true)));
    assert!(found.len() < usize::try_from(last - 700).unwrap());
}

#[test]
fn what_a_later_version_wrote_cannot_be_told() {
    let (writer, _) = sample();
    let mut segments = writer.segments();
    segments[0][0] = 0x7F;
    let (events, ends) = read_all(&segments[..1]);
    assert!(events.is_empty());
    assert_eq!(ends, [SegmentEnd::CannotTell { magic: 0xD17F }]);
    assert_eq!(
        read_all(&[Vec::new()]).1,
        [SegmentEnd::CannotTell { magic: 0 }]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_never_makes_up_a_commit_and_never_hangs(
        damage in prop::collection::vec((0..SEGMENT * 3, any::<u8>(), 1..64_usize), 1..6),
    ) {
        let (writer, last) = sample();
        let mut segments = writer.segments();
        for (at, value, length) in &damage {
            let segment = &mut segments[at / SEGMENT];
            let from = at % SEGMENT;
            let to = (from + length).min(SEGMENT);
            segment[from..to].fill(*value);
        }
        let (events, _) = read_all(&segments);
        let real: Vec<_> = (700..last).collect();
        let mut before = 0;
        for (xid, committed) in xids(&events) {
            prop_assert!(committed && real.contains(&xid) && xid > before);
            before = xid;
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end(
        mut bytes in prop::collection::vec(any::<u8>(), 0..40_000), magic in 0..4_u8,
    ) {
        // Often with a head that lets the reader in.
        if magic > 0 && bytes.len() > 40 {
            let (writer, _) = sample();
            bytes[..40].copy_from_slice(&writer.bytes[..40]);
        }
        let mut reader = LogReader::new();
        reader.read(&bytes, |_| {});
        reader.read(&bytes, |_| {});
    }
}
