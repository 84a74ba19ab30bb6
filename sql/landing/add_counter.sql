-- Question: how many of these were there?
-- Writes: counters. Parameters: kind, name, how many more.
INSERT INTO counters (kind, name, value) VALUES (?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET value = value + excluded.value
