-- Question: what is popular by the last run for everybody, of what may still be listed?
-- Reads: stored_popular, candidate_posts
-- Writes: popular
-- Grain: one row per (language, post), as in sql/batch/popular.sql
-- Parameters: none
-- Units: position counts from 1; score as stored
-- Columns: language, position, post_no, score FLOAT
CREATE OR REPLACE TABLE popular AS
SELECT
  k.language,
  row_number() OVER (PARTITION BY k.language ORDER BY k.position)::INTEGER AS position,
  p.post_no, k.score
FROM stored_popular AS k
JOIN candidate_posts AS p ON p.author_id = k.author_id AND p.rkey = k.rkey
WHERE p.level < 2
ORDER BY k.language, position;
