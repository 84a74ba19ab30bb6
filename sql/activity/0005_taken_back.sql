-- Question: who took an answer or a pick back, so that the next run makes their list without it?
-- Reads: none
-- Writes: taken_back
-- Grain: one row per viewer who did lately
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)
CREATE TABLE taken_back (
  viewer_did  TEXT    NOT NULL PRIMARY KEY,
  received_us INTEGER NOT NULL   -- the last time
) WITHOUT ROWID;
