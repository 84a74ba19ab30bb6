-- Question: what are viewers' signing keys? (keys.sqlite, a cache of the web app, which may be deleted at any time)
-- Reads: none
-- Writes: keys
-- Grain: one row per viewer
-- Parameters: none
-- Units: fetched_us is when the directory said so, in microseconds since 1970 (UTC); point is the encoded public key

-- fetched_us is when the directory said so, in microseconds since 1970 (UTC); point is the encoded public key.
CREATE TABLE keys (
  did        TEXT    PRIMARY KEY,
  algorithm  TEXT    NOT NULL,   -- ES256K or ES256
  point      BLOB    NOT NULL,
  fetched_us INTEGER NOT NULL
) WITHOUT ROWID;
