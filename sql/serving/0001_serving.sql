-- What the web app reads: serving.sqlite, written by the batch alone. The contract between the two.
-- Times ending in _us are microseconds since 1970 (UTC).

-- A generation is visible from the moment its row commits. Its lists are the newest row per viewer with
-- generation <= it, so a list that did not change is not written again.
CREATE TABLE generations (
  generation   INTEGER PRIMARY KEY,
  snapshot_us  INTEGER NOT NULL,   -- stream time up to which likes were counted
  published_us INTEGER NOT NULL,
  lists        INTEGER NOT NULL,   -- lists written for it, fallback lists not counted
  items        INTEGER NOT NULL    -- items in those lists
);

-- The feeds of this installation; one graph serves several.
CREATE TABLE feeds (
  feed_id INTEGER PRIMARY KEY,
  rkey    TEXT NOT NULL UNIQUE
);

-- Viewers with a list; viewer_id is the actor_id of landing.sqlite.
CREATE TABLE viewers (
  viewer_id INTEGER PRIMARY KEY,
  did       TEXT NOT NULL UNIQUE
);

-- The posts that lists name, so that a list holds four bytes a post.
CREATE TABLE posts (
  post_id         INTEGER PRIMARY KEY,   -- fits an unsigned 32-bit number
  author_id       INTEGER NOT NULL,
  rkey            INTEGER NOT NULL,
  uri             TEXT    NOT NULL,
  created_us      INTEGER NOT NULL,
  likers          INTEGER NOT NULL,      -- distinct likers in the store when last published
  last_generation INTEGER NOT NULL,      -- the newest generation that named it
  UNIQUE (author_id, rkey)
);
-- What a viewer says of a post names it by its at-uri.
CREATE INDEX posts_by_rkey ON posts (rkey);

-- One viewer's candidate list, best first. items holds n entries as four arrays one after another,
-- little-endian: n x uint32 post_id, n x float32 score, n x uint16 co_likers (neighbours who liked it),
-- n x uint8 source (1 co-likers, 2 popular).
CREATE TABLE lists (
  feed_id    INTEGER NOT NULL,
  viewer_id  INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL,
  UNIQUE (feed_id, viewer_id, generation)
);
CREATE INDEX lists_by_generation ON lists (generation);

-- What is popular now, for viewers without a list. language is a two-letter code, '' for all. items as above.
CREATE TABLE fallbacks (
  feed_id    INTEGER NOT NULL,
  language   TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  items      BLOB    NOT NULL,
  UNIQUE (feed_id, language, generation)
);

-- What each batch run did, a row a step.
CREATE TABLE runs (
  run_id     INTEGER NOT NULL,
  job        TEXT    NOT NULL,   -- compact, neighbours, candidates
  step       TEXT    NOT NULL,
  started_us INTEGER NOT NULL,
  seconds    REAL    NOT NULL,
  rows       INTEGER NOT NULL,   -- rows the step made
  peak_mb    REAL    NOT NULL,   -- the process's peak resident memory so far
  outcome    TEXT    NOT NULL,   -- 'done', or the error's one line
  PRIMARY KEY (run_id, job, step)
) WITHOUT ROWID;
