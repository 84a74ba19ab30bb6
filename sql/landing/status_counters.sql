-- Question: what was counted since the store was made?
-- Reads: counters
-- Writes: none
-- Grain: one row per (kind, name), the largest of a kind first
-- Parameters: none
-- Units: events
SELECT kind, name, value
FROM counters
ORDER BY kind DESC, value DESC, name
