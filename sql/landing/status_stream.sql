-- Question: where does the stream stand, and how far is it behind?
-- Reads: stream_cursors. Grain: one row, or none in a fresh store. Parameters: :now_us.
SELECT host, wire, value, event_us, committed_us, (:now_us - event_us) / 1e6 AS lag_seconds
FROM stream_cursors
ORDER BY committed_us DESC
LIMIT 1
