//! The ready policies and the examples: each validates without a finding, is formatted, and does what it promises over three
//! simulated weeks, planned by the real program with an inventory that grows as the plans say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure of a helper is the test's failure"
)]

mod support;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use support::program::{Ended, Running};
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All policies that the project shows to people.
fn shown() -> Vec<PathBuf> {
    let mut policies = Vec::new();
    for entry in fs::read_dir(root().join("policies")).unwrap() {
        policies.push(entry.unwrap().path());
    }
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        policies.extend(
            ["policy.toml", "mainstay.toml"]
                .map(|name| folder.join(name))
                .into_iter()
                .filter(|path| path.exists()),
        );
    }
    policies.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    policies.sort();
    assert!(policies.len() >= 12, "only {policies:?}");
    policies
}

#[track_caller]
fn expect(code: i32, folder: &Path, arguments: &[&str]) -> Ended {
    let ended = Running::start(folder, arguments, &[]).wait();
    assert_eq!(ended.code, Some(code), "mainstay {arguments:?}\n{ended}");
    ended
}

#[test]
fn every_ready_policy_and_every_example_validates_without_a_finding() {
    for policy in shown() {
        let path = policy.to_str().unwrap();
        let ended = expect(0, &root(), &["validate", "--strict", "-p", path]);
        assert_eq!(ended.stderr, "", "{path}");
        let ended = expect(0, &root(), &["fmt", "--check", path]);
        assert_eq!(ended.stdout, "", "{path} is not formatted");
    }
}

/// What exists, as plans would make it.
struct World {
    folder: TempDir,
    points: BTreeMap<String, Value>,
    drills: Vec<Value>,
    /// First archived position of each log, by database and tier.
    log: BTreeMap<(String, String), u64>,
}

/// Bytes of a segment; every database writes one in an hour.
const SEGMENT: u64 = 16 << 20;

fn segment(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap() / 3_600
}

fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

fn position(lsn: &Value) -> u64 {
    let (high, low) = lsn.as_str().unwrap().split_once('/').unwrap();
    let part = |text| u64::from_str_radix(text, 16).unwrap();
    part(high) << 32 | part(low)
}

impl World {
    fn plan(&self, policy: &str, now: Timestamp) -> Value {
        let inventory = json!({"format": "mainstay.inventory.v1", "observed_at": now.to_string(), "unreachable_tiers": [],
                               "recovery_points": self.points.values().collect::<Vec<_>>(), "drills": self.drills, "wal": self.archived(now)});
        let file = self.folder.path().join("inventory.json");
        fs::write(&file, inventory.to_string()).unwrap();
        let now = now.to_string();
        let arguments = [
            "plan",
            "-p",
            policy,
            "--inventory",
            file.to_str().unwrap(),
            "--now",
            &now,
            "--json",
        ];
        expect(0, self.folder.path(), &arguments).json()
    }

    /// Everything that was written since the first base is archived, except what was expired.
    fn archived(&self, now: Timestamp) -> Value {
        let mut logs = json!({});
        for ((database, tier), start) in &self.log {
            logs[database]["tiers"][tier]["runs"] = json!([{
                "bytes": 1000, "start": lsn(*start), "end": lsn((segment(now) + 1) * SEGMENT), "segment_bytes": SEGMENT,
                "stored_at": "2026-12-20T12:00:00Z", "last_stored_at": now.to_string(), "system_identifier": "7", "timeline": 1
            }]);
            logs[database]["tiers"][tier]["histories"] = json!([]);
        }
        logs
    }

    /// Notes what a plan says of logs that are archived.
    fn archive(&mut self, plan: &Value, now: Timestamp) {
        for (database, series) in plan["retention"].as_object().unwrap() {
            for (tier, _) in series["wal"].as_object().into_iter().flatten() {
                let place = (database.clone(), tier.clone());
                self.log.entry(place).or_insert(segment(now) * SEGMENT);
            }
        }
    }

    /// Every step succeeds.
    fn carry_out(&mut self, plan: &Value, now: Timestamp) {
        for step in plan["steps"].as_array().unwrap() {
            let id = step["recovery_point"].as_str().unwrap();
            let tier = &step["tier"];
            let copy = json!({"tier": tier, "state": "present", "bytes": 1000, "stored_at": now.to_string(),
                              "verified": null, "locked_until": step["lock"]["until"], "held": false});
            match step["action"].as_str().unwrap() {
                "backup" => {
                    let mut point = json!({"id": id, "database": step["database"], "series": step["series"], "method": step["method"],
                                       "parent": null, "slot": step["slot"], "captured_at": now.to_string(), "state": "complete",
                                       "bytes": 1000, "copies": [copy]});
                    if step["method"] == "physical" {
                        let start = segment(now) * SEGMENT;
                        point["wal"] = json!({"start": lsn(start + 0x28), "end": lsn(start + 0x200), "included": false,
                                              "segment_bytes": SEGMENT, "system_identifier": "7", "timeline": 1});
                    }
                    let old = self.points.insert(id.to_owned(), point);
                    assert!(old.is_none(), "`{id}` was backed up twice");
                }
                "upload" => self.copies(id).push(copy),
                "verify" => {
                    let copy = self
                        .copies(id)
                        .iter_mut()
                        .find(|copy| &copy["tier"] == tier)
                        .unwrap();
                    copy["verified"] = json!({"level": step["level"], "at": now.to_string()});
                }
                "lock" => {
                    let copies = self.copies(id).iter_mut();
                    for copy in copies.filter(|copy| &copy["tier"] == tier) {
                        copy["locked_until"] = step["lock"]["until"].clone();
                    }
                }
                "prune" => {
                    self.copies(id).retain(|copy| &copy["tier"] != tier);
                    if self.copies(id).is_empty() {
                        self.points.remove(id);
                    }
                }
                "drill" => {
                    let order = &step["drill"];
                    self.drills.push(json!({"at": now.to_string(), "database": step["database"], "name": order["name"],
                                            "passed": true, "recovery_point": id, "slot": order["slot"]}));
                }
                "expire-wal" => {
                    let place = (
                        step["database"].as_str().unwrap().to_owned(),
                        tier.as_str().unwrap().to_owned(),
                    );
                    let pieces = step["wal"].as_array().unwrap();
                    let end = pieces.iter().map(|piece| position(&piece["end"])).max();
                    self.log.insert(place, end.unwrap());
                }
                other => panic!("`{other}` is not expected when nothing goes wrong"),
            }
        }
    }

    fn copies(&mut self, id: &str) -> &mut Vec<Value> {
        self.points.get_mut(id).unwrap()["copies"]
            .as_array_mut()
            .unwrap()
    }
}

#[test]
fn every_policy_runs_for_three_weeks_without_asking_anybody() {
    // Thousands of plans, each by a process of its own: the cores share them.
    std::thread::scope(|scope| {
        for policy in shown() {
            scope.spawn(move || runs_for_three_weeks(&policy));
        }
    });
}

fn runs_for_three_weeks(policy: &Path) {
    let path = policy.to_str().unwrap();
    let mut world = World {
        folder: tempfile::tempdir().unwrap(),
        points: BTreeMap::new(),
        drills: Vec::new(),
        log: BTreeMap::new(),
    };
    let mut day: Timestamp = "2026-12-20T12:00:00Z".parse().unwrap();
    for _ in 0..21 {
        // Shortly after each series' next slot of this day; not after every slot of those that run often.
        let mut moments: Vec<Timestamp> = world.plan(path, day)["next_slots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|slot| slot["at"].as_str().unwrap().parse().unwrap())
            .filter(|at| *at < day + SignedDuration::from_hours(24))
            .collect();
        moments.sort();
        moments.dedup();
        for moment in moments {
            let now = moment + SignedDuration::from_mins(10);
            let plan = world.plan(path, now);
            world.archive(&plan, now);
            assert_eq!(plan["needs_approval"], false, "{path} at {now}");
            for item in plan["not_planned"].as_array().unwrap() {
                let code = item["reason"]["code"].as_str().unwrap();
                // Before the first point is proved there is nothing to drill.
                let normal = ["window-passed", "nothing-to-restore"].contains(&code);
                assert!(normal, "{path} at {now}: {item}");
            }
            world.carry_out(&plan, now);
            // What a new point pushed out goes with the next plan; after that there is nothing left to do.
            let plan = world.plan(path, now + SignedDuration::from_secs(1));
            for step in plan["steps"].as_array().unwrap() {
                let action = step["action"].as_str().unwrap();
                let follows = ["prune", "expire-wal", "drill"].contains(&action);
                assert!(follows, "{path} at {now}: {step}");
            }
            world.carry_out(&plan, now);
            let plan = world.plan(path, now + SignedDuration::from_secs(2));
            assert_eq!(plan["applyable"], false, "{path} at {now}: {plan}");
        }
        day += SignedDuration::from_hours(24);
    }
    assert!(!world.points.is_empty(), "{path} protects nothing");
    let text = fs::read_to_string(policy).unwrap();
    if text.contains(".drill]]") {
        assert!(!world.drills.is_empty(), "{path} practises nothing");
    }
}

#[test]
fn every_scenario_plans_what_its_folder_says() {
    let mut seen = 0;
    for policy in shown() {
        let folder = policy.parent().unwrap();
        let Ok(now) = fs::read_to_string(folder.join("now.txt")) else {
            continue;
        };
        seen += 1;
        let plan = |more: &[&str]| {
            let offline = [
                "plan",
                "-p",
                "policy.toml",
                "--inventory",
                "inventory.json",
                "--now",
                now.trim(),
            ];
            expect(0, folder, &[&offline[..], more].concat())
        };
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let hint = "read the difference, then `examples/scenarios/run --write`";
        assert_eq!(
            read("expected-plan.txt"),
            plan(&[]).stdout,
            "{}: {hint}",
            folder.display()
        );
        let wanted: Value = serde_json::from_str(&read("expected-plan.json")).unwrap();
        assert_eq!(
            wanted,
            plan(&["--json"]).json(),
            "{}: {hint}",
            folder.display()
        );
        assert!(
            folder.join("README.md").exists(),
            "{} says nothing",
            folder.display()
        );
    }
    assert!(seen >= 5, "only {seen} scenarios");
}
