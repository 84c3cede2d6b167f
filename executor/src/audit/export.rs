//! Carries new entries to the tiers, each time with a signed checkpoint.
//!
//! Invariants: objects are created and never replaced, so it needs no lease of a tier, and a repeat changes nothing; what is signed was
//! found sound from the last checkpoint of that tier on; a tier that is away gets everything the next time. Only tiers that runs have
//! used get exports: an unmounted disk must not become a tier by this.

use super::{
    AuditError, SigningKey,
    object::{self, Name},
};
use crate::{clock::Clock, crash_point::CrashPoints, gate, stored, wiring::TierWiring};
use bytes::Bytes;
use catalog::{AuditDetails, AuditEntry, AuditExport, AuditHead, AuditKind, Catalog};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use model::{
    Digest, LockOrder, TierName,
    audit::{ChainWalk, Checkpoint, SignedCheckpoint, checkpoint},
    canonical,
    event::Failure,
};
use providers::api::{NewObject, Tier};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Entries of one object: a few megabytes, which are held in memory.
const AT_ONCE: u64 = 8192;

/// Entries that are read from the catalog at once.
const PAGE: u64 = 1024;

/// A tier that does not answer must not hold up the end of a run.
const LIMIT: Duration = Duration::from_mins(1);

/// What became of the exports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Number of the last entry on each tier that has all of them now.
    pub stored: BTreeMap<TierName, u64>,
    /// Tiers that lack entries, and why; the next run tries again.
    pub failed: BTreeMap<TierName, Failure>,
    /// Why nothing was exported at all.
    pub nothing: Option<Failure>,
}

/// Exports of one catalog.
#[derive(Debug, Clone)]
pub struct Exporter {
    catalog: Catalog,
    key: Arc<SigningKey>,
    identity: String,
    clock: Arc<dyn Clock>,
    crash: CrashPoints,
}

impl Exporter {
    /// Opens the key, or makes it, and tells in the audit that it signs from now on, if it never did.
    pub async fn open(
        catalog: &Catalog,
        key: &Path,
        who: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let key = SigningKey::open_or_make(key)?;
        let public_key = key.name().as_str().to_owned();
        catalog
            .audit_once(&AuditEntry {
                at: clock.now(),
                who: who.to_owned(),
                kind: AuditKind::SigningKey,
                what: public_key.clone(),
                why: "signs the exports of this audit from now on".to_owned(),
                details: Some(AuditDetails::SigningKey { public_key }),
            })
            .await?;
        Ok(Self {
            catalog: catalog.clone(),
            key: Arc::new(key),
            identity: catalog.identity().await?,
            clock: Arc::clone(clock),
            crash: CrashPoints::new(None),
        })
    }

    /// Dies at crash points.
    #[must_use]
    pub(crate) fn with_crash_points(self, crash: CrashPoints) -> Self {
        Self { crash, ..self }
    }

    /// Brings every tier that runs have used up to date, all at the same time.
    pub async fn export(&self, tiers: &BTreeMap<TierName, TierWiring>) -> ExportReport {
        let mut report = ExportReport::default();
        let known = async {
            let head = self.catalog.audit_head().await?;
            Ok::<_, AuditError>((head, self.catalog.audit_exports().await?))
        };
        let (head, exports) = match known.await {
            Ok(known) => known,
            Err(error) => {
                report.nothing = Some(error.to_failure());
                return report;
            }
        };
        let mut work = JoinSet::new();
        for (name, wired) in tiers {
            let export = exports.get(name).cloned();
            if export
                .as_ref()
                .is_some_and(|there| there.sequence >= head.sequence)
            {
                continue;
            }
            let (this, tier, head) = (self.clone(), Arc::clone(&wired.tier), head.clone());
            work.spawn(async move {
                let stored = tokio::time::timeout(LIMIT, this.bring(&*tier, export, &head)).await;
                let stored = stored.unwrap_or_else(|_| {
                    let text = format!("`{}` did not answer in time", tier.name());
                    Err(AuditError::Provider(
                        tier.cannot("take the audit").source(text),
                    ))
                });
                (tier.name().clone(), stored)
            });
        }
        for (name, stored) in work.join_all().await {
            match stored {
                Ok(Some(sequence)) => drop(report.stored.insert(name, sequence)),
                Ok(None) => {}
                Err(error) => drop(report.failed.insert(name, error.to_failure())),
            }
        }
        report
    }

    /// One tier; `None`: no run has used it yet.
    async fn bring(
        &self,
        tier: &dyn Tier,
        there: Option<AuditExport>,
        head: &AuditHead,
    ) -> Result<Option<u64>, AuditError> {
        let (identity, _) = gate::look(tier, Some(&self.catalog)).await?;
        if identity != gate::Identity::Same {
            return Ok(None);
        }
        let (mut done, mut digest) =
            there.map_or((0, None), |there| (there.sequence, Some(there.digest)));
        while done < head.sequence {
            let last = head.sequence.min(done + AT_ONCE);
            let part = Part {
                after: done,
                follows: digest.as_ref(),
                last,
            };
            let (content, checkpoint) = self.content(&part).await?;
            self.crash.hit("before-audit-export");
            self.store(tier, &part, content, &checkpoint).await?;
            self.crash.hit("after-audit-export");
            let export = AuditExport {
                at: self.clock.now(),
                digest: checkpoint.checkpoint.digest,
                sequence: last,
            };
            self.catalog.note_audit_export(tier.name(), &export).await?;
            (done, digest) = (last, Some(export.digest));
        }
        Ok(Some(done))
    }

    /// The lines of one object, with its checkpoint.
    async fn content(&self, part: &Part<'_>) -> Result<(Vec<u8>, SignedCheckpoint), AuditError> {
        let mut walk = match part.follows {
            Some(digest) => ChainWalk::after(part.after, digest.clone()),
            None => ChainWalk::from_beginning(&self.identity),
        };
        let mut content = Vec::new();
        while walk.last() < part.last {
            let left = part.last - walk.last();
            let page = self.catalog.audit_page(walk.last(), left.min(PAGE)).await?;
            if page.is_empty() {
                break;
            }
            for entry in page.iter().filter(|entry| entry.sequence <= part.last) {
                walk.take(entry);
                line(&mut content, entry);
            }
            if walk.last() >= part.last {
                break;
            }
        }
        let digest = walk.digest().cloned();
        let (flaws, _) = walk.finish(part.last);
        if let Some(flaw) = flaws.into_iter().next() {
            return Err(AuditError::Broken(flaw));
        }
        let signed = self.sign(part.after + 1, part.last, digest)?;
        line(&mut content, &signed);
        Ok((content, signed))
    }

    fn sign(
        &self,
        first: u64,
        sequence: u64,
        digest: Option<Digest>,
    ) -> Result<SignedCheckpoint, AuditError> {
        let checkpoint = Checkpoint {
            at: self.clock.now(),
            catalog: self.identity.clone(),
            digest: digest.unwrap_or_else(|| Digest::sha256_of(&[])),
            first,
            format: checkpoint::FORMAT.to_owned(),
            public_key: self.key.name(),
            sequence,
        };
        // Texts and numbers: there is nothing in it that JSON cannot hold.
        self.key
            .sign(checkpoint)
            .map_err(|error| AuditError::KeyFile {
                path: std::path::PathBuf::new(),
                source: error.into(),
            })
    }

    async fn store(
        &self,
        tier: &dyn Tier,
        part: &Part<'_>,
        content: Vec<u8>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), AuditError> {
        let name = Name {
            catalog: self.identity.clone(),
            first: part.after + 1,
            last: part.last,
        };
        let Some(key) = name.key() else {
            return Err(tier.cannot("take an object of this name").into());
        };
        let new = NewObject::index(content.len()).locked(lock(tier, self.clock.now()));
        let written = async {
            let mut writer = tier.create(&key, new).await?;
            writer.write(Bytes::from(content)).await?;
            writer.finish().await
        };
        match written.await {
            Ok(_) => Ok(()),
            // An earlier try whose answer was lost, or that died before it was noted.
            Err(error) if error.code == stored::EXISTS => {
                let there = object::checkpoint(tier, &key).await?;
                let same = there.is_some_and(|there| {
                    there.is_signed() && there.checkpoint.digest == checkpoint.checkpoint.digest
                });
                if !same {
                    return Err(AuditError::OtherHistory {
                        object: key.to_string(),
                    });
                }
                tier.ensure_durable(&key).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Entries of one object.
struct Part<'a> {
    after: u64,
    /// Digest of the entry before them; `None`: they begin the chain.
    follows: Option<&'a Digest>,
    last: u64,
}

/// How long an export is locked where the tier locks: as its rule says; where the rule follows retention, which an audit has none of, a
/// year.
fn lock(tier: &dyn Tier, now: Timestamp) -> Option<LockOrder> {
    let rule = tier.capabilities().lock?;
    let until = match rule.length {
        Some(length) => length.after(now, &TimeZone::UTC),
        None => now
            .to_zoned(TimeZone::UTC)
            .checked_add(1.year())
            .ok()?
            .timestamp(),
    };
    Some(LockOrder {
        mode: rule.mode,
        until: Timestamp::from_second(until.as_second()).unwrap_or(until),
    })
}

fn line<T: serde::Serialize>(content: &mut Vec<u8>, value: &T) {
    // Texts, numbers and JSON: there is nothing in it that JSON cannot hold.
    if let Ok(mut text) = canonical::to_vec(value) {
        content.append(&mut text);
        content.push(b'\n');
    }
}

/// Writes the whole audit as one export; gives the number of entries. Nothing is checked: what is wrong in the catalog is written as it
/// is, and is found by whoever reads it.
pub async fn write_all(
    exporter: &Exporter,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    failed: impl Fn(std::io::Error) -> AuditError,
) -> Result<u64, AuditError> {
    let head = exporter.catalog.audit_head().await?;
    let mut after = 0;
    let mut digest = None;
    loop {
        let page = exporter.catalog.audit_page(after, PAGE).await?;
        let page: Vec<_> = page
            .into_iter()
            .filter(|entry| entry.sequence <= head.sequence)
            .collect();
        let Some(last) = page.last() else {
            break;
        };
        after = last.sequence;
        digest = Some(last.digest.clone());
        let mut content = Vec::new();
        for entry in &page {
            line(&mut content, entry);
        }
        write(&content).map_err(&failed)?;
    }
    let mut content = Vec::new();
    line(&mut content, &exporter.sign(1, after, digest)?);
    write(&content).map_err(&failed)?;
    Ok(after)
}
