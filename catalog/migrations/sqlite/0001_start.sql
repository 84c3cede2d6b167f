-- Times are microseconds since the Unix epoch, UTC. The meaning of each table: docs/formats/catalog.md.
-- The other database's file of the same number declares the same tables.

CREATE TABLE points (
    id TEXT NOT NULL PRIMARY KEY,
    captured_at INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    method TEXT NOT NULL,
    parent TEXT,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Apart from points, so that reading a million points does not read a million manifests.
CREATE TABLE manifests (
    point TEXT NOT NULL PRIMARY KEY REFERENCES points (id) ON DELETE CASCADE,
    manifest TEXT NOT NULL
) STRICT;

CREATE TABLE copies (
    point TEXT NOT NULL REFERENCES points (id),
    tier TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('present', 'missing', 'damaged', 'foreign')),
    locked_until INTEGER,
    verified_level INTEGER CHECK (verified_level BETWEEN 1 AND 3),
    verified_at INTEGER,
    CHECK ((verified_level IS NULL) = (verified_at IS NULL)),
    PRIMARY KEY (point, tier)
) STRICT, WITHOUT ROWID;

-- What a run is writing: a row is here before the first byte is on the tier.
CREATE TABLE unfinished (
    point TEXT NOT NULL,
    tier TEXT NOT NULL,
    run TEXT NOT NULL,
    token INTEGER NOT NULL,
    method TEXT NOT NULL,
    slot INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (point, tier)
) STRICT, WITHOUT ROWID;

CREATE TABLE verifications (
    point TEXT NOT NULL,
    tier TEXT NOT NULL,
    at INTEGER NOT NULL,
    level INTEGER NOT NULL CHECK (level BETWEEN 1 AND 3),
    passed INTEGER NOT NULL,
    detail TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (point, tier, at, level)
) STRICT, WITHOUT ROWID;

CREATE TABLE tiers (
    name TEXT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    point TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    until INTEGER,
    at INTEGER NOT NULL,
    released_at INTEGER,
    released_by TEXT,
    released_why TEXT
) STRICT;
CREATE INDEX holds_open ON holds (point) WHERE released_at IS NULL;

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    plan_digest TEXT NOT NULL,
    plan TEXT NOT NULL,
    policy_digest TEXT NOT NULL,
    who TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    summary TEXT
) STRICT;
CREATE INDEX runs_by_time ON runs (started_at, id);
CREATE INDEX runs_by_end ON runs (finished_at);

CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES runs (id),
    at INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run, id);

CREATE TABLE measurements (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    database_name TEXT NOT NULL,
    series TEXT NOT NULL,
    tier TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX measurements_by_series ON measurements (database_name, series, id);

CREATE TABLE retention_in_force (
    database_name TEXT NOT NULL,
    series TEXT NOT NULL,
    tier TEXT NOT NULL,
    keep TEXT NOT NULL,
    PRIMARY KEY (database_name, series, tier)
) STRICT, WITHOUT ROWID;

-- One row for ever; the token only grows, so a holder that lost the lease can be told from the current one.
CREATE TABLE lease (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    token INTEGER NOT NULL,
    holder TEXT,
    since INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO lease (id, token, holder, since, expires) VALUES (1, 0, NULL, 0, 0);

CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
