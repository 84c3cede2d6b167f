-- The audit becomes a chain: docs/formats/audit.md. The rows of the old table are chained by the program (src/audit/adopt.rs), which
-- then drops it; until then the version does not count as installed.

DROP TRIGGER audit_is_append_only ON audit;
ALTER TABLE audit RENAME TO audit_unchained;
ALTER INDEX audit_pkey RENAME TO audit_unchained_pkey;

CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY CHECK (sequence > 0),
    at BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    why TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C",
    previous TEXT COLLATE "C" NOT NULL UNIQUE,
    digest TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_object ON audit (what, kind);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- One row for ever: the last entry. Whoever appends changes it first, so that two who append at once do so one after the other.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL
);
INSERT INTO audit_head (id, sequence, digest) VALUES (1, 0, '');

-- How far each tier has the entries.
CREATE TABLE audit_exports (
    tier TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
