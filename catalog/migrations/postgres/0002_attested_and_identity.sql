-- Level 0, "attested": the store's own word for a copy that nobody read back.

ALTER TABLE copies DROP CONSTRAINT copies_verified_level_check;
ALTER TABLE copies ADD CONSTRAINT copies_verified_level_check CHECK (verified_level BETWEEN 0 AND 3);
ALTER TABLE verifications DROP CONSTRAINT verifications_level_check;
ALTER TABLE verifications ADD CONSTRAINT verifications_level_check CHECK (level BETWEEN 0 AND 3);

-- Tells this catalog from every other, so that two of them do not write to one tier at the same time. One row for ever.
CREATE TABLE identity (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    identity TEXT COLLATE "C" NOT NULL
);
INSERT INTO identity (id, identity) VALUES (1, replace(gen_random_uuid()::text, '-', ''));
