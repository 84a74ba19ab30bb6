-- Question: what did a viewer's neighbours like lately, and how does each post score?
-- Reads: neighbours, list_viewers, fresh_likes, candidate_posts, exclusions
-- Writes: candidates
-- Grain: one row a (viewer, candidate post)
-- Parameters: score_exponent
-- Units: score = (sum of weight * value) ^ score_exponent * the post's scale, as FLOAT; co_likers is the
--   number of neighbours who liked it

CREATE OR REPLACE TABLE candidates AS
WITH summed AS (
  SELECT n.viewer_id, f.post_no, sum(n.weight::DOUBLE * f.value) AS similarity, count(*) AS co_likers
  FROM neighbours AS n
  SEMI JOIN list_viewers AS v ON v.viewer_id = n.viewer_id
  JOIN fresh_likes AS f ON f.liker_id = n.neighbour_id
  GROUP BY n.viewer_id, f.post_no
)
SELECT
  s.viewer_id, s.post_no,
  (pow(s.similarity, getvariable('score_exponent')) * p.scale)::FLOAT AS score,
  s.co_likers
FROM summed AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
ANTI JOIN exclusions AS e ON e.viewer_id = s.viewer_id AND e.post_no = s.post_no;
