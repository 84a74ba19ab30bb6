-- Question: what does a day's changes file say, once its file of likes is written?
-- Reads: last_words
-- Writes: none
-- Grain: one row per like record that is deleted or whose rev its key does not tell
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
SELECT liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, author_id IS NULL AS settled
FROM last_words
WHERE NOT is_ordinary(rkey, rev, author_id, marks)
ORDER BY settled, rkey, liker_id;
