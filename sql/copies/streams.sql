-- Question: where does each host's stream stand?
-- Reads: arrived (rows of landing.sqlite's stream_cursors)
-- Writes: nothing; returns the rows
-- Grain: one row a (host, wire)
-- Parameters: none
-- Units: microseconds since 1970 (UTC)

SELECT
  host::VARCHAR AS host, wire::VARCHAR AS wire, event_us::BIGINT AS event_us,
  committed_us::BIGINT AS committed_us, events_per_second::DOUBLE AS events_per_second
FROM arrived
