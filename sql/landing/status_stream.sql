-- Question: where do the streams stand, the one in use first, and how far is each behind?
-- Reads: stream_cursors. Grain: one host and wire. Parameters: :now_us.
SELECT
  host, wire, value, event_us, committed_us, events_per_second, (:now_us - event_us) / 1e6 AS lag_seconds
FROM stream_cursors
ORDER BY committed_us DESC
