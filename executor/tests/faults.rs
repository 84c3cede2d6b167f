//! Fails the n-th IO call for n = 1, 2, 3 … until a run is undisturbed; after each, apply again must converge.
//!
//! Engine, tiers and catalog share one counter, so every call of a run is hit once. Each call fails in three ways: it is
//! not made; it is made and its answer is lost; or the program dies in it.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{RestoreOrder, RunEnd, restore};
use jiff::SignedDuration;
use model::{Plan, VerifyLevel};
use providers::api::{RestoreTarget, Selection};
use std::sync::Arc;
use support::{
    World,
    faults::Fault,
    keys::encrypted,
    plans::{After, backup, daily, plan, point, prune, repair, upload, verify},
    sound::{assert_settled, visible},
    tier, words,
};

/// What a world is brought to before the disturbed run, and what that run carries out.
struct Scenario {
    before: fn(&World) -> Vec<Plan>,
    damage: fn(&World),
    plan: fn(&World) -> Plan,
    /// Points on each tier when all is done.
    nas: &'static [i64],
    disk: &'static [i64],
    captures: u64,
}

async fn disturb(scenario: Scenario) {
    for fault in [Fault::Before, Fault::After, Fault::Death] {
        let mut n = 0;
        loop {
            n += 1;
            let context = format!("call {n} failed ({fault:?})");
            let world = World::new().await;
            for plan in (scenario.before)(&world) {
                let report = world.apply(&plan).await;
                assert_eq!(report.end(), RunEnd::Done, "{:?}", words(&report));
            }
            (scenario.damage)(&world);
            let kept: Vec<_> = [
                visible_days(&world, "nas").await,
                visible_days(&world, "disk").await,
            ]
            .concat();
            let plan = (scenario.plan)(&world);
            world.faults.arm(n, fault);
            let disturbed = tokio::select! {
                result = world.try_apply(&plan) => Some(result),
                // Everything is dropped where it stood, and the lease is not given back.
                () = world.faults.death() => None,
            };
            if fault == Fault::Death {
                // The aborted tasks of the dead run must have been dropped; a real process leaves none.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let hit = world.faults.disarm();
            // Whatever is visible is whole; `visible` asserts it.
            for name in ["nas", "disk"] {
                visible(&world, name).await;
            }
            // The lease of a dead run, or of a lost answer, runs out.
            world.clock.advance(SignedDuration::from_secs(31));
            let again = world.apply(&plan).await;
            assert_eq!(again.end(), RunEnd::Done, "{context}: {:?}", words(&again));
            assert_settled(&world, &context).await;
            assert_eq!(
                visible_days(&world, "nas").await,
                scenario.nas,
                "{context}: nas"
            );
            assert_eq!(
                visible_days(&world, "disk").await,
                scenario.disk,
                "{context}: disk"
            );
            assert!(!kept.is_empty() || scenario.captures > 0);
            if !hit {
                assert_eq!(disturbed.unwrap().unwrap().end(), RunEnd::Done);
                assert_eq!(
                    world
                        .engine
                        .captures
                        .load(std::sync::atomic::Ordering::Relaxed),
                    scenario.captures,
                    "an undisturbed run captures once"
                );
                assert!(
                    n > 10,
                    "only {n} calls were made: is the counter connected?"
                );
                break;
            }
            let world_is_quiet = world.try_apply(&plan).await.unwrap();
            assert_eq!(
                world_is_quiet.summary.done, 0,
                "{context}: the third apply finds nothing to do"
            );
        }
    }
}

async fn visible_days(world: &World, name: &str) -> Vec<i64> {
    let there = visible(world, name).await;
    (1..=30)
        .filter(|day| there.contains(&point(*day)))
        .collect()
}

fn nothing(_: &World) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_backup_converges() {
    disturb(Scenario {
        before: |_| Vec::new(),
        damage: nothing,
        plan: |world| plan(world.clock().now(), vec![backup(21, "nas")]),
        nas: &[21],
        disk: &[],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_encrypted_backup_and_its_upload_converge() {
    disturb(Scenario {
        before: |_| Vec::new(),
        damage: nothing,
        plan: |world| {
            let backup = encrypted(backup(21, "nas"), &["prod"]);
            let upload = upload(21, "nas", "disk").after(&[&backup]);
            plan(world.clock().now(), vec![backup, upload])
        },
        nas: &[21],
        disk: &[21],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_repair_of_a_key_ring_converges() {
    disturb(Scenario {
        before: |world| {
            let backup = encrypted(backup(21, "nas"), &["prod"]);
            let upload = upload(21, "nas", "disk").after(&[&backup]);
            vec![plan(world.clock().now(), vec![backup, upload])]
        },
        damage: |world| std::fs::remove_file(world.path("disk", &point(21), "keys.json")).unwrap(),
        plan: |world| {
            world.clock.advance(SignedDuration::from_secs(1));
            let find = verify(21, "nas", VerifyLevel::FullRead);
            let repair = repair(21, "nas", "disk").after(&[&find]);
            plan(world.clock().now(), vec![find, repair])
        },
        nas: &[21],
        disk: &[21],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_upload_converges() {
    disturb(Scenario {
        before: |world| vec![plan(world.clock().now(), vec![backup(21, "nas")])],
        damage: nothing,
        plan: |world| plan(world.clock().now(), vec![upload(21, "nas", "disk")]),
        nas: &[21],
        disk: &[21],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_verification_converges() {
    disturb(Scenario {
        before: |world| vec![plan(world.clock().now(), vec![backup(21, "nas")])],
        damage: nothing,
        plan: |world| {
            let now = world.clock().now();
            let checksum = verify(21, "nas", VerifyLevel::FullRead);
            plan(now, vec![checksum])
        },
        nas: &[21],
        disk: &[],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_prune_converges() {
    disturb(Scenario {
        before: |world| {
            let backup = backup(20, "nas");
            vec![plan(world.clock().now(), vec![backup])]
        },
        damage: |world| {
            // Captured at one instant of the test's clock otherwise.
            world.clock.advance(SignedDuration::from_hours(24));
        },
        plan: |world| {
            let backup = backup(22, "nas");
            let verify = verify(22, "nas", VerifyLevel::Checksum).after(&[&backup]);
            let prune = prune(20, "nas", &[22]).after(&[&verify]);
            plan(world.clock().now(), vec![backup, verify, prune])
        },
        nas: &[22],
        disk: &[],
        captures: 2,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_repair_converges() {
    disturb(Scenario {
        before: |world| vec![daily(world.clock().now(), 21, None)],
        damage: |world| {
            let data = world.path("disk", &point(21), "data.txt.zst");
            let mut bytes = std::fs::read(&data).unwrap();
            bytes[7] ^= 1;
            std::fs::write(&data, bytes).unwrap();
            let manifest = world.path("disk", &point(21), "manifest.json");
            std::fs::remove_file(manifest).unwrap();
        },
        plan: |world| {
            world.clock.advance(SignedDuration::from_secs(1));
            let find = verify(21, "nas", VerifyLevel::Checksum);
            let repair = repair(21, "nas", "disk").after(&[&find]);
            plan(world.clock().now(), vec![find, repair])
        },
        nas: &[21],
        disk: &[21],
        captures: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disturbed_restore_leaves_no_target_or_a_whole_one() {
    let world = World::new().await;
    world.apply(&daily(world.clock().now(), 21, None)).await;
    for fault in [Fault::Before, Fault::After] {
        let mut n = 0;
        loop {
            n += 1;
            let order = RestoreOrder {
                point: point(21),
                from: Some(tier("nas")),
                target: RestoreTarget::Named(format!("{fault:?} {n}")),
                replace: false,
                selection: Selection::default(),
                who: "tester".to_owned(),
                why: "a test".to_owned(),
                run: format!("restore-{fault:?}-{n}"),
                progress: Arc::new(|_| {}),
                thaw: executor::ThawPolicy::Refuse,
                recovery: None,
                asserts: Vec::new(),
                drill: None,
                policy_digest: None,
            };
            world.faults.arm(n, fault);
            let result = restore(&order, &world.wiring, Some(&world.catalog), &world.clock()).await;
            let hit = world.faults.disarm();
            let target = world.engine.restored(&format!("{fault:?} {n}"));
            assert!(
                target
                    .as_deref()
                    .is_none_or(|text| text == "row 1\nrow 2\nrow 3\n"),
                "half a target"
            );
            if result.is_ok() {
                assert!(target.is_some());
            }
            assert_settled(&world, &format!("restore, call {n} ({fault:?})")).await;
            if !hit {
                let report = result.unwrap();
                assert!(report.passed() && report.gaps.is_empty());
                break;
            }
        }
        assert!(n > 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_passing_fault_inside_a_step_is_outlasted_by_a_retry() {
    for fault in [Fault::Before, Fault::After] {
        let mut n = 0;
        let mut retried = 0;
        loop {
            n += 1;
            let world = World::new().await;
            let mut plan = daily(world.clock().now(), 21, None);
            for step in &mut plan.steps {
                step.limits.retries = 1;
            }
            let plan = plan.seal().unwrap();
            world.faults.arm(n, fault);
            let result = world.try_apply(&plan).await;
            let hit = world.faults.disarm();
            if let Ok(report) = result {
                let context = format!("call {n} ({fault:?})");
                assert_eq!(
                    report.end(),
                    RunEnd::Done,
                    "{context}: {:?}",
                    words(&report)
                );
                let settled = visible_days(&world, "nas").await == [21]
                    && visible_days(&world, "disk").await == [21];
                assert!(settled, "{context}");
                let events = world.catalog.events(&report.run).await.unwrap();
                retried += events
                    .iter()
                    .filter(|event| matches!(event.what, model::event::What::StepRetried { .. }))
                    .count();
            }
            if !hit {
                break;
            }
        }
        assert!(retried > 20, "only {retried} retries");
    }
}
