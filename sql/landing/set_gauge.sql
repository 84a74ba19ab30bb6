-- Question: what is this measure now?
-- Reads: none
-- Writes: gauges
-- Grain: one row per measure
-- Parameters: name, value, measured_us
-- Units: measured_us is microseconds since 1970 (UTC)
INSERT INTO gauges (name, value, measured_us) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, measured_us = excluded.measured_us
