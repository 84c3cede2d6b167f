//! Other tools' retention beside ours: the comparison sees what differs, and only that.

use super::support::{at, policy};
use jiff::{Timestamp, tz::TimeZone};
use mainstay_planner::{
    forecast::{Scenario, forecast},
    foreign::{
        Backup, Count, Kind, Rules, barman, borg,
        compare::{Comparison, Question, compare},
        pgbackrest, restic,
    },
};
use model::{
    DatabaseName, Inventory, SeriesName, TierName, retention::Each, tier_facts::TierCapabilities,
};

/// Runs the rules beside the only series of a policy, on its only tier.
fn beside(text: &str, rules: &Rules, years: i64) -> Comparison {
    let policy = policy(text);
    let from = at("2026-11-21T12:00:00Z");
    let until = Timestamp::from_second(from.as_second() + years * 31_557_600).unwrap();
    let capabilities = TierCapabilities::default();
    let scenario = Scenario::undisturbed(from, until);
    let forecast = forecast(&policy, &Inventory::empty(from), &capabilities, &scenario);
    let name = DatabaseName::new("orders").unwrap();
    compare(&Question {
        policy: &policy,
        database: &policy.databases[&name],
        lives: &forecast.databases[&name],
        tier: &TierName::new("nas").unwrap(),
        streams: &[(SeriesName::new("all").unwrap(), Kind::Full)],
        rules,
        from,
        until,
    })
}

fn restic(counts: &[(Each, u32)]) -> Rules {
    Rules::Restic(restic::Rules {
        counts: counts
            .iter()
            .map(|(each, n)| (*each, Count::Of(*n)))
            .collect(),
        ..restic::Rules::default()
    })
}

#[test]
fn the_same_rules_keep_the_same_points_for_years_and_through_changes_of_the_clock() {
    let rules = restic(&[
        (Each::Day, 7),
        (Each::Week, 4),
        (Each::Month, 12),
        (Each::Year, 3),
    ]);
    let text = "zone Europe/Prague\norders/all \"30 2,14 * * *\" nas{pick=last daily=7 weekly=4 monthly=12 yearly=3}";
    let comparison = beside(text, &rules, 5);
    assert!(comparison.is_same(), "{comparison:#?}");
    assert_eq!(comparison.runs, 5 * 365 * 2 + 4);
}

#[test]
fn a_rule_that_keeps_one_day_less_is_found_at_once_and_named() {
    let rules = restic(&[(Each::Day, 7)]);
    let fewer = beside("orders/all \"0 2 * * *\" nas{pick=last daily=6}", &rules, 1);
    assert!(!fewer.never_fewer());
    assert_eq!(fewer.fewer.most_at_once, 1);
    assert_eq!(fewer.fewer.groups.len(), 1);
    let group = &fewer.fewer.groups[0];
    assert_eq!(group.kept_by, "keep-daily");
    assert_eq!(group.first_run, at("2026-11-27T02:00:00Z"));
    assert_eq!(group.first_point, at("2026-11-21T02:00:00Z"));
    assert_eq!(fewer.more.runs, 0);

    let more = beside("orders/all \"0 2 * * *\" nas{pick=last daily=8}", &rules, 1);
    assert!(more.never_fewer() && !more.is_same());
    assert_eq!(more.more.groups[0].kept_by, "daily 8");
}

#[test]
fn the_first_of_a_period_is_not_the_last_of_it() {
    let rules = restic(&[(Each::Week, 4)]);
    let comparison = beside("orders/all \"0 2 * * *\" nas{weekly=4}", &rules, 1);
    assert!(comparison.fewer.runs > 0 && comparison.more.runs > 0);
}

#[test]
fn the_hour_that_comes_twice_is_one_to_borg_and_two_to_us() {
    let rules = Rules::Borg(borg::Rules {
        within_hours: None,
        counts: vec![(borg::Unit::Hour, Count::Of(24))],
    });
    let series = "orders/all \"0 * * * *\" nas{model=additive pick=last hourly=24}";
    assert!(beside(series, &rules, 1).is_same());
    let comparison = beside(&format!("zone Europe/Prague\n{series}"), &rules, 1);
    assert!(comparison.fewer.runs > 0, "{comparison:#?}");
    assert!(
        comparison.fewer.runs < 30,
        "only the day behind that night: {comparison:#?}"
    );
    let first = comparison.fewer.groups[0].first_run;
    assert!(
        first > at("2027-10-31T00:00:00Z") && first < at("2027-11-01T12:00:00Z"),
        "{first}"
    );
}

/// Letters of the backups that stay; each made a day after the one before.
fn stay(rules: pgbackrest::Rules, kinds: &str) -> String {
    let backups: Vec<Backup> = (0..)
        .zip(kinds.chars())
        .map(|(day, letter)| Backup {
            at: Timestamp::from_second(day * 86_400).unwrap(),
            kind: match letter {
                'F' => Kind::Full,
                'D' => Kind::Differential,
                _ => Kind::Incremental,
            },
        })
        .collect();
    let now = backups.last().unwrap().at;
    let verdicts = Rules::PgBackRest(rules).judge(&backups, now, &TimeZone::UTC);
    let letters = kinds.chars().zip(verdicts);
    letters
        .map(|(letter, why)| if why.is_some() { letter } else { '.' })
        .collect()
}

#[test]
fn the_examples_in_the_source_of_pgbackrest_come_out() {
    let rules = |full, differential| pgbackrest::Rules { full, differential };
    let count = |n| Some(pgbackrest::Full::Count(n));
    assert_eq!(stay(rules(None, Some(2)), "FDDF"), "F.DF");
    assert_eq!(stay(rules(count(2), None), "FIIFIIFI"), "...FIIFI");
    // "F1 D1a D1b D1c F2 D2a D2b F3 D3a D3b and the expiration time period is at D2b, then purge only F1, D1a, D1b and D1c"
    let days = Some(pgbackrest::Full::Days(3));
    assert_eq!(stay(rules(days, None), "FDDDFDDFDD"), "....FDDFDD");
    assert_eq!(stay(rules(None, Some(1)), "FIDIDI"), "FI..DI");
    assert_eq!(stay(rules(count(5), None), "FD"), "FD");
}

#[test]
fn barman_keeps_the_backup_that_its_window_begins_with() {
    let rules = Rules::Barman(barman::Rules {
        policy: barman::Policy::WindowDays(7),
        minimum: 0,
    });
    let comparison = beside("orders/all \"0 2 * * *\" nas{pick=last last=9}", &rules, 1);
    assert!(comparison.is_same(), "{comparison:#?}");
    let comparison = beside("orders/all \"0 2 * * *\" nas{within=7d}", &rules, 1);
    assert_eq!(comparison.fewer.most_at_once, 2);
}
