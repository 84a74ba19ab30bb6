-- Question: who likes what?
-- Reads: valid_likes
-- Writes: likes
-- Grain: one row per (liker, post)
-- Parameters: none
-- Units: seen_us is that of the earliest like record that counts
-- Columns: liker_id, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE likes AS
SELECT liker_id, author_id, post_rkey, min(seen_us) AS seen_us
FROM valid_likes
GROUP BY liker_id, author_id, post_rkey;
