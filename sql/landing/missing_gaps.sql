-- Question: which stretches of the stream are missing, that no backfill brought since?
-- Reads: gaps
-- Writes: none
-- Grain: one row per gap, the newest first
-- Parameters: none
-- Units: none
SELECT gap_id, from_us, to_us, wire
FROM gaps
WHERE healed_us = 0
ORDER BY from_us DESC
