-- Question: which generation is the newest, and when was it published?
-- Reads: generations
-- Writes: none
-- Grain: one row, none before the first publication
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT generation, published_us, snapshot_us, items
FROM generations
ORDER BY generation DESC
LIMIT 1;
