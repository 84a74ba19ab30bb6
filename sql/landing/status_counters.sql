-- Question: what was counted since the store was made?
-- Reads: counters. Grain: a kind and a name.
SELECT kind, name, value
FROM counters
ORDER BY kind DESC, value DESC, name
