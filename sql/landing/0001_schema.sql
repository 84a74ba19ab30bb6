-- Question: what has the stream reported about the open days? (landing.sqlite, written by ingest, in part by backfill)
-- Reads: none
-- Writes: actors, likes, like_days, history_likes, fetched_viewers, unlikes, posts, stream_cursors, gaps, began,
--   watermark, counters, gauges
-- Grain: given above each table
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC) of the stream's clock, never the client's. An rkey is the TID's 64-bit
--   number, or a negative hash of a like's rkey that is not a TID. rev, also a TID, is the number of the repository's
--   revision: of two events about one record the one with the greater rev is later, whichever host sent it and when

-- Primary keys begin with the rkey: most rkeys follow the time, so new rows go to the end of the tree.

-- Each DID once; all other tables name actors by number. status: see pipeline/store/model.py. status_us is the
-- stream's time of the event that set it. Likes and posts seen up to deleted_us were deleted with the account. They stay deleted
-- when the account comes back, since the stream does not send them again.
CREATE TABLE actors (
  actor_id   INTEGER PRIMARY KEY,
  did        TEXT    NOT NULL UNIQUE,
  status     INTEGER NOT NULL DEFAULT 0,
  status_us  INTEGER NOT NULL DEFAULT 0,
  deleted_us INTEGER NOT NULL DEFAULT 0
);

-- Few accounts were ever deleted, and every start reads them.
CREATE INDEX actors_deleted ON actors (deleted_us) WHERE deleted_us > 0;

-- One row per like record. A liker may like a post under several rkeys; readers count distinct pairs.
-- day is seen_us in days since 1970. Once a day has its lake file, it is read there and deleted here.
CREATE TABLE likes (
  day       INTEGER NOT NULL,
  rkey      INTEGER NOT NULL,
  liker_id  INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  post_rkey INTEGER NOT NULL,
  seen_us   INTEGER NOT NULL,
  rev       INTEGER NOT NULL,
  PRIMARY KEY (day, rkey, liker_id)
) WITHOUT ROWID;

-- How many likes each day holds here, updated in the commit that changes them: counting 20 million takes seconds.
CREATE TABLE like_days (
  day   INTEGER PRIMARY KEY,
  likes INTEGER NOT NULL
);

-- Likes of days that were already closed: fetched from a viewer's repository, or read from a file. The stream did
-- not show them, so seen_us is the time in their rkey. Kept for the ranking's window.
CREATE TABLE history_likes (
  rkey      INTEGER NOT NULL,
  liker_id  INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  post_rkey INTEGER NOT NULL,
  seen_us   INTEGER NOT NULL,
  PRIMARY KEY (rkey, liker_id)
) WITHOUT ROWID;

-- Viewers whose likes were fetched from their repository, so that it is not done again and again.
CREATE TABLE fetched_viewers (
  did        TEXT    PRIMARY KEY,
  fetched_us INTEGER NOT NULL,
  likes      INTEGER NOT NULL,
  outcome    TEXT    NOT NULL
) WITHOUT ROWID;

-- Tombstones of likes. A tombstone undoes the like record of its key up to its rev. The like is deleted from landing
-- at once; the tombstone keeps a replay from bringing it back, and undoes the like in the lake. day is the day
-- whose likes it follows to the lake: the day of seen_us, or the first open day when that one was already closed.
-- found_open_like: 1 the like was of an open day, so the lake does not need the tombstone; -1 it replaced another
-- tombstone, which the lake may need; 0 otherwise.
CREATE TABLE unlikes (
  rkey            INTEGER NOT NULL,
  liker_id        INTEGER NOT NULL,
  day             INTEGER NOT NULL,
  seen_us         INTEGER NOT NULL,
  rev             INTEGER NOT NULL,
  found_open_like INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rkey, liker_id)
) WITHOUT ROWID;
CREATE INDEX unlikes_by_day ON unlikes (day);

-- What ranking needs to know about a post. It exists while rev > deleted_rev; a deletion may come alone (rev 0).
-- created_us is min(the client's createdAt, seen_us). flags: see pipeline/store/model.py. langs: 'en,pt'.
CREATE TABLE posts (
  rkey        INTEGER NOT NULL,
  author_id   INTEGER NOT NULL,
  created_us  INTEGER NOT NULL,
  seen_us     INTEGER NOT NULL,
  rev         INTEGER NOT NULL,
  deleted_rev INTEGER NOT NULL DEFAULT 0,
  flags       INTEGER NOT NULL,
  langs       TEXT    NOT NULL,
  PRIMARY KEY (rkey, author_id)
) WITHOUT ROWID;

-- Where to resume. value counts in the space of its host and wire; event_us carries over to another host.
-- events_per_second is the stream's pace in stream time: it tells a gap from a quiet hour.
CREATE TABLE stream_cursors (
  host              TEXT    NOT NULL,
  wire              TEXT    NOT NULL,
  value             INTEGER NOT NULL,
  event_us          INTEGER NOT NULL,
  committed_us      INTEGER NOT NULL,
  events_per_second REAL    NOT NULL DEFAULT 0,
  PRIMARY KEY (host, wire)
) WITHOUT ROWID;

-- Stretches of the stream that no host could send any more; the days they touch are partial.
CREATE TABLE gaps (
  gap_id   INTEGER PRIMARY KEY,
  from_us  INTEGER NOT NULL,
  to_us    INTEGER NOT NULL,
  host     TEXT    NOT NULL,
  wire     TEXT    NOT NULL,
  noted_us INTEGER NOT NULL
);

-- When the first event ever stored was seen. Its day is partial, unless a backfill brought what came before.
-- Stretches that are missing since then are in gaps.
CREATE TABLE began (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  seen_us INTEGER NOT NULL
);

-- How far the stream has come: seen_us, the newest time that later events did not contradict, and low_us, which all but
-- a few of thousands of events have passed. A day that ended an hour or more before low_us is closed and takes no more
-- likes; what is deleted for its age is that much older than low_us. last_us is when the last event stored was seen.
CREATE TABLE watermark (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  seen_us INTEGER NOT NULL,
  low_us  INTEGER NOT NULL,
  last_us INTEGER NOT NULL
);
INSERT INTO watermark VALUES (1, 0, 0, 0);

-- Events counted since the store was made, in the same commit as their rows. kind: 'event', 'drop' or 'connection'.
CREATE TABLE counters (
  kind  TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- The latest of each measure of ingest, so that foryou status can show it from another process.
CREATE TABLE gauges (
  name        TEXT    PRIMARY KEY,
  value       REAL    NOT NULL,
  measured_us INTEGER NOT NULL
) WITHOUT ROWID;
