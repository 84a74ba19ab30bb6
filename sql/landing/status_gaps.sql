-- Question: which stretches of the stream are missing?
-- Reads: gaps
-- Writes: none
-- Grain: one row per gap, the ten newest
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT from_us, to_us, host, wire, noted_us
FROM gaps
ORDER BY from_us DESC
LIMIT 10
