-- Question: which likes of a post are known from their owner's repository alone?
-- Reads: valid_likes, claimed_likes
-- Writes: claimed
-- Grain: one row per (liker, post)
-- Parameters: none
-- Units: none
-- Columns: liker_id, author_id, post_rkey
CREATE OR REPLACE TABLE claimed AS
SELECT v.liker_id, v.author_id, v.post_rkey
FROM valid_likes AS v
SEMI JOIN claimed_likes AS k ON k.liker_id = v.liker_id
LEFT JOIN claimed_likes AS c ON c.liker_id = v.liker_id AND c.rkey = v.rkey
GROUP BY v.liker_id, v.author_id, v.post_rkey
HAVING bool_and(c.rkey IS NOT NULL);
