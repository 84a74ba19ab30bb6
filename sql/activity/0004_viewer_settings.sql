-- Question: what did viewers who signed in at the pages set for themselves, and who of them wants to be forgotten?
-- Reads: none
-- Writes: viewer_settings, forget_requests
-- Grain: one row per viewer
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

CREATE TABLE viewer_settings (
  viewer_did TEXT    NOT NULL PRIMARY KEY,
  taker      TEXT    NOT NULL,   -- the viewer, or the registrable domain of a did:web
  is_known   INTEGER NOT NULL,   -- 1 known, 0 a stranger, when they were saved
  is_paused  INTEGER NOT NULL,   -- 1: nothing is written down, and no list is made
  settings   TEXT    NOT NULL,   -- JSON; serving/viewers/own_settings.py says which
  changed_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX viewer_settings_by_taker ON viewer_settings (is_known, taker);

-- Who wants to be forgotten: what is in activity.sqlite was deleted at once, the next batch deletes the rest, and this row.
CREATE TABLE forget_requests (
  viewer_did   TEXT    NOT NULL PRIMARY KEY,
  requested_us INTEGER NOT NULL
) WITHOUT ROWID;
