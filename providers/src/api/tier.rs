//! What a tier promises: a store of named objects that are invisible until whole and never overwritten.
//!
//! - An object appears under its key only by [`ObjectWriter::finish`], durable (content and name), or not at all.
//! - Creating a key that exists fails with `mainstay::tier::exists`; nothing is ever overwritten.
//! - Listing is complete (every page) and never shows unfinished objects.
//! - `observe` never changes anything, so plans and dry runs may call it.
//! - Stores silently ignore what they do not know. What a policy demands (class, lock, encryption) is read back after every
//!   write; what safety depends on (create-only, leases) is probed before the first.

use super::error::{ProviderError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{
    ByteCount, Disposition, StoredObject, TierName,
    tier_facts::{Capabilities, LockOrder, Space, ThawOrder},
};
use std::fmt;

/// A key below a tier's root: relative, `/`-separated, no empty, `.` or `..` segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks and takes a key; `None` when it could leave the tier.
    pub fn new(key: impl Into<String>) -> Option<Self> {
        let key = key.into();
        let safe = |segment: &str| {
            !segment.is_empty() && segment != "." && segment != ".." && !segment.contains('\0')
        };
        (key.len() <= 1024 && key.split('/').all(safe)).then_some(Self(key))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a look at a tier gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierState {
    /// Identity from the tier's marker; `None`: reachable, but never initialised (no marker).
    pub identity: Option<String>,
    /// Room, if the tier can say.
    pub space: Option<Space>,
}

/// One object as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its size.
    pub bytes: ByteCount,
    /// When it was completed, as the tier tells.
    pub stored_at: Timestamp,
}

/// What is to be stored, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewObject {
    /// Its size, if known, for the free-space check.
    pub expected: Option<ByteCount>,
    /// Whether it may go to an archive.
    pub class: ObjectClass,
    /// Locked from the moment at which it becomes visible.
    pub lock: Option<LockOrder>,
}

impl NewObject {
    /// Data, which may go to an archive.
    pub fn data(expected: Option<ByteCount>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// Something small that must always be readable at once: a manifest, a key ring, the recovery scripts.
    pub fn index(bytes: usize) -> Self {
        Self {
            expected: Some(ByteCount(bytes as u64)),
            class: ObjectClass::Index,
            lock: None,
        }
    }

    /// The same, locked.
    #[must_use]
    pub fn locked(self, lock: Option<LockOrder>) -> Self {
        Self { lock, ..self }
    }
}

/// Whether an object may need a thaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObjectClass {
    /// Stored in the tier's declared class.
    #[default]
    Data,
    /// Stored where it can be read at once, whatever the tier's class.
    Index,
}

/// Whether an object can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Now; for a thawed object until then.
    Ready {
        /// When it freezes again.
        until: Option<Timestamp>,
    },
    /// Only after a thaw.
    Archived,
    /// A thaw was asked for and is under way.
    Thawing,
}

/// What the store refuses to do to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// It cannot be deleted before.
    pub locked_until: Option<Timestamp>,
    /// It cannot be deleted until a person's order is lifted.
    pub legal_hold: bool,
}

/// What a store says of its own copy of an object, without anybody reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// Its size and its checksum over the whole object are those of the manifest.
    Agrees,
    /// They are not, and what differs.
    Differs(String),
    /// The store keeps no checksum that could be compared, and why.
    CannotTell(String),
}

/// Tells one content of a control object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTag(pub String);

/// What must be there for a control object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// What was read with this tag.
    Unchanged(ControlTag),
}

/// One thing that a probe tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// What was tried: `conditional create`, `storage class deep-archive`, `object lock` …
    pub what: String,
    /// Whether the store does it.
    pub works: bool,
    /// Whether the tier cannot be used without it, as it is declared.
    pub needed: bool,
    /// What was seen, in words.
    pub detail: String,
}

/// A place where copies are stored.
#[async_trait]
pub trait Tier: Send + Sync + fmt::Debug {
    /// Its name in the policy.
    fn name(&self) -> &TierName;

    /// What this kind of tier can promise.
    fn capabilities(&self) -> Capabilities;

    /// Looks whether the tier is there, which one it is and how much room it has. Errors: `mainstay::tier::unreachable`
    /// (needs operator). A folder that should be a mount but is empty shows as `identity: None`; the caller, who
    /// remembers the identity, must then treat the tier as unreachable.
    async fn observe(&self) -> Result<TierState>;

    /// Gives an uninitialised tier its marker with `identity` and returns the identity it has now. A repeat, or a
    /// second caller at the same moment, gets the identity that is there.
    async fn initialise(&self, identity: &str) -> Result<String>;

    /// Starts an object; `mainstay::tier::full` before a byte is written when it would not fit. Errors `mainstay::tier::exists`
    /// when the key exists (also at `finish`, if somebody was faster).
    async fn create(&self, key: &ObjectKey, new: NewObject) -> Result<Box<dyn ObjectWriter>>;

    /// Opens an object for reading from byte `offset`. `mainstay::tier::not-found` when it is not there;
    /// `mainstay::tier::archived` when it must be thawed first.
    async fn open_at(&self, key: &ObjectKey, offset: u64) -> Result<Box<dyn ObjectReader>>;

    /// Opens an object for reading from its start; see [`Tier::open_at`].
    async fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>> {
        self.open_at(key, 0).await
    }

    /// Size and time of an object; `None` when the tier was read and it is not there.
    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>>;

    /// Makes an object that is there as durable as [`ObjectWriter::finish`] does: whoever made it visible may have died before that.
    /// `mainstay::tier::not-found` when it is not there.
    async fn ensure_durable(&self, _key: &ObjectKey) -> Result<()> {
        Ok(())
    }

    /// All finished objects whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// Deletes one object with all its versions, durably. `false`: it was not there (a repeat). Empty folders above it may be
    /// removed. `mainstay::tier::locked` (needs operator) when the store refuses, and then nothing of it is gone.
    async fn delete(&self, key: &ObjectKey) -> Result<bool>;

    /// Removes unfinished objects below `prefix` that no running writer owns, and says which. A repeat finds nothing.
    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>>;

    /// Reads a small object that may be replaced (a key ring, the tier's lease), and what tells this content from the next.
    async fn read_control(&self, key: &ObjectKey) -> Result<Option<(Bytes, ControlTag)>>;

    /// Writes such an object as a whole, durably and atomically, if what is there is what the caller expects. Errors:
    /// `mainstay::tier::changed` when it is not; then nothing was written. A store that cannot compare refuses with
    /// `mainstay::tier::no-conditional-writes`.
    async fn write_control(
        &self,
        key: &ObjectKey,
        content: Bytes,
        expected: Expected,
        lock: Option<LockOrder>,
    ) -> Result<ControlTag>;

    /// Whether an object can be read now; `mainstay::tier::not-found`.
    async fn readiness(&self, _key: &ObjectKey) -> Result<Readiness> {
        Ok(Readiness::Ready { until: None })
    }

    /// Asks the archive to make an object readable, and says how far it is. A repeat asks nothing twice.
    async fn thaw(&self, key: &ObjectKey, _order: &ThawOrder) -> Result<Readiness> {
        self.readiness(key).await
    }

    /// What the store says of its own copy, without a read.
    async fn attest(&self, _key: &ObjectKey, _object: &StoredObject) -> Result<Attestation> {
        Ok(Attestation::CannotTell(
            "this kind of tier keeps no checksums".to_owned(),
        ))
    }

    /// What the store refuses to do to an object now.
    async fn protection(&self, _key: &ObjectKey) -> Result<Protection> {
        Ok(Protection::default())
    }

    /// Locks an object until `order.until` at least, reads the lock back and gives its end. Never shortens one.
    async fn extend_lock(&self, _key: &ObjectKey, _order: &LockOrder) -> Result<Timestamp> {
        Err(self.cannot("lock objects"))
    }

    /// Sets or lifts the order not to delete an object, and reads it back. A repeat changes nothing.
    async fn set_legal_hold(&self, _key: &ObjectKey, _held: bool) -> Result<()> {
        Err(self.cannot("hold objects"))
    }

    /// Copies an object from another tier of the same store without moving it through this machine; create-only and read back
    /// like any other. `None`: that is not possible between these two, and nothing was written.
    async fn copy_from(
        &self,
        _source: &dyn Tier,
        _key: &ObjectKey,
        _object: &StoredObject,
        _new: NewObject,
    ) -> Result<Option<ObjectInfo>> {
        Ok(None)
    }

    /// Where the tier's objects lie in a store, if another tier of the same store could copy them there.
    fn place_in_store(&self) -> Option<PlaceInStore> {
        None
    }

    /// Tries what the tier's declaration and Mainstay's safety need, on objects of its own that it removes again.
    async fn probe(&self) -> Result<Vec<ProbeResult>> {
        Ok(Vec::new())
    }

    /// An error for what this kind of tier cannot do.
    fn cannot(&self, what: &str) -> ProviderError {
        ProviderError::new(
            "mainstay::tier::not-possible",
            Disposition::Permanent,
            format!("tier `{}` cannot {what}", self.name()),
        )
    }
}

/// A place inside a store that can copy by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceInStore {
    /// Endpoint, region and account: two places with the same one can copy to each other.
    pub store: String,
    /// Bucket.
    pub bucket: String,
    /// What stands before every key, with its final slash; may be empty.
    pub prefix: String,
}

/// An object being written. Dropped without `finish`, nothing becomes visible.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends bytes. Watches the free space while writing where the tier can (`mainstay::tier::full`).
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Makes the object durable and visible, create-only; returns what is there now.
    async fn finish(self: Box<Self>) -> Result<ObjectInfo>;

    /// Removes what was written so far.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// An object being read, in order.
#[async_trait]
pub trait ObjectReader: Send {
    /// Next chunk (about 1 MiB), `None` at the end.
    async fn read(&mut self) -> Result<Option<Bytes>>;
}
