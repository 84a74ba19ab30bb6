-- Question: what was counted since the store was made?
-- Reads: arrived (rows of landing.sqlite)
-- Writes: nothing; returns the rows
-- Grain: one row a (kind, name)
-- Parameters: none
-- Units: events

SELECT kind::VARCHAR AS kind, name::VARCHAR AS name, value::BIGINT AS value FROM arrived
