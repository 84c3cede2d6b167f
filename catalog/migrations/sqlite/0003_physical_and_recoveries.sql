-- The log that a physical point needs (JSON), and the record of every restore and drill.

ALTER TABLE points ADD COLUMN wal TEXT;

CREATE TABLE recoveries (
    id TEXT NOT NULL PRIMARY KEY,
    database_name TEXT NOT NULL,
    drill TEXT,
    slot INTEGER,
    point TEXT NOT NULL,
    finished_at INTEGER NOT NULL,
    passed INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX recoveries_by_database ON recoveries (database_name, finished_at);
