//! What a tier promises: a store of named objects that are invisible until whole and never overwritten.
//!
//! - An object appears under its key only by [`ObjectWriter::finish`], durable (content and name), or not at all.
//! - Creating a key that exists fails with `mainstay::tier::exists`; nothing is ever overwritten.
//! - Listing is complete (every page) and never shows unfinished objects.
//! - `observe` never changes anything, so plans and dry runs may call it.

use super::error::Result;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use model::{
    ByteCount, TierName,
    tier_facts::{Capabilities, Space},
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

    /// Starts an object. `expected` is the size, if known, for the free-space check (`mainstay::tier::full` before a byte
    /// is written). Errors `mainstay::tier::exists` when the key exists (also at `finish`, if somebody was faster).
    async fn create(
        &self,
        key: &ObjectKey,
        expected: Option<ByteCount>,
    ) -> Result<Box<dyn ObjectWriter>>;

    /// Opens an object for reading from its start. `mainstay::tier::not-found` when it is not there.
    async fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>>;

    /// Size and time of an object; `None` when the tier was read and it is not there.
    async fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>>;

    /// All finished objects whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// Deletes one object, durably. `false`: it was not there (a repeat). Empty folders above it may be removed.
    async fn delete(&self, key: &ObjectKey) -> Result<bool>;

    /// Removes unfinished objects below `prefix` that no running writer owns, and says which. A repeat finds nothing.
    async fn clean_leftovers(&self, prefix: &str) -> Result<Vec<String>>;
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
