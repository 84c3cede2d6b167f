//! The reviewed list of finding codes. Each has a page `docs/errors/policy-<name>.md`; none is ever reused.
//!
//! Not here: codes of providers about their own tables; those are listed beside the provider.

/// Every code of this crate with what it means, in one line.
pub const CODES: &[(&str, &str)] = &[
    (
        "policy::archive-only",
        "what is kept only in an archive must be thawed before it can be read",
    ),
    (
        "policy::bad-anchor",
        "the anchor of an interval is no instant",
    ),
    (
        "policy::bad-assertion",
        "an assertion has no single expectation",
    ),
    (
        "policy::bad-bandwidth",
        "a limit of bandwidth cannot be read or says nothing",
    ),
    ("policy::bad-duration", "a duration cannot be read"),
    ("policy::bad-include", "an included file cannot be found"),
    (
        "policy::bad-name",
        "a name has characters that a path or an id cannot have",
    ),
    ("policy::bad-schedule", "a cron schedule cannot be read"),
    (
        "policy::bad-signer",
        "the key of a signer is no public key of SSH",
    ),
    ("policy::bad-size", "a size cannot be read"),
    (
        "policy::bad-until",
        "the end of an exception is neither a day nor an instant",
    ),
    ("policy::declared-twice", "the same name is declared twice"),
    (
        "policy::early-deletion",
        "points are deleted before the time that they are paid for is over",
    ),
    ("policy::empty-keep", "a series keeps nothing"),
    (
        "policy::inheritance-cycle",
        "profiles inherit from each other in a circle",
    ),
    (
        "policy::keep-finer-than-schedule",
        "a keep rule counts finer periods than the schedule fills",
    ),
    (
        "policy::keep-never-holds",
        "a keep rule can never hold a point",
    ),
    (
        "policy::lock-outlasts-retention",
        "objects stay locked longer than anything is kept",
    ),
    (
        "policy::log-in-archive",
        "log lies where it must be thawed before it can be read",
    ),
    (
        "policy::log-tier-without-base",
        "a tier keeps log, but no base backup to start from",
    ),
    (
        "policy::log-without-base",
        "the log is archived, but nothing is there to start from",
    ),
    ("policy::missing-key", "a key that is needed is not there"),
    (
        "policy::mixed-environments",
        "one key is shared by different environments",
    ),
    (
        "policy::moment-without-log",
        "a drill recovers to a moment, but no log is archived",
    ),
    (
        "policy::month-in-duration",
        "months and years have no fixed length here",
    ),
    (
        "policy::never-fires",
        "a schedule names a date that does not exist",
    ),
    ("policy::no-effect", "a key has no effect here"),
    (
        "policy::no-log",
        "the log of an engine without a log is to be archived",
    ),
    (
        "policy::no-series",
        "a database declares nothing to back up",
    ),
    (
        "policy::not-incremental",
        "a method cannot make incremental points",
    ),
    (
        "policy::objective-order",
        "a target is larger than its maximum",
    ),
    (
        "policy::one-recipient",
        "data is encrypted for one key only",
    ),
    ("policy::out-of-range", "a number is too small or too large"),
    (
        "policy::password-in-policy",
        "a password or another secret is written in the policy",
    ),
    (
        "policy::plain-off-machine",
        "unencrypted data leaves this machine",
    ),
    (
        "policy::quorum-unreachable",
        "more signatures are asked for than there are signers",
    ),
    (
        "policy::reserved-name",
        "a name is reserved for Mainstay's own use",
    ),
    (
        "policy::rpo-not-met",
        "no schedule can meet the promised largest loss",
    ),
    (
        "policy::rpo-target-not-met",
        "no schedule meets the target of the largest loss",
    ),
    ("policy::same-key", "two names are the same key"),
    ("policy::same-place", "two tiers are the same place"),
    ("policy::same-signer", "two signers have the same key"),
    ("policy::six-fields", "a schedule has a field for seconds"),
    ("policy::syntax", "the file is not TOML"),
    ("policy::two-picks", "a drill asks for two different states"),
    (
        "policy::two-rhythms",
        "a series has both a cron schedule and an interval",
    ),
    (
        "policy::undeclared-database",
        "an exception names a database that is not declared",
    ),
    (
        "policy::undeclared-key",
        "an encryption key is used but not declared",
    ),
    (
        "policy::undeclared-profile",
        "a profile is used but not declared",
    ),
    ("policy::undeclared-tier", "a tier is used but not declared"),
    ("policy::unknown-key", "a key does not exist in this table"),
    ("policy::unknown-timezone", "a time zone does not exist"),
    (
        "policy::unknown-value",
        "a value is not one of those allowed",
    ),
    ("policy::unreadable", "a policy file cannot be read"),
    (
        "policy::unused-key",
        "nothing is encrypted for a declared key",
    ),
    (
        "policy::version-missing",
        "no file says which version of the language it is",
    ),
    (
        "policy::version-unknown",
        "the version of the language is not known",
    ),
    (
        "policy::window-below-base-gap",
        "a window of log is shorter than the time between base backups",
    ),
    ("policy::wrong-type", "a value has the wrong type"),
    ("policy::zero-duration", "a duration must not be zero"),
];
