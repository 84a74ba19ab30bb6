-- Question: who likes what?
-- Reads: valid_likes
-- Writes: likes
-- Grain: one row a (liker, post): the earliest of its like records that count
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

CREATE OR REPLACE TABLE likes AS
SELECT liker_id, author_id, post_rkey, min(seen_us) AS seen_us
FROM valid_likes
GROUP BY liker_id, author_id, post_rkey;
