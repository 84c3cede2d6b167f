//! The forecast of n days equals n days of planning and of carrying the plans out, whatever happens in between.

use super::support::{apply_to, at, capable, daily, inventory, policy};
use jiff::{SignedDuration, Timestamp};
use mainstay_planner::{
    Options, draft_plan,
    forecast::{Forecast, LostTier, Outage, Scenario, forecast},
};
use model::{
    CopyState, DatabaseName, Inventory, Plan, SeriesName, StepId, TierName,
    tier_facts::TierCapabilities,
};
use policy_schema::Policy;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// `point@tier` of everything that can be restored.
pub(crate) type There = BTreeSet<String>;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How many slots of a series failed in a row, and what became of the newest.
type Failing = (u32, Option<(Timestamp, bool)>);

/// Plans and applies at every start of a series, and tells what is there at the end of each day.
pub(crate) struct Reference<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) capabilities: &'a TierCapabilities,
    pub(crate) scenario: &'a Scenario,
    pub(crate) inventory: Inventory,
    /// Before each look at the inventory.
    pub(crate) goes_on: fn(&mut Inventory, Timestamp),
    failures: BTreeMap<(DatabaseName, SeriesName), Failing>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        capabilities: &'a TierCapabilities,
        scenario: &'a Scenario,
        inventory: Inventory,
    ) -> Self {
        Self {
            policy,
            capabilities,
            scenario,
            inventory,
            goes_on: |_, _| {},
            failures: BTreeMap::new(),
        }
    }

    pub(crate) fn days(&mut self) -> Vec<(Timestamp, There)> {
        let mut days = Vec::new();
        let mut midnight = self.scenario.from + HOUR * 24;
        let mut event = Some(self.scenario.from);
        while midnight <= self.scenario.until {
            while let Some(now) = event.filter(|event| *event <= midnight) {
                self.event(now);
                event = self.next_event(now);
            }
            days.push((midnight, self.there()));
            midnight += HOUR * 24;
        }
        days
    }

    fn there(&self) -> There {
        let points = self.inventory.recovery_points.iter();
        points
            .flat_map(|point| {
                let present = point.copies.iter().filter(|copy| copy.is_present());
                present.map(|copy| format!("{}@{}", point.id, copy.tier))
            })
            .collect()
    }

    fn next_event(&self, now: Timestamp) -> Option<Timestamp> {
        let all = self
            .policy
            .databases
            .values()
            .flat_map(|database| database.series.values());
        let slots = all.filter_map(|series| {
            let delay = series.schedule.start_delay();
            let next = series
                .schedule
                .next_after(now - delay, &self.policy.timezone)?;
            Some(next + delay)
        });
        let ends = self.scenario.outages.iter().map(|outage| outage.until);
        let lost = self.scenario.lost_tiers.iter().map(|lost| lost.at);
        let copies = self
            .inventory
            .recovery_points
            .iter()
            .flat_map(|point| &point.copies);
        let locks = copies.filter_map(|copy| copy.locked_until);
        slots
            .chain(ends)
            .chain(lost)
            .chain(locks)
            .filter(|at| *at > now)
            .min()
    }

    fn event(&mut self, now: Timestamp) {
        for lost in self
            .scenario
            .lost_tiers
            .iter()
            .filter(|lost| lost.at == now)
        {
            for point in &mut self.inventory.recovery_points {
                for copy in point
                    .copies
                    .iter_mut()
                    .filter(|copy| copy.tier == lost.tier)
                {
                    copy.state = CopyState::Missing;
                    copy.verified = None;
                }
            }
        }
        let during = |outage: &&Outage| outage.from <= now && now < outage.until;
        let away: Vec<&Outage> = self.scenario.outages.iter().filter(during).collect();
        if away.iter().any(|outage| outage.tier.is_none()) {
            return;
        }
        self.inventory.unreachable_tiers = away
            .iter()
            .filter_map(|outage| outage.tier.clone())
            .collect();
        for _ in 0..12 {
            (self.goes_on)(&mut self.inventory, now);
            // Plans are checked in the other tests; here there are thousands.
            let plan = draft_plan(
                self.policy,
                &self.inventory,
                self.capabilities,
                now,
                &Options::default(),
            );
            let done = self.without_failures(plan);
            if done.steps.is_empty() {
                return;
            }
            apply_to(&mut self.inventory, &done);
        }
        panic!("plans without end at {now}");
    }

    fn without_failures(&mut self, mut plan: Plan) -> Plan {
        let mut failed: BTreeSet<StepId> = BTreeSet::new();
        let mut steps = std::mem::take(&mut plan.steps);
        steps.retain(|step| {
            let fails = step.after.iter().any(|id| failed.contains(id))
                || step
                    .slot
                    .is_some_and(|slot| self.fails(&step.database, &step.series, slot));
            if fails {
                failed.insert(step.id.clone());
            }
            !fails
        });
        plan.steps = steps;
        plan
    }

    fn fails(&mut self, database: &DatabaseName, series: &SeriesName, slot: Timestamp) -> bool {
        let key = (database.clone(), series.clone());
        let named = self
            .scenario
            .failed_slots
            .get(&key)
            .is_some_and(|slots| slots.contains(&slot));
        let (so_far, judged) = self.failures.entry(key).or_default();
        if let Some((judged, fails)) = judged
            && *judged == slot
        {
            return *fails;
        }
        let turn = *so_far < self.scenario.failed_runs;
        *so_far = if turn { *so_far + 1 } else { 0 };
        *judged = Some((slot, turn || named));
        turn || named
    }
}

/// What the forecast says is there at an instant.
pub(crate) fn there(forecast: &Forecast, at: Timestamp) -> There {
    let mut all = There::new();
    for (database, series) in &forecast.databases {
        for (series, tiers) in series {
            for (tier, lives) in tiers {
                for life in lives.iter().filter(|life| life.is_there(at)) {
                    let id = model::RecoveryPointId::new(database, series, life.slot);
                    assert!(
                        all.insert(format!("{id}@{tier}")),
                        "{id}@{tier} is there twice at {at}"
                    );
                }
            }
        }
    }
    all
}

/// Compares both, day by day.
pub(crate) fn agree(
    policy: &Policy,
    capabilities: &TierCapabilities,
    scenario: &Scenario,
    inventory: &Inventory,
) {
    let forecast = forecast(policy, inventory, capabilities, scenario);
    let mut reference = Reference::new(policy, capabilities, scenario, inventory.clone());
    for (midnight, mut expected) in reference.days() {
        // Orphans stay, and are not forecast.
        expected.retain(|one| !one.ends_with("@elsewhere"));
        let found = there(&forecast, midnight);
        let lacks: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        assert!(
            lacks.is_empty() && more.is_empty(),
            "{midnight}: the forecast lacks {lacks:?}, and has {more:?}"
        );
    }
}

const SCHEDULES: [&str; 8] = [
    "0 2 * * *",
    "30 2 * * *",
    "0 */6 * * *",
    "0 */3 * * *",
    "0 5 * * 1",
    "15 3 1 * *",
    "0 1,13 * * 1-5",
    "45 23 * * *",
];

fn keeps() -> impl Strategy<Value = String> {
    let units = prop::sample::select(vec![
        "last",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "yearly",
        "within",
        "within-daily",
        "within-weekly",
        "within-monthly",
    ]);
    let rules = prop::collection::vec((units, 1_u32..9), 1..4);
    let pick = prop::sample::select(vec!["", "", "", "pick=last"]);
    let model = prop::sample::select(vec!["", "", "", "model=additive"]);
    (rules, pick, model).prop_map(|(mut rules, pick, model)| {
        rules.sort_unstable();
        rules.dedup_by_key(|(unit, _)| *unit);
        let mut words: Vec<String> = rules
            .iter()
            .map(|(unit, count)| match *unit {
                "within" => format!("within={}h", count * 13),
                "within-daily" => format!("within-daily={}d", count * 2),
                "within-weekly" => format!("within-weekly={count}w"),
                "within-monthly" => format!("within-monthly={count}mo"),
                unit => format!("{unit}={count}"),
            })
            .collect();
        words.extend([pick, model].map(str::to_owned));
        words.join(" ").trim().to_owned()
    })
}

fn policies() -> impl Strategy<Value = String> {
    let series = (
        prop::sample::select(SCHEDULES.to_vec()),
        prop::collection::vec(keeps(), 1..4),
        prop::sample::select(vec!["", "", "start-within=2h", "incremental full-every=5d"]),
    );
    let zone = prop::sample::select(vec!["UTC", "Europe/Prague", "America/New_York"]);
    (prop::collection::vec(series, 1..3), zone, 1_u32..4).prop_map(
        |(series, zone, min_verified)| {
            let mut text = format!("zone {zone}\nmin-verified {min_verified}\n");
            for (number, (cron, keeps, options)) in series.iter().enumerate() {
                let tiers = ["nas", "vault", "archive"].iter().zip(keeps);
                let tiers: Vec<String> = tiers
                    .map(|(tier, keep)| format!("{tier}{{{keep}}}"))
                    .collect();
                let tiers = tiers.join(" ");
                let _ = writeln!(text, "db{number}/one \"{cron}\" {tiers} {options}");
            }
            text
        },
    )
}

fn beginnings() -> impl Strategy<Value = Timestamp> {
    prop::sample::select(vec![
        "2026-03-20T10:10:00Z",
        "2026-10-15T03:00:00Z",
        "2026-12-18T23:50:00Z",
    ])
    .prop_map(at)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_forecast_equals_planning_and_applying_day_by_day(
        text in policies(),
        from in beginnings(),
        days in 15_i64..45,
        failed_runs in prop::sample::select(vec![0_u32, 0, 0, 1, 2]),
        failed in prop::collection::btree_set(0_i64..60, 0..6),
    ) {
        let policy = policy(&text);
        let capabilities = capable("archive thaw=bulk,12h");
        let mut scenario = Scenario::undisturbed(from, from + HOUR * 24 * i32::try_from(days).unwrap());
        scenario.failed_runs = failed_runs;
        for database in policy.databases.values() {
            for series in database.series.values() {
                let mut slots = BTreeSet::new();
                let mut after = from;
                let mut number = 0;
                while let Some(slot) = series.schedule.next_after(after, &policy.timezone).filter(|slot| *slot < scenario.until) {
                    if failed.contains(&number) {
                        slots.insert(slot);
                    }
                    number += 1;
                    after = slot;
                }
                scenario.failed_slots.insert((database.name.clone(), series.name.clone()), slots);
            }
        }
        agree(&policy, &capabilities, &scenario, &inventory(&from.to_string(), ""));
    }

    #[test]
    fn outages_and_lost_tiers_are_forecast_as_they_would_be_planned(
        text in policies(),
        from in beginnings(),
        down in (1_i64..200, 1_i64..400),
        away in (prop::sample::select(vec!["nas", "vault", "archive"]), 1_i64..400, 1_i64..200),
        lost in (prop::sample::select(vec!["nas", "vault", "archive"]), 1_i64..600),
        which in 0_u32..8,
    ) {
        let policy = policy(&text);
        let mut scenario = Scenario::undisturbed(from, from + HOUR * 24 * 30);
        let begin = |hours: i64| from + SignedDuration::from_hours(hours);
        if which & 1 != 0 {
            scenario.outages.push(Outage { from: begin(down.0), until: begin(down.0 + down.1), tier: None });
        }
        if which & 2 != 0 {
            scenario.outages.push(Outage {
                from: begin(away.1),
                until: begin(away.1 + away.2),
                tier: Some(TierName::new(away.0).unwrap()),
            });
        }
        if which & 4 != 0 {
            scenario.lost_tiers.push(LostTier { at: begin(lost.1), tier: TierName::new(lost.0).unwrap() });
        }
        agree(&policy, &TierCapabilities::new(), &scenario, &inventory(&from.to_string(), ""));
    }
}

/// Years of a policy, so that months, quarters and years end.
#[test]
fn years_of_grandfathers_fathers_and_sons_are_forecast_as_they_would_be_planned() {
    let policy = policy(
        r#"
        zone Europe/Prague
        orders/daily "30 2 * * *" nas{daily=7 weekly=4} archive{monthly=12 yearly=7}
        erp/weekly "0 3 * * 0" nas{last=3} vault{quarterly=5 within-monthly=5mo}"#,
    );
    let capabilities = capable("archive thaw=bulk,12h");
    let scenario = Scenario::undisturbed(at("2026-11-21T12:00:00Z"), at("2029-02-01T00:00:00Z"));
    agree(
        &policy,
        &capabilities,
        &scenario,
        &inventory("2026-11-21T12:00:00Z", ""),
    );
}

#[test]
fn what_exists_today_goes_when_it_would_go() {
    let policy = policy(
        r#"
        orders/daily "0 2 * * *" nas{daily=7 weekly=3} vault{daily=3 monthly=2}
        max-prune-percent 100"#,
    );
    let now = "2026-11-21T03:00:00Z";
    let points = daily("orders/daily", "2026-10-01", 51, "nas:v vault:v")
        .replace(
            "20261005T020000Z nas:v vault:v",
            "20261005T020000Z nas:vh vault:v",
        )
        .replace(
            "20261112T020000Z nas:v",
            "20261112T020000Z nas:vL2026-12-01T12:00:00Z",
        )
        .replace("20261118T020000Z nas:v", "20261118T020000Z nas:d")
        .replace(
            "20261119T020000Z nas:v vault:v",
            "20261119T020000Z nas:u vault:m",
        )
        .replace(
            "20261120T020000Z nas:v vault:v",
            "20261120T020000Z nas:x vault:x",
        )
        .replace(
            "20261117T020000Z nas:v",
            "20261117T020000Z elsewhere:v nas:v",
        );
    let scenario = Scenario::undisturbed(at(now), at("2027-03-01T00:00:00Z"));
    agree(
        &policy,
        &TierCapabilities::new(),
        &scenario,
        &inventory(now, &points),
    );
    let forecast = forecast(
        &policy,
        &inventory(now, &points),
        &TierCapabilities::new(),
        &scenario,
    );
    let lives = &forecast.databases["orders"]["daily"]["nas"];
    let life = |slot: &str| lives.iter().find(|life| life.slot == at(slot)).unwrap();
    let held = life("2026-10-05T02:00:00Z");
    assert!(held.held && held.until.is_none() && held.point.is_some());
    let locked = life("2026-11-12T02:00:00Z");
    assert_eq!(locked.until, Some(at("2026-12-01T12:00:00Z")));
}

#[test]
fn locks_of_a_fixed_length_are_waited_for_and_locks_of_retention_are_never_in_its_way() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=3} vault{daily=2 weekly=2}"#);
    for can in [
        "nas lock=10d\nvault lock=36h",
        "nas lock=retention\nvault lock=retention",
    ] {
        let scenario =
            Scenario::undisturbed(at("2026-11-21T03:00:00Z"), at("2027-01-21T03:00:00Z"));
        agree(
            &policy,
            &capable(can),
            &scenario,
            &inventory("2026-11-21T03:00:00Z", ""),
        );
    }
}

#[test]
fn windows_of_log_keep_the_bases_that_they_begin_with() {
    let policy = policy(
        r#"
        orders/base "0 2 * * *" nas{last=3} offsite{weekly=2} incremental full-every=5d
        wal orders nas=9d offsite=20d"#,
    );
    // Any method but a dump can be rolled forward.
    let mut policy = policy;
    let orders = policy.databases.get_mut("orders").unwrap();
    orders.series.get_mut("base").unwrap().method = model::MethodName::new("physical").unwrap();
    let from = at("2026-11-21T03:00:00Z");
    let scenario = Scenario::undisturbed(from, from + HOUR * 24 * 60);
    let forecast = forecast(
        &policy,
        &inventory("2026-11-21T03:00:00Z", ""),
        &TierCapabilities::new(),
        &scenario,
    );
    let tiers = &forecast.databases["orders"]["base"];
    for (tier, days) in [("nas", 9), ("offsite", 20)] {
        let lives = &tiers[tier];
        let mut now = from + HOUR * 24 * 30;
        while now < scenario.until {
            let begins = now - HOUR * 24 * days;
            assert!(
                lives
                    .iter()
                    .any(|life| life.is_proved(now) && life.captured_at <= begins),
                "no base on {tier} at {now} for a window from {begins}"
            );
            for life in lives.iter().filter(|life| life.is_there(now)) {
                let parent = life.parent.is_none_or(|parent| {
                    lives
                        .iter()
                        .any(|other| other.slot == parent && other.is_there(now))
                });
                assert!(
                    parent,
                    "{} on {tier} has lost its parent at {now}",
                    life.slot
                );
            }
            now += HOUR * 7;
        }
        // A window, a chain, and not everything.
        let there = lives
            .iter()
            .filter(|life| life.is_there(scenario.until))
            .count();
        assert!(there < 40, "{there} on {tier}");
    }
}

#[test]
fn failures_outages_and_losses_are_told() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{daily=7} vault{daily=7}"#);
    let from = at("2026-11-21T03:00:00Z");
    let mut scenario = Scenario::undisturbed(from, from + HOUR * 24 * 30);
    scenario.failed_runs = 1;
    let nothing = inventory("2026-11-21T03:00:00Z", "");
    let two = forecast(&policy, &nothing, &TierCapabilities::new(), &scenario);
    let missed: u32 = two.missed.iter().map(|missed| missed.count).sum();
    assert_eq!(missed, 15);
    scenario.failed_runs = 0;
    scenario.outages = vec![Outage {
        from: from + HOUR * 48,
        until: from + HOUR * 130,
        tier: None,
    }];
    scenario.lost_tiers = vec![LostTier {
        at: from + HOUR * 300,
        tier: TierName::new("nas").unwrap(),
    }];
    let one = forecast(&policy, &nothing, &TierCapabilities::new(), &scenario);
    // 24, 25, 26 and the made-up 26th: slots of the 24th and 25th are gone.
    assert_eq!(
        one.missed
            .iter()
            .map(|missed| missed.count)
            .collect::<Vec<_>>(),
        [2]
    );
    let lives = &one.databases["orders"]["daily"]["nas"];
    let lost = lives
        .iter()
        .filter(|life| life.end == Some(mainstay_planner::forecast::End::Lost));
    assert_eq!(lost.count(), 7);
    // The vault has them all, so the next plan brings them back.
    let after = there(&one, from + HOUR * 301);
    assert_eq!(after.iter().filter(|one| one.ends_with("@nas")).count(), 7);
}

#[test]
fn what_takes_time_is_complete_and_in_the_place_of_others_only_after_it() {
    let policy = policy(r#"orders/daily "0 2 * * *" nas{last=1}"#);
    let now = "2026-11-21T03:00:00Z";
    let mut known = inventory(now, "orders/daily/20261121T020000Z nas:v");
    let copy = &mut known.recovery_points[0].copies[0];
    copy.stored_at = at("2026-11-21T02:20:00Z");
    copy.verified.as_mut().unwrap().at = at("2026-11-21T02:30:00Z");
    let scenario =
        Scenario::undisturbed(at(now), at("2026-11-24T00:00:00Z")).with_measured_durations(&known);
    let forecast = forecast(&policy, &known, &TierCapabilities::new(), &scenario);
    let lives = &forecast.databases["orders"]["daily"]["nas"];
    assert_eq!(lives[1].from, at("2026-11-22T02:20:00Z"));
    assert_eq!(lives[1].verified_from, Some(at("2026-11-22T02:30:00Z")));
    assert_eq!(lives[0].until, lives[1].verified_from);
}
