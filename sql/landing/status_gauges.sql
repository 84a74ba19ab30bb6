-- Question: how is ingest doing, by its own measures?
-- Reads: gauges
-- Writes: none
-- Grain: one row per measure
-- Parameters: none
-- Units: measured_us is microseconds since 1970 (UTC)
SELECT name, value, measured_us
FROM gauges
ORDER BY name
