//! One tier's exports of one chain, read whole: sound in themselves, signed by a known key, without gaps, and the same as the catalog.
//!
//! Reads only. The exports are walked as one chain from its beginning; where a tier's export and the catalog hold different entries, the
//! signed one shows what was written.

use super::{
    object::{self, FOLDER, Line, Lines, Name},
    tier_flaw::TierFlaw,
};
use crate::{gate, steps::error::StepError};
use catalog::{AuditExport, AuditHead, Catalog};
use model::{
    Digest, TierName,
    audit::{
        ChainWalk, ChainedEntry, Flaw, SignedCheckpoint, SigningKeyName, details::EarlierChain,
    },
    event::Failure,
};
use providers::api::{ObjectKey, ProviderError, Tier};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are compared with the catalog at once.
const PAGE: usize = 512;

/// Flaws that are kept of one tier; all are counted.
const KEPT: usize = 64;

/// What one tier shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierCheck {
    /// Exports that were read.
    pub objects: u64,
    /// Entries of the chain that were read there.
    pub entries: u64,
    /// Number of the last entry there.
    pub last: u64,
    /// What is wrong, the first few dozen.
    pub flaws: Vec<TierFlaw>,
    /// How many are wrong.
    pub flawed: u64,
    /// Newest checkpoints of chains of other catalogs, whose signatures hold.
    pub others: Vec<EarlierChain>,
    /// Entries of the catalog that the tier does not have yet.
    pub waiting: u64,
    /// Why the tier could not be checked.
    pub unread: Option<Failure>,
}

/// What a check of a tier compares with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Against<'a> {
    /// `None`: there is no catalog, the exports are read by themselves.
    pub(super) catalog: Option<(&'a Catalog, &'a AuditHead)>,
    /// Identity of the catalog whose chain is read; `None`: every chain on the tier by itself.
    pub(super) identity: Option<&'a str>,
    /// Keys whose signatures count; empty: those that the exports announce themselves.
    pub(super) keys: &'a BTreeSet<SigningKeyName>,
    /// What the catalog remembers of its exports to this tier.
    pub(super) stored: Option<&'a AuditExport>,
    /// Checkpoints of earlier chains that the catalog names, of all tiers.
    pub(super) earlier: &'a [EarlierChain],
}

/// Names of all exports on a tier, by catalog.
pub(super) async fn names(tier: &dyn Tier) -> Result<BTreeMap<String, Vec<Name>>, ProviderError> {
    let mut names: BTreeMap<String, Vec<Name>> = BTreeMap::new();
    for info in tier.list(FOLDER).await? {
        if let Some(name) = Name::parse(&info.key) {
            names.entry(name.catalog.clone()).or_default().push(name);
        }
    }
    Ok(names)
}

/// Checks a tier.
pub(super) async fn check(tier: &dyn Tier, against: &Against<'_>) -> TierCheck {
    let mut check = TierCheck::default();
    if let Err(error) = check.read(tier, against).await {
        check.unread = Some(error.to_failure());
    }
    check
}

impl TierCheck {
    /// Whether nothing is wrong, as far as it could be read.
    pub fn is_sound(&self) -> bool {
        self.flawed == 0
    }

    async fn read(&mut self, tier: &dyn Tier, against: &Against<'_>) -> Result<(), StepError> {
        let known = against.catalog.map(|(catalog, _)| catalog);
        let _ = gate::look(tier, known).await?;
        for (identity, mut names) in names(tier).await? {
            if against.identity.is_some_and(|own| own != identity) {
                self.others.extend(newest(tier, &names).await?);
                continue;
            }
            names.sort();
            self.chain(tier, against, &identity, &names).await?;
        }
        self.replaced(against);
        let here = against.earlier.iter();
        for earlier in here.filter(|earlier| earlier.tier == *tier.name()) {
            let there = self
                .others
                .iter()
                .find(|other| other.catalog == earlier.catalog);
            // A chain that went on since must still hold the checkpoint; one that ends earlier has lost it.
            let lost = match there {
                None => true,
                Some(other) if other.sequence == earlier.sequence => other.digest != earlier.digest,
                Some(other) => other.sequence < earlier.sequence,
            };
            if lost {
                self.note(TierFlaw::Earlier {
                    catalog: earlier.catalog.clone(),
                    sequence: earlier.sequence,
                });
            }
        }
        let end = self.last;
        if let Some(stored) = against.stored.filter(|stored| stored.sequence > end) {
            self.note(TierFlaw::Lacks {
                from: end + 1,
                to: stored.sequence,
            });
        }
        if let Some((_, head)) = against.catalog {
            if end > head.sequence {
                self.note(TierFlaw::Ahead {
                    catalog: head.sequence,
                    checkpoint: end,
                });
            }
            self.waiting = head.sequence.saturating_sub(end);
        }
        Ok(())
    }

    /// Chains of other catalogs that the keys of this one have signed: the key lies beside the catalog, so this one took the other's
    /// place. That is told in the audit when it was done by `catalog rebuild`.
    fn replaced(&mut self, against: &Against<'_>) {
        if against.catalog.is_none() {
            return;
        }
        let ours: BTreeSet<&str> = against.keys.iter().map(SigningKeyName::as_str).collect();
        let replaced: Vec<TierFlaw> = self
            .others
            .iter()
            .filter(|other| ours.contains(&*other.public_key))
            .filter(|other| {
                let mut named = against.earlier.iter();
                !named.any(|earlier| earlier.catalog == other.catalog)
            })
            .map(|other| TierFlaw::Replaced {
                catalog: other.catalog.clone(),
                sequence: other.sequence,
            })
            .collect();
        for flaw in replaced {
            self.note(flaw);
        }
    }

    /// All exports of one chain, in order.
    async fn chain(
        &mut self,
        tier: &dyn Tier,
        against: &Against<'_>,
        identity: &str,
        names: &[Name],
    ) -> Result<(), StepError> {
        let mut announced = against.keys.clone();
        // Number and digest of the last entry so far.
        let mut end: Option<(u64, Digest)> = None;
        for name in names {
            let Some(key) = name.key() else { continue };
            self.objects += 1;
            let reached = end.as_ref().map_or(0, |(last, _)| *last);
            if name.first > reached + 1 {
                let flaw = Flaw::Missing {
                    from: reached + 1,
                    to: name.first - 1,
                };
                self.note(TierFlaw::Chain {
                    flaw,
                    object: format!("{FOLDER}{identity}/"),
                });
            }
            let own = match &end {
                _ if name.first == 1 => ChainWalk::from_beginning(identity),
                Some((last, digest)) if name.first == last + 1 => {
                    ChainWalk::after(*last, digest.clone())
                }
                // Exports of two machines may overlap; then the comparison with the catalog tells.
                _ => ChainWalk::from_entry(name.first),
            };
            let mut object = Object {
                name,
                key: &key,
                own,
                page: Vec::new(),
            };
            let closed = self
                .entries(tier, against, &mut announced, &mut object)
                .await?;
            self.compare(against, &object.page).await?;
            if object.own.last() > reached
                && let Some(digest) = object.own.digest()
            {
                end = Some((object.own.last(), digest.clone()));
            }
            self.judge(&announced, object, closed);
        }
        Ok(())
    }

    /// The lines of one export; gives its checkpoint.
    async fn entries(
        &mut self,
        tier: &dyn Tier,
        against: &Against<'_>,
        announced: &mut BTreeSet<SigningKeyName>,
        object: &mut Object<'_>,
    ) -> Result<Option<SignedCheckpoint>, StepError> {
        let mut closed = None;
        let mut lines = Lines::open(tier, object.key).await?;
        let mut number = 0_u64;
        while let Some(line) = lines.next().await? {
            number += 1;
            if !lines.is_exact() && !matches!(line, Line::Other) {
                self.note(TierFlaw::NoExport {
                    object: object.key.to_string(),
                    why: format!(
                        "line {number} is not written as an export writes it, so something was added to what is signed"
                    ),
                });
            }
            match line {
                Line::Entry(entry) if closed.is_none() => {
                    self.entries += 1;
                    self.last = self.last.max(entry.sequence);
                    if against.keys.is_empty()
                        && let Some(model::audit::AuditDetails::SigningKey { public_key }) =
                            entry.typed()
                        && let Ok(key) = public_key.parse()
                    {
                        announced.insert(key);
                    }
                    object.own.take(&entry);
                    object.page.push(*entry);
                    if object.page.len() >= PAGE {
                        self.compare(against, &object.page).await?;
                        object.page.clear();
                    }
                }
                Line::Checkpoint(checkpoint) if closed.is_none() => closed = Some(*checkpoint),
                _ => {
                    self.note(TierFlaw::NoExport {
                        object: object.key.to_string(),
                        why: format!("line {number} is not what stands there in an export"),
                    });
                    return Ok(closed);
                }
            }
        }
        Ok(closed)
    }

    /// What an export is worth once it was read.
    fn judge(
        &mut self,
        announced: &BTreeSet<SigningKeyName>,
        object: Object<'_>,
        closed: Option<SignedCheckpoint>,
    ) {
        let key = object.key.to_string();
        let (last, digest) = (object.own.last(), object.own.digest().cloned());
        let (flaws, _) = object.own.finish(object.name.last);
        let whole = flaws.is_empty();
        for flaw in flaws {
            self.note(TierFlaw::Chain {
                flaw,
                object: key.clone(),
            });
        }
        let Some(signed) = closed else {
            self.note(TierFlaw::NoExport {
                object: key,
                why: "it has no checkpoint at its end, so it was cut off".to_owned(),
            });
            return;
        };
        let said = &signed.checkpoint;
        let agrees = said.catalog == object.name.catalog
            && (said.first, said.sequence) == (object.name.first, object.name.last)
            && (said.sequence, Some(&said.digest)) == (last, digest.as_ref());
        if !signed.is_signed() {
            self.note(TierFlaw::NotSigned { object: key });
        } else if !announced.contains(&said.public_key) {
            self.note(TierFlaw::UnknownKey {
                key: said.public_key.clone(),
                object: key,
            });
        } else if !agrees && whole {
            self.note(TierFlaw::Checkpoint { object: key });
        }
    }

    /// Compares entries with the catalog's of the same numbers. Those that it lacks are told where its own chain is judged.
    async fn compare(
        &mut self,
        against: &Against<'_>,
        page: &[ChainedEntry],
    ) -> Result<(), StepError> {
        let (Some((catalog, _)), Some(first)) = (against.catalog, page.first()) else {
            return Ok(());
        };
        let here = catalog
            .audit_page(first.sequence.saturating_sub(1), page.len() as u64)
            .await?;
        let here: BTreeMap<u64, ChainedEntry> = here
            .into_iter()
            .map(|entry| (entry.sequence, entry))
            .collect();
        for signed in page {
            // Only what is sound in the export can tell on the catalog.
            let sound = signed.computed() == signed.digest;
            if let Some(entry) = here.get(&signed.sequence).filter(|_| sound)
                && (entry.digest != signed.digest || entry.computed() != signed.digest)
            {
                self.note(differs(entry, signed));
            }
        }
        Ok(())
    }

    fn note(&mut self, flaw: TierFlaw) {
        // One act of somebody, however many entries it concerned.
        if let (TierFlaw::ComputedAnew { from, to }, Some(TierFlaw::ComputedAnew { to: end, .. })) =
            (&flaw, self.flaws.last_mut())
            && *from == *end + 1
        {
            *end = *to;
            return;
        }
        self.flawed += 1;
        if self.flaws.len() < KEPT {
            self.flaws.push(flaw);
        }
    }
}

/// One export while it is read.
struct Object<'a> {
    name: &'a Name,
    key: &'a ObjectKey,
    /// By itself, so that a flaw is told with the object's name.
    own: ChainWalk,
    /// Entries that were not compared yet.
    page: Vec<ChainedEntry>,
}

/// The fields in which an entry differs from the signed one.
fn differs(here: &ChainedEntry, signed: &ChainedEntry) -> TierFlaw {
    let fields = |entry: &ChainedEntry| -> [(&'static str, String); 8] {
        [
            ("at", entry.at.to_string()),
            (
                "details",
                entry
                    .details
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ),
            ("digest", entry.digest.to_string()),
            ("kind", entry.kind.clone()),
            ("previous", entry.previous.to_string()),
            ("what", entry.what.clone()),
            ("who", entry.who.clone()),
            ("why", entry.why.clone()),
        ]
    };
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    for ((field, here), (_, there)) in fields(here).into_iter().zip(fields(signed)) {
        if here != there {
            ours.insert(field, here);
            theirs.insert(field, there);
        }
    }
    // Digests follow from the rest.
    for digest in ["digest", "previous"] {
        ours.remove(digest);
        theirs.remove(digest);
    }
    if ours.is_empty() {
        return TierFlaw::ComputedAnew {
            from: signed.sequence,
            to: signed.sequence,
        };
    }
    TierFlaw::Differs {
        catalog: ours,
        signed: theirs,
        sequence: signed.sequence,
    }
}

/// The newest checkpoint of another catalog's chain, if its signature holds.
pub(super) async fn newest(
    tier: &dyn Tier,
    names: &[Name],
) -> Result<Option<EarlierChain>, ProviderError> {
    let Some(name) = names.iter().max_by_key(|name| name.last) else {
        return Ok(None);
    };
    let Some(key) = name.key() else {
        return Ok(None);
    };
    let signed = object::checkpoint(tier, &key).await?;
    Ok(signed.filter(SignedCheckpoint::is_signed).map(|signed| {
        let checkpoint = signed.checkpoint;
        EarlierChain {
            catalog: checkpoint.catalog,
            digest: checkpoint.digest,
            public_key: checkpoint.public_key.to_string(),
            sequence: checkpoint.sequence,
            tier: tier.name().clone(),
        }
    }))
}

/// Which tiers' names a set of checks has.
pub(super) type TierChecks = BTreeMap<TierName, TierCheck>;

/// A digest that no entry has.
pub(super) fn nothing() -> Digest {
    Digest::sha256_of(&[])
}
