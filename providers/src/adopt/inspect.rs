//! Looks into one file: what it is, whether it fits the database and the series, and of when it is. Reads its beginning only.

use super::{
    HEAD, Recognised, Recognition,
    captured::{Captured, Rules, TimeChoice, TimeFormat, captured},
    content,
    find::ExistingFile,
    source::{has_log_beside, open, unpacked, words_of},
};
use jiff::{Timestamp, tz::TimeZone};
use model::manifest::Compression;
use std::io::{self, Read};

/// A file that can become a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// How it is packed.
    pub compression: Compression,
    /// What is inside.
    pub recognised: Recognised,
    /// Of when it is.
    pub captured: Captured,
}

/// Why a file cannot become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What kind of reason.
    pub kind: UnfitKind,
    /// Why, for people.
    pub why: String,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $word:literal,)*) => {
        /// Kinds of reasons. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum UnfitKind {
            $($(#[doc = $doc])* $variant,)*
        }
        impl UnfitKind {
            /// The word in JSON.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    /// Nothing is in it.
    Empty = "empty",
    /// No format that is known.
    UnknownContent = "unknown-content",
    /// A format of which no point can be made.
    NotReadable = "not-readable",
    /// A format of another engine.
    OtherEngine = "other-engine",
    /// Points of this series are made by another method.
    OtherMethod = "other-method",
    /// A dump of another database.
    OtherDatabase = "other-database",
    /// It does not tell of which database it is, and files beside it are named otherwise.
    UnclearDatabase = "unclear-database",
    /// A part of it lies in another file.
    Incomplete = "incomplete",
    /// It does not tell of when it is.
    NoTime = "no-time",
    /// Its name can be read in several ways.
    UnclearTime = "unclear-time",
    /// It is of a time that is yet to come.
    Future = "future",
    /// Name and content tell different times.
    TimesDiffer = "times-differ",
    /// It cannot be read.
    Unreadable = "unreadable",
    /// It is not whole, as its own reader found when all of it was read.
    Damaged = "damaged",
    /// Another file is of the same time.
    SameSlot = "same-slot",
    /// Another recovery point is of the same time.
    SlotTaken = "slot-taken",
}

impl Unfit {
    /// A reason.
    pub fn new(kind: UnfitKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
        }
    }
}

/// What files must fit, and how their times are found.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Engine of the database.
    pub engine: String,
    /// Method of the series.
    pub method: String,
    /// The name that dumps of the database carry; `None`: any.
    pub database: Option<String>,
    /// Where times are taken from.
    pub choice: TimeChoice,
    /// A person's pattern.
    pub format: Option<TimeFormat>,
    /// Zone of times that name none.
    pub zone: TimeZone,
    /// Now.
    pub now: Timestamp,
}

/// Looks into a file.
pub async fn inspect(file: &ExistingFile, wanted: &Wanted) -> Result<Inspected, Unfit> {
    if file.bytes.0 == 0 {
        return Err(Unfit::new(UnfitKind::Empty, "it is empty"));
    }
    let stream = open(file)
        .await
        .map_err(|error| Unfit::new(UnfitKind::Unreadable, words_of(&error)))?;
    let read = tokio::task::spawn_blocking(move || read_head(stream)).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (compression, head) = read.map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => Unfit::new(UnfitKind::NotReadable, error.to_string()),
        _ => Unfit::new(UnfitKind::Unreadable, format!("it cannot be read: {error}")),
    })?;
    let recognised = recognise(&head, wanted)?;
    if recognised.content == "sqlite"
        && let Some(log) = has_log_beside(file).await
    {
        return Err(Unfit::new(
            UnfitKind::Incomplete,
            format!(
                "its newest changes are in `{log}` beside it: on copies of both, run `sqlite3 FILE 'PRAGMA wal_checkpoint(TRUNCATE)'` first"
            ),
        ));
    }
    let rules = Rules {
        choice: wanted.choice,
        format: wanted.format.as_ref(),
        zone: &wanted.zone,
        now: wanted.now,
    };
    Ok(Inspected {
        compression,
        captured: captured(file, &recognised, &rules)?,
        recognised,
    })
}

/// The first plain bytes. What is cut behind them shows when all of it is read.
fn read_head(stream: Box<dyn Read + Send>) -> io::Result<(Compression, Vec<u8>)> {
    let (compression, mut plain) = unpacked(stream)?;
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while filled < head.len() {
        match plain.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if filled > 0 => break,
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok((compression, head))
}

fn recognise(head: &[u8], wanted: &Wanted) -> Result<Recognised, Unfit> {
    let (engine, recognised) = match content::inside(head) {
        Some((engine, Recognition::Point(recognised))) => (engine, *recognised),
        Some((_, Recognition::Not(why))) => return Err(Unfit::new(UnfitKind::NotReadable, why)),
        None if head.is_empty() => return Err(Unfit::new(UnfitKind::Empty, "it is empty inside")),
        None => {
            return Err(Unfit::new(
                UnfitKind::UnknownContent,
                "neither a dump of pg_dump nor an SQLite file",
            ));
        }
    };
    let words = recognised.words;
    if engine != wanted.engine {
        return Err(Unfit::new(
            UnfitKind::OtherEngine,
            format!("{words}, but the database's engine is {}", wanted.engine),
        ));
    }
    if recognised.method != wanted.method {
        return Err(Unfit::new(
            UnfitKind::OtherMethod,
            format!(
                "{words}, but points of the series are made by method {}: name a series of method {} with --series",
                wanted.method, recognised.method
            ),
        ));
    }
    match (&recognised.database, &wanted.database) {
        (Some(found), Some(own)) if found != own => Err(Unfit::new(
            UnfitKind::OtherDatabase,
            format!(
                "a dump of database `{found}`, not of `{own}`: if it was renamed, add --any-database"
            ),
        )),
        _ => Ok(recognised),
    }
}
