//! The fear: one bit of what is stored has changed, and nobody notices until it is needed.
//!
//! Every flip of one bit, at positions drawn over all files of an encrypted recovery point, must be noticed by the weakest level
//! of `verify` that reads, with the catalog and without one (a machine that is new knows the tier only).

#![expect(clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use mainstay_executor as executor;

mod support;

use executor::{VerifyOrder, verify_now};
use model::VerifyLevel;
use std::{path::PathBuf, sync::Arc, time::Duration};
use support::{
    World,
    keys::encrypted,
    plans::{backup, plan, point},
    tier,
};

/// Positions, and the seed that a failure names.
const FLIPS: usize = 2_000;
const SEED: u64 = 20_261_121;

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

async fn is_good(world: &World, with_catalog: bool) -> bool {
    let order = VerifyOrder {
        point: point(21),
        tier: tier("nas"),
        level: VerifyLevel::Checksum,
        who: "tester".to_owned(),
        run: "verify".to_owned(),
        lease_wait: Duration::from_secs(1),
        progress: Arc::new(|_| {}),
    };
    let catalog = with_catalog.then_some(&world.catalog);
    verify_now(&order, &world.wiring, catalog, &world.clock())
        .await
        .passed()
}

#[tokio::test]
async fn every_flipped_bit_of_what_is_stored_is_noticed() {
    let world = World::new().await;
    let step = encrypted(backup(21, "nas"), &["prod", "offline"]);
    world.apply(&plan(world.clock().now(), vec![step])).await;
    let folder = world.path("nas", &point(21), "");
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    let mut chance = Chance(SEED);
    let mut unnoticed = Vec::new();
    for flip in 0..FLIPS {
        let file = &files[chance.below(files.len())];
        let good = std::fs::read(file).unwrap();
        let (at, bit) = (chance.below(good.len()), chance.below(8));
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        std::fs::write(file, &bad).unwrap();
        if is_good(&world, flip % 2 == 0).await {
            unnoticed.push(format!("{} byte {at} bit {bit}", file.display()));
        }
        std::fs::write(file, &good).unwrap();
    }
    assert!(unnoticed.is_empty(), "seed {SEED}: {unnoticed:#?}");
    assert!(is_good(&world, true).await && is_good(&world, false).await);
}
