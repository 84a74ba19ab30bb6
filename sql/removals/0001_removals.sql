-- Question: what has the stream taken back since lists were made of it? (removals.sqlite: ingest writes, the web app reads)
-- Reads: none
-- Writes: removed_posts, hidden_authors, changed_identities
-- Grain: given above each table
-- Parameters: none
-- Units: changed_us is this machine's time, in microseconds since 1970 (UTC); actors have landing.sqlite's numbers

-- Posts that were deleted. An rkey follows the time, so the oldest posts come first.
CREATE TABLE removed_posts (
  rkey      INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  PRIMARY KEY (rkey, author_id)
) WITHOUT ROWID;

-- Accounts whose posts with a key up to until_rkey are hidden: all of them while the account is not active, else those
-- that were deleted with it.
CREATE TABLE hidden_authors (
  author_id  INTEGER PRIMARY KEY,
  until_rkey INTEGER NOT NULL,
  changed_us INTEGER NOT NULL
);
CREATE INDEX hidden_authors_by_change ON hidden_authors (changed_us);

-- DIDs whose documents changed: keys that were read before are out of date.
CREATE TABLE changed_identities (
  did        TEXT    PRIMARY KEY,
  changed_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX changed_identities_by_change ON changed_identities (changed_us);
