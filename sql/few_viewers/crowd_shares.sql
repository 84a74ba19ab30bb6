-- Question: which share of attention does each popular post have, by the last run for everybody?
-- Reads: stored_popular, candidate_posts
-- Writes: crowd_shares
-- Grain: one row per post, as in sql/batch/crowd_shares.sql
-- Parameters: none
-- Units: share as stored
-- Columns: post_no, share FLOAT
CREATE OR REPLACE TABLE crowd_shares AS
SELECT DISTINCT p.post_no, k.share
FROM stored_popular AS k
JOIN candidate_posts AS p ON p.author_id = k.author_id AND p.rkey = k.rkey
WHERE p.level < 2;
