-- Question: which like records can matter to the weights of the viewer's neighbours?
-- Reads: stored_records, own_records, answered_posts, people
-- Writes: seed_records
-- Grain: one row per like record of the days that the neighbours job reads
-- Parameters: viewer_id
-- Units: seen_us is microseconds since 1970 (UTC)
-- Columns: liker_id, rkey, author_id, post_rkey, seen_us, open BOOLEAN
CREATE OR REPLACE TABLE seed_records AS
WITH seed_posts AS (
  SELECT DISTINCT author_id, post_rkey FROM own_records WHERE liker_id = getvariable('viewer_id')
  UNION
  SELECT author_id, post_rkey FROM answered_posts
), by_author AS MATERIALIZED (   -- files of likes are sorted by author, so all else of most rows is never read
  SELECT r.*
  FROM stored_records AS r
  SEMI JOIN (SELECT DISTINCT author_id FROM seed_posts) AS w ON w.author_id = r.author_id
)
SELECT * FROM own_records
UNION ALL
SELECT r.*
FROM by_author AS r
SEMI JOIN seed_posts AS w ON w.author_id = r.author_id AND w.post_rkey = r.post_rkey
ANTI JOIN people AS p ON p.actor_id = r.liker_id;
