//! Controls: from the facts of a period to verdicts with the numbers behind them, as a pure function.
//!
//! Start at [`assess`]. The list of controls with their ids, words and mappings is `catalogue`, `verdict` sums up; `standing` puts the facts in order;
//! `history` replays retention over the period; the other files judge, one idea each.
//! Invariants: the same facts give the same bytes; a verdict rests on the facts alone, so that anybody can compute it again; what the
//! facts do not tell is "cannot tell", never "met".
//! Not here: gathering facts (the root package), documents (`reports`).

mod asked;
mod catalogue;
mod changes;
mod copies;
mod coverage;
mod history;
mod recovery;
mod sample;
mod slots;
mod standing;
mod stock;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

pub use asked::parameters;
pub(crate) use asked::{at_least, kept_hours};
pub use catalogue::{Control, controls};
pub use sample::draw;

use model::{
    canonical,
    evidence::{Assessment, EvidenceFacts},
};
use standing::Standing;

/// Judges a period.
pub fn assess(facts: &EvidenceFacts) -> Assessment {
    let standing = Standing::new(facts);
    let retention = history::retention(&standing);
    let controls = verdict::judge_all(&standing, &retention);
    Assessment {
        coverage: coverage::coverage(&standing),
        controls,
        // Facts hold no number that JSON cannot; if they ever did, no digest would agree with this one.
        facts: canonical::digest(facts).unwrap_or_else(|_| model::Digest::sha256(&[0; 32])),
        format: Assessment::FORMAT.to_owned(),
        objectives: recovery::objectives(&standing),
        recoveries: recovery::rows(&standing),
        retention,
        sample: Vec::new(),
        sample_seed: None,
    }
}
