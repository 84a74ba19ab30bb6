-- Question: which likes does a day's file of likes hold when it is written again?
-- Reads: day_before (rows of the former file), last_words, statements
-- Writes: day
-- Grain: one row per like record whose key stands for its rev
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE day AS
SELECT l.liker_id, l.rkey, l.author_id, l.post_rkey, l.seen_us
FROM day_before AS l
ANTI JOIN last_words AS w
  ON w.liker_id = l.liker_id AND w.rkey = l.rkey AND is_later(w.rkey, w.rev, w.author_id, w.marks)
ANTI JOIN statements AS s ON s.actor_id = l.liker_id AND s.rev > l.rkey AND s.from_rkey <= l.rkey
UNION ALL
SELECT liker_id, rkey, author_id, post_rkey, seen_us
FROM last_words
WHERE is_ordinary(rkey, rev, author_id, marks);
