-- Question: what is each viewer's ranked list, before the rules of arrangement?
-- Reads: candidates, candidate_posts, list_viewers
-- Writes: ranked
-- Grain: one row per (viewer, post), at most the viewer's max_per_author per author and list_length in all
-- Parameters: list_length
-- Units: position counts from 1; in a tie the smaller post_no comes first
-- Columns: viewer_id, position, post_no, score FLOAT, co_likers
CREATE OR REPLACE TABLE ranked AS
WITH capped AS (
  SELECT c.viewer_id, c.post_no, c.score, c.co_likers
  FROM candidates AS c
  JOIN candidate_posts AS p ON p.post_no = c.post_no
  JOIN list_viewers AS v ON v.viewer_id = c.viewer_id
  WHERE c.score > 0
  QUALIFY row_number() OVER (
    PARTITION BY c.viewer_id, p.author_id ORDER BY c.score DESC, c.post_no) <= v.max_per_author
)
SELECT
  viewer_id,
  row_number() OVER (PARTITION BY viewer_id ORDER BY score DESC, post_no)::INTEGER AS position,
  post_no, score, co_likers
FROM capped
QUALIFY position <= getvariable('list_length')
ORDER BY viewer_id, position;
