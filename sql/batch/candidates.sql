-- Question: what did a viewer's neighbours and the crowd like lately, and what score does each post get?
-- Reads: neighbours, crowd_weights, list_viewers, fresh_likes, crowds, candidate_posts, exclusions
-- Writes: candidates
-- Grain: one row per (viewer, candidate post)
-- Parameters: snapshot_us, score_exponent, foreign_weight
-- Units: similarity = sum of weight * value + crowd weight * share; score = similarity ^ score_exponent * how age,
--   popularity and language scale the post for this viewer; co_likers counts the neighbours who liked it, 0 where only
--   the crowd did
-- Columns: viewer_id, post_no, score FLOAT, co_likers
CREATE OR REPLACE TABLE candidates AS
WITH parts AS (
  SELECT n.viewer_id, f.post_no, n.weight::DOUBLE * f.value AS part, 1 AS co_likers
  FROM neighbours AS n
  JOIN list_viewers AS v ON v.viewer_id = n.viewer_id AND n.rank <= v.max_neighbours
  JOIN fresh_likes AS f ON f.liker_id = n.neighbour_id
  UNION ALL
  SELECT v.viewer_id, c.post_no, h.weight * c.share, 0
  FROM list_viewers AS v
  JOIN crowd_weights AS h ON h.viewer_id = v.viewer_id
  JOIN crowds AS c ON c.language = v.language
  WHERE h.weight > 0
), summed AS (
  SELECT viewer_id, post_no, sum(part) AS similarity, sum(co_likers)::BIGINT AS co_likers
  FROM parts
  GROUP BY viewer_id, post_no
)
SELECT
  s.viewer_id, s.post_no,
  (pow(s.similarity, getvariable('score_exponent'))
    * (post_scale(p.created_us, p.likers, v.half_life_hours, v.popularity_exponent)
      * readable(v.reads, p.langs)))::FLOAT AS score,
  s.co_likers
FROM summed AS s
JOIN list_viewers AS v ON v.viewer_id = s.viewer_id
JOIN candidate_posts AS p ON p.post_no = s.post_no
ANTI JOIN exclusions AS e ON e.viewer_id = s.viewer_id AND e.post_no = s.post_no;
