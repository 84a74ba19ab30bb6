-- Question: what does a day's changes file say, while its file of likes stays as it is?
-- Reads: last_words
-- Writes: none
-- Grain: one row per like record that has a word besides the file of likes
-- Parameters: none
-- Units: as in sql/landing/0002_like_words.sql
SELECT liker_id, rkey, rev, author_id, post_rkey, seen_us, marks, settled
FROM last_words
ORDER BY settled, rkey, liker_id;
