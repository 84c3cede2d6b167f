//! What storage costs: a price table in TOML, validated, with every mistake at its place.
//!
//! The table that is built in holds a vendor's list prices and says so; whoever pays something else hands in another one. A tier without a price
//! is not free: its cost is not known, and every sum says which tiers it lacks.

use model::tier_facts::RetrievalSpeed;
use policy_schema::policy::TierDeclaration;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range};
use toml::Spanned;

/// Value of `format`.
pub const FORMAT: &str = "mainstay.prices.v1";

/// The table that is built in.
pub const BUILT_IN: &str = include_str!("prices.toml");

/// Storage class of an s3 tier that names none.
const DEFAULT_CLASS: &str = "standard";

/// A price table.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// Where the prices come from.
    pub source: PriceSource,
    tiers: BTreeMap<String, Price>,
    classes: BTreeMap<String, Price>,
    kinds: BTreeMap<String, Price>,
}

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PriceSource {
    /// Who says so.
    pub source: String,
    /// As of when.
    pub date: String,
    /// Currency.
    pub currency: String,
}

/// Prices of one place.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Price {
    /// Of a GiB for a month.
    pub storage_gib_month: f64,
    /// Of 1,000 objects stored.
    pub put_1000: f64,
    /// Of 1,000 objects read.
    pub get_1000: f64,
    /// Of a GiB read back.
    pub retrieval_gib: f64,
    /// Of a GiB that leaves the vendor's network.
    pub transfer_gib: f64,
    /// Of thawing, by speed: a GiB, and 1,000 requests.
    pub thaw: [Option<(f64, f64)>; 3],
}

/// A mistake in a price table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PriceFinding {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    format: Spanned<String>,
    source: String,
    date: String,
    currency: String,
    #[serde(default)]
    tier: BTreeMap<String, Row>,
    #[serde(default)]
    class: BTreeMap<String, Row>,
    #[serde(default)]
    kind: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    storage_gib_month: Spanned<f64>,
    put_1000: Option<Spanned<f64>>,
    get_1000: Option<Spanned<f64>>,
    retrieval_gib: Option<Spanned<f64>>,
    transfer_gib: Option<Spanned<f64>>,
    expedited: Option<ThawRow>,
    standard: Option<ThawRow>,
    bulk: Option<ThawRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ThawRow {
    gib: Spanned<f64>,
    requests_1000: Option<Spanned<f64>>,
}

impl Prices {
    /// The table that is built in.
    pub fn built_in() -> Self {
        // A test reads it; a table without prices would say "not known" everywhere, never something wrong.
        Self::parse(BUILT_IN).unwrap_or_else(|_| Self {
            source: PriceSource {
                source: String::new(),
                date: String::new(),
                currency: String::new(),
            },
            tiers: BTreeMap::new(),
            classes: BTreeMap::new(),
            kinds: BTreeMap::new(),
        })
    }

    /// Reads a table; every mistake is found, except that the parser stops at the first that is none of TOML.
    pub fn parse(text: &str) -> Result<Self, Vec<PriceFinding>> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let message = error.message().to_owned();
            vec![finding(text, error.span(), message)]
        })?;
        let mut reader = Reader {
            text,
            findings: Vec::new(),
        };
        if table.format.get_ref() != FORMAT {
            let message = format!("this program reads `{FORMAT}`");
            let found = finding(text, Some(table.format.span()), message);
            reader.findings.push(found);
        }
        let prices = Self {
            source: PriceSource {
                source: table.source,
                date: table.date,
                currency: table.currency,
            },
            tiers: reader.rows(&table.tier),
            classes: reader.rows(&table.class),
            kinds: reader.rows(&table.kind),
        };
        if reader.findings.is_empty() {
            Ok(prices)
        } else {
            reader.findings.sort();
            Err(reader.findings)
        }
    }

    /// The prices of a tier: its own, those of its storage class, those of its kind.
    pub fn of(&self, tier: &TierDeclaration) -> Option<Price> {
        let class = tier
            .table
            .get("storage-class")
            .and_then(|class| class.as_str());
        let class = class.or((tier.kind == "s3").then_some(DEFAULT_CLASS));
        self.tiers
            .get(tier.name.as_str())
            .or_else(|| self.classes.get(class?))
            .or_else(|| self.kinds.get(&tier.kind))
            .copied()
    }

    /// Names of tiers in the table that a policy does not declare.
    pub fn undeclared<'a>(
        &'a self,
        policy: &'a policy_schema::Policy,
    ) -> impl Iterator<Item = &'a str> {
        let names = self.tiers.keys().map(String::as_str);
        names.filter(|name| !policy.tiers.contains_key(*name))
    }
}

impl Price {
    /// What it costs to read so many GiB back in so many objects, thawed at that speed first.
    pub fn reading(&self, gib: f64, objects: f64, thaw: Option<RetrievalSpeed>) -> Option<f64> {
        let thawing = match thaw {
            Some(speed) => {
                let (by_gib, requests) = self.thaw[speed as usize]?;
                by_gib * gib + requests * objects / 1000.0
            }
            None => 0.0,
        };
        Some(
            thawing
                + (self.retrieval_gib + self.transfer_gib) * gib
                + self.get_1000 * objects / 1000.0,
        )
    }
}

struct Reader<'t> {
    text: &'t str,
    findings: Vec<PriceFinding>,
}

impl Reader<'_> {
    fn rows(&mut self, rows: &BTreeMap<String, Row>) -> BTreeMap<String, Price> {
        let mut prices = BTreeMap::new();
        for (name, row) in rows {
            prices.insert(name.clone(), self.row(row));
        }
        prices
    }

    fn row(&mut self, row: &Row) -> Price {
        Price {
            storage_gib_month: self.number(&row.storage_gib_month),
            put_1000: self.optional(row.put_1000.as_ref()),
            get_1000: self.optional(row.get_1000.as_ref()),
            retrieval_gib: self.optional(row.retrieval_gib.as_ref()),
            transfer_gib: self.optional(row.transfer_gib.as_ref()),
            thaw: [&row.expedited, &row.standard, &row.bulk].map(|thaw| {
                thaw.as_ref().map(|thaw| {
                    let requests = self.optional(thaw.requests_1000.as_ref());
                    (self.number(&thaw.gib), requests)
                })
            }),
        }
    }

    fn optional(&mut self, number: Option<&Spanned<f64>>) -> f64 {
        number.map_or(0.0, |number| self.number(number))
    }

    fn number(&mut self, number: &Spanned<f64>) -> f64 {
        let value = *number.get_ref();
        if !value.is_finite() || value < 0.0 {
            let message = "a price is a number that is not negative".to_owned();
            self.findings
                .push(finding(self.text, Some(number.span()), message));
        }
        value
    }
}

fn finding(text: &str, span: Option<Range<usize>>, message: String) -> PriceFinding {
    let start = span.map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    PriceFinding {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_whole_and_says_where_it_comes_from() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        assert_eq!(prices, Prices::built_in());
        assert!(prices.source.source.contains("https://"));
        assert!(prices.source.date.parse::<jiff::civil::Date>().is_ok());
        assert_eq!(prices.classes.len(), 7);
    }

    #[test]
    fn every_wrong_price_is_found_at_its_place() {
        let text = "format = \"mainstay.prices.v1\"\nsource = \"me\"\ndate = \"2026-01-01\"\ncurrency = \"EUR\"\n\
                    [tier.nas]\nstorage-gib-month = -1.0\nput-1000 = nan\n";
        let places: Vec<_> = Prices::parse(text)
            .unwrap_err()
            .iter()
            .map(|f| (f.line, f.column))
            .collect();
        assert_eq!(places, [(6, 21), (7, 12)]);
        let unknown = text.replace("put-1000", "puts");
        let found = Prices::parse(&unknown).unwrap_err();
        assert_eq!((found.len(), found[0].line), (1, 7), "{found:?}");
    }

    #[test]
    fn a_price_that_is_missing_is_not_nothing() {
        let text = "format = \"mainstay.prices.v1\"\nsource = \"me\"\ndate = \"2026-01-01\"\ncurrency = \"EUR\"\n\
                    [class.glacier]\nstorage-gib-month = 1.0\n";
        let prices = Prices::parse(text).unwrap();
        let price = prices.classes["glacier"];
        assert_eq!(price.reading(1.0, 1.0, Some(RetrievalSpeed::Bulk)), None);
        assert_eq!(price.reading(1.0, 1.0, None), Some(0.0));
    }
}
