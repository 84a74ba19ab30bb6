-- Question: how is ingest doing, by its own measures?
-- Reads: gauges. Grain: one measure.
SELECT name, value, measured_us
FROM gauges
ORDER BY name
