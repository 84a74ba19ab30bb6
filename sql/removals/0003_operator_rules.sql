-- Question: which accounts and posts has the operator blocked, or allowed?
-- Reads: none
-- Writes: ruled_accounts, ruled_posts, rules_in_force
-- Grain: given above each table
-- Parameters: none
-- Units: author_id is landing.sqlite's number, NULL while that store does not know the DID; blocked is 1 or 0 (allowed)

-- Accounts that the operator's rules name, and members of lists that they follow. Of the two the rules count.
CREATE TABLE ruled_accounts (
  did       TEXT    PRIMARY KEY,
  author_id INTEGER,
  blocked   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ruled_accounts_by_author ON ruled_accounts (author_id);

-- Posts that the operator's rules name; these count before any rule about their author.
CREATE TABLE ruled_posts (
  did       TEXT    NOT NULL,
  rkey      INTEGER NOT NULL,
  author_id INTEGER,
  blocked   INTEGER NOT NULL,
  PRIMARY KEY (did, rkey)
) WITHOUT ROWID;
CREATE INDEX ruled_posts_by_rkey ON ruled_posts (rkey);

-- One row: the files that these rows are made of, as pipeline/blocking/in_force.py states them.
CREATE TABLE rules_in_force (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  files TEXT    NOT NULL
);
