-- Question: what was counted since the store was made?
-- Reads: store_rows (counters of landing.sqlite)
-- Writes: none
-- Grain: one row per (kind, name)
-- Parameters: none
-- Units: events
SELECT kind::VARCHAR AS kind, name::VARCHAR AS name, value::BIGINT AS value FROM store_rows
