//! Arguments of `simulate`.

use super::instant;
use clap::{Args, ValueHint};
use jiff::Timestamp;
use model::{ByteCount, DatabaseName, TierName};
use std::path::PathBuf;

pub(crate) const EXAMPLES: &str = "Examples:\n  mainstay simulate --years 7\n  mainstay simulate orders --from-nothing --size orders=40GiB --growth 20%/y --svg orders.svg\n  \
mainstay simulate --outage 2027-03-01..2027-03-15 --lose nas@2027-06-01 --until 2028-01-01\n  \
mainstay simulate --inventory inventory.json --now 2026-11-21T02:00:00Z --json | jq .tiers\n  \
mainstay simulate --print-prices > prices.toml && mainstay simulate --prices prices.toml";

/// `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// Only these databases [default: all]
    #[arg(value_name = "DATABASE")]
    pub(crate) databases: Vec<String>,
    /// How many years to look ahead
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100), conflicts_with = "until")]
    pub(crate) years: u16,
    /// Look ahead until then
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) until: Option<Timestamp>,
    /// As if nothing existed yet
    #[arg(long, conflicts_with = "inventory")]
    pub(crate) from_nothing: bool,
    /// Nothing runs in that time, or with TIER: in front, that tier is away
    #[arg(long, value_name = "[TIER:]FROM..TO", value_parser = outage)]
    pub(crate) outage: Vec<OutageArgument>,
    /// A tier loses everything at that time, and is there again, empty
    #[arg(long, value_name = "TIER@TIME", value_parser = lost)]
    pub(crate) lose: Vec<LostArgument>,
    /// After each recovery point so many runs in a row fail
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) failed_runs: u32,
    /// How much larger points are a year later: 20%/y
    #[arg(long, value_name = "PERCENT", default_value = "0%/y", value_parser = growth)]
    pub(crate) growth: f64,
    /// How large a point is, where nothing of the database exists to measure
    #[arg(long, value_name = "DATABASE=SIZE", value_parser = size)]
    pub(crate) size: Vec<(DatabaseName, ByteCount)>,
    /// Price table to reckon with [default: vendor list prices that are built in]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) prices: Option<PathBuf>,
    /// Print the built-in price table, to be corrected and handed in
    #[arg(long)]
    pub(crate) print_prices: bool,
    /// Write a calendar picture to this file; it may exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) svg: Option<PathBuf>,
    /// Simulate from this inventory, without network, state or clock; `-` reads stdin
    #[arg(long, value_name = "FILE", requires = "now")]
    pub(crate) inventory: Option<PathBuf>,
    /// Begin at that time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) now: Option<Timestamp>,
}

/// `--outage`.
#[derive(Debug, Clone)]
pub(crate) struct OutageArgument {
    pub(crate) tier: Option<TierName>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// `--lose`.
#[derive(Debug, Clone)]
pub(crate) struct LostArgument {
    pub(crate) tier: TierName,
    pub(crate) at: Timestamp,
}

fn outage(text: &str) -> Result<OutageArgument, String> {
    let (from, until) = text
        .split_once("..")
        .ok_or("write FROM..TO, as 2027-03-01..2027-03-15")?;
    // Times have colons too: a tier's name stands in front of the first one and begins with a letter.
    let named = from
        .split_once(':')
        .filter(|(tier, _)| tier.starts_with(|c: char| c.is_ascii_alphabetic()));
    let (tier, from) = match named {
        Some((tier, from)) => (
            Some(TierName::new(tier).map_err(|error| error.to_string())?),
            from,
        ),
        None => (None, from),
    };
    let (from, until) = (instant(from)?, instant(until)?);
    if until <= from {
        return Err("an outage ends after it begins".to_owned());
    }
    Ok(OutageArgument { tier, from, until })
}

fn lost(text: &str) -> Result<LostArgument, String> {
    let (tier, at) = text
        .split_once('@')
        .ok_or("write TIER@TIME, as nas@2027-06-01")?;
    Ok(LostArgument {
        tier: TierName::new(tier).map_err(|error| error.to_string())?,
        at: instant(at)?,
    })
}

fn growth(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no growth; write percent a year, like 20%/y");
    let number = text.trim().trim_end_matches("/y").trim_end_matches('%');
    let percent: f64 = number.parse().map_err(|_| wrong())?;
    if percent.is_finite() && (-99.0..=1000.0).contains(&percent) {
        Ok(percent)
    } else {
        Err(wrong())
    }
}

fn size(text: &str) -> Result<(DatabaseName, ByteCount), String> {
    let (database, size) = text
        .split_once('=')
        .ok_or("write DATABASE=SIZE, as orders=40GiB")?;
    let database = DatabaseName::new(database).map_err(|error| error.to_string())?;
    Ok((database, ByteCount::parse(size)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_read_with_and_without_a_tier() {
        let whole = outage("2027-03-01..2027-03-15").unwrap();
        assert_eq!(
            (whole.tier, whole.from.to_string()),
            (None, "2027-03-01T00:00:00Z".to_owned())
        );
        let nas = outage("nas:2027-03-01T10:00:00Z..2027-03-01T12:00:00Z").unwrap();
        assert_eq!(nas.tier.unwrap().as_str(), "nas");
        assert_eq!(nas.until.to_string(), "2027-03-01T12:00:00Z");
        assert!(outage("2027-03-15..2027-03-01").is_err());
        assert!(outage("2027-03-15").is_err());
    }

    #[test]
    fn growth_and_losses_are_read() {
        assert_eq!(growth("20%/y"), Ok(20.0));
        assert_eq!(growth("2.5"), Ok(2.5));
        assert!(growth("much").is_err());
        assert!(lost("nas").is_err());
        assert_eq!(lost("nas@2027-06-01").unwrap().tier.as_str(), "nas");
    }
}
