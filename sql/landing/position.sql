-- Question: where did the stream stand at the last commit?
-- Reads: stream_cursors. Grain: one row, or none in a fresh store.
SELECT host, wire, value, event_us, events_per_second
FROM stream_cursors
ORDER BY committed_us DESC
LIMIT 1
