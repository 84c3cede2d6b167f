-- Times are microseconds since the Unix epoch, UTC. The meaning of each table: docs/formats/catalog.md.
-- The other database's file of the same number declares the same tables.

CREATE TABLE points (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    captured_at BIGINT NOT NULL,
    slot BIGINT NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    parent TEXT COLLATE "C",
    bytes BIGINT NOT NULL
);

-- Apart from points, so that reading a million points does not read a million manifests.
CREATE TABLE manifests (
    point TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES points (id) ON DELETE CASCADE,
    manifest TEXT COLLATE "C" NOT NULL
);

CREATE TABLE copies (
    point TEXT COLLATE "C" NOT NULL REFERENCES points (id),
    tier TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('present', 'missing', 'damaged', 'foreign')),
    locked_until BIGINT,
    verified_level BIGINT CHECK (verified_level BETWEEN 1 AND 3),
    verified_at BIGINT,
    CHECK ((verified_level IS NULL) = (verified_at IS NULL)),
    PRIMARY KEY (point, tier)
);

-- What a run is writing: a row is here before the first byte is on the tier.
CREATE TABLE unfinished (
    point TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    token BIGINT NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    slot BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    PRIMARY KEY (point, tier)
);

CREATE TABLE verifications (
    point TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    level BIGINT NOT NULL CHECK (level BETWEEN 1 AND 3),
    passed BOOLEAN NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (point, tier, at, level)
);

CREATE TABLE tiers (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    identity TEXT COLLATE "C" NOT NULL
);

CREATE TABLE holds (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    point TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    why TEXT COLLATE "C" NOT NULL,
    until BIGINT,
    at BIGINT NOT NULL,
    released_at BIGINT,
    released_by TEXT COLLATE "C",
    released_why TEXT COLLATE "C"
);
CREATE INDEX holds_open ON holds (point) WHERE released_at IS NULL;

CREATE TABLE runs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    plan_digest TEXT COLLATE "C" NOT NULL,
    plan TEXT COLLATE "C" NOT NULL,
    policy_digest TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    summary TEXT COLLATE "C"
);
CREATE INDEX runs_by_time ON runs (started_at, id);
CREATE INDEX runs_by_end ON runs (finished_at);

CREATE TABLE events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    at BIGINT NOT NULL,
    event TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_by_run ON events (run, id);

CREATE TABLE measurements (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    database_name TEXT COLLATE "C" NOT NULL,
    series TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    milliseconds BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX measurements_by_series ON measurements (database_name, series, id);

CREATE TABLE retention_in_force (
    database_name TEXT COLLATE "C" NOT NULL,
    series TEXT COLLATE "C" NOT NULL,
    tier TEXT COLLATE "C" NOT NULL,
    keep TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (database_name, series, tier)
);

-- One row for ever; the token only grows, so a holder that lost the lease can be told from the current one.
CREATE TABLE lease (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    token BIGINT NOT NULL,
    holder TEXT COLLATE "C",
    since BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
INSERT INTO lease (id, token, holder, since, expires) VALUES (1, 0, NULL, 0, 0);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    why TEXT COLLATE "C" NOT NULL
);
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit is append-only';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
