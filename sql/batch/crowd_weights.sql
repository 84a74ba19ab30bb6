-- Question: what does the crowd weigh for each viewer?
-- Reads: neighbours, list_viewers
-- Writes: crowd_weights
-- Grain: one row per viewer
-- Parameters: none
-- Units: weight = crowd_weight * what the viewer's neighbours weigh + left_out_weight * what all others do, the parameters
--   being the viewer's. A rest below a millionth is rounding, or less than nothing
-- Columns: viewer_id, weight
CREATE OR REPLACE TABLE crowd_weights AS
WITH weighed AS (
  SELECT
    n.viewer_id,
    coalesce(sum(n.weight::DOUBLE) FILTER (n.rank <= v.max_neighbours), 0) AS kept,
    sum(n.weight::DOUBLE) + max(n.left_out)::DOUBLE AS everybody
  FROM neighbours AS n
  JOIN list_viewers AS v ON v.viewer_id = n.viewer_id
  GROUP BY n.viewer_id
)
SELECT
  w.viewer_id,
  v.crowd_weight * w.kept + CASE
    WHEN w.everybody - w.kept > 1e-6 * w.everybody THEN v.left_out_weight * (w.everybody - w.kept)
    ELSE 0
  END AS weight
FROM weighed AS w
JOIN list_viewers AS v ON v.viewer_id = w.viewer_id;
