//! Where a timeline comes from: the content of a `.history` file.
//!
//! Source: `timeline.c` (`readTimeLineHistory`): one line for each ancestor, `<timeline>\t<switch position>\t<reason>`.

use super::lsn::Lsn;
use serde::{Deserialize, Serialize};

/// The ancestors of a timeline, the oldest first. A timeline without a history file has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineHistory {
    /// The ancestors.
    pub ancestors: Vec<TimelineSwitch>,
    /// The timeline itself.
    pub timeline: u32,
}

/// Where an ancestor was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineSwitch {
    /// From here on the log is the next timeline's.
    pub at: Lsn,
    /// The ancestor.
    pub timeline: u32,
}

impl TimelineHistory {
    /// A timeline that comes from nowhere.
    pub fn first(timeline: u32) -> Self {
        Self {
            ancestors: Vec::new(),
            timeline,
        }
    }

    /// Reads a history file; comments and empty lines are allowed. `None` when a line is none of that, or out of order.
    pub fn parse(timeline: u32, text: &str) -> Option<Self> {
        let mut ancestors: Vec<TimelineSwitch> = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let mut words = line.split_whitespace();
            let ancestor: u32 = words.next()?.parse().ok()?;
            let at = Lsn::parse(words.next()?).ok()?;
            if ancestor >= timeline
                || ancestors
                    .last()
                    .is_some_and(|last| last.timeline >= ancestor)
            {
                return None;
            }
            ancestors.push(TimelineSwitch {
                at,
                timeline: ancestor,
            });
        }
        Some(Self {
            ancestors,
            timeline,
        })
    }

    /// Up to where the log of `timeline` is part of this one's past: `Some(None)` for the timeline itself, without an end.
    pub fn end_of(&self, timeline: u32) -> Option<Option<Lsn>> {
        if timeline == self.timeline {
            return Some(None);
        }
        let switch = self.ancestors.iter().find(|s| s.timeline == timeline)?;
        Some(Some(switch.at))
    }

    /// The timeline whose log holds `at`.
    pub fn timeline_at(&self, at: Lsn) -> u32 {
        self.ancestors
            .iter()
            .find(|switch| at < switch.at)
            .map_or(self.timeline, |switch| switch.timeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_tells_which_timeline_holds_a_position() {
        let text = "1\t0/3000060\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-01-01 00:00:00+00\n";
        let history = TimelineHistory::parse(3, text).unwrap();
        assert_eq!(history.timeline_at(Lsn(0x0300_005F)), 1);
        assert_eq!(history.timeline_at(Lsn(0x0300_0060)), 2);
        assert_eq!(history.timeline_at(Lsn(0x0500_0000)), 3);
        assert_eq!(history.end_of(2), Some(Some(Lsn(0x0500_0000))));
        assert_eq!(history.end_of(3), Some(None));
        assert_eq!(history.end_of(4), None);
        assert!(TimelineHistory::parse(2, "2\t0/1\tx").is_none());
        assert!(TimelineHistory::parse(2, "rubbish").is_none());
    }
}
