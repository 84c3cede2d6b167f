//! What a policy can get wrong about places that are not on this machine, keys and limits; in the words that people read.

mod kinds;

use kinds::{load_texts, show};
use model::ByteCount;
use std::fmt::Write as _;

#[test]
fn a_limit_of_bandwidth_is_read_also_by_time_of_the_day() {
    let tier = |bandwidth: &str| {
        let text = format!(
            "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\nbandwidth = {bandwidth}\n"
        );
        let loaded = load_texts(&[("p.toml", &text)]);
        assert_eq!(show(&loaded), "", "{bandwidth}");
        let policy = loaded.policy.unwrap();
        let limits = policy.tiers.values().next().unwrap().bandwidth.clone();
        (limits.unwrap(), policy.digest)
    };
    let at = |hour| jiff::civil::time(hour, 0, 0, 0);
    let (always, one) = tier("\"50MiB/s\"");
    assert_eq!(always.limit_at(at(3)), Some(ByteCount(50 << 20)));
    let (by_time, two) = tier(
        "[{ limit = \"100MiB/s\" }, { from = \"22:00\", to = \"06:00\", limit = \"1GiB/s\" }]",
    );
    assert_eq!(by_time.limit_at(at(3)), Some(ByteCount(1 << 30)));
    assert_eq!(by_time.limit_at(at(12)), Some(ByteCount(100 << 20)));
    let (_, three) = tier("\"51200KiB/s\"");
    assert_ne!(one, two);
    assert_eq!(
        one, three,
        "the same limit in other words is no other policy"
    );
}

#[test]
fn a_limit_of_bandwidth_that_says_nothing_is_told() {
    let mut all = String::new();
    for wrong in [
        "50",
        "\"50MiB\"",
        "\"100Mbit/s\"",
        "\"0/s\"",
        "[]",
        "[{ from = \"8:00\", to = 18:00:00, limit = \"10\" }]",
        "[{ from = \"08:00\", limit = \"10MiB/s\" }]",
        "[{ from = \"08:00\", to = \"08:00\", limit = \"10MiB/s\" }]",
        "[{ from = \"08:00\", to = \"18:00\" }, 5, { limit = \"1MiB/s\" }, { limit = \"2MiB/s\" }]",
        "[{ form = \"08:00\", to = \"18:00\", limit = \"10MiB/s\" }]",
    ] {
        let text = format!(
            "mainstay = 1\n[tier.nas]\nkind = \"filesystem\"\npath = \"/n\"\nbandwidth = {wrong}\n"
        );
        let _ = writeln!(all, "{}", show(&load_texts(&[("p.toml", &text)])));
    }
    insta::assert_snapshot!(all);
}
