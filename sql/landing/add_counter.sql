-- Question: how many more of these were counted?
-- Reads: none
-- Writes: counters
-- Grain: one row per (kind, name)
-- Parameters: kind, name, value (how many more)
-- Units: events
INSERT INTO counters (kind, name, value) VALUES (?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET value = value + excluded.value
