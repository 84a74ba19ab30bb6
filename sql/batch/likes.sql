-- Question: who likes what, of the posts that somebody liked lately?
-- Reads: valid_likes, alive_posts
-- Writes: likes
-- Grain: one row per (liker, post)
-- Parameters: none
-- Units: seen_us is that of the earliest like record that counts
-- Columns: liker_id, author_id, post_rkey, seen_us
CREATE OR REPLACE TABLE likes AS
SELECT v.liker_id, v.author_id, v.post_rkey, min(v.seen_us) AS seen_us
FROM valid_likes AS v
SEMI JOIN alive_posts AS a ON a.author_id = v.author_id AND a.post_rkey = v.post_rkey
GROUP BY v.liker_id, v.author_id, v.post_rkey;
