-- Question: what is the last word about each record, of what a day's changes file and landing.sqlite say?
-- Reads: landed_words (of landing.sqlite, reported since the file was written), former_changes (rows of the changes file),
--   statements
-- Writes: last_words
-- Grain: one row per like record that either speaks of; void words are left out
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
-- Columns: liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, settled, landed
CREATE OR REPLACE TABLE last_words AS
WITH words AS (
  SELECT *, false AS settled, true AS landed FROM landed_words
  UNION ALL
  SELECT *, false AS landed FROM former_changes
), twice AS (
  SELECT liker_id, rkey FROM former_changes SEMI JOIN landed_words USING (liker_id, rkey)
), compared AS (
  SELECT w.*,
    lead(w.seen_us) OVER latest AS other_seen_us, lead(w.marks) OVER latest AS other_marks,
    coalesce(lead(w.author_id) OVER latest = w.author_id AND lead(w.post_rkey) OVER latest = w.post_rkey, false) AS is_same
  FROM words AS w
  SEMI JOIN twice AS t ON t.liker_id = w.liker_id AND t.rkey = w.rkey
  WINDOW latest AS (PARTITION BY w.liker_id, w.rkey ORDER BY w.rev DESC, w.marks & 2 DESC, w.seen_us DESC, w.author_id IS NULL, w.landed DESC)
  QUALIFY row_number() OVER latest = 1
), last AS (
  SELECT w.* FROM words AS w ANTI JOIN twice AS t ON t.liker_id = w.liker_id AND t.rkey = w.rkey
  UNION ALL BY NAME
  -- when the owner's repository lists what a stream reported of, the record was seen when the stream saw it
  SELECT * EXCLUDE (other_seen_us, other_marks, is_same) REPLACE (
    CASE WHEN is_same AND marks & 2 > other_marks & 2 THEN other_seen_us ELSE seen_us END AS seen_us,
    (1 | marks)::SMALLINT AS marks
  )
  FROM compared
)
SELECT w.liker_id, w.rkey, w.rev, w.author_id, w.post_rkey, w.seen_us, w.marks, w.settled, w.landed
FROM last AS w
ANTI JOIN statements AS s ON s.actor_id = w.liker_id AND s.rev > w.rev AND s.from_rkey <= w.rkey;
