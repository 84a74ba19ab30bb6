-- Question: where is each host's stream?
-- Reads: store_rows (stream_cursors of landing.sqlite)
-- Writes: none
-- Grain: one row per (host, wire)
-- Parameters: none
-- Units: microseconds since 1970 (UTC)
SELECT
  host::VARCHAR AS host, wire::VARCHAR AS wire, event_us::BIGINT AS event_us,
  committed_us::BIGINT AS committed_us, events_per_second::DOUBLE AS events_per_second
FROM store_rows
