-- Question: what does the web app read? (serving.sqlite, written by the batch alone; this schema is their contract)
-- Reads: none
-- Writes: generations, variants, feeds, viewers, posts, lists, fallbacks, taste_sketches, runs, waiting_runs,
--   deleted_viewers
-- Grain: given above each table
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

-- In tables without rowid the columns of the key come first: elsewhere SQLite 3.40's integrity_check reports NULLs
-- that are not there.

-- A generation is visible from the moment its row commits. A viewer's list in a generation is the newest row of
-- lists up to it, so a list that did not change is not written again.
CREATE TABLE generations (
  generation   INTEGER PRIMARY KEY,
  snapshot_us  INTEGER NOT NULL,   -- stream time up to which likes were counted
  published_us INTEGER NOT NULL,
  lists        INTEGER NOT NULL,   -- lists written for it, without fallback lists
  items        INTEGER NOT NULL    -- items in those lists
);

-- The variant of an experiment that made a generation's lists, EXPERIMENT/VARIANT. A generation has lists of one
-- variant. Without a row here it belongs to no experiment.
CREATE TABLE variants (
  generation INTEGER PRIMARY KEY,
  variant    TEXT NOT NULL
);

-- The feeds of this installation.
CREATE TABLE feeds (
  feed_id INTEGER PRIMARY KEY,
  rkey    TEXT NOT NULL UNIQUE
);

-- Viewers with a list; viewer_id is the actor_id of landing.sqlite.
CREATE TABLE viewers (
  viewer_id INTEGER PRIMARY KEY,
  did       TEXT NOT NULL UNIQUE
);

-- The posts that lists name by number.
CREATE TABLE posts (
  post_id         INTEGER PRIMARY KEY,   -- fits an unsigned 32-bit number
  author_id       INTEGER NOT NULL,
  rkey            INTEGER NOT NULL,
  uri             TEXT    NOT NULL,
  created_us      INTEGER NOT NULL,
  likers          INTEGER NOT NULL,      -- distinct likers, as of the last run for everybody
  last_generation INTEGER NOT NULL,      -- the post is kept until this generation; may lie ahead of the newest one
  UNIQUE (author_id, rkey)
);
-- What a viewer says of a post names it by its at-uri.
CREATE INDEX posts_by_rkey ON posts (rkey);

-- One viewer's candidate list, best first. items is empty, or little-endian:
--
--   uint8   2, the layout
--   uint8   flags: 1 the top part of a post_id has two bytes, 2 co_likers has two bytes, 4 there are trial bits
--   uint16  n, how many items
--   uint32  the lowest post_id
--   float32 the lowest score above 0, float32 the highest
--   n x uint16 post_id minus the lowest, its low 16 bits; then n x uint8 (or uint16) the bits above
--   n x uint8 (or uint16) co_likers: neighbours who liked the post, at most 65535; 0 when it is there as popular
--   n x uint16 mark, its low 16 bits; then n x 4 bits above, two items a byte, the first in the low half.
--     mark 0: score 0; else score = lowest * (highest / lowest) ^ ((mark - 1) / (2^20 - 2))
--   n x 1 bit trial, only with flag 4, the first item in the lowest bit: 1 for a post that was tried early
--   a zero byte where the length would otherwise be a multiple of 11
--
-- An item's source follows from it: 2 (popular) when co_likers is 0, 3 (trial) when its trial bit is 1, else 1
-- (co-likers). Two lists of 300 items fill a page of 4 kB.
CREATE TABLE lists (
  feed_id    INTEGER NOT NULL,
  viewer_id  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL,
  UNIQUE (feed_id, viewer_id, generation)
);
CREATE INDEX lists_by_generation ON lists (generation);

-- What is popular now, for viewers without a list. language is a two-letter code, '' for all. items as in lists.
CREATE TABLE fallbacks (
  feed_id    INTEGER NOT NULL,
  language   TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL,
  UNIQUE (feed_id, language, generation)
);

-- Who likes a post, as 64 bits: for two posts that the same kind of people like, most bits agree. Runs for everybody
-- write them for the posts that lists name. The web app compares them when a viewer asks for less of a post.
CREATE TABLE taste_sketches (
  post_id INTEGER PRIMARY KEY,
  sketch  INTEGER NOT NULL
);

-- What each batch run did, one row per step.
CREATE TABLE runs (
  run_id     INTEGER NOT NULL,
  job        TEXT    NOT NULL,   -- compact, neighbours, candidates
  tier       TEXT    NOT NULL DEFAULT 'all',   -- whose lists: all, changed, recent, waiting
  feed       TEXT    NOT NULL DEFAULT '',      -- record key of the feed; '' where a run is of all feeds
  step       TEXT    NOT NULL,
  started_us INTEGER NOT NULL,
  seconds    REAL    NOT NULL,
  rows       INTEGER NOT NULL,   -- rows the step made
  peak_mb    REAL    NOT NULL,   -- the process's peak resident memory so far
  outcome    TEXT    NOT NULL,   -- 'done', or the error's one line
  PRIMARY KEY (run_id, job, tier, feed, step)
) WITHOUT ROWID;

-- When the last run began for a viewer who waited: without a list, or with likes or answers newer than it.
CREATE TABLE waiting_runs (
  viewer_did TEXT    PRIMARY KEY,
  began_us   INTEGER NOT NULL
) WITHOUT ROWID;

-- Viewers whose account was deleted, and when. The web app deletes what they did up to then from activity.sqlite.
-- A row is kept as long as activity is.
CREATE TABLE deleted_viewers (
  viewer_did TEXT    PRIMARY KEY,
  deleted_us INTEGER NOT NULL
) WITHOUT ROWID;
