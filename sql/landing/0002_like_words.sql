-- Question: what is the last word about each like record, whoever reported it and when?
-- Reads: unlikes, history_likes, actors (as 0001_schema.sql made them)
-- Writes: like_words, statements, last_commit, fetched_viewers, like_days, gaps, likes (now a view)
-- Grain: given above each table
-- Parameters: none
-- Units: as in 0001_schema.sql; 1024 to the microsecond in a TID, 86400000000 microseconds to a day, 19358 is
--   2023-01-01 in days since 1970: keys before that are no dates

-- One row per like record: the word with the greatest rev. A word without a subject (author_id NULL) says that the
-- record is deleted. marks: see pipeline/store/model.py. commit_no is the number of the commit that last changed the row; a file
-- of the lake names the last commit whose words are in it. A record belongs to the day that its key names, so all words
-- about it meet there. The primary key walks those days in order.
CREATE TABLE like_words (
  rkey      INTEGER NOT NULL,
  liker_id  INTEGER NOT NULL,
  rev       INTEGER NOT NULL,
  author_id INTEGER,
  post_rkey INTEGER,
  seen_us   INTEGER NOT NULL,
  marks     INTEGER NOT NULL,
  commit_no      INTEGER NOT NULL,
  PRIMARY KEY (rkey, liker_id)
) WITHOUT ROWID;

-- Of an actor's records with keys from from_rkey on, the words up to rev are void, but for those at rev: the account
-- was deleted then, or its repository was read whole at that rev and what it listed was reported again.
CREATE TABLE statements (
  actor_id  INTEGER NOT NULL,
  from_rkey INTEGER NOT NULL,
  rev       INTEGER NOT NULL,
  PRIMARY KEY (actor_id, from_rkey)
) WITHOUT ROWID;

-- The number of the last commit that reported a word.
CREATE TABLE last_commit (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  commit_no INTEGER NOT NULL
);
INSERT INTO last_commit VALUES (1, 1);

INSERT INTO like_words
SELECT rkey, liker_id, rev, author_id, post_rkey, seen_us, 0, 1 FROM likes WHERE true ORDER BY rkey, liker_id, rev
ON CONFLICT (rkey, liker_id) DO UPDATE
SET rev = excluded.rev, author_id = excluded.author_id, post_rkey = excluded.post_rkey, seen_us = excluded.seen_us,
    marks = 1
WHERE excluded.rev > like_words.rev;
INSERT INTO like_words
SELECT rkey, liker_id, rev, NULL, NULL, seen_us, 1, 1 FROM unlikes WHERE true
ON CONFLICT (rkey, liker_id) DO UPDATE
SET rev = excluded.rev, author_id = NULL, post_rkey = NULL, seen_us = excluded.seen_us, marks = 1
WHERE excluded.rev > like_words.rev;
INSERT INTO like_words
SELECT rkey, liker_id, rkey, author_id, post_rkey, seen_us, 2, 1 FROM history_likes WHERE true
ON CONFLICT (rkey, liker_id) DO NOTHING;
INSERT INTO statements
SELECT actor_id, -9223372036854775807 - 1, deleted_us * 1024 FROM actors WHERE deleted_us > 0;

-- Not 0: when a backfill reported all that was missing there.
ALTER TABLE gaps ADD COLUMN healed_us INTEGER NOT NULL DEFAULT 0;

DROP TABLE likes;
DROP TABLE unlikes;
DROP TABLE history_likes;
DELETE FROM like_days;
INSERT INTO like_days
SELECT iif(rkey < 19358 * 86400000000 * 1024, -1, (rkey >> 10) / 86400000000), count(*)
FROM like_words WHERE author_id IS NOT NULL GROUP BY 1;

-- The likes among them, with the day that the key names; -1 for keys that name none.
CREATE VIEW likes AS
SELECT
  iif(rkey < 19358 * 86400000000 * 1024, -1, (rkey >> 10) / 86400000000) AS day,
  rkey, liker_id, author_id, post_rkey, seen_us, rev
FROM like_words
WHERE author_id IS NOT NULL;

-- stream_us is how far the stream had come at the fetch, or this machine's time where there was no stream. commit_no is the
-- number of the commit that stored it. reset_no counts the repositories that were replaced, or changed by more than the
-- stream could say, and were not fetched since; 0 otherwise.
ALTER TABLE fetched_viewers ADD COLUMN stream_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fetched_viewers ADD COLUMN commit_no INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fetched_viewers ADD COLUMN reset_no INTEGER NOT NULL DEFAULT 0;
UPDATE fetched_viewers SET stream_us = fetched_us, reset_no = iif(outcome = 'reset', 1, 0);
CREATE INDEX fetched_viewers_reset ON fetched_viewers (reset_no) WHERE reset_no > 0;
