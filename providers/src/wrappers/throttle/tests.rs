//! The limit of a tier over all its streams, in paused time on a real folder.

use super::*;
use crate::registry;
use jiff::{civil::time, tz};
use model::bandwidth::BandwidthWindow;
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

/// Whole seconds and tenths since `begin`.
fn seconds(begin: Instant) -> f64 {
    (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

#[tokio::test(start_paused = true)]
async fn writers_and_readers_together_keep_to_the_limit() {
    let (_base, tier) = tier(flat(100), TimeZone::UTC).await;
    let begin = Instant::now();
    put(&*tier, "a", 10, 50 * KIB).await;
    assert_eq!(seconds(begin), 5.0, "500 KiB at 100 KiB/s");
    let begin = Instant::now();
    let (read, ()) = tokio::join!(get(&*tier, "a"), put(&*tier, "b", 50, 10 * KIB));
    assert_eq!(read, 500 * KIB);
    assert_eq!(seconds(begin), 10.0, "both at once share one limit");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_worth_one_second_at_most() {
    let (_base, tier) = tier(flat(100), TimeZone::UTC).await;
    put(&*tier, "a", 1, 10 * KIB).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let begin = Instant::now();
    put(&*tier, "b", 30, 10 * KIB).await;
    assert_eq!(seconds(begin), 2.0, "300 KiB, of which 100 were saved");
}

#[tokio::test(start_paused = true)]
async fn many_small_steps_lose_nothing_to_rounding() {
    let (_base, tier) = tier(flat(100), TimeZone::UTC).await;
    let begin = Instant::now();
    put(&*tier, "a", 10_000, 7).await;
    let ideal = 70_000.0 / (100.0 * 1024.0);
    let took = begin.elapsed().as_secs_f64();
    assert!((ideal..ideal * 1.02).contains(&took), "{took} for {ideal}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_large_chunks_does_not_starve_a_small_one() {
    let (_base, tier) = tier(flat(128), TimeZone::UTC).await;
    let large = Arc::clone(&tier);
    let large = tokio::spawn(async move { put(&*large, "large", 4, 1024 * KIB).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    put(&*tier, "small", 4, 64 * KIB).await;
    let took = seconds(begin);
    assert!(
        (2.0..=5.0).contains(&took),
        "256 KiB at half of 128 KiB/s: {took}"
    );
    assert!(!large.is_finished());
    large.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_equal_streams_end_together() {
    let (_base, tier) = tier(flat(100), TimeZone::UTC).await;
    let begin = Instant::now();
    let mut running = Vec::new();
    for name in ["a", "b", "c"] {
        let tier = Arc::clone(&tier);
        running.push(tokio::spawn(async move {
            put(&*tier, name, 10, 20 * KIB).await;
            seconds(begin)
        }));
    }
    for stream in running {
        let end = stream.await.unwrap();
        assert!((5.0..=6.0).contains(&end), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_the_day_begins_in_the_middle_of_a_stream() {
    // 12:00 in UTC is 13:00 in Prague: the limit there counts.
    let prague = tz::TimeZone::get("Europe/Prague").unwrap();
    let limit = Bandwidth {
        default: Some(ByteCount(10 * KIB as u64)),
        windows: vec![BandwidthWindow {
            from: time(13, 0, 0, 0),
            to: time(14, 0, 0, 0),
            limit: ByteCount(1000 * KIB as u64),
        }],
    };
    let (_base, tier) = tier(limit, prague).await;
    let begin = Instant::now();
    put(&*tier, "a", 40, 10 * KIB).await;
    let took = seconds(begin);
    assert!(
        (10.3..=11.3).contains(&took),
        "100 KiB in the 10 seconds before, 300 at once then: {took}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_waits() {
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
    assert_eq!(seconds(begin), 0.0);
}

#[tokio::test(start_paused = true)]
async fn control_objects_and_listings_do_not_wait() {
    let (_base, tier) = tier(flat(1), TimeZone::UTC).await;
    put(&*tier, "a", 1, 1).await;
    let begin = Instant::now();
    let content = Bytes::from(vec![1; 64 * KIB]);
    let lease = key("lease");
    let written = tier.write_control(&lease, content.clone(), Expected::Absent, None);
    let tag = written.await.unwrap();
    assert_eq!(
        tier.read_control(&lease).await.unwrap(),
        Some((content, tag))
    );
    assert!(!tier.list("").await.unwrap().is_empty());
    assert_eq!(seconds(begin), 0.0);
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
        include_str!("../throttle.rs"),
        include_str!("../read_only.rs"),
        include_str!("../faulty_tier.rs"),
    ] {
        let passed_on = methods(wrapper, "impl Tier for ");
        for method in &promised {
            // Built on `name`, and on `open_at`, which are passed on.
            if method != "cannot" && method != "open" {
                assert!(passed_on.contains(method), "`{method}`");
            }
        }
    }
}
