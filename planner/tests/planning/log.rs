//! The archived log: what windows and bases need stays, what nothing needs goes, and a break is answered once.

use super::support::{ids, inventory, plan, plan_with, policy, show, show_kept};
use mainstay_planner::Options;
use model::{
    Action, ByteCount, Inventory, Keep, Plan, SeriesName, TierName,
    retention::{Each, KeepCount, KeepRule},
};
use model::{DatabaseName, Period};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const NOW: &str = "2026-11-21T03:00:00Z";
const POLICY: &str = r#"
    orders/base "0 2 * * *" nas{last=3}
    wal orders nas=7d
"#;

/// A base every day from the first to the twenty-first of November, ten segments apart, and all log.
fn month(copies: impl Fn(u32) -> &'static str) -> String {
    let mut text = String::new();
    for day in 1..=21 {
        let copies = copies(day);
        if !copies.is_empty() {
            let at = day * 10;
            let _ = writeln!(
                text,
                "orders/base/202611{day:02}T020000Z {copies} wal=7:1:{at}-{at}"
            );
        }
    }
    text
}

const ALL_LOG: &str = "log orders nas 7:1 5-215 2026-11-01T01:00:00Z 2026-11-21T02:59:00Z\n";

fn expired(plan: &Plan) -> Vec<String> {
    let text = show(plan);
    let lines = text.lines().filter(|line| line.starts_with("expire-wal:"));
    let words = lines.map(|line| line.split(": ").next().unwrap().to_owned());
    words.collect()
}

fn planned(policy_text: &str, inventory_text: &str) -> Plan {
    plan(&policy(policy_text), &inventory(NOW, inventory_text), NOW)
}

#[test]
fn the_base_that_a_window_begins_with_and_the_next_one_stay_although_their_series_lets_them_go() {
    let points = month(|_| "nas:v");
    let plan = planned(POLICY, &format!("{points}{ALL_LOG}"));
    let kept = show_kept(&plan);
    assert_eq!(
        kept,
        "orders/base/20261114T020000Z@nas: needed by the window of 7d on nas\n\
         orders/base/20261115T020000Z@nas: the next that the window of 7d on nas begins with\n\
         orders/base/20261119T020000Z@nas: last 3 of 3\n\
         orders/base/20261120T020000Z@nas: last 2 of 3\n\
         orders/base/20261121T020000Z@nas: last 1 of 3\n"
    );
}

#[test]
fn log_from_before_the_windows_base_goes_segment_by_segment_and_what_bases_need_themselves_stays() {
    // Only some are left: the first, the window's, and the newest.
    let points = month(|day| match day {
        1 => "vault:v",
        14 | 19 | 20 | 21 => "nas:v",
        _ => "",
    });
    let policy = POLICY.replace("nas{last=3}", "nas{last=3} vault{yearly=2}");
    let text = format!("{points}{ALL_LOG}");
    let plan = planned(&policy, &text);
    assert_eq!(
        expired(&plan),
        ["expire-wal:orders/base/20261114T020000Z@nas 7:1 5-9 7:1 11-139 NEEDS APPROVAL"],
        "{}",
        show(&plan)
    );
    let step = plan
        .steps
        .iter()
        .find(|step| step.action == Action::ExpireWal)
        .unwrap();
    assert!(step.destructive);
    assert_eq!(step.series.as_str(), "wal");
    assert_eq!(step.justified_by.len(), 2);

    // Of a stretch of log only the whole size is known: what goes of it counts by its segments, here 5 and 129 of 211.
    let mut heavier = inventory(NOW, &text);
    let tiers = heavier.wal.values_mut().flat_map(|log| &mut log.tiers);
    for run in tiers.flat_map(|(_, log)| &mut log.runs) {
        run.bytes = ByteCount(1_000);
    }
    let plan = self::plan(&self::policy(&policy), &heavier, NOW);
    let step = plan.steps.iter().find(|step| !step.wal.is_empty()).unwrap();
    assert_eq!(step.bytes, Some(ByteCount(23 + 611)));
}

#[test]
fn a_base_of_any_state_anywhere_keeps_its_own_piece_of_log() {
    for copies in [
        "vault:d",
        "vault:m",
        "vault:x",
        "vault:vh",
        "vault:u incomplete",
        "elsewhere:v",
    ] {
        let points = month(|day| match day {
            14 | 21 => "nas:v",
            _ => "",
        });
        let odd = format!("orders/gone/20261103T020000Z {copies} wal=7:1:33-35\n");
        let plan = planned(POLICY, &format!("{points}{odd}{ALL_LOG}"));
        let text = expired(&plan).join("\n");
        assert!(
            text.contains("7:1 5-32 7:1 36-139"),
            "{copies}: {}",
            show(&plan)
        );
    }
}

#[test]
fn nothing_goes_while_something_is_not_known() {
    let points = month(|day| if matches!(day, 14 | 21) { "nas:v" } else { "" });
    let all = format!("{points}{ALL_LOG}");
    assert_eq!(expired(&planned(POLICY, &all)).len(), 1);
    // The tier is away.
    assert!(expired(&planned(POLICY, &format!("{all}unreachable nas"))).is_empty());
    // Another tier with bases is away.
    let two = POLICY.replace("nas{last=3}", "nas{last=3} vault{last=3}");
    let waiting = planned(&two, &format!("{all}unreachable vault"));
    assert!(expired(&waiting).is_empty());
    assert!(
        show(&waiting).contains("~ expire-wal of orders@nas: prune-waits-for-tier"),
        "{}",
        show(&waiting)
    );
    // Nobody looked at the log.
    assert!(expired(&planned(POLICY, &points)).is_empty());
    // No base is verified.
    let unproved = all.replace("nas:v", "nas:u");
    assert!(expired(&planned(POLICY, &unproved)).is_empty());
    // The clock is behind, or far ahead.
    for now in ["2026-11-20T03:00:00Z", "2028-11-21T03:00:00Z"] {
        let mut known = inventory(NOW, &all);
        known.last_activity = Some(super::support::at(NOW));
        let plan = plan(&policy(POLICY), &known, now);
        assert!(expired(&plan).is_empty(), "{}", show(&plan));
    }
}

#[test]
fn a_window_is_measured_back_from_the_newest_log_so_that_a_stopped_archive_eats_no_history() {
    let points = month(|day| match day {
        3 | 10 | 11 | 12 => "nas:v",
        _ => "",
    });
    // Nothing came since the twelfth.
    let stopped = "log orders nas 7:1 5-125 2026-11-01T01:00:00Z 2026-11-12T03:00:00Z\n";
    let plan = planned(POLICY, &format!("{points}{stopped}"));
    assert!(
        show_kept(&plan).contains("20261103T020000Z@nas: needed by the window"),
        "{}",
        show_kept(&plan)
    );
    assert_eq!(
        expired(&plan),
        ["expire-wal:orders/base/20261103T020000Z@nas 7:1 5-29"]
    );
}

#[test]
fn a_history_shorter_than_its_window_keeps_its_oldest_base() {
    let points = month(|day| if day >= 17 { "nas:v" } else { "" });
    let log = "log orders nas 7:1 165-215 2026-11-17T01:00:00Z 2026-11-21T02:59:00Z\n";
    let plan = planned(POLICY, &format!("{points}{log}"));
    assert!(show_kept(&plan).contains("20261117T020000Z@nas: needed by the window of 7d on nas"));
    assert_eq!(
        expired(&plan),
        ["expire-wal:orders/base/20261117T020000Z@nas 7:1 165-169"]
    );
}

#[test]
fn a_chain_that_a_window_begins_with_stays_whole() {
    let policy = r#"
        orders/base "0 2 * * *" nas{last=2} incremental full-every=30d
        wal orders nas=7d
    "#;
    let mut points = String::new();
    for day in 10..=21 {
        let parent = match day {
            10 | 17 => String::new(),
            _ => format!(" parent=orders/base/202611{:02}T020000Z", day - 1),
        };
        let at = day * 10;
        let _ = writeln!(
            points,
            "orders/base/202611{day}T020000Z nas:v wal=7:1:{at}-{at}{parent}"
        );
    }
    let plan = planned(policy, &format!("{points}{ALL_LOG}"));
    // 14 begins the window and needs 13, 12, 11 and 10; 15 begins it tomorrow; of the first chain only 16 can go.
    assert_eq!(
        ids(&plan, Action::Prune),
        ["orders/base/20261116T020000Z@nas"]
    );
    assert_eq!(
        expired(&plan),
        [
            "expire-wal:orders/base/20261114T020000Z@nas 7:1 5-99 7:1 101-109 7:1 111-119 7:1 121-129 7:1 131-139 NEEDS APPROVAL"
        ]
    );
}

#[test]
fn old_clusters_and_timelines_go_only_when_they_were_over_before_the_window() {
    let points = month(|day| if matches!(day, 14 | 21) { "nas:v" } else { "" });
    let logs = "\
        log orders nas 7:1 135-215 2026-11-13T01:00:00Z 2026-11-21T02:59:00Z\n\
        log orders nas 6:1 900-950 2026-10-01T01:00:00Z 2026-11-13T02:00:00Z\n\
        log orders nas 5:1 1-3 2026-10-01T01:00:00Z 2026-11-15T02:00:00Z\n\
        log orders nas 7:2 1-3 2026-10-01T01:00:00Z 2026-10-02T02:00:00Z\n\
        history orders nas 7:2 1@1\n\
        log orders nas 7:3 150-160 2026-11-15T01:00:00Z 2026-11-16T02:00:00Z\n\
        history orders nas 7:3 1@150\n\
        log orders nas 7:4 1-3 2026-10-01T01:00:00Z 2026-10-02T02:00:00Z\n";
    let plan = planned(POLICY, &format!("{points}{logs}"));
    let text = expired(&plan).join("");
    // Cluster 6 ended before the window's base, cluster 5 after it; timeline 2 left long before it; timeline 3 branches off in the
    // window. Timeline 4 has no history: nobody knows what it belongs to, and its positions are all from before the base.
    assert!(
        text.contains("6:1 900-950") && text.contains("7:1 135-139") && text.contains("7:2 1-3"),
        "{}",
        show(&plan)
    );
    assert!(
        !text.contains("5:1") && !text.contains("7:3"),
        "{}",
        show(&plan)
    );
}

fn in_force(inventory: &mut Inventory, window: &str) {
    let keep = Keep {
        rules: vec![KeepRule {
            count: KeepCount::Window(Period::parse(window).unwrap()),
            each: Each::Point,
        }],
        ..Keep::default()
    };
    let tiers = BTreeMap::from([(TierName::new("nas").unwrap(), keep)]);
    let series = BTreeMap::from([(SeriesName::new("wal").unwrap(), tiers)]);
    inventory
        .retention_in_force
        .insert(DatabaseName::new("orders").unwrap(), series);
}

#[test]
fn a_shortened_window_deletes_nothing_before_a_person_agrees() {
    let policy = policy(POLICY);
    let points = month(|_| "nas:v");
    let mut inventory = inventory(NOW, &format!("{points}{ALL_LOG}"));
    in_force(&mut inventory, "14d");
    let plan = plan(&policy, &inventory, NOW);
    let step = plan
        .steps
        .iter()
        .find(|step| step.action == Action::ExpireWal)
        .unwrap();
    assert!(step.needs_approval);
    assert!(
        show(&plan).contains(
            "! retention-shortened: the window of orders on nas became shorter (`14d`, now `7d`)"
        ),
        "{}",
        show(&plan)
    );
    // The base that the longer window begins with stays until then.
    assert!(
        show_kept(&plan).contains("20261107T020000Z@nas: needed by the window of 14d on nas"),
        "{}",
        show_kept(&plan)
    );
    // While nothing can be deleted, the longer window is not forgotten.
    inventory
        .unreachable_tiers
        .push(TierName::new("nas").unwrap());
    let blind = plan_with(&policy, &inventory, NOW, &Options::default());
    let series = &blind.retention[&DatabaseName::new("orders").unwrap()];
    let keep = &series[&SeriesName::new("wal").unwrap()][&TierName::new("nas").unwrap()];
    assert_eq!(keep.to_string(), "within 14d");
}

#[test]
fn a_longer_window_is_in_force_at_once_and_deletes_less() {
    let mut inventory = inventory(NOW, &format!("{}{ALL_LOG}", month(|_| "nas:v")));
    in_force(&mut inventory, "2d");
    let plan = plan(&policy(POLICY), &inventory, NOW);
    assert!(!show(&plan).contains("retention-shortened"));
    let series = &plan.retention[&DatabaseName::new("orders").unwrap()];
    let keep = &series[&SeriesName::new("wal").unwrap()][&TierName::new("nas").unwrap()];
    assert_eq!(keep.to_string(), "within 7d");
}

const QUIET: &str = "orders/base/20261121T020000Z nas:v wal=7:1:210-210\n";

fn broken(log: &str) -> Option<String> {
    let plan = planned(POLICY, &format!("{QUIET}{log}"));
    let text = show(&plan);
    let line = text.lines().find(|line| line.starts_with("backup:"));
    line.map(|line| line.split_once(": wal-broken: ").unwrap().1.to_owned())
}

#[test]
fn a_hole_behind_the_newest_base_is_answered_by_a_base_out_of_turn() {
    assert_eq!(
        broken("log orders nas 7:1 205-212 2026-11-21T01:00:00Z 2026-11-21T02:30:00Z"),
        None
    );
    let hole = "\
        log orders nas 7:1 205-212 2026-11-21T01:00:00Z 2026-11-21T02:30:00Z\n\
        log orders nas 7:1 214-215 2026-11-21T02:40:00Z 2026-11-21T02:50:00Z";
    let why = broken(hole).unwrap();
    assert!(why.contains("the log on nas is whole only up to 0/D5000000 behind the newest base orders/base/20261121T020000Z"), "{why}");
    // What is only just on its way is no hole.
    assert_eq!(
        broken(&hole.replace("02:40", "02:58").replace("02:50", "02:59")),
        None
    );
    // A hole before the newest base was answered by it.
    let before = "\
        log orders nas 7:1 195-200 2026-11-21T01:00:00Z 2026-11-21T01:30:00Z\n\
        log orders nas 7:1 210-215 2026-11-21T02:00:00Z 2026-11-21T02:50:00Z";
    assert_eq!(broken(before), None);
}

#[test]
fn another_timeline_another_cluster_and_a_restored_server_are_breaks() {
    let log = "log orders nas 7:1 205-212 2026-11-21T01:00:00Z 2026-11-21T02:30:00Z\n";
    let source = |place: &str| format!("{log}source orders {place} 2026-11-21T02:59:00Z");
    assert_eq!(broken(&source("7:1 213")), None);
    assert!(
        broken(&source("7:2 213"))
            .unwrap()
            .contains("went to timeline 2")
    );
    assert!(
        broken(&source("8:1 1"))
            .unwrap()
            .contains("another cluster (8)")
    );
    assert!(
        broken(&source("7:1 100"))
            .unwrap()
            .contains("it was restored")
    );
    // What the server said before the base was made is old news.
    assert_eq!(
        broken(&format!("{log}source orders 7:2 213 2026-11-21T01:59:00Z")),
        None
    );
}

#[test]
fn one_break_makes_one_base() {
    let policy = policy(POLICY);
    let mut inventory = inventory(
        NOW,
        &format!("{QUIET}source orders 7:2 213 2026-11-21T02:59:00Z\n"),
    );
    let first = plan(&policy, &inventory, NOW);
    assert_eq!(ids(&first, Action::Backup).len(), 1);
    super::support::apply_to(&mut inventory, &first);
    let again = plan(&policy, &inventory, "2026-11-21T03:01:00Z");
    assert_eq!(
        ids(&again, Action::Backup),
        Vec::<String>::new(),
        "{}",
        show(&again)
    );
}
