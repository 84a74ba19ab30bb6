-- Question: which stretches of the stream are missing, that no backfill brought since?
-- Reads: gaps
-- Writes: none
-- Grain: one row per gap, the ten newest
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT from_us, to_us, host, wire, noted_us
FROM gaps
WHERE healed_us = 0
ORDER BY from_us DESC
LIMIT 10
