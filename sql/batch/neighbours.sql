-- Question: which co-likers share most of a viewer's taste?
-- Reads: seed_entries, seed_likers, co_likers
-- Writes: neighbours
-- Grain: one row a (viewer, neighbour), at most max_neighbours a viewer
-- Parameters: max_neighbours, overlap_exponent
-- Units: weight = (sum of shared seeds' values) ^ overlap_exponent * the co-liker's scale, as FLOAT; rank counts
--   from 1. A sum of 0 or less, by "show less", makes no neighbour

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
)
SELECT
  viewer_id, neighbour_id, weight,
  row_number() OVER (PARTITION BY viewer_id ORDER BY weight DESC, neighbour_id)::INTEGER AS rank
FROM weighted
WHERE weight > 0
QUALIFY rank <= getvariable('max_neighbours')
ORDER BY viewer_id, rank;
