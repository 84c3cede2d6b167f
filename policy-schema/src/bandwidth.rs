//! Reads `bandwidth` of a tier: one limit, or limits by time of the day.
//!
//! Not here: the form of rates and times (`shape`).

use crate::{
    report::{Draft, Report},
    tree::Node,
    written::WrittenBandwidth,
};
use model::{Bandwidth, BandwidthWindow};

/// Reads the limits of a tier; an entry that is wrong is reported and left out.
pub(crate) fn read_bandwidth(
    report: &mut Report<'_>,
    tier: &Node,
    written: Option<&WrittenBandwidth>,
) -> Option<Bandwidth> {
    let node = tier.get("bandwidth")?;
    let entries = match written? {
        WrittenBandwidth::Always(text) => {
            return Some(Bandwidth {
                default: Some(Bandwidth::parse_rate(text).ok()?),
                windows: Vec::new(),
            });
        }
        WrittenBandwidth::ByTime(entries) => entries,
    };
    let mut bandwidth = Bandwidth::default();
    let mut rest_of_day = None;
    // What was rejected as a whole has no entry.
    let items = node.list()?.iter();
    let items: Vec<_> = items
        .filter(|item| !report.wrong.contains(&item.place))
        .collect();
    for (item, entry) in items.into_iter().zip(entries) {
        if item.holds_any(&report.wrong) {
            continue;
        }
        let Some(limit) = &entry.limit else {
            let draft = Draft::error("policy::missing-key", "a limit of bandwidth lacks `limit`")
                .at(item.place, "how much?")
                .help("write `{ from = \"08:00\", to = \"18:00\", limit = \"10MiB/s\" }`");
            report.add(draft);
            continue;
        };
        let Ok(limit) = Bandwidth::parse_rate(limit) else {
            continue;
        };
        match (&entry.from, &entry.to) {
            (None, None) => {
                if let Some(first) = rest_of_day {
                    let draft = wrong("the rest of the day has two limits")
                        .at(item.place, "again without `from` and `to`")
                        .at(first, "the first one")
                        .help("keep one of them, or give it `from` and `to`");
                    report.add(draft);
                    continue;
                }
                rest_of_day = Some(item.place);
                bandwidth.default = Some(limit);
            }
            (Some(from), Some(to)) => {
                let times = Bandwidth::parse_time(from)
                    .ok()
                    .zip(Bandwidth::parse_time(to).ok());
                let Some((from, to)) = times else { continue };
                if from == to {
                    let draft = wrong("a limit of bandwidth holds for no time")
                        .at(item.place, "`from` and `to` are the same")
                        .help("for the whole day leave out both");
                    report.add(draft);
                    continue;
                }
                bandwidth.windows.push(BandwidthWindow { from, to, limit });
            }
            (from, _) => {
                let missing = if from.is_some() { "to" } else { "from" };
                let draft = Draft::error(
                    "policy::missing-key",
                    format!("a limit of bandwidth lacks `{missing}`"),
                )
                .at(item.place, "only one of `from` and `to`")
                .help("give both, or none for the rest of the day");
                report.add(draft);
            }
        }
    }
    Some(bandwidth)
}

fn wrong(message: &str) -> Draft {
    Draft::error("policy::bad-bandwidth", message)
}
