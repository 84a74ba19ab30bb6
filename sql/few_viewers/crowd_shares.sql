-- Question: how much attention has each popular post, as far as a run for everybody has told?
-- Reads: known_popular, candidate_posts
-- Writes: crowd_shares. Grain: as in sql/batch/crowd_shares.sql. Parameters: none

CREATE OR REPLACE TABLE crowd_shares AS
SELECT DISTINCT p.post_no, k.share
FROM known_popular AS k
JOIN candidate_posts AS p ON p.author_id = k.author_id AND p.rkey = k.rkey;
