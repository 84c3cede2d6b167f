-- The audit becomes a chain: docs/formats/audit.md. The rows of the old table are chained by the program (src/audit/adopt.rs), which
-- then drops it; until then the version does not count as installed.

DROP TRIGGER audit_keeps_rows;
DROP TRIGGER audit_keeps_words;
ALTER TABLE audit RENAME TO audit_unchained;

CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY CHECK (sequence > 0),
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    why TEXT NOT NULL,
    details TEXT,
    previous TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_object ON audit (what, kind);
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

-- One row for ever: the last entry. Whoever appends changes it first, so that two who append at once do so one after the other.
CREATE TABLE audit_head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_head (id, sequence, digest) VALUES (1, 0, '');

-- How far each tier has the entries.
CREATE TABLE audit_exports (
    tier TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    digest TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
