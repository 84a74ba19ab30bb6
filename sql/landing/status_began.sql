-- Question: when does what the stream reported begin?
-- Reads: began
-- Writes: none
-- Grain: one row, none in a new store
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT seen_us AS began_us
FROM began
