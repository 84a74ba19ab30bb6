-- Question: how much of the likes of the next hours is each popular post expected to get?
-- Reads: forecast_inputs, forecast_trees
-- Writes: forecast
-- Grain: one row per post that is expected to get any; none without trees
-- Parameters: none
-- Units: expected = (the sum of the trees' leaves) ^ 2, where that sum is above 0. A tree asks of some inputs whether they
--   are above a threshold; the answers are the binary digits of the number of a leaf, the first one the smallest
-- Columns: post_no, expected
CREATE OR REPLACE TABLE forecast AS
WITH questions AS (
  SELECT
    tree, unnest(inputs) AS input, unnest(thresholds) AS threshold,
    unnest(generate_series(0, len(inputs) - 1)) AS level
  FROM forecast_trees
), values AS (
  FROM forecast_inputs UNPIVOT (value FOR input IN (COLUMNS(* EXCLUDE post_no)))
), answered AS (
  SELECT v.post_no, q.tree, sum(CASE WHEN v.value > q.threshold THEN 1 << q.level ELSE 0 END)::BIGINT AS leaf
  FROM values AS v
  JOIN questions AS q ON q.input = v.input
  GROUP BY v.post_no, q.tree
), summed AS (
  SELECT a.post_no, sum(t.leaves[a.leaf + 1]) AS root
  FROM answered AS a
  JOIN forecast_trees AS t ON t.tree = a.tree
  GROUP BY a.post_no
)
SELECT post_no, root * root AS expected
FROM summed
WHERE root > 0;
