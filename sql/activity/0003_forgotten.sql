-- Question: which viewers were forgotten a moment ago, so that no worker writes down what it still has of them?
-- Reads: none
-- Writes: forgotten
-- Grain: one row per viewer who was forgotten in the last hour
-- Parameters: none
-- Units: microseconds since 1970 (UTC)

-- mark is a hash of the DID (serving/viewers/forgotten.py): the row must not name whom it is about.
CREATE TABLE forgotten (
  mark  BLOB    NOT NULL PRIMARY KEY,
  at_us INTEGER NOT NULL
) WITHOUT ROWID;
