-- Level 0, "attested": the store's own word for a copy that nobody read back. SQLite cannot change a CHECK, so the tables are copied.

CREATE TABLE copies_next (
    point TEXT NOT NULL REFERENCES points (id),
    tier TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('present', 'missing', 'damaged', 'foreign')),
    locked_until INTEGER,
    verified_level INTEGER CHECK (verified_level BETWEEN 0 AND 3),
    verified_at INTEGER,
    CHECK ((verified_level IS NULL) = (verified_at IS NULL)),
    PRIMARY KEY (point, tier)
) STRICT, WITHOUT ROWID;
INSERT INTO copies_next (point, tier, bytes, stored_at, state, locked_until, verified_level, verified_at)
    SELECT point, tier, bytes, stored_at, state, locked_until, verified_level, verified_at FROM copies;
DROP TABLE copies;
ALTER TABLE copies_next RENAME TO copies;

CREATE TABLE verifications_next (
    point TEXT NOT NULL,
    tier TEXT NOT NULL,
    at INTEGER NOT NULL,
    level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 3),
    passed INTEGER NOT NULL,
    detail TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (point, tier, at, level)
) STRICT, WITHOUT ROWID;
INSERT INTO verifications_next (point, tier, at, level, passed, detail, who)
    SELECT point, tier, at, level, passed, detail, who FROM verifications;
DROP TABLE verifications;
ALTER TABLE verifications_next RENAME TO verifications;

-- Tells this catalog from every other, so that two of them do not write to one tier at the same time. One row for ever.
CREATE TABLE identity (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    identity TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO identity (id, identity) VALUES (1, lower(hex(randomblob(16))));
