-- Question: how far was the stream stored at the last commit?
-- Reads: stream_cursors
-- Writes: none
-- Grain: one row, none in a new store
-- Parameters: none
-- Units: event_us is microseconds since 1970 (UTC)
SELECT host, wire, value, event_us, events_per_second
FROM stream_cursors
ORDER BY committed_us DESC
LIMIT 1
