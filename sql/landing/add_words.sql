-- Question: which of the batch's likes are of records that nobody reported of yet?
-- Reads: staged_words
-- Writes: like_words
-- Grain: one row per like record
-- Parameters: :commit_no (the number of this commit)
-- Units: as in 0002_like_words.sql
INSERT INTO like_words (rkey, liker_id, rev, author_id, post_rkey, seen_us, marks, commit_no)
SELECT rkey, liker_id, rev, author_id, post_rkey, seen_us, marks, :commit_no
FROM staged_words
WHERE author_id IS NOT NULL
ORDER BY rkey, liker_id, rev DESC, seen_us DESC   -- inserts walk the tree once
ON CONFLICT (rkey, liker_id) DO NOTHING
