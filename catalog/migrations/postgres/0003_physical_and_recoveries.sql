-- The log that a physical point needs (JSON), and the record of every restore and drill.

ALTER TABLE points ADD COLUMN wal TEXT COLLATE "C";

CREATE TABLE recoveries (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    database_name TEXT COLLATE "C" NOT NULL,
    drill TEXT COLLATE "C",
    slot BIGINT,
    point TEXT COLLATE "C" NOT NULL,
    finished_at BIGINT NOT NULL,
    passed BOOLEAN NOT NULL,
    record TEXT COLLATE "C" NOT NULL
);
CREATE INDEX recoveries_by_database ON recoveries (database_name, finished_at);
