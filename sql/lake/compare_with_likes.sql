-- Question: what does a day's file of likes say about the records of the last words?
-- Reads: day_before (rows of the file)
-- Writes: last_words
-- Grain: one row per like record, as before, but for words that are not later than the like in the file
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
-- Columns: liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, settled, landed, in_likes
CREATE OR REPLACE TABLE last_words AS
WITH found AS (
  SELECT b.liker_id, b.rkey, b.author_id, b.post_rkey, b.seen_us
  FROM day_before AS b
  SEMI JOIN last_words AS w ON w.liker_id = b.liker_id AND w.rkey = b.rkey
)
SELECT w.liker_id, w.rkey, w.rev, w.author_id, w.post_rkey,
  CASE
    WHEN w.marks & 2 <> 0 AND f.author_id = w.author_id AND f.post_rkey = w.post_rkey THEN f.seen_us ELSE w.seen_us
  END AS seen_us,
  -- a stream reported of what is in the file: that its owner's repository lists it too says nothing new
  CASE WHEN f.author_id = w.author_id AND f.post_rkey = w.post_rkey THEN 1 ELSE w.marks END::SMALLINT AS marks,
  w.author_id IS NULL AND f.rkey IS NULL AS settled, w.landed, f.rkey IS NOT NULL AS in_likes
FROM last_words AS w
LEFT JOIN found AS f ON f.liker_id = w.liker_id AND f.rkey = w.rkey
WHERE f.rkey IS NULL OR is_later(w.rkey, w.rev, w.author_id, w.marks);
