-- What the stream has told, for the open days: landing.sqlite, written by ingest alone.
-- Times ending in _us are microseconds since 1970 (UTC). seen_us is the stream's time, never the client's.
-- An rkey is the TID's 64-bit number; a like's rkey that is no TID is a negative hash of its text.

-- A DID once; everything else names actors by number. status: see pipeline/store/model.py.
CREATE TABLE actors (
  actor_id  INTEGER PRIMARY KEY,
  did       TEXT    NOT NULL UNIQUE,
  status    INTEGER NOT NULL DEFAULT 0,
  status_us INTEGER NOT NULL DEFAULT 0
);

-- A row is a like record: one liker may like one post under several rkeys; readers count distinct pairs.
-- day is seen_us in days since 1970. A day whose lake file exists is read there and deleted here.
CREATE TABLE likes (
  day       INTEGER NOT NULL,
  liker_id  INTEGER NOT NULL,
  rkey      INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  post_rkey INTEGER NOT NULL,
  seen_us   INTEGER NOT NULL,
  PRIMARY KEY (day, liker_id, rkey)
) WITHOUT ROWID;

-- Tombstones: a like (liker_id, rkey) seen at or before seen_us is gone, here, in the lake and on replay.
CREATE TABLE unlikes (
  liker_id INTEGER NOT NULL,
  rkey     INTEGER NOT NULL,
  seen_us  INTEGER NOT NULL,
  PRIMARY KEY (liker_id, rkey)
) WITHOUT ROWID;

-- What ranking needs of a post. It is live when seen_us > deleted_us; a deletion may come alone (seen_us 0).
-- created_us is min(the client's createdAt, seen_us). flags: see pipeline/store/model.py. langs: 'en,pt'.
CREATE TABLE posts (
  author_id  INTEGER NOT NULL,
  rkey       INTEGER NOT NULL,
  created_us INTEGER NOT NULL,
  seen_us    INTEGER NOT NULL,
  deleted_us INTEGER NOT NULL DEFAULT 0,
  flags      INTEGER NOT NULL,
  langs      TEXT    NOT NULL,
  PRIMARY KEY (author_id, rkey)
) WITHOUT ROWID;

-- Where to resume. Each host and wire counts in its own space; event_us carries over to another host.
CREATE TABLE stream_cursors (
  host         TEXT    NOT NULL,
  wire         TEXT    NOT NULL,
  value        INTEGER NOT NULL,
  event_us     INTEGER NOT NULL,
  committed_us INTEGER NOT NULL,
  PRIMARY KEY (host, wire)
) WITHOUT ROWID;

-- The newest stream time stored; a day that ended an hour or more before it is closed: no like of it is taken.
CREATE TABLE watermark (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  seen_us INTEGER NOT NULL
);
INSERT INTO watermark VALUES (1, 0);

-- Events counted since the store was made, kind 'event' or 'drop', in the same commit as their rows.
CREATE TABLE counters (
  kind  TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;
