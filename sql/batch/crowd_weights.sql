-- Question: what does the crowd weigh for each viewer?
-- Reads: neighbours
-- Writes: crowd_weights
-- Grain: one row per viewer
-- Parameters: crowd_weight, left_out_weight
-- Units: weight = crowd_weight * the sum of the neighbours' weights + left_out_weight * left_out
-- Columns: viewer_id, weight
CREATE OR REPLACE TABLE crowd_weights AS
SELECT
  viewer_id,
  getvariable('crowd_weight') * sum(weight::DOUBLE)
  + getvariable('left_out_weight') * max(left_out)::DOUBLE AS weight
FROM neighbours
GROUP BY viewer_id;
