-- Which policy was in force from when on, so that what it demanded at each time can be computed later.

CREATE TABLE policies (
    digest TEXT NOT NULL PRIMARY KEY,
    policy TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A policy is in force from its row until the next one's.
CREATE TABLE policy_history (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL REFERENCES policies (digest),
    since INTEGER NOT NULL,
    who TEXT NOT NULL
) STRICT;

CREATE TRIGGER policies_keep_rows BEFORE DELETE ON policies BEGIN SELECT RAISE(ABORT, 'policies are append-only'); END;
CREATE TRIGGER policies_keep_words BEFORE UPDATE ON policies BEGIN SELECT RAISE(ABORT, 'policies are append-only'); END;
CREATE TRIGGER policy_history_keeps_rows BEFORE DELETE ON policy_history BEGIN SELECT RAISE(ABORT, 'the policy history is append-only'); END;
CREATE TRIGGER policy_history_keeps_words BEFORE UPDATE ON policy_history BEGIN SELECT RAISE(ABORT, 'the policy history is append-only'); END;
