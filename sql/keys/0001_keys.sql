-- Signing keys of viewers: keys.sqlite, written and read by the web app alone. A cache; it may be deleted at any time.

-- fetched_us is when the directory said so, in microseconds since 1970 (UTC); point is the encoded public key.
CREATE TABLE keys (
  did        TEXT    PRIMARY KEY,
  algorithm  TEXT    NOT NULL,   -- ES256K or ES256
  point      BLOB    NOT NULL,
  fetched_us INTEGER NOT NULL
) WITHOUT ROWID;
