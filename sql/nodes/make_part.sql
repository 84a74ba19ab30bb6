-- Question: whose lists are in a part? (A file of its own: lists by generation and bucket. Other tables of it are copies of
--   the head's, with its columns.)
-- Reads: none
-- Writes: lists, viewers
-- Grain: as in serving.sqlite, whose columns these are
-- Parameters: none
-- Units: bucket is that of sql/shards.py

CREATE TABLE lists (
  bucket     INTEGER NOT NULL,
  feed_id    INTEGER NOT NULL,
  viewer_id  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL
);
CREATE TABLE viewers (viewer_id INTEGER PRIMARY KEY, did TEXT NOT NULL, bucket INTEGER NOT NULL);
