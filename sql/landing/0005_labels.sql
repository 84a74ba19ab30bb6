-- Question: what do labelers say of posts and accounts, and authors of themselves?
-- Reads: none
-- Writes: labelers, labels, label_levels, label_gaps, self_labels
-- Grain: given above each table
-- Parameters: none
-- Units: levels as in pipeline/store/model.py; received_us and until_us are times of this machine's clock, stated_us is a
--   labeler's; the rest as in 0001_schema.sql

-- The labelers that are followed. seq is the cursor in a labeler's stream: the last message that is stored. stated_us is
-- when its newest label was made. new_actors: how many accounts have a number because it named them.
CREATE TABLE labelers (
  labeler_id  INTEGER PRIMARY KEY,
  did         TEXT    NOT NULL UNIQUE,
  seq         INTEGER NOT NULL DEFAULT 0,
  received_us INTEGER NOT NULL DEFAULT 0,
  stated_us   INTEGER NOT NULL DEFAULT 0,
  labels      INTEGER NOT NULL DEFAULT 0,
  new_actors  INTEGER NOT NULL DEFAULT 0
);

-- What labelers say now: a label that was negated or has expired is not here, nor one whose value withholds nothing.
-- rkey is that of a post, -1 for the whole account, -2 for its profile. until_us: NULL for ever.
CREATE TABLE labels (
  rkey       INTEGER NOT NULL,
  actor_id   INTEGER NOT NULL,
  labeler_id INTEGER NOT NULL,
  val        TEXT    NOT NULL,
  level      INTEGER NOT NULL,
  until_us   INTEGER,
  PRIMARY KEY (rkey, actor_id, labeler_id, val)
) WITHOUT ROWID;
CREATE INDEX labels_by_end ON labels (until_us) WHERE until_us IS NOT NULL;

-- What the values did when the labels were stored; no other values are.
CREATE TABLE label_levels (
  val   TEXT    PRIMARY KEY,
  level INTEGER NOT NULL
) WITHOUT ROWID;

-- Messages that a labeler could not send any more: those after one seq and before another.
CREATE TABLE label_gaps (
  labeler_id INTEGER NOT NULL,
  after_seq  INTEGER NOT NULL,
  before_seq INTEGER NOT NULL,
  noted_us   INTEGER NOT NULL,
  PRIMARY KEY (labeler_id, after_seq)
) WITHOUT ROWID;

-- What an author's profile record says of all their posts, by the word with the greatest rev; only of authors who once
-- said something.
CREATE TABLE self_labels (
  actor_id INTEGER PRIMARY KEY,
  rev      INTEGER NOT NULL,
  level    INTEGER NOT NULL
);
