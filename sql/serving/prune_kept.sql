-- Question: which is the oldest generation that readers may still hold?
-- Reads: generations
-- Writes: nothing
-- Grain: one row
-- Parameters: :keep_since_us
-- Units: microseconds since 1970 (UTC)

SELECT min(generation)
FROM (
  SELECT generation FROM generations WHERE published_us >= :keep_since_us
  UNION
  SELECT * FROM (SELECT generation FROM generations ORDER BY generation DESC LIMIT 2)
);
