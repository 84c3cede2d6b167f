-- Who may approve plans, since a policy first said so; one row at most.
CREATE TABLE approval_rules (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    rules TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Signatures of plans. What they are worth is decided anew whenever they count.
CREATE TABLE plan_signatures (
    plan_digest TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    signature TEXT NOT NULL,
    who TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (plan_digest, fingerprint)
) STRICT, WITHOUT ROWID;

-- The commit that was applied last, of every repository that is followed.
CREATE TABLE followed (
    repository TEXT NOT NULL PRIMARY KEY,
    revision TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
