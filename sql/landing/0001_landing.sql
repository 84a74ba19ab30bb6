-- What the stream has told, for the open days: landing.sqlite, written by ingest alone (actors also by backfill).
-- Times ending in _us are microseconds since 1970 (UTC). seen_us is the stream's time, never the client's.
-- An rkey is the TID's 64-bit number; a like's rkey that is no TID is a negative hash of its text.
-- rev is the number of the repository's revision (a TID too): of two words about one record the one with the
-- greater rev is later, whichever host told it and when.
-- Keys begin with the rkey: most rkeys are made of the time, so new rows go to the end of the tree.

-- A DID once; everything else names actors by number. status: see pipeline/store/model.py; status_us is the time
-- in the event that said so. Likes and posts seen up to deleted_us went with a deletion of the account: they
-- stay gone when the account comes back, since nothing of it is sent again.
CREATE TABLE actors (
  actor_id   INTEGER PRIMARY KEY,
  did        TEXT    NOT NULL UNIQUE,
  status     INTEGER NOT NULL DEFAULT 0,
  status_us  INTEGER NOT NULL DEFAULT 0,
  deleted_us INTEGER NOT NULL DEFAULT 0
);

-- Few accounts were ever deleted, and every start reads them.
CREATE INDEX actors_deleted ON actors (deleted_us) WHERE deleted_us > 0;

-- A row is a like record: one liker may like one post under several rkeys; readers count distinct pairs.
-- day is seen_us in days since 1970. A day whose lake file exists is read there and deleted here.
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

-- How many likes each day holds here, kept in the commit that changes them: counting 20 million takes seconds.
CREATE TABLE like_days (
  day   INTEGER PRIMARY KEY,
  likes INTEGER NOT NULL
);

-- Likes of days that were closed when they came: fetched from a viewer's repository, or read from a file.
-- seen_us is the time in their rkey, since no stream was there to see them. Kept for the ranking's window.
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

-- Tombstones: a like record is gone, as far as its rev is not greater. What is undone in landing is also deleted
-- here at once; a tombstone keeps it from coming back by a replay, and undoes what is in the lake. day is the
-- day with whose likes it goes to the lake: that of seen_us, or the first open one when that was closed already.
-- met is 1 when the like it undid was of an open day, so that the lake has no need of it; -1 when it took the place
-- of another tombstone, which the lake may need; else 0.
CREATE TABLE unlikes (
  rkey     INTEGER NOT NULL,
  liker_id INTEGER NOT NULL,
  day      INTEGER NOT NULL,
  seen_us  INTEGER NOT NULL,
  rev      INTEGER NOT NULL,
  met      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rkey, liker_id)
) WITHOUT ROWID;
CREATE INDEX unlikes_by_day ON unlikes (day);

-- What ranking needs of a post. It is live when rev > deleted_rev; a deletion may come alone (rev 0).
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

-- Where to resume. Each host and wire counts in its own space; event_us carries over to another host.
-- events_per_second is the stream's pace, of stream time: what tells a gap from a quiet hour.
CREATE TABLE stream_cursors (
  host              TEXT    NOT NULL,
  wire              TEXT    NOT NULL,
  value             INTEGER NOT NULL,
  event_us          INTEGER NOT NULL,
  committed_us      INTEGER NOT NULL,
  events_per_second REAL    NOT NULL DEFAULT 0,
  PRIMARY KEY (host, wire)
) WITHOUT ROWID;

-- Stretches of the stream that nobody could give any more; the days they touch are partial.
CREATE TABLE gaps (
  gap_id   INTEGER PRIMARY KEY,
  from_us  INTEGER NOT NULL,
  to_us    INTEGER NOT NULL,
  host     TEXT    NOT NULL,
  wire     TEXT    NOT NULL,
  noted_us INTEGER NOT NULL
);

-- The newest stream time stored; a day that ended an hour or more before it is closed: no like of it is taken.
CREATE TABLE watermark (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  seen_us INTEGER NOT NULL
);
INSERT INTO watermark VALUES (1, 0);

-- Events counted since the store was made, kind 'event', 'drop' or 'connection', in the same commit as their rows.
CREATE TABLE counters (
  kind  TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- How ingest is doing: the latest of each measure, for foryou status while another process asks.
CREATE TABLE gauges (
  name        TEXT    PRIMARY KEY,
  value       REAL    NOT NULL,
  measured_us INTEGER NOT NULL
) WITHOUT ROWID;
