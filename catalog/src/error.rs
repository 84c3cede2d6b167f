//! What can go wrong with the catalog: code, words, way out, and whether another try helps.
//!
//! Decides from the database's own error codes, never from its words. Places are shown without user and password.

use jiff::Timestamp;
use model::{Disposition, RecoveryPointId, TierName};

/// A failed call of the catalog. `Display` never contains the text of its source.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The address names no kind of catalog that there is.
    #[error("`{scheme}` is not a kind of catalog")]
    BadLocation {
        /// What stands before `://`; never the rest, which may hold a password.
        scheme: String,
    },
    /// The folder or the file cannot be made.
    #[error("cannot create the catalog at `{place}`")]
    CannotCreate {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database does not answer, for now.
    #[error("the catalog does not answer (`{call}`)")]
    Unavailable {
        /// The call that was tried.
        call: String,
        /// Why, if the driver said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// Another program keeps the database locked, or the database asks to try again.
    #[error("the catalog is busy (`{call}`)")]
    Busy {
        /// The call that was tried.
        call: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// No room for the catalog itself.
    #[error("no space is left for the catalog at `{place}`")]
    Full {
        /// Where.
        place: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The database refuses the login or a permission, or the file may not be written.
    #[error("access to the catalog at `{place}` is denied")]
    Denied {
        /// Where.
        place: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is no SQLite database, or is damaged, or holds something that no version wrote.
    #[error("the catalog at `{place}` is damaged: {what}")]
    Corrupt {
        /// Where.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What the driver said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// A newer version of the program has written the catalog.
    #[error(
        "the catalog at `{place}` has schema {found}; this version knows schemas up to {known}"
    )]
    NewerSchema {
        /// Where.
        place: String,
        /// Schema of the catalog.
        found: i64,
        /// Newest schema of this version.
        known: i64,
    },
    /// An older version has written the catalog, and it was opened for reading only.
    #[error(
        "the catalog at `{place}` has schema {found}; this version needs schema {known} and may only read now"
    )]
    OlderSchema {
        /// Where.
        place: String,
        /// Schema of the catalog.
        found: i64,
        /// Newest schema of this version.
        known: i64,
    },
    /// Another run holds the lease.
    #[error(
        "another run holds the lease: `{holder}` since {since}, until {expires} unless renewed"
    )]
    Locked {
        /// Who.
        holder: String,
        /// Since when.
        since: Timestamp,
        /// When it ends by itself.
        expires: Timestamp,
        /// Its fencing token, for [`crate::Catalog::break_lease`].
        token: u64,
    },
    /// The lease was taken over or released: the caller must stop writing, also to tiers.
    #[error("the lease with token {token} is no longer the current one")]
    LeaseLost {
        /// Token of the lost lease.
        token: u64,
    },
    /// The point is not in the catalog.
    #[error("recovery point `{0}` is not in the catalog")]
    UnknownPoint(RecoveryPointId),
    /// The copy is not in the catalog.
    #[error("the catalog has no copy of `{recovery_point}` on tier `{tier}`")]
    UnknownCopy {
        /// The point.
        recovery_point: RecoveryPointId,
        /// The tier.
        tier: TierName,
    },
    /// The run is not in the catalog.
    #[error("run `{0}` is not in the catalog")]
    UnknownRun(String),
    /// Another manifest of the same point is known, and a copy of it exists elsewhere.
    #[error("recovery point `{0}` is already known with another manifest")]
    ManifestDiffers(RecoveryPointId),
    /// The database refuses a statement: a fault of the program, or tables changed by hand.
    #[error("the catalog at `{place}` refuses `{call}`")]
    Refused {
        /// Where.
        place: String,
        /// The call that was tried.
        call: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
}

impl CatalogError {
    /// Every code, for the test that each has its page in `docs/errors/`.
    pub const CODES: &'static [&'static str] = &[
        "mainstay::catalog::bad-location",
        "mainstay::catalog::busy",
        "mainstay::catalog::cannot-create",
        "mainstay::catalog::corrupt",
        "mainstay::catalog::denied",
        "mainstay::catalog::full",
        "mainstay::catalog::lease-lost",
        "mainstay::catalog::locked",
        "mainstay::catalog::manifest-differs",
        "mainstay::catalog::newer-schema",
        "mainstay::catalog::older-schema",
        "mainstay::catalog::refused",
        "mainstay::catalog::unavailable",
        "mainstay::catalog::unknown-copy",
        "mainstay::catalog::unknown-point",
        "mainstay::catalog::unknown-run",
    ];

    /// An outage without a cause, as a call hook of a test reports it.
    pub fn unavailable(call: &str) -> Self {
        Self::Unavailable {
            call: call.to_owned(),
            source: None,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadLocation { .. } => "mainstay::catalog::bad-location",
            Self::Busy { .. } => "mainstay::catalog::busy",
            Self::CannotCreate { .. } => "mainstay::catalog::cannot-create",
            Self::Corrupt { .. } => "mainstay::catalog::corrupt",
            Self::Denied { .. } => "mainstay::catalog::denied",
            Self::Full { .. } => "mainstay::catalog::full",
            Self::LeaseLost { .. } => "mainstay::catalog::lease-lost",
            Self::Locked { .. } => "mainstay::catalog::locked",
            Self::ManifestDiffers(_) => "mainstay::catalog::manifest-differs",
            Self::NewerSchema { .. } => "mainstay::catalog::newer-schema",
            Self::OlderSchema { .. } => "mainstay::catalog::older-schema",
            Self::Refused { .. } => "mainstay::catalog::refused",
            Self::Unavailable { .. } => "mainstay::catalog::unavailable",
            Self::UnknownCopy { .. } => "mainstay::catalog::unknown-copy",
            Self::UnknownPoint(_) => "mainstay::catalog::unknown-point",
            Self::UnknownRun(_) => "mainstay::catalog::unknown-run",
        }
    }

    /// One sentence that an operator can act on.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::BadLocation { .. } => {
                "give `--state` a file path, `sqlite:///path/to/file` or `postgres://user@host/database`"
            }
            Self::CannotCreate { .. } => {
                "create the folder with write permission for this user, or choose another place with `--state`"
            }
            Self::Unavailable { .. } => {
                "check that the database of `--state` runs and can be reached from here, then run the same command again"
            }
            Self::Busy { .. } => {
                "wait for the other program that uses the catalog, then run the same command again"
            }
            Self::Full { .. } => {
                "free some space where the catalog is, then run `mainstay apply` again; nothing was half-recorded"
            }
            Self::Denied { .. } => {
                "give this user the permission to read and write the catalog, or correct the user in `--state`"
            }
            Self::Corrupt { .. } => {
                "move the file away (keep it) and run `mainstay catalog rebuild`, which reads everything back from the tiers' manifests"
            }
            Self::NewerSchema { .. } => {
                "use the version of mainstay that wrote it or a newer one; going back is not supported"
            }
            Self::OlderSchema { .. } => {
                "run `mainstay apply` with this version once; it brings the catalog up to date"
            }
            Self::Locked { .. } => {
                "wait for the other run; if it has crashed, its lease ends by itself at the time shown"
            }
            Self::LeaseLost { .. } => {
                "another run has taken over; let it finish, then run `mainstay apply` again"
            }
            Self::UnknownPoint(_) | Self::UnknownCopy { .. } => {
                "`mainstay list` shows what is known; `mainstay plan --refresh` looks at the tiers again"
            }
            Self::UnknownRun(_) => return None,
            Self::ManifestDiffers(_) => {
                "two different states carry the same id; compare both with `mainstay info` and move the wrong one off its tier"
            }
            Self::Refused { .. } => {
                "if the tables were changed by hand, move the catalog away and run `mainstay catalog rebuild`; else please report this"
            }
        };
        Some(text.to_owned())
    }

    /// Whether another try could help.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } | Self::Busy { .. } | Self::Locked { .. } => {
                Disposition::Retry
            }
            Self::LeaseLost { .. }
            | Self::UnknownPoint(_)
            | Self::UnknownCopy { .. }
            | Self::UnknownRun(_)
            | Self::Refused { .. } => Disposition::Permanent,
            Self::BadLocation { .. }
            | Self::CannotCreate { .. }
            | Self::Full { .. }
            | Self::Denied { .. }
            | Self::Corrupt { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::ManifestDiffers(_) => Disposition::NeedsOperator,
        }
    }

    /// Sorts a driver's error by the database's code.
    pub(crate) fn from_driver(place: &str, call: &str, source: sqlx::Error) -> Self {
        let (place, call) = (place.to_owned(), call.to_owned());
        match classify(&source) {
            Class::Unavailable => Self::Unavailable {
                call,
                source: Some(source),
            },
            Class::Busy => Self::Busy { call, source },
            Class::Full => Self::Full { place, source },
            Class::Denied => Self::Denied { place, source },
            Class::Corrupt(what) => Self::Corrupt {
                place,
                what: what.to_owned(),
                source: Some(source),
            },
            Class::Refused => Self::Refused {
                place,
                call,
                source,
            },
        }
    }
}

enum Class {
    Unavailable,
    Busy,
    Full,
    Denied,
    Corrupt(&'static str),
    Refused,
}

fn classify(error: &sqlx::Error) -> Class {
    let database = match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => return Class::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            return Class::Corrupt("a row has a value of the wrong type");
        }
        sqlx::Error::Database(database) => database,
        _ => return Class::Refused,
    };
    let Some(code) = database.code() else {
        return Class::Refused;
    };
    if database
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some()
    {
        classify_postgres(&code)
    } else {
        classify_sqlite(&code)
    }
}

/// SQLSTATE classes: PostgreSQL manual, appendix A.
fn classify_postgres(state: &str) -> Class {
    match state {
        "53100" => Class::Full,
        "40001" | "40P01" | "55P03" => Class::Busy,
        "25006" | "42501" | "3D000" => Class::Denied,
        "XX001" | "XX002" => Class::Corrupt("the server reports damaged data"),
        _ if state.starts_with("08") || state.starts_with("57P") || state.starts_with("53") => {
            Class::Unavailable
        }
        _ if state.starts_with("28") => Class::Denied,
        _ => Class::Refused,
    }
}

/// Primary result codes: <https://www.sqlite.org/rescode.html>; the low byte of an extended one.
fn classify_sqlite(code: &str) -> Class {
    // SQLITE_IOERR_SHMSIZE: the index of the write-ahead log cannot grow, which is how a full disk shows first.
    if code == "4874" {
        return Class::Full;
    }
    match code.parse::<i64>().map(|code| code & 0xff) {
        Ok(5 | 6) => Class::Busy,
        Ok(8 | 14 | 23) => Class::Denied,
        Ok(10) => Class::Unavailable,
        Ok(11) => Class::Corrupt("the file is malformed"),
        Ok(13) => Class::Full,
        Ok(26) => Class::Corrupt("the file is not a SQLite database"),
        _ => Class::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_error_is_sorted_by_its_code() {
        assert!(matches!(classify_sqlite("261"), Class::Busy));
        assert!(matches!(classify_sqlite("267"), Class::Corrupt(_)));
        assert!(matches!(classify_sqlite("1544"), Class::Denied));
        assert!(matches!(classify_sqlite("13"), Class::Full));
        assert!(matches!(classify_sqlite("4874"), Class::Full));
        assert!(matches!(classify_postgres("57P03"), Class::Unavailable));
        assert!(matches!(classify_postgres("53100"), Class::Full));
        assert!(matches!(classify_postgres("28P01"), Class::Denied));
        assert!(matches!(classify_postgres("40001"), Class::Busy));
        assert!(matches!(classify_postgres("42P01"), Class::Refused));
    }

    #[test]
    fn codes_are_listed_once_and_in_order() {
        assert!(CatalogError::CODES.is_sorted_by(|a, b| a < b));
        let id = RecoveryPointId::parse("orders/daily/20261121T020000Z").unwrap();
        for error in [
            CatalogError::unavailable("x"),
            CatalogError::LeaseLost { token: 1 },
            CatalogError::UnknownPoint(id),
        ] {
            assert!(CatalogError::CODES.contains(&error.code()));
        }
    }
}
