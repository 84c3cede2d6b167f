//! The limit of a tier over all its streams, on a real folder in real time.
//!
//! That nothing is faster than the limit is checked strictly, that it is not slower only loosely: a busy machine is slow.

use super::*;
use crate::{
    api::{Expected, NewObject},
    registry,
};
use jiff::civil::time;
use model::{TierName, bandwidth::BandwidthWindow};
use serde_json::json;
use tempfile::TempDir;

const KIB: usize = 1 << 10;

/// 2026-11-21T11:59:50Z when a test begins; goes with tokio's time.
fn clock() -> Clock {
    let begin = Instant::now();
    let noon: Timestamp = "2026-11-21T11:59:50Z".parse().unwrap();
    Arc::new(move || noon + jiff::SignedDuration::try_from(begin.elapsed()).unwrap())
}

fn flat(kib: usize) -> Bandwidth {
    Bandwidth {
        default: Some(ByteCount((kib * KIB) as u64)),
        windows: Vec::new(),
    }
}

async fn tier(limit: Bandwidth, zone: TimeZone) -> (TempDir, Arc<dyn Tier>) {
    let base = tempfile::tempdir().unwrap();
    let table = json!({"path": "tier", "min-free": "0%"});
    let name = TierName::new("nas").unwrap();
    let inner = registry::tier(&name, "filesystem", &table, base.path()).unwrap();
    inner.initialise("the-identity").await.unwrap();
    let tier = ThrottledTier::new(inner, limit, clock(), zone);
    (base, Arc::new(tier))
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(tier: &dyn Tier, name: &str, chunks: usize, size: usize) {
    let mut writer = tier.create(&key(name), NewObject::default()).await.unwrap();
    for _ in 0..chunks {
        writer.write(Bytes::from(vec![7; size])).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn get(tier: &dyn Tier, name: &str) -> usize {
    let mut reader = tier.open(&key(name)).await.unwrap();
    let mut sum = 0;
    while let Some(chunk) = reader.read().await.unwrap() {
        sum += chunk.len();
    }
    sum
}

/// Checks that this many seconds have gone by, or somewhat more.
fn took(begin: Instant, seconds: f64) {
    let took = begin.elapsed().as_secs_f64();
    assert!(
        (seconds..seconds + 5.0).contains(&took),
        "{took} for {seconds}"
    );
}

#[tokio::test]
async fn writers_and_readers_together_keep_to_the_limit() {
    let (_base, tier) = tier(flat(1000), TimeZone::UTC).await;
    let begin = Instant::now();
    put(&*tier, "a", 10, 50 * KIB).await;
    took(begin, 0.5);
    let begin = Instant::now();
    let (read, ()) = tokio::join!(get(&*tier, "a"), put(&*tier, "b", 50, 10 * KIB));
    assert_eq!(read, 500 * KIB);
    // What the folder was slower than the limit may have been saved.
    took(begin, 0.8);
}

#[tokio::test]
async fn without_a_limit_nothing_waits_and_nothing_is_saved() {
    let window = BandwidthWindow {
        from: time(12, 0, 0, 0),
        to: time(13, 0, 0, 0),
        limit: ByteCount(1),
    };
    let limit = Bandwidth {
        default: None,
        windows: vec![window],
    };
    let (_base, tier) = tier(limit, TimeZone::UTC).await;
    let begin = Instant::now();
    put(&*tier, "a", 10, 1024 * KIB).await;
    assert_eq!(get(&*tier, "a").await, 10 * 1024 * KIB);
    took(begin, 0.0);
}

#[tokio::test]
async fn a_window_of_the_day_begins_in_the_middle_of_a_wait() {
    // It is 10 seconds before 13:00 in Prague when the test begins; the limit before is one that would never end.
    let prague = TimeZone::get("Europe/Prague").unwrap();
    let limit = Bandwidth {
        default: Some(ByteCount(1)),
        windows: vec![BandwidthWindow {
            from: time(12, 59, 51, 0),
            to: time(14, 0, 0, 0),
            limit: ByteCount(1000 * KIB as u64),
        }],
    };
    let (_base, tier) = tier(limit, prague).await;
    let begin = Instant::now();
    put(&*tier, "a", 40, 10 * KIB).await;
    took(begin, 1.0);
}

#[tokio::test]
async fn a_stream_of_large_chunks_does_not_starve_a_small_one() {
    let (_base, tier) = tier(flat(1024), TimeZone::UTC).await;
    let large = Arc::clone(&tier);
    let large = tokio::spawn(async move { put(&*large, "large", 1, 4096 * KIB).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    put(&*tier, "small", 4, 64 * KIB).await;
    took(begin, 0.2);
    assert!(
        !large.is_finished(),
        "the small one went between its pieces"
    );
    large.await.unwrap();
}

#[tokio::test]
async fn equal_streams_end_together() {
    let (_base, tier) = tier(flat(1000), TimeZone::UTC).await;
    let begin = Instant::now();
    let mut running = Vec::new();
    for name in ["a", "b", "c"] {
        let tier = Arc::clone(&tier);
        running.push(tokio::spawn(async move {
            put(&*tier, name, 10, 60 * KIB).await;
            begin.elapsed().as_secs_f64()
        }));
    }
    let mut ends = Vec::new();
    for stream in running {
        ends.push(stream.await.unwrap());
    }
    ends.sort_by(f64::total_cmp);
    took(begin, 1.8);
    // One after the other, the first would have ended at a third.
    assert!(ends[0] > ends[2] * 0.75, "{ends:?}");
}

#[tokio::test]
async fn control_objects_and_listings_do_not_wait() {
    let (_base, tier) = tier(flat(1), TimeZone::UTC).await;
    let content = Bytes::from(vec![1; 64 * KIB]);
    let lease = key("lease");
    let begin = Instant::now();
    let written = tier.write_control(&lease, content.clone(), Expected::Absent, None);
    let tag = written.await.unwrap();
    assert_eq!(
        tier.read_control(&lease).await.unwrap(),
        Some((content, tag))
    );
    tier.list("").await.unwrap();
    took(begin, 0.0);
}

/// What is saved after so many steps of so many nanoseconds.
fn saved_after(limit: u64, step: u64, steps: u32) -> u64 {
    let begin = Instant::now();
    let mut saved = Saved::default();
    saved.earn(limit, begin);
    let mut sum = 0;
    for at in 1..=steps {
        saved.earn(limit, begin + Duration::from_nanos(step) * at);
        sum += std::mem::take(&mut saved.bytes);
    }
    sum
}

#[test]
fn a_pause_is_worth_one_second_at_most() {
    assert_eq!(saved_after(1000, 600_000_000_000, 1), 1000);
    assert_eq!(saved_after(1000, 500_000_000, 1), 500);
    let begin = Instant::now();
    let mut saved = Saved::default();
    for at in 0..100 {
        saved.earn(1000, begin + Duration::from_millis(300) * at);
        assert!(saved.bytes <= 1000);
    }
    assert_eq!(saved.bytes, 1000);
}

#[test]
fn small_steps_lose_nothing_to_rounding_and_gain_nothing() {
    for (limit, step) in [(1000, 333_333), (3, 100_000_001), (50 << 20, 7), (1, 999)] {
        let steps = 100_000_u32;
        let ideal = u128::from(limit) * u128::from(step) * u128::from(steps) / 1_000_000_000;
        let ideal = u64::try_from(ideal).unwrap();
        let earned = saved_after(limit, step, steps);
        assert!(
            earned <= ideal && ideal - earned <= 1 + ideal / 50,
            "{earned} for {ideal}"
        );
    }
}

#[test]
fn every_method_of_the_contract_is_passed_on() {
    // A default that were forgotten here would make a tier say "cannot" of what it can.
    let methods = |text: &str, from: &str| -> Vec<String> {
        let body = text.split(from).nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let lines = body.lines().filter_map(|line| {
            let line = line.strip_prefix("    ")?;
            let line = line.strip_prefix("async ").unwrap_or(line);
            let name = line.strip_prefix("fn ")?;
            Some(name.split('(').next()?.to_owned())
        });
        lines.collect()
    };
    let contract = include_str!("../../api/tier.rs");
    let promised = methods(contract, "pub trait Tier: ");
    assert!(promised.len() > 20);
    for wrapper in [
        include_str!("../layered.rs"),
        include_str!("../read_only.rs"),
    ] {
        let passed_on = methods(wrapper, " Tier for ");
        for method in &promised {
            // Built on `name`, and on `open_at`, which are passed on.
            if method != "cannot" && method != "open" {
                assert!(passed_on.contains(method), "`{method}`");
            }
        }
    }
}
