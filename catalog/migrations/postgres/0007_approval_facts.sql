-- What approvals rest on besides the rules: where the policy came from that was carried out last.
CREATE TABLE approval_facts (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fact TEXT COLLATE "C" NOT NULL
);
