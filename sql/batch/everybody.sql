-- Question: what would all co-likers of a viewer weigh together, if each was looked at and kept?
-- Reads: seed_entries, seed_posts, seed_likers, co_likers
-- Writes: everybody
-- Grain: one row per viewer
-- Parameters: none
-- Units: weight = sum over the viewer's liked seeds of value * the sum of the other likers' scales, as if
--   overlap_exponent was 1. In a sample each liker stands for likers / sample size. Answered posts are left out: they
--   concern few people
-- Columns: viewer_id, weight
CREATE OR REPLACE TABLE everybody AS
WITH masses AS (
  SELECT s.seed_no, any_value(p.likers)::DOUBLE / count(*) AS each, sum(c.scale) * any_value(p.likers) / count(*) AS mass
  FROM seed_likers AS s
  JOIN seed_posts AS p ON p.seed_no = s.seed_no
  JOIN co_likers AS c ON c.liker_id = s.liker_id
  GROUP BY s.seed_no
)
SELECT e.viewer_id, sum(e.value * (m.mass - m.each * coalesce(c.scale, 0))) AS weight
FROM seed_entries AS e
JOIN masses AS m ON m.seed_no = e.seed_no
LEFT JOIN seed_likers AS own ON own.seed_no = e.seed_no AND own.liker_id = e.viewer_id
LEFT JOIN co_likers AS c ON c.liker_id = own.liker_id
WHERE e.liked
GROUP BY e.viewer_id;
