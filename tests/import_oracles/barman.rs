//! Barman: its own module of retention policies, asked about a catalogue of backups.

use super::{kept, now, output, support::program::command, times};
use jiff::Timestamp;
use planner::foreign::{Rules, barman};
use std::collections::BTreeSet;

/// Prints, a line for each policy, which backups Barman does not call obsolete.
const ASK: &str = "
import sys
from datetime import datetime
from dateutil import tz
from barman.infofile import BackupInfo
from barman.retention_policies import RetentionPolicyFactory

class Backup:
    def __init__(self, at):
        self.status = BackupInfo.DONE
        self.end_time = datetime.fromtimestamp(at, tz.tzlocal())

class Catalog:
    def get_backup_list(self):
        return {at: Backup(int(at)) for at in sys.argv[2:]}
    def get_keep_target(self, backup):
        return None

for question in sys.argv[1].split(';'):
    text, minimum = question.split('|')
    policy = RetentionPolicyFactory.create('retention_policy', text, server_name='main', catalog=Catalog())
    policy.server.minimum_redundancy = int(minimum)
    report = policy.report()
    print(' '.join(at for at in report if report[at] != BackupInfo.OBSOLETE))
";

#[test]
fn the_model_of_barman_keeps_what_barman_keeps() {
    let now = now();
    let all = times(now);
    let questions = [
        ("REDUNDANCY 3", 0, barman::Policy::Redundancy(3)),
        ("redundancy 2", 5, barman::Policy::Redundancy(2)),
        ("REDUNDANCY 1000", 0, barman::Policy::Redundancy(1000)),
        (
            "RECOVERY WINDOW OF 4 WEEKS",
            0,
            barman::Policy::WindowDays(28),
        ),
        (
            "RECOVERY WINDOW OF 1 DAY",
            40,
            barman::Policy::WindowDays(1),
        ),
        (
            "recovery window of 3 months",
            1,
            barman::Policy::WindowDays(93),
        ),
    ];
    let asked: Vec<String> = questions
        .iter()
        .map(|(text, minimum, _)| format!("{text}|{minimum}"))
        .collect();
    let seconds: Vec<String> = all.iter().map(|at| at.as_second().to_string()).collect();
    // Debian's Barman runs under Debian's Python, whatever else is in front of it.
    let answers = output(
        command("/usr/bin/python3")
            .args(["-c", ASK, &asked.join(";")])
            .args(&seconds),
    );
    let answers = answers
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let answers: Vec<BTreeSet<Timestamp>> = answers
        .map(|line| {
            let kept = line.split_whitespace();
            kept.map(|at| Timestamp::from_second(at.parse().unwrap()).unwrap())
                .collect()
        })
        .collect();
    assert_eq!(answers.len(), questions.len());
    for ((text, minimum, policy), theirs) in questions.into_iter().zip(answers) {
        let rules = Rules::Barman(barman::Rules { policy, minimum });
        assert_eq!(
            kept(&rules, &all, now),
            theirs,
            "{text}, {minimum}, at {now}"
        );
    }
}
