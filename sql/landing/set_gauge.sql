-- Question: what is this measure now?
-- Writes: gauges. Parameters: name, value, measured_us.
INSERT INTO gauges (name, value, measured_us) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, measured_us = excluded.measured_us
