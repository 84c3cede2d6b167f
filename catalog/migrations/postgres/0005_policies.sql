-- Which policy was in force from when on, so that what it demanded at each time can be computed later.

CREATE TABLE policies (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    policy TEXT COLLATE "C" NOT NULL
);

-- A policy is in force from its row until the next one's.
CREATE TABLE policy_history (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL REFERENCES policies (digest),
    since BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION policies_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the policy history is append-only';
END
$$;
CREATE TRIGGER policies_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policies
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse();
CREATE TRIGGER policy_history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_history
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse();
