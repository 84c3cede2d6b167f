-- Who may approve plans, since a policy first said so; one row at most.
CREATE TABLE approval_rules (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    rules TEXT COLLATE "C" NOT NULL
);

-- Signatures of plans. What they are worth is decided anew whenever they count.
CREATE TABLE plan_signatures (
    plan_digest TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (plan_digest, fingerprint)
);

-- The commit that was applied last, of every repository that is followed.
CREATE TABLE followed (
    repository TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
