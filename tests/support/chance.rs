//! Seeded chance: the same seed gives the same kills, as far as a scheduler allows.

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and good enough to choose moments.
pub struct Chance(u64);

impl Chance {
    /// From `MAINSTAY_TEST_SEED`, else from the clock. Prints the seed, which a failing test shows.
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stdout,
        reason = "a seed that is new each time finds more; the variable brings an old one back"
    )]
    pub fn seeded() -> Self {
        let seed = std::env::var("MAINSTAY_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| {
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
            });
        println!("seed {seed}: repeat with MAINSTAY_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
