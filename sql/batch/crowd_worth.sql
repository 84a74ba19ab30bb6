-- Question: how much attention do all likers have together, as popular.sql counts it?
-- Reads: fresh_likes
-- Writes: crowd_worth
-- Grain: one row
-- Parameters: fallback_smoothing
-- Units: total = the sum over likers of 1 / sqrt(their fresh likes + smoothing)

CREATE OR REPLACE TABLE crowd_worth AS
SELECT coalesce(sum(worth), 0)::DOUBLE AS total
FROM (
  SELECT 1 / sqrt(count(*) + getvariable('fallback_smoothing')) AS worth FROM fresh_likes GROUP BY liker_id
);
