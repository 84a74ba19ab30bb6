-- Question: which co-likers share most of a viewer's taste?
-- Reads: seed_entries, seed_likers, co_likers, everybody
-- Writes: neighbours
-- Grain: one row per (viewer, neighbour), at most max_neighbours for a viewer
-- Parameters: max_neighbours, overlap_exponent
-- Units: weight = (sum of shared seeds' values) ^ overlap_exponent * the co-liker's scale; a sum of 0 or less, from
--   "show less", makes no neighbour. rank counts from 1. left_out is the viewer's: the weight of all other co-likers as in
--   everybody.sql, below 0 where these neighbours alone weigh more than all do there
-- Columns: viewer_id, neighbour_id, weight FLOAT, rank, left_out FLOAT
CREATE OR REPLACE TABLE neighbours AS
WITH summed AS (
  SELECT a.viewer_id, b.liker_id AS neighbour_id, sum(a.value) AS shared
  FROM seed_entries AS a
  JOIN seed_likers AS b ON b.seed_no = a.seed_no
  WHERE b.liker_id <> a.viewer_id
  GROUP BY a.viewer_id, b.liker_id
), weighted AS (
  SELECT s.viewer_id, s.neighbour_id, (pow(s.shared, getvariable('overlap_exponent')) * c.scale)::FLOAT AS weight
  FROM summed AS s
  JOIN co_likers AS c ON c.liker_id = s.neighbour_id
  WHERE s.shared > 0
), ranked AS (
  SELECT
    viewer_id, neighbour_id, weight,
    row_number() OVER (PARTITION BY viewer_id ORDER BY weight DESC, neighbour_id)::INTEGER AS rank
  FROM weighted
  WHERE weight > 0
  QUALIFY rank <= getvariable('max_neighbours')
), totals AS (
  SELECT viewer_id, sum(weight::DOUBLE) AS weight FROM ranked GROUP BY viewer_id
)
SELECT
  r.viewer_id, r.neighbour_id, r.weight, r.rank,
  (coalesce(e.weight, 0) - t.weight)::FLOAT AS left_out
FROM ranked AS r
JOIN totals AS t ON t.viewer_id = r.viewer_id
LEFT JOIN everybody AS e ON e.viewer_id = r.viewer_id
ORDER BY r.viewer_id, r.rank;
