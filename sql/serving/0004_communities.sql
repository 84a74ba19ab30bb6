-- Question: which posts may a reader without likes pick to begin with?
-- Reads: none
-- Writes: communities
-- Grain: given above the table
-- Parameters: none
-- Units: none

-- Handfuls of popular posts that the same people like (pipeline/batch/lists/communities.py), of each language, '' for all. A
-- row a post; community and place count from 1, and communities come in the order in which they are shown. Each run for
-- everybody replaces all rows of its feed in one transaction.
CREATE TABLE communities (
  feed_id   INTEGER NOT NULL,
  language  TEXT    NOT NULL,
  community INTEGER NOT NULL,
  place     INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  rkey      INTEGER NOT NULL,
  uri       TEXT    NOT NULL,
  PRIMARY KEY (feed_id, language, community, place)
) WITHOUT ROWID;
