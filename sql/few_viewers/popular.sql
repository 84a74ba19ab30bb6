-- Question: what is popular, as far as a run for everybody has told and as it still may be listed?
-- Reads: known_popular, candidate_posts
-- Writes: popular. Grain: as in sql/batch/popular.sql. Parameters: none

CREATE OR REPLACE TABLE popular AS
SELECT
  k.language,
  row_number() OVER (PARTITION BY k.language ORDER BY k.position)::INTEGER AS position,
  p.post_no, k.score
FROM known_popular AS k
JOIN candidate_posts AS p ON p.author_id = k.author_id AND p.rkey = k.rkey
ORDER BY k.language, position;
