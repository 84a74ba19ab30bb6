-- Question: how far is each stream stored, and how far behind is it?
-- Reads: stream_cursors
-- Writes: none
-- Grain: one row per (host, wire), the one in use first
-- Parameters: :now_us
-- Units: _us are microseconds since 1970 (UTC)
SELECT
  host, wire, value, event_us, committed_us, events_per_second, (:now_us - event_us) / 1e6 AS lag_seconds
FROM stream_cursors
ORDER BY committed_us DESC
