-- Question: which like records can matter to the viewer's candidates?
-- Reads: recent_records, wanted_posts
-- Writes: candidate_records
-- Grain: one row per like record of the days that the candidates job reads
-- Parameters: none
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us, open BOOLEAN
CREATE OR REPLACE TABLE candidate_records AS
WITH by_author AS MATERIALIZED (   -- files of likes are sorted by author, so all else of most rows is never read
  SELECT r.*
  FROM recent_records AS r
  SEMI JOIN (SELECT DISTINCT author_id FROM wanted_posts) AS w ON w.author_id = r.author_id
)
SELECT r.*
FROM by_author AS r
SEMI JOIN wanted_posts AS w ON w.author_id = r.author_id AND w.post_rkey = r.post_rkey;
