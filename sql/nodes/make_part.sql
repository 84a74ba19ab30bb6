-- Question: what is in a part of the lists? (A file of its own: lists by generation and bucket, and what they need.)
-- Reads: none
-- Writes: lists, viewers, posts, generations, variants, feeds, fallbacks, taste_sketches, communities, deleted_viewers, runs
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
CREATE TABLE posts (
  post_id         INTEGER PRIMARY KEY,
  author_id       INTEGER NOT NULL,
  rkey            INTEGER NOT NULL,
  uri             TEXT    NOT NULL,
  created_us      INTEGER NOT NULL,
  likers          INTEGER NOT NULL,
  last_generation INTEGER NOT NULL,
  langs           TEXT,
  media           INTEGER
);
CREATE TABLE generations (
  generation   INTEGER PRIMARY KEY,
  snapshot_us  INTEGER NOT NULL,
  published_us INTEGER NOT NULL,
  lists        INTEGER NOT NULL,
  items        INTEGER NOT NULL,
  feed         TEXT,
  everybody    INTEGER,
  in_common    REAL,
  few_likers   REAL,
  under_hour   REAL,
  top_authors  REAL
);
CREATE TABLE variants (generation INTEGER PRIMARY KEY, variant TEXT NOT NULL);
CREATE TABLE feeds (feed_id INTEGER PRIMARY KEY, rkey TEXT NOT NULL);
CREATE TABLE fallbacks (
  feed_id    INTEGER NOT NULL,
  language   TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL
);
CREATE TABLE taste_sketches (post_id INTEGER PRIMARY KEY, sketch INTEGER NOT NULL);
CREATE TABLE communities (
  feed_id   INTEGER NOT NULL,
  language  TEXT    NOT NULL,
  community INTEGER NOT NULL,
  place     INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  rkey      INTEGER NOT NULL,
  uri       TEXT    NOT NULL
);
CREATE TABLE deleted_viewers (viewer_did TEXT PRIMARY KEY, deleted_us INTEGER NOT NULL);
CREATE TABLE runs (
  run_id     INTEGER NOT NULL,
  job        TEXT    NOT NULL,
  tier       TEXT    NOT NULL,
  feed       TEXT    NOT NULL,
  step       TEXT    NOT NULL,
  started_us INTEGER NOT NULL,
  seconds    REAL    NOT NULL,
  rows       INTEGER NOT NULL,
  peak_mb    REAL    NOT NULL,
  outcome    TEXT    NOT NULL
);
