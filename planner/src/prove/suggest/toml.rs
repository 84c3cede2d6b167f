//! How a change is written so that it can be pasted.

use model::{
    Keep, Period,
    retention::{KeepCount, Pick, RetentionModel},
};
use policy_schema::policy::Series;
use std::fmt::Write as _;

/// `{ daily = 30, monthly = 12, yearly = "7y" }`.
pub(super) fn keep(keep: &Keep) -> String {
    let mut keys: Vec<String> = keep
        .rules
        .iter()
        .map(|rule| {
            let key = rule.each.count_key();
            match rule.count {
                KeepCount::Count(number) => format!("{key} = {number}"),
                KeepCount::All => format!("{key} = \"all\""),
                KeepCount::Window(period) if key == "last" => format!("within = \"{period}\""),
                KeepCount::Window(period) => format!("within-{key} = \"{period}\""),
            }
        })
        .collect();
    if keep.forever {
        keys.push("forever = true".to_owned());
    }
    if keep.model == RetentionModel::Additive {
        keys.push("model = \"additive\"".to_owned());
    }
    if keep.pick == Pick::Last {
        keys.push("pick = \"last\"".to_owned());
    }
    format!("{{ {} }}", keys.join(", "))
}

/// `[database.orders.wal]` with a window on each tier.
pub(super) fn wal(database: &str, keep: &[(model::TierName, Period)]) -> String {
    let mut text = format!("[database.{database}.wal]\nmode = \"archive\"\n");
    for (tier, window) in keep {
        let _ = writeln!(text, "keep.{tier} = \"{window}\"");
    }
    text.trim_end().to_owned()
}

/// `[[database.orders.series]]` with its method, its schedule and what it keeps.
pub(super) fn series(database: &str, series: &Series) -> String {
    let mut text = format!(
        "[[database.{database}.series]]\nname = \"{}\"\nmethod = \"{}\"\nschedule = \"{}\"\n",
        series.name, series.method, series.schedule
    );
    for (tier, of_tier) in &series.keep {
        let _ = writeln!(text, "keep.{tier} = {}", keep(of_tier));
    }
    text.trim_end().to_owned()
}
