-- Question: which like records decide how popular the post asked about is?
-- Reads: recent_records, explained_post
-- Writes: likers_records
-- Grain: one row per like record of each actor who liked the post
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us, open BOOLEAN
CREATE OR REPLACE TABLE likers_records AS
WITH likers AS (
  SELECT DISTINCT r.liker_id
  FROM recent_records AS r
  JOIN explained_post AS a ON a.author_id = r.author_id AND a.rkey = r.post_rkey
)
SELECT r.*
FROM recent_records AS r
SEMI JOIN likers AS l ON l.liker_id = r.liker_id;
